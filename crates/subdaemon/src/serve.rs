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
/// Commands that have not taken all their replies, and how long they may take for it.
const MOST_CLIENTS: usize = 64;
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

struct Server<S: Service> {
    service: S,
    desk: Desk<S::Out>,
    contact: ContactPoint,
    poll: Poll,
    callers: HashMap<Asker, Channel<S::Out, S::In>>,
    /// Commands that have not taken all their replies yet.
    clients: HashMap<usize, (Channel<Reply, Request>, Instant)>,
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
            if let Some(code) = self.turn(&mut events) {
                return code;
            }
        }
    }

    /// One turn of the loop; `Some`: the exit code.
    fn turn(&mut self, events: &mut Events) -> Option<u8> {
        let now = Instant::now();
        self.service.work(now, &mut self.desk);
        self.send_answers();
        self.draining |= self.desk.retired;
        self.clients.retain(|_, (_, until)| *until > now);
        daemon::log::flush();
        if self.draining && self.is_done() {
            return Some(0);
        }
        let sleep = self.service.wake().map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
        match self.poll.poll(events, sleep) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return None,
            Err(e) => {
                daemon::event!(Error, "poll_failed", error = e);
                return Some(daemon::EX_OSERR);
            }
            Ok(()) => {}
        }
        events.iter().find_map(|event| self.dispatch(event))
    }

    /// A drain is over. Where every caller is gone nobody waits for what is in hand, which may be the silence of a stranger's
    /// server: a stop must not wait for that.
    fn is_done(&self) -> bool {
        self.callers.is_empty() || self.service.is_idle() && self.callers.values().all(|caller| caller.pending() == 0)
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
        if self.clients.len() < MOST_CLIENTS && self.poll.registry().register(&mut client, token, Interest::WRITABLE).is_ok() {
            self.clients.insert(token.0, (client, Instant::now() + CLIENT_PATIENCE));
        }
    }

    /// A command takes the rest of its replies.
    fn tell_client(&mut self, token: usize) {
        if let Some((mut client, until)) = self.clients.remove(&token) {
            if client.flush().is_ok() && client.pending() > 0 {
                self.clients.insert(token, (client, until));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ipc::rates::{Event as Counted, Kind, ToTracker, Verdict};
    use ipc::{Caller, Frame};

    /// Answers every question; keeps the loop awake.
    struct Echo {
        gone: usize,
        busy: bool,
    }

    impl Service for Echo {
        type In = ToTracker;
        type Out = Verdict;

        fn heed(&mut self, asker: Asker, frame: ToTracker, desk: &mut Desk<Verdict>) {
            if let ToTracker::Ask { number, .. } = frame {
                desk.answer(asker, Verdict { number, refuse: None, known: false, wait: Duration::ZERO });
            }
        }

        fn gone(&mut self, _asker: Asker) {
            self.gone += 1;
        }

        fn wake(&self) -> Option<Instant> {
            Some(Instant::now())
        }

        fn is_idle(&self) -> bool {
            !self.busy
        }
    }

    struct Rig {
        server: Server<Echo>,
        caller: Caller,
        master: Channel<ToChild, ToMaster>,
        events: Events,
    }

    impl Rig {
        fn new() -> Self {
            let ((ours, theirs), (serve, caller)) = (ipc::channel::pair().unwrap(), ipc::channel::pair().unwrap());
            let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n";
            let settings = Arc::new(settings::parse(text, "t").unwrap());
            let counters = daemon::Counters::detached("ratetracker").unwrap();
            let started = Started::detached("ratetracker", settings, theirs, counters).unwrap();
            let started = Started { contacts: daemon::Contacts::of(vec![("serve".to_owned(), serve)]), ..started };
            let server = Server::new(started, |_| Ok(Echo { gone: 0, busy: false })).unwrap();
            Self { server, caller: Caller::new(caller).unwrap(), master: Channel::new(ours).unwrap(), events: Events::with_capacity(16) }
        }

        fn turns(&mut self, count: usize) -> Option<u8> {
            (0..count).find_map(|_| self.server.turn(&mut self.events))
        }
    }

    fn ask(number: u64) -> ToTracker {
        ToTracker::Ask { number, event: Counted::of("192.0.2.1".parse().unwrap(), Kind::Connection, 1), limits: Vec::new() }
    }

    #[test]
    fn answers_come_in_order_and_a_slow_caller_waits() {
        let mut rig = Rig::new();
        let mut caller: Channel<ToTracker, Verdict> = rig.caller.call().unwrap();
        for number in 0..5000 {
            caller.send(&ask(number)).unwrap();
        }
        let mut next = 0;
        while next < 5000 {
            caller.flush().unwrap();
            assert_eq!(rig.turns(1), None);
            assert!(rig.server.callers.values().all(|channel| channel.pending() <= 1), "it is not read while it takes nothing");
            while let Some((verdict, _)) = caller.recv().unwrap() {
                assert_eq!(verdict.number, next);
                next += 1;
            }
        }
    }

    #[test]
    fn a_malformed_frame_ends_one_conversation() {
        let mut rig = Rig::new();
        let bad = std::os::unix::net::UnixDatagram::from(rig.caller.call::<ToTracker, Verdict>().unwrap().into_end());
        let mut good: Channel<ToTracker, Verdict> = rig.caller.call().unwrap();
        bad.send(&[ToTracker::PROTOCOL, 0x09]).unwrap();
        good.send(&ask(1)).unwrap();
        assert_eq!(rig.turns(5), None);
        assert_eq!((rig.server.callers.len(), rig.server.service.gone), (1, 1));
        assert_eq!(good.recv().unwrap().unwrap().0.number, 1);
    }

    #[test]
    fn who_comes_while_it_drains_waits_for_the_successor() {
        let mut rig = Rig::new();
        assert!(matches!(rig.master.recv().unwrap(), Some((ToMaster::Ready, _))));
        rig.master.send(&ToChild::Drain).unwrap();
        let mut late: Channel<ToTracker, Verdict> = rig.caller.call().unwrap();
        late.send(&ask(1)).unwrap();
        rig.server.draining = true;
        assert_eq!(rig.turns(5), Some(0));
        assert!(rig.server.callers.is_empty());
    }

    #[test]
    fn work_that_nobody_waits_for_keeps_no_drain() {
        let mut rig = Rig::new();
        let mut caller: Channel<ToTracker, Verdict> = rig.caller.call().unwrap();
        caller.send(&ask(1)).unwrap();
        assert_eq!(rig.turns(3), None);
        (rig.server.draining, rig.server.service.busy) = (true, true);
        assert_eq!(rig.turns(3), None, "its caller is there");
        drop(caller);
        assert_eq!(rig.turns(3), Some(0));
    }

    #[test]
    fn without_its_master_it_ends() {
        let mut rig = Rig::new();
        let (other, _) = ipc::channel::pair().unwrap();
        rig.master = Channel::new(other).unwrap();
        assert_eq!(rig.turns(5), Some(u8::try_from(EX_ORPHANED).unwrap()));
    }

    #[test]
    fn an_unknown_command_is_refused() {
        let mut rig = Rig::new();
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let mut client: Channel<Request, Reply> = Channel::new(ours).unwrap();
        let peer = Peer::Local { uid: 0, gid: 0, pid: 0 };
        rig.master.send_with(&ToChild::Command { request: Request::TlsReports, peer }, vec![theirs]).unwrap();
        assert_eq!(rig.turns(5), None);
        assert!(matches!(client.recv().unwrap(), Some((Reply::Refused { code: 70, .. }, _))));
        assert!(matches!(client.recv().unwrap(), Some((Reply::End, _))));
    }
}
