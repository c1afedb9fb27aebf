//! Look-ups through the cache, identical ones in flight merged.

use crate::cache::Cache;
use crate::files::Files;
use crate::records::{Kind, Records};
use crate::upstream::{Reply, TROUBLE_TTL, Upstream};
use daemon::Counters;
use ipc::dns::Trouble;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};

/// An answer this far past its time is used while the servers are in trouble (RFC 8767 section 5 allows days).
const STALE: Duration = Duration::from_secs(3600);
/// Different questions in flight at most: beyond, the answer is "later".
const MOST_IN_FLIGHT: usize = 10_000;
/// Questions with the servers at a time: each is a socket.
const MOST_SOCKETS: usize = 500;
/// Bytes of an entry besides its records.
const ENTRY_WEIGHT: usize = 100;
/// Zones of DNS lists whose faults are remembered as said.
const MOST_COMPLAINTS: usize = 1000;

/// What is looked up. A validated answer is another answer than a plain one: the cache holds them apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Normalised, without final dot.
    pub name: String,
    pub kind: Kind,
    /// By DNSSEC.
    pub validate: bool,
}

/// What was found, and whether DNSSEC proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub records: Result<Rc<Records>, Trouble>,
    pub secure: bool,
    /// By its TTL, and no longer than is configured; in the past of what is used though its time is over.
    pub fresh_until: Instant,
}

impl Found {
    pub fn trouble(text: &str) -> Self {
        Self { records: Err(Trouble::Temporary(text.to_owned())), secure: false, fresh_until: Instant::now() }
    }
}

#[derive(Debug)]
pub struct Lookups {
    upstream: RefCell<Rc<Upstream>>,
    settings: RefCell<settings::Dns>,
    cache: RefCell<Cache<Key, Found>>,
    in_flight: RefCell<HashMap<Key, Vec<oneshot::Sender<Found>>>>,
    sockets: Semaphore,
    /// Zones of DNS lists whose faults have been logged.
    complaints: RefCell<HashSet<String>>,
    pub counters: Counters,
}

impl Lookups {
    pub fn new(settings: &settings::Dns, files: Files, counters: Counters) -> Result<Self, String> {
        Ok(Self {
            upstream: RefCell::new(Rc::new(Upstream::new(settings, files)?)),
            settings: RefCell::new(settings.clone()),
            cache: RefCell::new(Cache::new(settings.cache_entries)),
            in_flight: RefCell::default(),
            sockets: Semaphore::new(MOST_SOCKETS),
            complaints: RefCell::default(),
            counters,
        })
    }

    /// How many servers are asked.
    pub fn servers(&self) -> usize {
        self.upstream.borrow().servers
    }

    /// Other servers and times from now on. What is cached was true and stays.
    pub fn reload(&self, settings: &settings::Dns, files: Files) -> Result<(), String> {
        *self.upstream.borrow_mut() = Rc::new(Upstream::new(settings, files)?);
        *self.settings.borrow_mut() = settings.clone();
        self.complaints.borrow_mut().clear();
        Ok(())
    }

    /// Whether a fault of this zone has not been logged since the last reload.
    pub fn first_complaint(&self, zone: &str) -> bool {
        let mut complaints = self.complaints.borrow_mut();
        complaints.len() < MOST_COMPLAINTS && complaints.insert(zone.to_owned())
    }

    /// For one question, all its look-ups together.
    pub fn deadline(&self) -> Duration {
        self.settings.borrow().deadline
    }

    /// The records of a key, from the cache or from the servers.
    pub async fn find(self: &Rc<Self>, key: Key) -> Found {
        if let Some(found) = self.cache.borrow_mut().fresh(&key, Instant::now()) {
            self.counters.add("cache_hits", 1);
            return found;
        }
        match self.join(key) {
            // The task that asks always answers, unless the process ends.
            Some(answer) => answer.await.unwrap_or_else(|_| Found::trouble("the resolver is stopping")),
            None => Found::trouble("the resolver is overloaded"),
        }
    }

    /// Waits with those who asked before, or asks. The asking task belongs to nobody: when its askers have gone it
    /// still fills the cache.
    fn join(self: &Rc<Self>, key: Key) -> Option<oneshot::Receiver<Found>> {
        let (sender, receiver) = oneshot::channel();
        let mut in_flight = self.in_flight.borrow_mut();
        if let Some(waiting) = in_flight.get_mut(&key) {
            waiting.push(sender);
            return Some(receiver);
        }
        if in_flight.len() >= MOST_IN_FLIGHT {
            return None;
        }
        in_flight.insert(key.clone(), vec![sender]);
        let lookups = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let reply = lookups.ask(&key).await;
            let found = lookups.settle(&key, reply, Instant::now());
            let waiting = lookups.in_flight.borrow_mut().remove(&key).unwrap_or_default();
            for sender in waiting {
                let _ = sender.send(found.clone());
            }
        });
        Some(receiver)
    }

    async fn ask(&self, key: &Key) -> Reply {
        let upstream = Rc::clone(&self.upstream.borrow());
        let asking = async {
            let _permit = self.sockets.acquire().await;
            self.counters.add("asked", 1);
            upstream.ask(key).await
        };
        let deadline = self.deadline();
        tokio::time::timeout(deadline, asking).await.unwrap_or_else(|_| Reply::timed_out(&key.name))
    }

    /// Keeps a reply as long as it may be kept; trouble is answered from what was known before, where possible.
    fn settle(&self, key: &Key, reply: Reply, now: Instant) -> Found {
        self.count(&reply);
        let mut cache = self.cache.borrow_mut();
        let (longest, longest_negative) = (self.settings.borrow().max_ttl, self.settings.borrow().negative_ttl);
        let (records, ttl, stale) = match reply.records {
            // What was proven once is not proven now: trouble with a validated answer may be a forgery that was found out.
            Ok(records) => (Ok(Rc::new(records)), reply.ttl.min(longest), if key.validate { Duration::ZERO } else { STALE }),
            Err(Trouble::Temporary(text)) => {
                if let Some(known) = cache.stale(key, now).filter(|known: &Found| known.records.is_ok()) {
                    cache.refresh(key, now, TROUBLE_TTL);
                    return known;
                }
                (Err(Trouble::Temporary(text)), TROUBLE_TTL, Duration::ZERO)
            }
            Err(trouble) => (Err(trouble), reply.ttl.min(longest_negative), Duration::ZERO),
        };
        let weight = ENTRY_WEIGHT + key.name.len() + records.as_ref().map_or(0, |records| records.weight());
        let found = Found { records, secure: reply.secure, fresh_until: now + ttl };
        cache.insert(key.clone(), found.clone(), weight, now, ttl, stale);
        self.counters.set("cached_now", cache.len() as u64);
        found
    }

    fn count(&self, reply: &Reply) {
        self.counters.add("over_limit", u64::from(reply.over_limit));
        self.counters.add("timeouts", u64::from(reply.timed_out));
        if let Err(Trouble::Temporary(text)) = &reply.records {
            self.counters.add("failures", 1);
            daemon::event!(Debug, "dns_trouble", text = text);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "lookups_tests.rs"]
mod tests;
