//! Names of `router/` that wait for a router, and those a router died over.

use crate::lanes::Lanes;
use std::collections::{HashMap, HashSet, VecDeque};

/// Names held in memory; the rest is found by a later scan.
pub const MAX_KNOWN: usize = 100_000;
/// Routers that may die with one file alone in hand.
const MAX_DEATHS: u32 = 2;

/// The queue of files. A name is known from its notice until it is done, so that notice and scan do not feed it twice.
#[derive(Debug, Default)]
pub struct Files {
    pub lanes: Lanes,
    known: HashSet<String>,
    /// Were in the hands of a router that died: fed one at a time, so that the next death tells which it was.
    suspects: VecDeque<String>,
    /// Deaths that only this file can have caused.
    deaths: HashMap<String, u32>,
    /// Names had to be turned away.
    overflowed: bool,
}

impl Files {
    pub fn new(lanes: Lanes) -> Self {
        Self { lanes, ..Self::default() }
    }

    /// A name from a notice or a scan; false when it is known already or there is no room.
    pub fn offer(&mut self, name: &str) -> bool {
        if self.known.contains(name) {
            return false;
        }
        if self.known.len() >= MAX_KNOWN {
            self.overflowed = true;
            return false;
        }
        self.known.insert(name.to_owned());
        self.lanes.push(name.to_owned());
        true
    }

    pub fn suspect(&mut self) -> Option<String> {
        self.suspects.pop_front()
    }

    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// A router is through with these, whatever became of them.
    pub fn done(&mut self, names: &[String]) {
        for name in names {
            self.known.remove(name);
            if !self.deaths.is_empty() {
                self.deaths.remove(name);
            }
        }
    }

    /// A router died with these in hand; `alone`: and with nothing else. Gives the file to be set aside, if the time
    /// has come: it stays known until that is done.
    pub fn died(&mut self, names: Vec<String>, alone: bool) -> Option<String> {
        if let (true, [name]) = (alone, names.as_slice()) {
            let deaths = self.deaths.entry(name.clone()).or_insert(0);
            *deaths = deaths.saturating_add(1);
            if *deaths >= MAX_DEATHS {
                return names.into_iter().next();
            }
        }
        self.suspects.extend(names);
        None
    }

    pub fn waiting(&self) -> usize {
        self.lanes.len() + self.suspects.len()
    }

    /// True once when names were turned away and there is room again: time for a scan.
    pub fn wants_scan(&mut self) -> bool {
        self.overflowed && self.lanes.len() == 0 && std::mem::take(&mut self.overflowed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_name_is_fed_once_until_it_is_done() {
        let mut files = Files::default();
        assert!(files.offer("a") && files.offer("b") && !files.offer("a"));
        assert_eq!(files.lanes.oldest(16), names(&["a", "b"]));
        assert!(!files.offer("a") && files.lanes.oldest(16).is_empty());
        files.done(&names(&["a"]));
        assert!(files.offer("a"));
    }

    #[test]
    fn what_kills_two_routers_alone_is_set_aside() {
        let mut files = Files::default();
        for name in ["a", "b", "c"] {
            files.offer(name);
        }
        let batch = files.lanes.oldest(16);
        assert_eq!(files.died(batch, false), None);
        assert_eq!((files.suspect().unwrap(), files.waiting()), ("a".to_owned(), 2));
        files.done(&names(&["a"]));
        let second = files.suspect().unwrap();
        assert_eq!(files.died(vec![second], true), None);
        let third = files.suspect().unwrap();
        assert_eq!(third, "c");
        files.done(&[third]);
        assert_eq!(files.suspect(), Some("b".to_owned()));
        assert_eq!(files.died(names(&["b"]), true), Some("b".to_owned()));
        assert!(!files.offer("b"), "known until it is set aside");
        files.done(&names(&["b"]));
        assert!(files.deaths.is_empty() && files.known.is_empty());
    }

    #[test]
    fn names_beyond_the_bound_are_left_to_a_scan() {
        let mut files = Files::default();
        for n in 0..MAX_KNOWN {
            assert!(files.offer(&n.to_string()));
        }
        assert!(!files.offer("more") && !files.wants_scan());
        let all = files.lanes.oldest(usize::MAX);
        files.done(&all);
        assert!(files.wants_scan() && !files.wants_scan());
    }
}
