//! The event loop: callers, programs, the master.

use crate::pool::{Pool, Question};
use daemon::{EX_ORPHANED, Refusal, Signal, Started};
use ipc::filter::{Judge, Judged};
use ipc::master::{ToChild, ToMaster};
use ipc::{Channel, ContactPoint, RecvError};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MASTER: usize = 0;
const CONTACT: usize = 1;
const SIGNALS: usize = 2;
const FIRST_PROGRAM: usize = 10;
/// Above every program (`[filter] processes` is at most 1,000).
const FIRST_CALLER: usize = 100_000;
/// Answers that a caller may leave untaken before it is dropped.
const MOST_PENDING: usize = 10_000;

struct Server {
    started: Started,
    contact: ContactPoint,
    poll: Poll,
    pool: Pool,
    callers: HashMap<usize, Channel<Judged, Judge>>,
    next_caller: usize,
    draining: bool,
}

/// Runs the service until it is drained or orphaned.
pub fn run() -> ExitCode {
    let result =
        daemon::start("contentfilter").and_then(|started| Server::new(started).map_err(|e| Refusal::system(format!("contentfilter: {e}"))));
    match result {
        Ok(mut server) => {
            let code = server.serve();
            server.pool.end();
            daemon::log::flush();
            ExitCode::from(code)
        }
        Err(refusal) => refusal.say(),
    }
}

impl Server {
    fn new(mut started: Started) -> io::Result<Self> {
        let mut contact = started.contacts.serve().ok_or_else(|| io::Error::other("the master sent no contact point"))?;
        let poll = Poll::new()?;
        poll.registry().register(&mut started.master, Token(MASTER), Interest::READABLE | Interest::WRITABLE)?;
        poll.registry().register(&mut contact, Token(CONTACT), Interest::READABLE)?;
        poll.registry().register(&mut started.signals, Token(SIGNALS), Interest::READABLE)?;
        let registry = poll.registry().try_clone()?;
        let mut pool = Pool::new(started.settings.filter.clone(), registry, FIRST_PROGRAM, started.counters.clone());
        pool.work(Instant::now());
        started.master.send(&ToMaster::Ready)?;
        Ok(Self { started, contact, poll, pool, callers: HashMap::new(), next_caller: FIRST_CALLER, draining: false })
    }

    fn serve(&mut self) -> u8 {
        let mut events = Events::with_capacity(256);
        loop {
            self.pool.work(Instant::now());
            self.send_answers();
            daemon::log::flush();
            if self.draining && self.pool.idle() && self.callers.values().all(|caller| caller.pending() == 0) {
                return 0;
            }
            let now = Instant::now();
            let sleep = self.pool.next().map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
            match self.poll.poll(&mut events, sleep) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    daemon::event!(Error, "poll_failed", error = e);
                    return daemon::EX_OSERR;
                }
                Ok(()) => {}
            }
            for event in &events {
                match event.token().0 {
                    MASTER => {
                        if let Err(code) = self.hear_master() {
                            return code;
                        }
                    }
                    CONTACT => self.accept(),
                    SIGNALS => self.take_signals(),
                    token if token >= FIRST_CALLER => self.hear_caller(token),
                    token => self.pool.heard(token, Instant::now()),
                }
            }
        }
    }

    fn hear_master(&mut self) -> Result<(), u8> {
        let orphaned = u8::try_from(EX_ORPHANED).unwrap_or(75);
        let _ = self.started.master.flush();
        loop {
            match self.started.master.recv() {
                Ok(None) => return Ok(()),
                Ok(Some((ToChild::Drain, _))) => self.draining = true,
                Ok(Some((ToChild::Reload(start), descriptors))) => self.reload(&start, descriptors),
                Ok(Some(_)) => {}
                Err(RecvError::Closed) => return Err(orphaned),
                Err(e) => {
                    daemon::event!(Error, "master_conversation", error = e);
                    return Err(orphaned);
                }
            }
        }
    }

    fn reload(&mut self, start: &ipc::master::Start, descriptors: Vec<OwnedFd>) {
        match self.started.reload(start, descriptors) {
            Ok(_) => self.pool.reconfigure(self.started.settings.filter.clone()),
            Err(e) => daemon::event!(Error, "reload_failed", reason = e),
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.started.signals.next() {
            match signal {
                Signal::Drain => self.draining = true,
                Signal::Child => self.pool.reap(Instant::now()),
                Signal::Reload | Signal::Upgrade => {}
            }
        }
    }

    /// New callers stay at the contact point while we drain: our successor serves them.
    fn accept(&mut self) {
        while !self.draining {
            let Ok(Some(mut caller)) = self.contact.accept::<Judged, Judge>() else { return };
            let token = self.next_caller;
            self.next_caller += 1;
            if self.poll.registry().register(&mut caller, Token(token), Interest::READABLE | Interest::WRITABLE).is_ok() {
                self.callers.insert(token, caller);
                self.hear_caller(token);
            }
        }
    }

    fn hear_caller(&mut self, token: usize) {
        let timeout = self.started.settings.filter.timeout;
        loop {
            let Some(caller) = self.callers.get_mut(&token) else { return };
            let heard = caller.flush().map_err(RecvError::Io).and_then(|()| caller.recv());
            match heard {
                Ok(None) => return,
                Ok(Some((Judge { number, path }, _))) => {
                    self.pool.ask(Question { caller: token, number, path, deadline: Instant::now() + timeout });
                }
                Err(_) => return self.forget(token),
            }
        }
    }

    fn forget(&mut self, token: usize) {
        if let Some(mut caller) = self.callers.remove(&token) {
            let _ = self.poll.registry().deregister(&mut caller);
        }
    }

    fn send_answers(&mut self) {
        for (question, verdict) in self.pool.answers() {
            let Some(caller) = self.callers.get_mut(&question.caller) else { continue };
            let sent = caller.send(&Judged { number: question.number, verdict });
            if sent.is_err() || caller.pending() > MOST_PENDING {
                self.forget(question.caller);
            }
        }
    }
}
