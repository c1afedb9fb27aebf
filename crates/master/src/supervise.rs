//! The master's state and its event loop.

use crate::children::{Child, Rows, Slot};
use crate::clients::Client;
use crate::configuration::Configuration;
use crate::limits;
use crate::listeners::{Listener, Place};
use crate::readiness::Readiness;
use crate::reload::Reloading;
use crate::services::Service;
use crate::site::Site;
use crate::stop::Stopping;
use daemon::{Counters, Signal, Signals};
use mio::net::UnixListener;
use mio::{Events, Interest, Poll, Token};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const SIGNALS: usize = 0;
const CONTROL: usize = 1;
/// The first key that a listener, child or client can have. Keys are never used twice, so a late event finds nobody.
pub const FIRST_KEY: usize = 16;

/// Descriptors that outlive every child, and the master's own image on an upgrade.
#[derive(Debug)]
pub struct Keepsakes {
    /// Held: one master a run folder.
    pub lock: File,
    pub control: OwnedFd,
    /// `<run>/agents`.
    pub agents: Option<OwnedFd>,
    /// Notification sockets by name.
    pub notify: BTreeMap<String, OwnedFd>,
    /// Contact points by subdaemon: the calling and the answering end.
    pub contacts: BTreeMap<String, (OwnedFd, OwnedFd)>,
    /// The counter table.
    pub counters: OwnedFd,
}

/// The master.
#[derive(Debug)]
pub struct Master {
    pub configuration: Configuration,
    pub site: Site,
    pub roles: Option<Vec<&'static Service>>,
    pub services: Vec<&'static Service>,
    pub generation: u32,
    pub started: Instant,
    pub poll: Poll,
    pub signals: Signals,
    pub keepsakes: Keepsakes,
    control: UnixListener,
    pub counters: Counters,
    pub rows: Rows,
    /// `None`: standard error.
    pub log: Option<OwnedFd>,
    pub listeners: BTreeMap<usize, Listener>,
    /// The listeners of each living generation, by the index its workers know them under.
    pub places: BTreeMap<u32, Vec<Place>>,
    pub children: BTreeMap<usize, Child>,
    pub slots: Vec<Slot>,
    /// Agents that end badly: not before this moment another.
    pub agent_waits: HashMap<&'static str, (crate::backoff::Backoff, Instant)>,
    pub clients: BTreeMap<usize, Client>,
    pub connections: limits::Table,
    /// How many strangers there may be, as of this turn.
    pub places_of_strangers: crate::crowd::Places,
    /// Sessions that workers were asked to end and have not ended yet, and until when that is believed.
    pub shedding: u32,
    pub shed_until: Option<Instant>,
    pub next_session: u64,
    next_key: usize,
    pub readiness: Readiness,
    pub announced: bool,
    pub background: bool,
    pub frozen: bool,
    pub stopping: Option<Stopping>,
    pub reloading: Option<Reloading>,
    pub shadow: Option<crate::shadow::Shadow>,
    /// What workers make the keys of session tickets from; `None`: the system has no randomness.
    pub tickets: Option<tls::server::Secret>,
    /// No accept before this moment (descriptors ran out).
    pub accept_after: Option<Instant>,
    /// Given up for a moment when descriptors run out.
    pub reserve: Option<File>,
    /// When the pool was last found too large.
    pub too_many_since: Option<Instant>,
    wake_at: Option<Instant>,
    /// Set: the loop ends with this code.
    pub exit: Option<u8>,
}

/// What a master begins with.
#[derive(Debug)]
pub struct Beginning {
    pub configuration: Configuration,
    pub site: Site,
    pub roles: Option<Vec<&'static Service>>,
    pub signals: Signals,
    pub keepsakes: Keepsakes,
    pub listeners: Vec<Listener>,
    pub log: Option<OwnedFd>,
    pub background: bool,
    pub readiness: Readiness,
}

impl Master {
    pub fn new(beginning: Beginning) -> io::Result<Self> {
        let Beginning { configuration, site, roles, mut signals, keepsakes, listeners, log, background, readiness } = beginning;
        let poll = Poll::new()?;
        poll.registry().register(&mut signals, Token(SIGNALS), Interest::READABLE)?;
        let mut control = UnixListener::from_std(keepsakes.control.try_clone()?.into());
        poll.registry().register(&mut control, Token(CONTROL), Interest::READABLE)?;
        let mut rows = Rows::default();
        let counters = Counters::map(&keepsakes.counters, rows.row("master", 0), "master")?;
        let services = crate::site::wanted(&configuration.settings, roles.as_deref());
        let now = Instant::now();
        let places_of_strangers = crate::crowd::Places::new(&configuration.settings, 0);
        let mut master = Self {
            configuration,
            site,
            roles,
            services,
            generation: 1,
            started: now,
            poll,
            signals,
            keepsakes,
            control,
            counters,
            rows,
            log,
            listeners: BTreeMap::new(),
            places: BTreeMap::new(),
            children: BTreeMap::new(),
            slots: Vec::new(),
            agent_waits: HashMap::new(),
            clients: BTreeMap::new(),
            connections: limits::Table::default(),
            places_of_strangers,
            shedding: 0,
            shed_until: None,
            next_session: 0,
            next_key: FIRST_KEY,
            readiness,
            announced: false,
            background,
            frozen: false,
            stopping: None,
            reloading: None,
            shadow: None,
            tickets: tls::server::Secret::new(),
            accept_after: None,
            reserve: File::open("/dev/null").ok(),
            too_many_since: None,
            wake_at: None,
            exit: None,
        };
        for listener in listeners {
            master.add_listener(listener)?;
        }
        master.frozen = master.frozen_flag().exists();
        Ok(master)
    }

    /// A key for the poll and the maps.
    pub fn new_key(&mut self) -> usize {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    pub fn add_listener(&mut self, mut listener: Listener) -> io::Result<()> {
        let key = self.new_key();
        listener.register(self.poll.registry(), key)?;
        self.listeners.insert(key, listener);
        Ok(())
    }

    /// Does the periodic work at this moment at the latest.
    pub fn wake(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }

    /// Runs until the suite has stopped; gives the exit code.
    pub fn run(&mut self) -> io::Result<u8> {
        self.remember_places();
        self.fill_slots();
        self.housekeep();
        let mut events = Events::with_capacity(256);
        let mut more = false;
        loop {
            daemon::log::flush();
            if let Some(code) = self.exit {
                return Ok(code);
            }
            match self.poll.poll(&mut events, self.sleep(more)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                self.dispatch(event.token().0);
            }
            if self.wake_at.is_some_and(|at| at <= Instant::now()) {
                self.wake_at = None;
                self.housekeep();
            }
            more = self.accept_clients();
        }
    }

    fn sleep(&self, more: bool) -> Option<Duration> {
        if more {
            return Some(Duration::ZERO);
        }
        // Rounded up, so that the loop does not spin through the last millisecond.
        self.wake_at.map(|at| at.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    fn dispatch(&mut self, key: usize) {
        match key {
            SIGNALS => self.take_signals(),
            CONTROL => self.accept_commands(),
            key if self.children.contains_key(&key) => self.hear_child(key),
            key if self.clients.contains_key(&key) => self.hear_client(key),
            key => {
                if let Some(listener) = self.listeners.get_mut(&key) {
                    listener.waiting = true;
                }
            }
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::Child => self.reap(),
                Signal::Drain => self.asked_to_stop(),
                Signal::Reload => self.begin_reload(None),
                Signal::Upgrade => self.begin_upgrade(None),
            }
        }
    }

    /// The next command's connection.
    pub fn accept_command(&mut self) -> Option<OwnedFd> {
        self.control.accept().ok().map(|(stream, _)| OwnedFd::from(stream))
    }

    /// Everything that depends on time or that a change of state may have made possible.
    pub fn housekeep(&mut self) {
        let now = Instant::now();
        self.drain_overdue(now);
        self.kill_overdue(now);
        self.close_overdue_clients(now);
        if self.stopping.is_some() {
            self.advance_stop(now);
            return;
        }
        self.resize_pool(now);
        self.start_due(now);
        self.watch_reload(now);
        self.watch_shadow(now);
        if self.accept_after.is_some_and(|at| at <= now) {
            self.accept_after = None;
        }
    }

    /// Says that the suite works, once every process does.
    pub fn announce(&mut self) {
        if self.announced || !self.all_ready() {
            return;
        }
        self.announced = true;
        daemon::event!(Info, "ready", processes = self.children.len(), generation = self.generation);
        self.readiness.ready();
        if self.background {
            self.let_go();
        }
    }

    /// Says so again, after an attempt at something else that came to nothing.
    pub fn announce_again(&mut self) {
        if self.announced {
            self.readiness.ready();
        }
    }

    /// Every place is filled by a process that is ready.
    pub fn all_ready(&self) -> bool {
        self.slots
            .iter()
            .all(|slot| slot.child.and_then(|key| self.children.get(&key)).is_some_and(|c| c.state == crate::children::State::Ready))
    }

    /// In the background nobody reads the standard streams any more. What a panic would say goes to the log.
    fn let_go(&self) {
        if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
            let _ = nix::unistd::dup2_stdin(&null);
            let _ = nix::unistd::dup2_stdout(&null);
            let _ = match &self.log {
                Some(log) => nix::unistd::dup2_stderr(log),
                None => nix::unistd::dup2_stderr(&null),
            };
        }
    }
}
