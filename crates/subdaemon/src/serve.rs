//! The loop.

use crate::Service;
use crate::desk::{Asker, Desk};
use daemon::{EX_ORPHANED, Refusal, Signal, Started};
use ipc::control::{Reply, Request};
use ipc::master::{Peer, Start, ToChild, ToMaster};
use ipc::{Channel, ContactPoint, RecvError};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: usize = 0;
const CONTACT: usize = 1;
const SIGNALS: usize = 2;
const THREADS: usize = 3;
const FIRST: usize = 16;
/// Conversations at a time: far more than the suite has processes.
const MOST_CALLERS: usize = 4096;
/// Answers that a caller may leave untaken before it is dropped.
const MOST_PENDING: usize = 10_000;

struct Server<S: Service> {
    service: S,
    desk: Desk<S::Out>,
    contact: ContactPoint,
    poll: Poll,
    callers: HashMap<Asker, Channel<S::Out, S::In>>,
    /// Commands that have not taken all their replies yet.
    clients: HashMap<usize, Channel<Reply, Request>>,
    draining: bool,
}

/// Runs the service until it is drained or orphaned.
pub fn run<S: Service>(name: &str, make: impl FnOnce(&mut Desk<S::Out>) -> io::Result<S>) -> ExitCode {
    let result = daemon::start(name).and_then(|started| Server::new(started, make).map_err(|e| Refusal::system(format!("{name}: {e}"))));
    match result {
        Ok(mut server) => {
            let code = server.serve();
            server.service.end(&mut server.desk);
            daemon::log::flush();
            ExitCode::from(code)
        }
        Err(refusal) => refusal.say(),
    }
}

impl<S: Service> Server<S> {
    fn new(mut started: Started, make: impl FnOnce(&mut Desk<S::Out>) -> io::Result<S>) -> io::Result<Self> {
        let mut contact = started.contacts.serve().ok_or_else(|| io::Error::other("the master sent no contact point"))?;
        let poll = Poll::new()?;
        poll.registry().register(&mut started.master, Token(MASTER), Interest::READABLE | Interest::WRITABLE)?;
        poll.registry().register(&mut contact, Token(CONTACT), Interest::READABLE)?;
        poll.registry().register(&mut started.signals, Token(SIGNALS), Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(THREADS))?);
        let mut desk = Desk::new(started, poll.registry().try_clone()?, waker, FIRST);
        let service = make(&mut desk)?;
        desk.started.master.send(&ToMaster::Ready)?;
        Ok(Self { service, desk, contact, poll, callers: HashMap::new(), clients: HashMap::new(), draining: false })
    }

    fn serve(&mut self) -> u8 {
        let mut events = Events::with_capacity(256);
        loop {
            let now = Instant::now();
            self.service.work(now, &mut self.desk);
            self.send_answers();
            daemon::log::flush();
            if self.draining && self.service.is_idle() && self.callers.values().all(|caller| caller.pending() == 0) {
                return 0;
            }
            let sleep = self.service.wake().map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
            match self.poll.poll(&mut events, sleep) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    daemon::event!(Error, "poll_failed", error = e);
                    return daemon::EX_OSERR;
                }
                Ok(()) => {}
            }
            for event in &events {
                if let Some(code) = self.dispatch(event) {
                    return code;
                }
            }
        }
    }

    fn dispatch(&mut self, event: &Event) -> Option<u8> {
        match event.token().0 {
            MASTER => return self.hear_master(),
            CONTACT => self.accept(),
            SIGNALS => self.take_signals(),
            THREADS => {}
            token if self.callers.contains_key(&Asker(token)) => self.hear_caller(Asker(token)),
            token if self.clients.contains_key(&token) => self.tell_client(token),
            _ => self.service.event(event, &mut self.desk),
        }
        None
    }

    /// `Some`: the master is gone.
    fn hear_master(&mut self) -> Option<u8> {
        let orphaned = u8::try_from(EX_ORPHANED).unwrap_or(75);
        let _ = self.desk.started.master.flush();
        loop {
            match self.desk.started.master.recv() {
                Ok(None) => return None,
                Ok(Some((ToChild::Drain, _))) => self.draining = true,
                Ok(Some((ToChild::Reload(start), descriptors))) => self.reload(&start, descriptors),
                Ok(Some((ToChild::Command { request, peer }, mut descriptors))) => {
                    if let Some(end) = descriptors.pop() {
                        self.command(end, &request, &peer);
                    }
                }
                Ok(Some(_)) => {}
                Err(RecvError::Closed) => return Some(orphaned),
                Err(e) => {
                    daemon::event!(Error, "master_conversation", error = e);
                    return Some(orphaned);
                }
            }
        }
    }

    fn reload(&mut self, start: &Start, descriptors: Vec<OwnedFd>) {
        let outcome = self.desk.started.reload(start, descriptors);
        match outcome.and_then(|contacts| self.service.reload(contacts, &mut self.desk)) {
            Ok(()) => daemon::event!(Info, "reloaded", generation = self.desk.started.generation),
            Err(reason) => daemon::event!(Error, "reload_failed", reason = reason),
        }
    }

    fn command(&mut self, end: OwnedFd, request: &Request, peer: &Peer) {
        let Ok(mut client) = Channel::<Reply, Request>::new(end) else { return };
        let mut replies = self.service.command(request, peer, &mut self.desk);
        replies.push(Reply::End);
        if replies.iter().any(|reply| client.send(reply).is_err()) || client.pending() == 0 {
            return;
        }
        let token = self.desk.token();
        if self.poll.registry().register(&mut client, token, Interest::WRITABLE).is_ok() {
            self.clients.insert(token.0, client);
        }
    }

    /// A command takes the rest of its replies.
    fn tell_client(&mut self, token: usize) {
        if let Some(mut client) = self.clients.remove(&token) {
            if client.flush().is_ok() && client.pending() > 0 {
                self.clients.insert(token, client);
            } else {
                let _ = self.poll.registry().deregister(&mut client);
            }
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.desk.started.signals.next() {
            match signal {
                Signal::Drain => self.draining = true,
                Signal::Child => self.service.child_ended(&mut self.desk),
                Signal::Reload | Signal::Upgrade => {}
            }
        }
    }

    fn accept(&mut self) {
        while !self.draining {
            let Ok(Some(mut caller)) = self.contact.accept::<S::Out, S::In>() else { return };
            if self.callers.len() >= MOST_CALLERS {
                continue;
            }
            let token = self.desk.token();
            if self.poll.registry().register(&mut caller, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
                self.callers.insert(Asker(token.0), caller);
                self.hear_caller(Asker(token.0));
            }
        }
    }

    /// Takes frames until there is none, or until the caller must take answers first: its writable event comes here too.
    fn hear_caller(&mut self, asker: Asker) {
        loop {
            let Some(caller) = self.callers.get_mut(&asker) else { return };
            let heard = caller.flush().map_err(RecvError::Io).and_then(|()| if caller.pending() == 0 { caller.recv() } else { Ok(None) });
            match heard {
                Ok(None) => return,
                Ok(Some((frame, _))) => {
                    self.service.heed(asker, frame, &mut self.desk);
                    self.send_answers();
                }
                Err(error) => {
                    if !matches!(error, RecvError::Closed | RecvError::Io(_)) {
                        daemon::event!(Warning, "conversation_ended", reason = error);
                    }
                    return self.forget(asker);
                }
            }
        }
    }

    fn send_answers(&mut self) {
        for (asker, answer) in self.desk.take_answers() {
            let Some(caller) = self.callers.get_mut(&asker) else { continue };
            if caller.send(&answer).is_err() || caller.pending() > MOST_PENDING {
                self.forget(asker);
            }
        }
    }

    fn forget(&mut self, asker: Asker) {
        if let Some(mut caller) = self.callers.remove(&asker) {
            let _ = self.poll.registry().deregister(&mut caller);
            self.service.gone(asker);
        }
    }
}
