//! Taking clients and passing them to workers. Not one byte of a client is read here.

use crate::crowd::Places;
use crate::limits::{Counted, Limit, Pressure, Verdict};
use crate::listeners::{Place, SUBMIT};
use crate::pool::{self, Candidate, Change, Pool};
use crate::services::Kind;
use crate::supervise::Master;
use ipc::master::{Peer, Session, ToChild};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Clients taken from one listener before others have their turn.
const PER_TURN: usize = 64;
/// Rest after descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a pool must have been too large before a worker goes.
const PATIENCE: Duration = Duration::from_secs(60);

enum Turn {
    /// Nobody waits at this listener any more.
    Empty,
    /// More wait, and can be taken in the next turn.
    More,
    /// More wait, and nobody can take them now: they stay in the kernel's queue.
    Stuck,
}

impl Master {
    /// Takes waiting clients as far as workers can have them. True: some still wait and can be taken at once.
    pub fn accept_clients(&mut self) -> bool {
        if self.stopping.is_some() || self.accept_after.is_some() || !self.listeners.values().any(|l| l.waiting) {
            return false;
        }
        let level = self.counters.overload();
        self.places_of_strangers = Places::new(&self.configuration.settings, level);
        let keys: Vec<usize> = self.listeners.iter().filter(|(_, l)| l.waiting).map(|(key, _)| *key).collect();
        let mut more = false;
        for key in keys {
            match self.accept_from(key, level) {
                Turn::Empty => {
                    if let Some(listener) = self.listeners.get_mut(&key) {
                        listener.waiting = false;
                    }
                }
                Turn::More => more = true,
                Turn::Stuck => {}
            }
        }
        self.count_sessions();
        let now = Instant::now();
        self.make_room(now);
        self.resize_pool(now);
        more
    }

    fn accept_from(&mut self, key: usize, level: u8) -> Turn {
        for _ in 0..PER_TURN {
            let Some(place) = self.listeners.get(&key).map(|l| l.place.clone()) else { return Turn::Empty };
            let Some(worker) = self.worker_for(&place) else { return Turn::Stuck };
            if self.room_is_coming() && self.kind_of(&place) == Some(settings::ListenerKind::Smtp) {
                return Turn::Stuck;
            }
            match self.listeners.get(&key).map(|l| l.accept()) {
                Some(Ok(Some((client, peer)))) => self.pass(worker, &place, client, peer, level),
                Some(Ok(None)) | None => return Turn::Empty,
                Some(Err(e)) => {
                    self.counters.add("accept_errors", 1);
                    if matches!(e.raw_os_error(), Some(libc_codes::EMFILE | libc_codes::ENFILE | libc_codes::ENOBUFS | libc_codes::ENOMEM))
                    {
                        self.rest(key, &e);
                        return Turn::Stuck;
                    }
                    // The client was gone before we came (ECONNABORTED and the like): the next one.
                }
            }
        }
        Turn::More
    }

    /// Descriptors ran out: the reserve lets one client go with a clean end instead of hanging, then we pause.
    fn rest(&mut self, key: usize, error: &io::Error) {
        daemon::event!(Error, "accept_failed", error = error);
        self.reserve = None;
        if let Some(listener) = self.listeners.get(&key) {
            drop(listener.accept());
        }
        self.reserve = File::open("/dev/null").ok();
        let until = Instant::now() + PAUSE;
        self.accept_after = Some(until);
        self.wake(until);
    }

    /// `None`: the local submission socket.
    fn listener_at(&self, place: &Place) -> Option<&settings::Listener> {
        self.configuration.settings.listeners.iter().find(|l| Place::of(&l.bind) == *place)
    }

    fn kind_of(&self, place: &Place) -> Option<settings::ListenerKind> {
        self.listener_at(place).map(|l| l.kind)
    }

    fn worker_for(&self, place: &Place) -> Option<usize> {
        let candidates = self.children.iter().filter(|(_, c)| c.service.kind == Kind::Workers && c.takes_sessions());
        let candidates = candidates.filter(|(_, c)| self.index_of(c.generation, place).is_some());
        let candidates = candidates.map(|(key, c)| Candidate { key: *key, sessions: c.session_count(), generation: c.generation });
        pool::choose(candidates, self.configuration.settings.processes.sessions_per_worker.max(1))
    }

    /// What workers of a generation call a listener.
    fn index_of(&self, generation: u32, place: &Place) -> Option<u16> {
        if let Place::Submit(_) = place {
            return Some(SUBMIT);
        }
        self.places.get(&generation)?.iter().position(|p| p == place).and_then(|at| u16::try_from(at).ok())
    }

    fn pass(&mut self, worker: usize, place: &Place, client: OwnedFd, peer: Peer, level: u8) {
        self.counters.add("connections", 1);
        let address: Option<IpAddr> = match &peer {
            // A load balancer's address says nothing of the client; all its clients together are no crowd of one.
            Peer::Network(_) if self.listener_at(place).is_some_and(|l| l.proxy) => None,
            Peer::Network(address) => Some(address.ip()),
            Peer::Local { .. } => None,
        };
        let settings = &self.configuration.settings;
        let counted = Counted { address, stranger: settings.is_stranger(self.kind_of(place), address) };
        let pressure = Pressure { strangers: self.places_of_strangers.most, level };
        let refuse = match self.connections.judge(counted, &settings.connections, pressure) {
            Verdict::Admit => None,
            Verdict::Refuse(limit, text) => {
                self.count_refusal(limit);
                Some(text.to_owned())
            }
            Verdict::Close(limit) => return self.count_refusal(limit),
        };
        let Some(generation) = self.children.get(&worker).map(|c| c.generation) else { return };
        let Some(listener) = self.index_of(generation, place) else { return };
        self.next_session += 1;
        let number = self.next_session;
        let frame = ToChild::Session(Session { number, listener, peer, refuse });
        if !self.tell(worker, &frame, vec![client]) {
            return;
        }
        self.connections.add(counted);
        let Some(child) = self.children.get_mut(&worker) else { return };
        child.begin(number, counted);
        child.served += 1;
        if child.served >= self.configuration.settings.processes.sessions_per_life && !child.superseded {
            self.supersede(worker);
        }
    }

    fn count_refusal(&self, limit: Limit) {
        self.counters.add(
            match limit {
                Limit::Total => "refused_total",
                Limit::Address => "refused_address",
                Limit::Network => "refused_network",
            },
            1,
        );
    }

    /// Said whenever a session begins or ends: a gauge that only new clients move shows the last burst for ever.
    pub fn count_sessions(&self) {
        self.counters.set("sessions_now", u64::from(self.connections.total()));
    }

    pub fn sessions_ended(&mut self, key: usize, numbers: &[u64]) {
        self.shedding = self.shedding.saturating_sub(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
        let Some(child) = self.children.get_mut(&key) else { return };
        for number in numbers {
            if let Some(counted) = child.end(*number) {
                self.connections.remove(counted);
            }
        }
        if child.retire_by.is_some() && child.sessions.is_empty() {
            self.drain(key);
        }
        self.count_sessions();
    }

    /// More workers when places run short, fewer when there have long been too many.
    pub fn resize_pool(&mut self, now: Instant) {
        let Some(service) = self.services.iter().copied().find(|s| s.kind == Kind::Workers) else { return };
        let slots = self.slots.iter().filter(|s| s.service.kind == Kind::Workers);
        let filled = slots.clone().filter_map(|s| s.child.and_then(|key| self.children.get(&key)));
        let workers = slots.clone().count();
        let ready = filled.clone().filter(|c| c.ready_at.is_some()).count();
        let pool = Pool {
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            sessions: filled.map(crate::children::Child::session_count).sum(),
            places: self.configuration.settings.processes.sessions_per_worker.max(1),
            starting: ready < workers,
        };
        match pool::change(pool, &self.configuration.settings.processes) {
            Change::Grow => {
                self.slots.push(crate::children::Slot::new(service, now));
                self.slots.sort_by_key(|slot| slot.service.level);
                self.wake(now);
            }
            Change::Shrink => match self.too_many_since {
                None => {
                    self.too_many_since = Some(now);
                    self.wake(now + PATIENCE);
                }
                Some(since) if now.saturating_duration_since(since) >= PATIENCE => {
                    self.too_many_since = None;
                    self.remove_slot(service);
                }
                Some(_) => {}
            },
            Change::Keep => self.too_many_since = None,
        }
    }

    /// Remembers what the workers of this generation call each listener.
    pub fn remember_places(&mut self) {
        let places = self.configuration.settings.listeners.iter().map(|l| Place::of(&l.bind)).collect();
        self.places.insert(self.generation, places);
    }

    /// Forgets generations that nobody lives of.
    pub fn forget_places(&mut self) {
        let (children, newest) = (&self.children, self.generation);
        self.places.retain(|generation, _| *generation == newest || children.values().any(|c| c.generation == *generation));
    }
}

/// Error numbers of accept4(2) that mean "not now".
mod libc_codes {
    use nix::errno::Errno;
    pub const EMFILE: i32 = Errno::EMFILE as i32;
    pub const ENFILE: i32 = Errno::ENFILE as i32;
    pub const ENOBUFS: i32 = Errno::ENOBUFS as i32;
    pub const ENOMEM: i32 = Errno::ENOMEM as i32;
}
