//! The process around the pool of programs.

use crate::pool::{Pool, Question};
use daemon::Contacts;
use ipc::filter::{Judge, Judged};
use mio::event::Event;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subdaemon::{Asker, Desk, Service};

/// `[filter] processes` is at most so many: each has a token of its own.
const MOST_PROGRAMS: usize = 1000;

struct Server {
    pool: Pool,
    timeout: Duration,
}

/// Runs the service until it is drained or orphaned.
pub fn run() -> ExitCode {
    subdaemon::run("contentfilter", |desk| {
        let first = desk.tokens(MOST_PROGRAMS).0;
        let filter = desk.started.settings.filter.clone();
        let timeout = filter.timeout;
        let mut pool = Pool::new(filter, desk.registry().try_clone()?, first, desk.started.counters.clone());
        pool.work(Instant::now());
        Ok(Server { pool, timeout })
    })
}

impl Service for Server {
    type In = Judge;
    type Out = Judged;

    fn heed(&mut self, asker: Asker, Judge { number, path }: Judge, _desk: &mut Desk<Judged>) {
        self.pool.ask(Question { caller: asker.number(), number, path, deadline: Instant::now() + self.timeout });
    }

    fn event(&mut self, event: &Event, _desk: &mut Desk<Judged>) {
        self.pool.heard(event.token().0, Instant::now());
    }

    fn work(&mut self, now: Instant, desk: &mut Desk<Judged>) {
        self.pool.work(now);
        for (question, verdict) in self.pool.answers() {
            desk.answer(Asker::numbered(question.caller), Judged { number: question.number, verdict });
        }
    }

    fn wake(&self) -> Option<Instant> {
        self.pool.next()
    }

    fn child_ended(&mut self, _desk: &mut Desk<Judged>) {
        self.pool.reap(Instant::now());
    }

    fn reload(&mut self, _contacts: Contacts, desk: &mut Desk<Judged>) -> Result<(), String> {
        let filter = desk.started.settings.filter.clone();
        self.timeout = filter.timeout;
        self.pool.reconfigure(filter);
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.pool.idle()
    }

    fn end(&mut self, _desk: &mut Desk<Judged>) {
        self.pool.end();
    }
}
