//! The process: questions of routers to the pools, answers back.

use crate::pool::{Outcome, Pool, Question};
use crate::worker::{self, Alive, Done};
use crate::{Source, bounds, confinement};
use daemon::Counters;
use ipc::tables::{Answer, LookedUp, Lookup};
use mio::Waker;
use sandbox::Granted;
use settings::{Settings, Table};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use subdaemon::{Asker, Desk, Service};

/// The whole program: `name` is that of the process, such as `table-lmdb`.
pub fn run(name: &'static str, source: impl Source) -> ExitCode {
    subdaemon::run(name, |desk| {
        let mut server = Server::new(name, source, desk.waker());
        let settings = &desk.started.settings;
        server.configure(settings, &desk.started.counters);
        server.granted = confinement::granted(tables(settings, name));
        let connecting = tables(settings, name).any(|table| !table.servers.is_empty());
        confinement::confine(settings.processes.sandbox, connecting, &server.granted)?;
        Ok(server)
    })
}

/// Those that this process answers for.
fn tables<'s>(settings: &'s Settings, process: &'static str) -> impl Iterator<Item = &'s Table> {
    settings.tables.iter().filter(move |table| table.kind.process() == Some(process))
}

pub struct Server<S: Source> {
    process: &'static str,
    source: Arc<S>,
    pools: Vec<Pool>,
    done: Receiver<Done>,
    /// What threads are given.
    threads_desk: worker::Desk,
    /// Number of the thread made last.
    threads: u64,
    granted: Vec<Granted>,
}

impl<S: Source> Server<S> {
    pub fn new(process: &'static str, source: S, waker: Arc<Waker>) -> Self {
        let (sender, done) = channel();
        let threads_desk = worker::Desk { done: sender, waker, alive: Alive::default() };
        Self { process, source: Arc::new(source), pools: Vec::new(), done, threads_desk, threads: 0, granted: Vec::new() }
    }

    /// Tables that are new or changed get a pool; the former ones end with their last question.
    fn configure(&mut self, settings: &Settings, counters: &Counters) {
        for pool in &mut self.pools {
            pool.retired |= !tables(settings, self.process).any(|table| same(table, &pool.table));
        }
        for table in tables(settings, self.process) {
            if self.pool(&table.name).is_none() {
                self.pools.push(Pool::new(table.clone(), counters.clone()));
            }
        }
    }

    /// What threads have done, and what they do next.
    fn turn(&mut self, now: Instant) -> Vec<Outcome> {
        for done in self.done.try_iter() {
            let _ = self.pools.iter_mut().any(|pool| pool.done(&done, now));
        }
        let mut outcomes = Vec::new();
        for pool in &mut self.pools {
            let mut start = |table: &Arc<Table>, number: u64| {
                worker::start(number, Arc::clone(&self.source), Arc::clone(table), self.threads_desk.clone())
            };
            pool.work(now, &mut start, &mut self.threads);
            outcomes.extend(pool.take_outcomes());
        }
        self.pools.retain(|pool| !(pool.retired && pool.is_idle()));
        outcomes
    }

    /// Whether more threads hang behind tables that were changed or removed than all tables of today may have. A thread in a
    /// system call cannot be ended but with its process.
    fn is_haunted(&self) -> bool {
        let (mut ours, mut allowed) = (0, 0);
        for pool in &self.pools {
            ours += pool.threads();
            allowed += if pool.retired { 0 } else { pool.table.connections };
        }
        self.threads_desk.alive.threads().saturating_sub(ours) > allowed
    }

    fn pool(&mut self, name: &str) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| pool.table.name == name && !pool.retired)
    }
}

/// Equal but for the line that it stands in.
fn same(one: &Table, other: &Table) -> bool {
    Table { line: 0, ..one.clone() } == Table { line: 0, ..other.clone() }
}

impl<S: Source> Service for Server<S> {
    type In = Lookup;
    type Out = LookedUp;

    fn heed(&mut self, asker: Asker, frame: Lookup, desk: &mut Desk<LookedUp>) {
        let Lookup { number, table, key } = frame;
        desk.started.counters.add("questions", 1);
        let now = Instant::now();
        match self.pool(&table) {
            None => {
                desk.started.counters.add("failures", 1);
                let why = format!("there is no table {} here", bounds::reason(&table));
                desk.answer(asker, LookedUp { number, answer: Answer::Trouble(why) });
            }
            Some(_) if !bounds::is_key(&key) => {
                desk.started.counters.add("absent", 1);
                desk.answer(asker, LookedUp { number, answer: Answer::Absent });
            }
            Some(pool) => {
                let deadline = now.checked_add(pool.table.timeout).unwrap_or(now);
                pool.ask(Question { asker, number, key, deadline }, now);
            }
        }
    }

    fn gone(&mut self, asker: Asker) {
        self.pools.iter_mut().for_each(|pool| pool.forget(asker));
    }

    fn work(&mut self, now: Instant, desk: &mut Desk<LookedUp>) {
        for (asker, number, answer) in self.turn(now) {
            desk.answer(asker, LookedUp { number, answer });
        }
        let all = |count: fn(&Pool) -> usize| self.pools.iter().map(count).sum::<usize>() as u64;
        desk.started.counters.set("connections_now", all(Pool::connections));
        desk.started.counters.set("waiting_now", all(Pool::waiting));
    }

    fn wake(&self) -> Option<Instant> {
        self.pools.iter().filter_map(Pool::wake).min()
    }

    fn reload(&mut self, _contacts: daemon::Contacts, desk: &mut Desk<LookedUp>) -> Result<(), String> {
        self.configure(&desk.started.settings, &desk.started.counters);
        if !Granted::covers(&self.granted, &confinement::granted(tables(&desk.started.settings, self.process))) {
            // It may not read them any more.
            desk.retire();
        } else if self.is_haunted() {
            daemon::event!(Warning, "table_threads_left", threads = self.threads_desk.alive.threads());
            desk.retire();
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.pools.iter().all(Pool::is_idle)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "serve_tests.rs"]
mod tests;
