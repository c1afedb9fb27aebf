//! The event loop: who is heard when, and what follows. The rules are in `files`, `questions` and `farm`.

use crate::answers::Answers;
use crate::callers::Caller;
use crate::farm::Farm;
use crate::questions::Questions;
use crate::shelf::Shelves;
use daemon::{EX_ORPHANED, Signal, Started, event, log};
use ipc::master::{ToChild, ToMaster};
use ipc::{ContactPoint, RecvError};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const NOTIFY: Token = Token(2);
const SERVE: Token = Token(3);
const KEEPER: Token = Token(4);
/// Callers and routers, numbered as they come.
const FIRST: usize = 16;

/// Datagrams read before others get their turn.
const DATAGRAMS_A_TURN: usize = 2000;

/// Why the process ends.
#[derive(Debug)]
pub(crate) enum End {
    Drained,
    Orphaned,
    Failed(String),
}

/// The process.
#[derive(Debug)]
pub(crate) struct Mux {
    pub(crate) started: Started,
    pub(crate) poll: Poll,
    notify: UnixDatagram,
    pub(crate) serve: ContactPoint,
    pub(crate) callers: HashMap<Token, Caller>,
    pub(crate) farm: Farm,
    pub(crate) shelves: Shelves,
    pub(crate) questions: Questions,
    pub(crate) answers: Answers,
    /// Of this turn.
    pub(crate) now: Instant,
    /// Counts reloads.
    pub(crate) generation: u64,
    pub(crate) lanes_told: Option<Instant>,
    next_token: usize,
    pub(crate) draining: bool,
    /// More datagrams wait than one turn reads.
    more_datagrams: bool,
    /// Conversations that may have more frames than one turn takes.
    pub(crate) unread: Vec<Token>,
}

/// Runs until drained or orphaned.
pub fn serve(mut started: Started) -> ExitCode {
    let (notify, serve) = (started.contacts.take("notify"), started.contacts.serve());
    serve_at(started, notify, serve)
}

pub(crate) fn serve_at(started: Started, notify: Option<OwnedFd>, serve: Option<ContactPoint>) -> ExitCode {
    let mut mux = match Mux::new(started, notify, serve) {
        Ok(mux) => mux,
        Err(reason) => {
            event!(Error, "failing", reason = reason);
            return daemon::Refusal::system(format!("routermux: {reason}")).say();
        }
    };
    let end = mux.turns().err().unwrap_or(End::Drained);
    log::flush();
    match end {
        End::Drained => ExitCode::SUCCESS,
        End::Orphaned => ExitCode::from(u8::try_from(EX_ORPHANED).unwrap_or(1)),
        End::Failed(reason) => {
            event!(Error, "failing", reason = reason);
            let _ = mux.started.master.send(&ToMaster::Failing(reason));
            log::flush();
            ExitCode::from(daemon::EX_SOFTWARE)
        }
    }
}

impl Mux {
    fn new(mut started: Started, notify: Option<OwnedFd>, serve: Option<ContactPoint>) -> Result<Self, String> {
        let notify = UnixDatagram::from(notify.ok_or("the master sent no notification socket")?);
        let mut serve = serve.ok_or("the master sent no contact point")?;
        let root = &started.settings.paths.postoffice;
        let volumes =
            spool::Volumes::open(root, started.settings.volume_roots()).map_err(|e| format!("postoffice {}: {e}", root.display()))?;
        let set_up = || -> io::Result<(Poll, Shelves)> {
            notify.set_nonblocking(true)?;
            let poll = Poll::new()?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut started.master, MASTER, both)?;
            poll.registry().register(&mut started.signals, SIGNALS, Interest::READABLE)?;
            poll.registry().register(&mut SourceFd(&notify.as_raw_fd()), NOTIFY, Interest::READABLE)?;
            poll.registry().register(&mut serve, SERVE, Interest::READABLE)?;
            let shelves = Shelves::start(volumes, &started.settings.lanes, &Arc::new(Waker::new(poll.registry(), KEEPER)?))?;
            Ok((poll, shelves))
        };
        let (poll, shelves) = set_up().map_err(|e| e.to_string())?;
        let farm = Farm { bounds: bounds(&started.settings), ..Farm::default() };
        Ok(Self {
            answers: Answers::new(started.settings.routing.answer_ttl),
            started,
            poll,
            notify,
            serve,
            callers: HashMap::new(),
            farm,
            shelves,
            questions: Questions::default(),
            now: Instant::now(),
            generation: 0,
            lanes_told: None,
            next_token: FIRST,
            draining: false,
            more_datagrams: true,
            unread: Vec::new(),
        })
    }

    fn turns(&mut self) -> Result<(), End> {
        self.started.master.send(&ToMaster::Ready)?;
        let mut events = Events::with_capacity(256);
        loop {
            let now = Instant::now();
            self.now = now;
            let queue = &self.started.settings.queue;
            self.shelves.periodic(now, queue.router_scan, queue.public_age, self.draining);
            self.expire(now);
            self.watch(now);
            self.feed();
            self.tell_lanes(now);
            self.started.counters.set("waiting_now", self.shelves.waiting() as u64);
            self.started.counters.set("sorted_now", self.shelves.sorted_now() as u64);
            if self.draining && self.farm.is_idle() && (self.questions.is_empty() || self.farm.routers.is_empty()) {
                return Ok(());
            }
            log::flush();
            match self.poll.poll(&mut events, Some(self.sleep(now))) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            let unread = std::mem::take(&mut self.unread);
            for token in events.iter().map(|event| event.token()).filter(|token| !unread.contains(token)) {
                self.heard(token)?;
            }
            for token in unread {
                self.heard(token)?;
            }
            if self.more_datagrams {
                self.datagrams();
            }
        }
    }

    fn sleep(&self, now: Instant) -> Duration {
        if self.more_datagrams || !self.unread.is_empty() {
            return Duration::ZERO;
        }
        let due = [self.shelves.due(), self.questions.due(), self.watch_due()];
        due.into_iter().flatten().min().map_or(Duration::ZERO, |at| at.saturating_duration_since(now) + Duration::from_millis(1))
    }

    fn heard(&mut self, token: Token) -> Result<(), End> {
        match token {
            MASTER => self.master()?,
            SIGNALS => self.signals(),
            NOTIFY => self.more_datagrams = true,
            SERVE => self.accept(),
            KEEPER => self.news(),
            token if self.farm.routers.contains_key(&token) => self.router(token),
            token => self.caller(token),
        }
        Ok(())
    }

    pub(crate) fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    fn signals(&mut self) {
        while let Some(signal) = self.started.signals.next() {
            self.draining |= signal == Signal::Drain;
        }
    }

    fn master(&mut self) -> Result<(), End> {
        self.started.master.flush()?;
        loop {
            let (frame, mut descriptors) = match self.started.master.recv() {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => frame,
                Err(RecvError::Closed) => return Err(End::Orphaned),
                Err(e) => return Err(End::Failed(format!("master: {e}"))),
            };
            match (frame, descriptors.pop()) {
                (ToChild::Drain, _) => self.draining = true,
                (ToChild::Agent { ticket, channel, pid }, Some(end)) if channel == "router" => self.attach(ticket, pid, end),
                (ToChild::Command { request, .. }, Some(end)) => self.command(request, end),
                (ToChild::Reload(start), last) => {
                    descriptors.extend(last);
                    match self.started.reload(&start, descriptors) {
                        Ok(_) => self.reloaded(),
                        Err(reason) => event!(Error, "reload_failed", reason = reason),
                    }
                }
                _ => {}
            }
        }
    }

    /// Answers and lanes of the old configuration go. Routers that know it answer without being remembered until their
    /// successors come.
    fn reloaded(&mut self) {
        let settings = Arc::clone(&self.started.settings);
        self.shelves.reopen();
        self.generation += 1;
        self.answers = Answers::new(settings.routing.answer_ttl);
        self.questions.part();
        self.farm.bounds = bounds(&settings);
        self.shelves.renew_lanes(&settings.lanes);
    }

    /// Notices are hints: the worst that one can do is make a router look for a file that is not there.
    fn datagrams(&mut self) {
        let mut datagram = [0; 512];
        self.more_datagrams = false;
        for read in 0.. {
            if read == DATAGRAMS_A_TURN {
                self.more_datagrams = true;
                return;
            }
            match self.notify.recv(&mut datagram) {
                Ok(length) => self.notice(datagram.get(..length).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn notice(&mut self, datagram: &[u8]) {
        self.started.counters.add("datagrams", 1);
        let name = match spool::parse_notice(datagram) {
            Ok(notice) if notice.directory.as_deref().is_none_or(|directory| directory == "router") => notice.name,
            // The name of a volume.
            Ok(spool::Notice { directory: Some(volume), name }) if self.shelves.volumes.number(&volume).is_some() => {
                format!("{volume}/{name}")
            }
            _ => return self.started.counters.add("datagrams_malformed", 1),
        };
        self.shelves.offer(&name);
    }
}

/// How many routers may work on each lane, the usual one first; empty without `[[lane]]`.
fn bounds(settings: &settings::Settings) -> Vec<usize> {
    if settings.lanes.is_empty() {
        return Vec::new();
    }
    std::iter::once(0).chain(settings.lanes.iter().map(|lane| usize::from(lane.routers))).collect()
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Orphaned,
            _ => Self::Failed(error.to_string()),
        }
    }
}
