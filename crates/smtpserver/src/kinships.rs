//! Whose domains are, as the routers have said a moment ago: a worker meets the same few domains again and again, and to
//! ask costs four system calls and two changes of process each time.
//!
//! Only clear words are remembered, for `[routing] answer_ttl`; the routermux remembers none of these, so that a change
//! of a table shows within that time. A worker has one configuration for its life, so a reload needs no forgetting.

use ipc::routing::Kinship;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Domains remembered at once, of 255 bytes at most. Strangers can name others without end: what is full is emptied.
const MOST: usize = 4096;

#[derive(Debug)]
pub(crate) struct Kinships {
    ttl: Duration,
    known: HashMap<String, (Instant, Kinship)>,
}

impl Kinships {
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, known: HashMap::new() }
    }

    pub fn find(&self, domain: &str, now: Instant) -> Option<Kinship> {
        self.known.get(domain).filter(|(until, _)| *until > now).map(|(_, kinship)| *kinship)
    }

    pub fn keep(&mut self, domain: String, kinship: Kinship, now: Instant) {
        if self.ttl.is_zero() {
            return;
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        self.known.insert(domain, (now + self.ttl, kinship));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    #[test]
    fn a_word_lasts_for_its_time() {
        let (mut kinships, now) = (Kinships::new(TTL), Instant::now());
        kinships.keep("a.example".to_owned(), Kinship::Ours, now);
        assert_eq!(kinships.find("a.example", now), Some(Kinship::Ours));
        assert_eq!(kinships.find("b.example", now), None);
        assert_eq!(kinships.find("a.example", now + TTL), None);
        kinships.keep("a.example".to_owned(), Kinship::Foreign, now + TTL);
        assert_eq!(kinships.find("a.example", now + TTL), Some(Kinship::Foreign));
    }

    #[test]
    fn nothing_is_remembered_where_that_is_off_and_never_too_much() {
        let (mut off, mut kinships, now) = (Kinships::new(Duration::ZERO), Kinships::new(TTL), Instant::now());
        off.keep("a.example".to_owned(), Kinship::Ours, now);
        assert_eq!(off.find("a.example", now), None);
        for n in 0..3 * MOST {
            kinships.keep(format!("{n}.example"), Kinship::Foreign, now);
        }
        assert!(kinships.known.len() <= MOST);
        assert_eq!(kinships.find(&format!("{}.example", 3 * MOST - 1), now), Some(Kinship::Foreign));
    }
}
