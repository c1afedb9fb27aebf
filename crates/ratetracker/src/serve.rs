//! The process: contact point, callers, master, signals, on one mio loop.

use crate::limits::Tracker;
use daemon::{Counters, Refusal, Signal, Started};
use ipc::master::{ToChild, ToMaster};
use ipc::rates::{ToTracker, Verdict};
use ipc::{Channel, ContactPoint, RecvError};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const CONTACT: Token = Token(2);
/// Callers' tokens begin here.
const FIRST_CALLER: usize = 3;
/// Callers at a time: far more than the suite has processes.
const MOST_CALLERS: usize = 4096;

/// The ratetracker process.
pub fn run() -> ExitCode {
    let outcome = daemon::start("ratetracker").and_then(|started| serve(started).map_err(|e| Refusal::system(format!("ratetracker: {e}"))));
    daemon::log::flush();
    match outcome {
        Ok(code) => code,
        Err(refusal) => refusal.say(),
    }
}

fn serve(mut started: Started) -> io::Result<ExitCode> {
    let mut contact = started.contacts.serve().ok_or_else(|| io::Error::other("the master sent no contact point"))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut started.master, MASTER, Interest::READABLE)?;
    poll.registry().register(&mut started.signals, SIGNALS, Interest::READABLE)?;
    poll.registry().register(&mut contact, CONTACT, Interest::READABLE)?;
    let mut callers = Callers::new(Tracker::new(&started.settings.rates), started.counters.clone());
    started.master.send(&ToMaster::Ready)?;
    daemon::event!(Info, "started", entries = started.settings.rates.entries);
    let mut events = Events::with_capacity(256);
    loop {
        callers.publish();
        daemon::log::flush();
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        let mut ending = None;
        for event in &events {
            match event.token() {
                MASTER => ending = ending.or(heed_master(&mut started, &mut callers.tracker)),
                SIGNALS => ending = ending.or(heed_signals(&mut started)),
                CONTACT => callers.welcome(&contact, poll.registry())?,
                Token(token) => callers.heed(token, poll.registry()),
            }
        }
        if let Some(code) = ending {
            return Ok(code);
        }
    }
}

/// A drain has nothing to finish: every answer was sent in the turn its question came.
fn heed_signals(started: &mut Started) -> Option<ExitCode> {
    let mut ending = None;
    while let Some(signal) = started.signals.next() {
        if signal == Signal::Drain {
            ending = Some(ExitCode::SUCCESS);
        }
    }
    ending
}

fn heed_master(started: &mut Started, tracker: &mut Tracker) -> Option<ExitCode> {
    loop {
        match started.master.recv() {
            Ok(None) => return None,
            Ok(Some((ToChild::Drain, _))) => return Some(ExitCode::SUCCESS),
            Ok(Some((ToChild::Reload(start), descriptors))) => match started.reload(&start, descriptors) {
                Ok(_) => {
                    tracker.reload(&started.settings.rates);
                    daemon::event!(Info, "reloaded", generation = started.generation);
                }
                Err(reason) => daemon::event!(Error, "reload_failed", reason = reason),
            },
            Ok(Some(_)) => {}
            Err(error) => {
                if !matches!(error, RecvError::Closed) {
                    daemon::event!(Error, "master_conversation", reason = error);
                }
                return Some(ExitCode::from(u8::try_from(daemon::EX_ORPHANED).unwrap_or(1)));
            }
        }
    }
}

/// The SMTP servers' conversations.
struct Callers {
    tracker: Tracker,
    counters: Counters,
    channels: HashMap<usize, Channel<Verdict, ToTracker>>,
    next: usize,
    started: Instant,
    evicted: u64,
}

impl Callers {
    fn new(tracker: Tracker, counters: Counters) -> Self {
        Self { tracker, counters, channels: HashMap::new(), next: FIRST_CALLER, started: Instant::now(), evicted: 0 }
    }

    fn publish(&mut self) {
        self.counters.set("entries_now", self.tracker.entries() as u64);
        let evicted = self.tracker.evicted();
        // A reload may have begun a new table.
        self.counters.add("evicted", evicted.checked_sub(self.evicted).unwrap_or(evicted));
        self.evicted = evicted;
    }

    fn welcome(&mut self, contact: &ContactPoint, registry: &mio::Registry) -> io::Result<()> {
        while let Some(mut channel) = contact.accept::<Verdict, ToTracker>()? {
            if self.channels.len() >= MOST_CALLERS {
                continue;
            }
            let token = self.next;
            self.next = self.next.checked_add(1).unwrap_or(FIRST_CALLER);
            registry.register(&mut channel, Token(token), Interest::READABLE | Interest::WRITABLE)?;
            self.channels.insert(token, channel);
        }
        Ok(())
    }

    /// Serves a caller; one that closed or sent what is no frame is forgotten.
    fn heed(&mut self, token: usize, registry: &mio::Registry) {
        let Some(mut channel) = self.channels.remove(&token) else { return };
        match self.serve(&mut channel) {
            Ok(()) => {
                self.channels.insert(token, channel);
            }
            Err(error) => {
                if !matches!(error, RecvError::Closed) {
                    daemon::event!(Warning, "conversation_ended", reason = error);
                }
                let _ = registry.deregister(&mut channel);
            }
        }
    }

    /// Takes frames until there is none. A caller that does not take its answers is not read until it does: the
    /// writable event comes back here.
    fn serve(&mut self, channel: &mut Channel<Verdict, ToTracker>) -> Result<(), RecvError> {
        let now = self.started.elapsed();
        channel.flush().map_err(closed)?;
        while channel.pending() == 0 {
            let Some((frame, _)) = channel.recv()? else { return Ok(()) };
            match frame {
                ToTracker::Count(events) => {
                    self.counters.add("events", events.len() as u64);
                    events.iter().for_each(|event| self.tracker.count(event, now));
                }
                ToTracker::Ask { number, event, .. } => {
                    self.counters.add("events", 1);
                    self.counters.add("questions", 1);
                    let refuse = self.tracker.judge(&event, now).map(|text| ipc::rates::Refusal { text, hard: false });
                    self.counters.add("refused", u64::from(refuse.is_some()));
                    channel.send(&Verdict { number, refuse, known: false, wait: Duration::ZERO }).map_err(closed)?;
                }
                ToTracker::Grey { number, .. } => {
                    channel.send(&Verdict { number, refuse: None, known: true, wait: Duration::ZERO }).map_err(closed)?;
                }
                ToTracker::Passed { .. } => {}
            }
        }
        Ok(())
    }
}

fn closed(error: io::Error) -> RecvError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => RecvError::Closed,
        _ => RecvError::Io(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use ipc::rates::{Event, Kind};
    use settings::{FailMode, Rates};

    fn callers() -> Callers {
        let rates = Rates {
            window: Duration::from_secs(3600),
            slots: 8,
            connections_per_address: Some(2),
            connections_per_network: None,
            messages_per_address: None,
            messages_per_network: None,
            recipients_per_address: None,
            recipients_per_network: None,
            failed_authentications_per_address: None,
            aborts_per_address: None,
            entries: 100,
            failure: FailMode::Defer,
            exempt: vec![],
        };
        Callers::new(Tracker::new(&rates), Counters::detached("ratetracker").unwrap())
    }

    fn ask(number: u64) -> ToTracker {
        ToTracker::Ask { number, event: Event::of("192.0.2.1".parse().unwrap(), Kind::Connection, 1), limits: Vec::new() }
    }

    #[test]
    fn questions_are_answered_in_order_and_a_slow_caller_waits() {
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let mut caller: Channel<ToTracker, Verdict> = Channel::new(theirs).unwrap();
        let mut channel = Channel::new(ours).unwrap();
        let mut callers = callers();
        for number in 0..5000 {
            caller.send(&ask(number)).unwrap();
        }
        let mut next = 0;
        while next < 5000 {
            caller.flush().unwrap();
            callers.serve(&mut channel).unwrap();
            assert!(channel.pending() <= 1);
            while let Some((verdict, _)) = caller.recv().unwrap() {
                assert_eq!((verdict.number, verdict.refuse.is_some()), (next, next >= 2));
                next += 1;
            }
        }
    }

    #[test]
    fn a_malformed_frame_ends_one_conversation() {
        let poll = Poll::new().unwrap();
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let contact = ContactPoint::new(theirs).unwrap();
        let caller = ipc::Caller::new(ours).unwrap();
        let bad = std::os::unix::net::UnixDatagram::from(caller.call::<ToTracker, Verdict>().unwrap().into_end());
        let mut good: Channel<ToTracker, Verdict> = caller.call().unwrap();
        let mut callers = callers();
        callers.welcome(&contact, poll.registry()).unwrap();
        bad.send(b"\x40\x09").unwrap();
        good.send(&ask(1)).unwrap();
        for token in [FIRST_CALLER, FIRST_CALLER + 1] {
            callers.heed(token, poll.registry());
        }
        assert_eq!(callers.channels.len(), 1);
        assert_eq!(good.recv().unwrap().unwrap().0.number, 1);
    }
}
