//! Deadlines of an event loop. A deadline that moved is not removed from the heap: whoever is woken looks at its own
//! deadline and sets a new timer when it is not yet due. So moving a deadline on every byte of a session costs nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Keys with the moments they want to be woken at.
#[derive(Debug)]
pub struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, u64, Slot<K>)>>,
    sequence: u64,
}

/// Keeps the key out of the ordering.
#[derive(Debug)]
struct Slot<K>(K);
impl<K> PartialEq for Slot<K> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<K> Eq for Slot<K> {}
impl<K> PartialOrd for Slot<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Slot<K> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<K> Timers<K> {
    pub fn set(&mut self, at: Instant, key: K) {
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, Slot(key))));
    }

    /// Forgets the timers that `keep` says no to.
    pub fn retain(&mut self, keep: impl Fn(Instant, &K) -> bool) {
        self.heap.retain(|Reverse((at, _, Slot(key)))| keep(*at, key));
    }

    /// The next key whose moment has come; ask until `None`.
    pub fn due(&mut self, now: Instant) -> Option<K> {
        if self.heap.peek().is_some_and(|Reverse((at, _, _))| *at <= now) {
            return self.heap.pop().map(|Reverse((_, _, Slot(key)))| key);
        }
        None
    }

    /// How long the loop may sleep; `None`: until an event comes. Rounded up to a millisecond, so that the loop does
    /// not spin through the last one.
    pub fn sleep(&self, now: Instant) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, _, _))| match at.saturating_duration_since(now) {
            Duration::ZERO => Duration::ZERO,
            left => left + Duration::from_millis(1),
        })
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn wakes_in_order_and_not_before() {
        let mut timers = Timers::default();
        let now = Instant::now();
        timers.set(now + Duration::from_secs(2), "b");
        timers.set(now + Duration::from_secs(1), "a");
        assert_eq!(timers.due(now), None);
        assert!(timers.sleep(now).unwrap() >= Duration::from_secs(1));
        let later = now + Duration::from_secs(3);
        assert_eq!((timers.due(later), timers.due(later), timers.due(later)), (Some("a"), Some("b"), None));
        assert_eq!(timers.sleep(later), None);
        timers.set(later, "c");
        timers.set(later, "d");
        timers.retain(|at, key| at == later && *key == "d");
        assert_eq!((timers.len(), timers.due(later)), (1, Some("d")));
    }
}
