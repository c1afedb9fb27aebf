//! The process around the counts: questions, commands, the state files.

use crate::grey::{Grey, Memory};
use crate::limits::Tracker;
use crate::rows::{Asked, clear, rows};
use crate::watch::Watch;
use crate::{grey_state, state};
use daemon::Counters;
use ipc::control::{RateQuery, Reply, Request};
use ipc::master::Peer;
use ipc::rates::{Event, Kind, ToTracker, Verdict};
use sandbox::{Folder, Needs};
use settings::Settings;
use statefile::{Clock, Piece, Saver, Stamp};
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subdaemon::{Asker, Desk, Service};

/// Of the postoffice.
const FOLDER: &str = "ratetracker";
const COUNTS: &str = "state";
const GREY: &str = "grey";

/// The ratetracker process.
pub fn run() -> ExitCode {
    subdaemon::run("ratetracker", |desk| {
        let settings = &desk.started.settings;
        let server = Server::new(settings, desk.started.counters.clone());
        confine(settings)?;
        Ok(server)
    })
}

/// From here on no file can be opened but those of its own folder, nothing executed and nobody called.
fn confine(settings: &Settings) -> io::Result<()> {
    let folders = [(settings.paths.postoffice.join(FOLDER), Folder::Make)];
    sandbox::confine(settings.processes.sandbox, &Needs { folders: &folders, ..Needs::nothing() })
}

pub(crate) struct Server {
    tracker: Tracker,
    memory: Memory,
    clock: Clock,
    watch: Watch,
    saver: Saver,
    counters: Counters,
    save_every: Duration,
    /// When what is new is written; `None`: nothing is new.
    save_at: Option<Instant>,
    /// Triplets or clients are new.
    grey_changed: bool,
    evicted: u64,
}

/// How long a client is known after first contact.
const fn remember(settings: &Settings) -> Duration {
    settings.first_contact.remember
}

impl Server {
    pub(crate) fn new(settings: &Settings, counters: Counters) -> Self {
        let saver = Saver::new(&settings.paths.postoffice.join(FOLDER));
        let mut tracker = Tracker::new(&settings.rates);
        let mut memory = Memory::new(&settings.greylist, remember(settings), settings.rates.entries);
        let stamps = [
            load(&saver, COUNTS, |bytes| state::read(bytes, &mut tracker.table)),
            load(&saver, GREY, |bytes| grey_state::read(bytes, &mut memory)),
        ];
        let clock = Clock::since(stamps.into_iter().flatten(), daemon::clock::unix_seconds());
        daemon::event!(Info, "started", entries = tracker.table.len(), triplets = memory.waiting.len() + memory.passed.len());
        // What was left out of the table while it was read is no news.
        let evicted = tracker.table.evicted;
        Self {
            tracker,
            memory,
            clock,
            watch: Watch::new(),
            saver,
            counters,
            save_every: settings.rates.save,
            save_at: None,
            grey_changed: false,
            evicted,
        }
    }

    /// There is something new to write.
    fn changed(&mut self, now: Instant, grey: bool) {
        self.grey_changed |= grey;
        if self.save_at.is_none() {
            self.save_at = Some(now + self.save_every);
        }
    }

    fn count(&mut self, event: &Event, now: Duration) {
        self.counters.add("events", 1);
        self.tracker.count(event, now);
        if event.kind == Kind::Connection && self.memory.visit(event.address, now) {
            self.grey_changed = true;
        }
    }

    pub(crate) fn take(&mut self, frame: ToTracker, moment: Instant) -> Option<Verdict> {
        let now = self.clock.at(moment);
        self.watch.asked(moment);
        let verdict = match frame {
            ToTracker::Count(events) => {
                events.iter().for_each(|event| self.count(event, now));
                None
            }
            ToTracker::Ask { number, event, limits } => {
                self.counters.add("events", 1);
                self.counters.add("questions", 1);
                let refuse = self.tracker.judge(&event, &limits, now);
                self.counters.add("refused", u64::from(refuse.is_some()));
                let known = event.kind == Kind::Connection && self.memory.visit(event.address, now);
                self.grey_changed |= known;
                Some(Verdict { number, refuse, known, wait: Duration::ZERO })
            }
            ToTracker::Grey { number, triplet } => {
                self.counters.add("questions", 1);
                self.grey_changed = true;
                let (known, wait) = match self.memory.judge(&triplet, now) {
                    Grey::Known => (true, Duration::ZERO),
                    Grey::Wait(wait) => (false, wait),
                };
                self.counters.add("greylisted", u64::from(!known));
                Some(Verdict { number, refuse: None, known, wait })
            }
            ToTracker::Passed { address } => {
                self.memory.meet(address, now);
                self.grey_changed = true;
                None
            }
        };
        self.changed(moment, false);
        verdict
    }

    /// The files: the counts, and the triplets and clients where those are new.
    fn files(&mut self) -> Vec<Piece> {
        let stamp = self.clock.stamp();
        self.tracker.table.advance(stamp.time);
        let mut files = vec![Piece::Whole(COUNTS, state::write(&self.tracker.table, stamp))];
        if std::mem::take(&mut self.grey_changed) {
            self.memory.expire(stamp.time);
            files.push(Piece::Whole(GREY, grey_state::write(&self.memory, stamp)));
        }
        files
    }

    fn save(&mut self, now: Instant) {
        if self.saver.is_busy() {
            // The disk is slow.
            self.save_at = Some(now + self.save_every);
            return;
        }
        self.save_at = None;
        let files = self.files();
        match self.saver.save(files) {
            Ok(()) => self.counters.add("saves", 1),
            Err(e) => daemon::event!(Warning, "state_not_saved", reason = e),
        }
    }

    fn publish(&mut self) {
        let table = &self.tracker.table;
        self.counters.set("entries_now", table.len() as u64);
        self.counters.set("sketch_bytes_now", table.sketched() as u64);
        self.counters.set("grey_waiting_now", self.memory.waiting.len() as u64);
        self.counters.set("grey_passed_now", self.memory.passed.len() as u64);
        self.counters.set("clients_now", self.memory.met.len() as u64);
        // A reload may have begun a new table.
        self.counters.add("evicted", table.evicted.checked_sub(self.evicted).unwrap_or(table.evicted));
        self.evicted = table.evicted;
    }

    pub(crate) fn show(&mut self, query: &RateQuery) -> Vec<Reply> {
        let asked = match Asked::of(query) {
            Ok(asked) => asked,
            Err(reason) => return vec![Reply::Refused { code: 64, reason }],
        };
        let (now, wall) = (self.clock.now(), daemon::clock::unix_seconds());
        self.memory.expire(now);
        rows(&asked, query.most, &mut self.tracker.table, &self.memory, now, wall).into_iter().map(Reply::Rate).collect()
    }

    pub(crate) fn clear(&mut self, query: &RateQuery) -> Vec<Reply> {
        let asked = match Asked::of(query) {
            Ok(asked) => asked,
            Err(reason) => return vec![Reply::Refused { code: 64, reason }],
        };
        let forgotten = clear(&asked, &mut self.tracker.table, &mut self.memory, self.clock.now());
        daemon::event!(
            Info,
            "cleared",
            subject = query.subject.as_deref().unwrap_or("all"),
            kind = query.kind.as_deref().unwrap_or("all"),
            forgotten = forgotten
        );
        self.changed(Instant::now(), true);
        vec![Reply::Done(format!("{forgotten} forgotten"))]
    }
}

/// Reads one state file; a file that cannot be read is a loss of counts, not a reason to stay away.
fn load(saver: &Saver, name: &str, read: impl FnOnce(&[u8]) -> state::Loaded) -> Option<Stamp> {
    let bytes = match saver.read(name) {
        Ok(bytes) if bytes.is_empty() => return None,
        Ok(bytes) => bytes,
        Err(e) => {
            daemon::event!(Warning, "state_not_read", file = name, reason = e);
            return None;
        }
    };
    let loaded = read(&bytes);
    if loaded.damaged > 0 || loaded.stamp.is_none() {
        daemon::event!(Warning, "state_damaged", file = name, lines = loaded.damaged, entries = loaded.entries);
    }
    loaded.stamp
}

impl Service for Server {
    type In = ToTracker;
    type Out = Verdict;

    fn heed(&mut self, asker: Asker, frame: ToTracker, desk: &mut Desk<Verdict>) {
        if let Some(verdict) = self.take(frame, Instant::now()) {
            desk.answer(asker, verdict);
        }
    }

    fn work(&mut self, now: Instant, desk: &mut Desk<Verdict>) {
        self.watch.work(now, &desk.started.settings, &self.counters);
        if self.save_at.is_some_and(|at| at <= now) {
            self.save(now);
        }
        self.publish();
    }

    fn wake(&self) -> Option<Instant> {
        self.save_at.into_iter().chain(self.watch.wake()).min()
    }

    fn reload(&mut self, _contacts: daemon::Contacts, desk: &mut Desk<Verdict>) -> Result<(), String> {
        let settings = &desk.started.settings;
        self.tracker.reload(&settings.rates);
        self.memory.reload(&settings.greylist, remember(settings), settings.rates.entries);
        self.save_every = settings.rates.save;
        Ok(())
    }

    fn command(&mut self, request: &Request, _peer: &Peer, _desk: &mut Desk<Verdict>) -> Vec<Reply> {
        match request {
            Request::Rates(query) => self.show(query),
            Request::ClearRates(query) => self.clear(query),
            _ => vec![Reply::Refused { code: 70, reason: "the ratetracker knows no such command".to_owned() }],
        }
    }

    fn end(&mut self, _desk: &mut Desk<Verdict>) {
        self.finish();
    }
}

impl Server {
    /// The last files.
    pub(crate) fn finish(&mut self) {
        if self.save_at.take().is_some() {
            let files = self.files();
            self.saver.finish(files);
        }
    }
}
