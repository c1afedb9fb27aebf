//! The event loop.

use crate::answers::Judging;
use crate::certificates::Certificates;
use crate::connection::Connections;
use crate::context::Context;
use crate::disks::Disks;
use crate::greeting::Noise;
use crate::helper::{Helper, ROOM_AGAIN};
use crate::inquiries::Inquiries;
use crate::kinships::Kinships;
use crate::logins::Logins;
use crate::policy::Asker;
use crate::rates::Tally;
use crate::sync::Key;
use crate::trials::Trials;
use daemon::{Counters, Signal, Started, Timers};
use envelope::IdSource;
use ipc::arrivals::Teller;
use ipc::filter::{Judge, Judged};
use ipc::master::{ToChild, ToMaster};
use ipc::rates::{ToTracker, Verdict};
use ipc::routing::{ToRoutermux, Told};
use ipc::{Caller, RecvError};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};
use policy::Questions;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const THREADS: Token = Token(2);
const ROUTER: Token = Token(3);
const TRACKER: Token = Token(4);
const FILTER: Token = Token(5);
const LOGINS: Token = Token(6);
/// Tokens from here on are slots of sessions.
pub(crate) const FIRST_SESSION: usize = 16;

/// One read buffer for all sessions.
const READ_BUFFER: usize = 64 * 1024;
/// Counts that nobody waits for are told this late: the ratetracker's windows are minutes, its wake-ups cost.
const TALLY: Duration = Duration::from_millis(200);
/// Added to the filter's own time-out: it should be the one to say that it is over.
const FILTER_GRACE: Duration = Duration::from_secs(10);

/// The calling ends of the subdaemons' contact points; `None`: the suite runs without that one.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    pub router: Option<Caller>,
    pub tracker: Option<Caller>,
    pub filter: Option<Caller>,
    pub logins: Option<Caller>,
    pub scheduler: Option<Caller>,
    pub resolver: Option<Caller>,
    pub delegate: Option<Caller>,
    pub ahead: Option<Caller>,
}

pub(crate) struct Worker {
    pub context: Context,
    pub counters: Counters,
    pub poll: Poll,
    pub connections: Connections,
    pub disks: Disks,
    pub router: Helper<ToRoutermux, Told, Asker>,
    pub tracker: Helper<ToTracker, Verdict, Asker>,
    pub filter: Helper<Judge, Judged, Judging>,
    pub inquiries: Inquiries,
    /// What policy asks in this moment: one buffer for all sessions.
    pub questions: Questions,
    pub kinships: Kinships,
    pub trials: Trials,
    pub logins: Logins,
    /// Told of ETRN.
    pub scheduler: Teller,
    pub timers: Timers<Key>,
    pub tally: Tally,
    /// When the ratetracker is told of it.
    tally_due: Option<Instant>,
    pub ids: IdSource,
    /// The moment this turn of the loop began.
    pub now: Instant,
    /// Sessions that have more to read than one turn takes.
    pub again: Vec<Key>,
    /// Sessions whose end the master does not know yet.
    pub ended: Vec<u64>,
    /// Messages accepted in this turn, which the routermux does not know of yet.
    pub arrived: Vec<String>,
    /// Buffers of finished messages.
    pub buffers: Vec<Vec<u8>>,
    pub read_buffer: Vec<u8>,
    pub measured: Instant,
    pub draining: bool,
    pub noise: Noise,
    /// How loaded the host is, 0 to 3: as of this turn.
    pub level: u8,
    /// The level that the sessions know of, and when they were last looked at for it.
    pub relieved: u8,
    pub swept: Option<Instant>,
    /// As the descriptors allow.
    pub most_sessions: usize,
    pub certificates: Certificates,
    started: Started,
}

impl Worker {
    pub fn new(mut started: Started) -> io::Result<Self> {
        let contacts = &mut started.contacts;
        let callers = Callers {
            router: contacts.caller("routermux"),
            tracker: contacts.caller("ratetracker"),
            filter: contacts.caller("contentfilter"),
            logins: contacts.caller("authserver"),
            scheduler: contacts.caller("scheduler"),
            resolver: contacts.caller("resolver"),
            delegate: contacts.caller("delegate"),
            ahead: contacts.caller("callahead"),
        };
        Self::with(started, callers)
    }

    pub(crate) fn with(mut started: Started, mut callers: Callers) -> io::Result<Self> {
        let settings = Arc::clone(&started.settings);
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), THREADS)?);
        poll.registry().register(&mut started.master, MASTER, Interest::READABLE)?;
        poll.registry().register(&mut started.signals, SIGNALS, Interest::READABLE)?;
        let tables = crate::tables::open(&mut started.contacts, &settings)?;
        let disks = Disks::open(&settings, &waker)?;
        let inquiries = Inquiries::new(&mut callers, &settings);
        let patience = settings.server.helper_timeout;
        let now = Instant::now();
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        let ids = IdSource::new((seed >> 32) as u32 ^ std::process::id());
        Ok(Self {
            counters: started.counters.clone(),
            router: Helper::new(ROUTER, callers.router, patience),
            tracker: Helper::new(TRACKER, callers.tracker, patience),
            inquiries,
            questions: Vec::new(),
            kinships: Kinships::new(settings.routing.answer_ttl),
            trials: Trials::default(),
            filter: Helper::new(FILTER, callers.filter, settings.filter.timeout + FILTER_GRACE),
            logins: Logins::new(LOGINS, callers.logins, patience.max(crate::logins::patience(&settings.auth))),
            disks,
            poll,
            connections: Connections::default(),
            scheduler: Teller::new(callers.scheduler),
            timers: Timers::default(),
            tally: Tally::default(),
            tally_due: None,
            ids,
            now,
            again: Vec::new(),
            ended: Vec::new(),
            arrived: Vec::new(),
            buffers: Vec::new(),
            read_buffer: vec![0; READ_BUFFER],
            measured: now,
            draining: false,
            noise: Noise::default(),
            level: 0,
            relieved: 0,
            swept: None,
            most_sessions: crate::crowd::most_sessions(),
            certificates: Certificates::read(&mut started.contacts, &settings, &started.counters)?,
            context: Context::new(settings, tables),
            started,
        })
    }

    /// Serves until drained or orphaned; the exit code.
    pub fn run(mut self) -> io::Result<i32> {
        self.started.master.send(&ToMaster::Ready)?;
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, self.sleep()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            self.now = Instant::now();
            self.level = self.counters.overload();
            for event in &events {
                if let Some(code) = self.dispatch(event) {
                    return Ok(code);
                }
            }
            self.overdue();
            self.report()?;
            if self.is_drained() {
                return Ok(0);
            }
        }
    }

    /// How long nothing needs to be done.
    fn sleep(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let room = (self.started.master.pending() > 0).then(|| now + ROOM_AGAIN);
        let helpers = [
            self.router.wake(now),
            self.tracker.wake(now),
            self.filter.wake(now),
            self.inquiries.wake(now),
            self.logins.wake(now),
            room,
            self.tally_due,
            self.relief_wake(),
        ];
        let helpers = helpers.into_iter().flatten().min().map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
        self.timers.sleep(now).into_iter().chain(helpers).min()
    }

    fn dispatch(&mut self, event: &Event) -> Option<i32> {
        match event.token() {
            MASTER => return self.hear_master(),
            SIGNALS => self.hear_signals(),
            THREADS => self.hear_threads(),
            ROUTER => self.hear_router(),
            TRACKER => self.hear_tracker(),
            FILTER => self.hear_filter(),
            token @ (Inquiries::RESOLVER | Inquiries::DELEGATE | Inquiries::AHEAD) => self.hear_inquiries(token),
            LOGINS => self.hear_logins(),
            Token(token) => self.hear_client(token.saturating_sub(FIRST_SESSION), event),
        }
        None
    }

    fn hear_client(&mut self, slot: usize, event: &Event) {
        let Some(mut c) = self.connections.take(slot) else { return };
        c.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        c.half_closed |= event.is_read_closed() || event.is_error();
        c.writable |= event.is_writable();
        c.conduct.touched = self.now;
        let key = Key { slot, number: c.number };
        self.settle(key, c);
    }

    fn hear_threads(&mut self) {
        for (volume, done) in self.disks.take() {
            self.done(volume, done);
        }
        self.counters.set("sync_micros_now", self.disks.latency());
    }

    fn hear_signals(&mut self) {
        while let Some(signal) = self.started.signals.next() {
            // SIGHUP is the master's: a child learns of a reload by a frame.
            if signal == Signal::Drain {
                self.drain();
            }
        }
    }

    /// Frames of the master; `Some`: the exit code.
    fn hear_master(&mut self) -> Option<i32> {
        loop {
            match self.started.master.recv() {
                Ok(Some((ToChild::Session(session), descriptors))) => match descriptors.into_iter().next() {
                    Some(end) => self.welcome(&session, end),
                    None => self.ended.push(session.number),
                },
                Ok(Some((ToChild::Shed(count), _))) => self.shed(count as usize, false),
                Ok(Some((ToChild::Drain, _))) => self.drain(),
                Ok(Some((ToChild::Command { request, .. }, descriptors))) => {
                    if let Some(end) = descriptors.into_iter().next() {
                        self.command(request, end);
                    }
                }
                // A reload brings successors: what workers have begun with they keep.
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(RecvError::Closed) => return Some(daemon::EX_ORPHANED),
                Err(error) => {
                    daemon::event!(Error, "master_failed", reason = error);
                    return Some(daemon::EX_ORPHANED);
                }
            }
        }
    }

    /// Timers, deadlines, and sessions that had more than one turn's worth.
    fn overdue(&mut self) {
        for key in std::mem::take(&mut self.again) {
            if let Some(c) = self.take_connection(key) {
                self.settle(key, c);
            }
        }
        while let Some(key) = self.timers.due(self.now) {
            self.timer(key);
        }
        self.relieve();
        self.prune_timers();
        self.tend_helpers();
    }

    /// Once a turn: counts to the tracker, ends to the master, lines to the log.
    fn report(&mut self) -> io::Result<()> {
        if self.tally_due.is_some_and(|due| due <= self.now) {
            self.tally_due = None;
            for frame in self.tally.take() {
                self.tracker.tell(&frame, self.poll.registry(), self.now);
            }
        } else if self.tally_due.is_none() && !self.tally.is_empty() {
            self.tally_due = Some(self.now + TALLY);
        }
        self.disks.flush();
        if self.started.master.pending() > 0 {
            let _ = self.started.master.flush();
        }
        if !self.ended.is_empty() {
            for part in std::mem::take(&mut self.ended).chunks(4096) {
                // A master that is gone shows itself at the next read.
                let _ = self.started.master.send(&ToMaster::SessionsEnded(part.to_vec()));
            }
        }
        self.counters.set("sessions_now", self.connections.count as u64);
        // The log first: what the routers say of a message comes after its acceptance.
        daemon::log::flush();
        if !self.arrived.is_empty() {
            let arrived = std::mem::take(&mut self.arrived);
            self.router.tell(&ToRoutermux::Arrived(arrived), self.poll.registry(), self.now);
        }
        Ok(())
    }

    /// Every client has gone, and every message is where it belongs.
    fn is_drained(&self) -> bool {
        self.draining
            && self.connections.count == 0
            && self.disks.in_flight() == 0
            && self.filter.is_quiet()
            && self.started.master.pending() == 0
    }
}
