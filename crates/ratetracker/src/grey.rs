//! Greylisting and first contact: what is remembered of clients from day to day. Time is passed in.

use crate::bounded::Bounded;
use crate::keys::{Key, network};
use ipc::rates::Triplet;
use settings::Greylist;
use statefile::lines::escape;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest address of a triplet; what is longer counts by its beginning.
const LONGEST: usize = 320;
/// What a client network passes within this time counts once.
const ONCE: u64 = 3600;

/// Moments in seconds of the tracker's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub first: u64,
    pub last: u64,
}

/// A client network that mail came from after it had waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub passes: u32,
    /// When the last pass was counted, and the last mail came.
    pub counted: u64,
    pub last: u64,
}

/// Triplets (as a line of words: network, sender, recipient), client networks, and clients that have passed the tests of
/// first contact.
#[derive(Debug)]
pub struct Memory {
    pub waiting: Bounded<Arc<str>, Seen>,
    pub passed: Bounded<Arc<str>, Seen>,
    pub clients: Bounded<IpAddr, Client>,
    /// With the moment of the last visit.
    pub met: Bounded<Key, u64>,
    greylist: Greylist,
    remember: Duration,
}

/// What holds for a triplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grey {
    Known,
    /// Not before.
    Wait(Duration),
}

impl Memory {
    /// `most`: clients of first contact.
    pub fn new(greylist: &Greylist, remember: Duration, most: usize) -> Self {
        let entries = greylist.entries;
        Self {
            waiting: Bounded::new(entries),
            passed: Bounded::new(passed_of(entries)),
            clients: Bounded::new(entries),
            met: Bounded::new(most),
            greylist: greylist.clone(),
            remember,
        }
    }

    pub fn reload(&mut self, greylist: &Greylist, remember: Duration, most: usize) {
        self.waiting.resize(greylist.entries);
        self.passed.resize(passed_of(greylist.entries));
        self.clients.resize(greylist.entries);
        self.met.resize(most);
        self.greylist = greylist.clone();
        self.remember = remember;
    }

    /// An attempt of a triplet.
    pub fn judge(&mut self, triplet: &Triplet, now: Duration) -> Grey {
        let now = now.as_secs();
        let network = network(triplet.address);
        if self.is_allowed(network, now) {
            return Grey::Known;
        }
        let key = key(network, triplet);
        if let Some(seen) = self.passed.used(&key).filter(|seen| now.saturating_sub(seen.last) <= self.greylist.lifetime.as_secs()) {
            seen.last = now;
            self.count_pass(network, now);
            return Grey::Known;
        }
        let delay = self.greylist.delay.as_secs();
        let window = self.greylist.retry_window.as_secs().max(delay);
        let seen = match self.waiting.get_mut(&key).filter(|seen| now.saturating_sub(seen.first) <= window) {
            Some(seen) => {
                seen.last = now;
                *seen
            }
            None => {
                let seen = Seen { first: now, last: now };
                // Begins anew at the end of the line.
                self.waiting.remove(&key);
                self.passed.remove(&key);
                self.put_waiting(key.clone(), seen);
                seen
            }
        };
        let waited = now.saturating_sub(seen.first);
        if waited < delay {
            return Grey::Wait(Duration::from_secs(delay - waited));
        }
        self.waiting.remove(&key);
        self.passed.insert(key, seen);
        self.count_pass(network, now);
        Grey::Known
    }

    /// Who waits leaves first: of the room for all, a quarter is never taken by those that have passed.
    pub fn put_waiting(&mut self, key: Arc<str>, seen: Seen) {
        while self.waiting.len().saturating_add(self.passed.len()) >= self.greylist.entries && self.waiting.evict().is_some() {}
        self.waiting.insert(key, seen);
    }

    fn is_allowed(&mut self, network: IpAddr, now: u64) -> bool {
        let (least, life) = (self.greylist.auto_allow, self.greylist.lifetime.as_secs());
        if least == 0 {
            return false;
        }
        let Some(client) = self.clients.used(&network) else { return false };
        if client.passes < least || now.saturating_sub(client.last) > life {
            return false;
        }
        client.last = now;
        true
    }

    fn count_pass(&mut self, network: IpAddr, now: u64) {
        let life = self.greylist.lifetime.as_secs();
        match self.clients.used(&network).filter(|client| now.saturating_sub(client.last) <= life) {
            Some(client) => {
                client.last = now;
                if now.saturating_sub(client.counted) >= ONCE {
                    client.counted = now;
                    client.passes = client.passes.saturating_add(1);
                }
            }
            None => drop(self.clients.insert(network, Client { passes: 1, counted: now, last: now })),
        }
    }

    /// This client has passed the tests of first contact.
    pub fn meet(&mut self, address: IpAddr, now: Duration) {
        let key = Key::address(address);
        match self.met.used(&key) {
            Some(last) => *last = now.as_secs(),
            None => drop(self.met.insert(key, now.as_secs())),
        }
    }

    /// A client comes: has it passed before? Each visit begins its time anew.
    pub fn visit(&mut self, address: IpAddr, now: Duration) -> bool {
        // Nearly always nobody is remembered, and nothing needs to be looked up.
        if self.met.len() == 0 {
            return false;
        }
        let life = self.remember.as_secs();
        match self.met.used(&Key::address(address)) {
            Some(last) if now.as_secs().saturating_sub(*last) <= life => {
                *last = now.as_secs();
                true
            }
            _ => false,
        }
    }

    /// Lets go what is over.
    pub fn expire(&mut self, now: Duration) {
        let now = now.as_secs();
        let window = self.greylist.retry_window.max(self.greylist.delay).as_secs();
        let (life, remember) = (self.greylist.lifetime.as_secs(), self.remember.as_secs());
        self.waiting.retain(|_, seen| now.saturating_sub(seen.first) <= window);
        self.passed.retain(|_, seen| now.saturating_sub(seen.last) <= life);
        self.clients.retain(|_, client| now.saturating_sub(client.last) <= life);
        self.met.retain(|_, last| now.saturating_sub(*last) <= remember);
    }
}

const fn passed_of(entries: usize) -> usize {
    entries - entries / 4
}

/// A triplet as a line of words.
fn key(network: IpAddr, triplet: &Triplet) -> Arc<str> {
    let sender = crate::normal::sender(cut(&triplet.sender));
    let recipient = cut(&triplet.recipient).to_lowercase();
    format!("{} {} {}", crate::keys::block(network), escape(&sender), escape(&recipient)).into()
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}
