//! The event loop: brings what happened to the model and does what the model says.

mod arrivals;
mod begin;
mod clients;
mod commands;
mod etrn;
mod feeding;
mod freezing;
mod intake;
mod link;
mod locating;
mod lock;
mod master;
mod orders;
mod outsiders;
#[cfg(test)]
mod trial;

pub use begin::run;

use crate::io::Pool;
use crate::model::{Model, Now};
use clients::{Client, Turn};
use daemon::Started;
use envelope::MessageId;
use feeding::{AgentLink, Files};
use intake::Intake;
use ipc::arrivals::{Arrived, Nothing};
use ipc::master::{ToChild, ToMaster};
use ipc::{Channel, ContactPoint};
use mio::{Events, Poll, Token};
use nix::fcntl::Flock;
use spool::Volumes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const NOTIFY: Token = Token(2);
const LISTENER: Token = Token(3);
const WAKER: Token = Token(4);
const CONTACT: Token = Token(5);
const RESOLVER: Token = Token(6);
/// Agents and clients come after it.
const FIRST: usize = 16;

/// File calls under way at which no more jobs begin.
const CALLS: usize = 2048;
/// Jobs begun in one turn.
const JOBS: usize = 512;
/// Milliseconds after which what is known of sites is written again, when it has changed.
const REMEMBER_MS: u64 = 60_000;

/// The process.
#[derive(Debug)]
pub struct Scheduler {
    started: Started,
    poll: Poll,
    model: Model,
    pool: Pool,
    locator: locating::Locator,
    spool: Arc<spool::Spool>,
    /// When what is known of sites is written next.
    remember_at: u64,
    volumes: Volumes,
    /// One for each volume, in order.
    intakes: Vec<Intake>,
    notify: Option<UnixDatagram>,
    listener: Option<UnixListener>,
    /// Who may come by it.
    guests: outsiders::Guests,
    contact: Option<ContactPoint>,
    /// Routers, which say what has arrived.
    routers_heard: HashMap<u64, Channel<Nothing, Arrived>>,
    agents: BTreeMap<u64, AgentLink>,
    clients: HashMap<u64, Client>,
    files: Files,
    /// Jobs that wait for their message's file, with their agents.
    opening: HashMap<u64, u64>,
    stuck: orders::Stuck,
    etrns: etrn::Etrns,
    routers: Option<spool::Notifier>,
    base: Instant,
    last_token: usize,
    drain_deadline: Option<Instant>,
    /// More datagrams or answers wait than one turn takes.
    busy: bool,
    /// A notice may wait in the socket.
    notified: bool,
    heartbeat: u64,
    _lock: Flock<File>,
}

/// How the process ends.
type End = ExitCode;

type Frame = (ToChild, Vec<OwnedFd>);

fn orphaned() -> ExitCode {
    daemon::log::flush();
    ExitCode::from(u8::try_from(daemon::EX_ORPHANED).unwrap_or(1))
}

impl Scheduler {
    fn now(&self) -> Now {
        // A second of head start: nothing of the model's arithmetic starts at zero.
        let ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1000);
        Now { ms, wall_ms: daemon::clock::unix_millis() }
    }

    fn serve(&mut self, early: VecDeque<Frame>) -> ExitCode {
        let mut events = Events::with_capacity(1024);
        if self.started.master.send(&ToMaster::Ready).is_err() {
            return orphaned();
        }
        let now = self.now();
        self.recall(now);
        self.recall_freezes();
        for (frame, descriptors) in early {
            self.told(frame, descriptors, now);
        }
        loop {
            let now = self.now();
            if let Some(end) = self.turn(now) {
                return end;
            }
            match self.poll.poll(&mut events, Some(self.sleep(now))) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                    daemon::event!(Error, "poll_failed", text = e);
                    return ExitCode::from(daemon::EX_OSERR);
                }
                _ => {}
            }
            let now = self.now();
            for event in &events {
                if let Some(end) = self.event(event.token(), now) {
                    return end;
                }
            }
        }
    }

    /// Everything that is not an answer to one event: so a burst of events costs one round of each.
    fn turn(&mut self, now: Now) -> Option<End> {
        self.busy = false;
        if self.notified {
            self.notified = self.hear();
            self.busy |= self.notified;
        }
        self.collect(now);
        self.model.wake(now);
        self.answer(now);
        self.busy |= self.pool.has_room(CALLS) && self.etrns.turn(&mut self.model, now);
        // Before any load: a message that has just ended is not known any more, so a late scan or notice would have it
        // loaded ahead of its own removal and delivered again.
        self.act(now);
        if self.drain_deadline.is_none() {
            let skip = |id: MessageId| self.model.knows(id) || self.stuck.has(id);
            let period = self.started.settings.queue.transport_scan;
            for (volume, _) in self.volumes.usable() {
                if let Some(intake) = self.intakes.get_mut(usize::from(volume)) {
                    intake.pump(&mut self.pool.of(volume), period, now, skip);
                }
            }
        }
        if self.share_room(now) {
            let jobs = self.model.dispatch(JOBS, now);
            self.busy |= jobs.len() == JOBS || self.model.discards_wait();
            jobs.into_iter().for_each(|job| self.begin(job, now));
        }
        self.act(now);
        self.stuck.retry(&mut self.pool, now);
        self.pool.flush();
        self.feed(now);
        if self.heartbeat != now.ms / 1000 {
            self.heartbeat = now.ms / 1000;
            self.model.gauges();
            self.tick_outsiders(now);
            self.expel_strangers(now);
            self.give_up_questions(now);
            self.remember(now);
        }
        let end = if self.started.master.flush().is_err() { Some(orphaned()) } else { self.drained() };
        daemon::log::flush();
        end
    }

    /// How many jobs may begin from each volume. False: no jobs at all now.
    fn share_room(&mut self, now: Now) -> bool {
        if self.volumes.all().len() == 1 {
            return self.pool.outstanding() < CALLS;
        }
        for (volume, _) in self.volumes.usable() {
            self.model.set_room(volume, self.pool.room(volume, CALLS), now);
            // Its jobs may all have begun with a file at hand, and then nothing comes back to wake us.
            self.busy |= self.model.is_parked(volume) && self.pool.room(volume, CALLS) > 0;
        }
        true
    }

    fn sleep(&self, now: Now) -> Duration {
        if self.busy && self.pool.has_room(CALLS) {
            return Duration::ZERO;
        }
        let usable = self.volumes.usable().filter_map(|(volume, _)| self.intakes.get(usize::from(volume)));
        let intake = usable.map(|intake| intake.sleep_ms(now)).min().unwrap_or(u64::MAX);
        let mut wait = self.model.sleep_ms(now).min(intake).min(self.stuck.sleep_ms(now)).min(60_000);
        if self.started.master.pending() > 0 || self.drain_deadline.is_some() {
            wait = wait.min(50);
        }
        Duration::from_millis(wait)
    }

    fn event(&mut self, token: Token, now: Now) -> Option<End> {
        match token {
            MASTER => return self.master_readable(now),
            SIGNALS => {
                while let Some(signal) = self.started.signals.next() {
                    if signal == daemon::Signal::Drain {
                        self.begin_drain();
                    }
                }
            }
            LISTENER => self.accept_agents(now),
            NOTIFY => self.notified = true,
            CONTACT => self.meet(),
            RESOLVER => self.told_where(now),
            // Every turn collects.
            WAKER => {}
            Token(key) => {
                let key = key as u64;
                if self.routers_heard.contains_key(&key) {
                    self.arrivals(key);
                } else if self.agents.contains_key(&key) {
                    self.agent_readable(key, now);
                } else if self.clients.get_mut(&key).is_some_and(|client| client.readable() == Turn::Over) {
                    self.close_client(key);
                }
            }
        }
        None
    }
}
