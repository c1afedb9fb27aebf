//! A bounded cache with fresh and stale entries. Time is passed in.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Bytes of values kept for each entry allowed: many huge answers push each other out before memory is short.
const BYTES_PER_ENTRY: usize = 1024;

/// Keys with values that grow old. When full, the entry goes that was not asked for since it was last considered
/// (second chance), so one sweep of rare names does not empty the cache of the common ones.
#[derive(Debug)]
pub struct Cache<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Every key once.
    order: VecDeque<K>,
    most: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    fresh_until: Instant,
    stale_until: Instant,
    used: bool,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// `most`: entries.
    pub fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), most: most.max(1), bytes: 0 }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value while it is fresh.
    pub fn fresh(&mut self, key: &K, now: Instant) -> Option<V> {
        let entry = self.entries.get_mut(key).filter(|entry| now < entry.fresh_until)?;
        entry.used = true;
        Some(entry.value.clone())
    }

    /// The value even past its time, as long as it was allowed to be.
    pub fn stale(&self, key: &K, now: Instant) -> Option<V> {
        self.entries.get(key).filter(|entry| now < entry.stale_until).map(|entry| entry.value.clone())
    }

    /// Keeps a value, `weight` bytes large, for `ttl`, and for `stale` longer as a last resort.
    pub fn insert(&mut self, key: K, value: V, weight: usize, now: Instant, ttl: Duration, stale: Duration) {
        let fresh_until = now + ttl;
        let entry = Entry { value, weight, fresh_until, stale_until: fresh_until + stale, used: false };
        self.bytes += weight;
        match self.entries.insert(key.clone(), entry) {
            Some(old) => self.bytes = self.bytes.saturating_sub(old.weight),
            None => self.order.push_back(key),
        }
        while self.entries.len() > self.most || self.bytes > self.most.saturating_mul(BYTES_PER_ENTRY) {
            if !self.evict() {
                break;
            }
        }
    }

    /// Prolongs a stale value: fresh for `ttl` again, gone when it would have been.
    pub fn refresh(&mut self, key: &K, now: Instant, ttl: Duration) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.fresh_until = (now + ttl).min(entry.stale_until);
        }
    }

    fn evict(&mut self) -> bool {
        while let Some(key) = self.order.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(key);
                }
                Some(entry) => {
                    self.bytes = self.bytes.saturating_sub(entry.weight);
                    self.entries.remove(&key);
                    return true;
                }
                None => {}
            }
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn fresh_then_stale_then_gone() {
        let (mut cache, now) = (Cache::new(10), Instant::now());
        cache.insert("a", 1, 1, now, SECOND * 10, SECOND * 5);
        assert_eq!(cache.fresh(&"a", now + SECOND * 9), Some(1));
        assert_eq!((cache.fresh(&"a", now + SECOND * 10), cache.stale(&"a", now + SECOND * 10)), (None, Some(1)));
        cache.refresh(&"a", now + SECOND * 11, SECOND * 2);
        assert_eq!(cache.fresh(&"a", now + SECOND * 12), Some(1));
        cache.refresh(&"a", now + SECOND * 14, SECOND * 2);
        assert_eq!((cache.fresh(&"a", now + SECOND * 15), cache.stale(&"a", now + SECOND * 15)), (None, None));
    }

    #[test]
    fn what_is_used_stays() {
        let (mut cache, now) = (Cache::new(3), Instant::now());
        for n in 0..100 {
            cache.insert(n, n, 1, now, SECOND, SECOND);
            cache.fresh(&0, now);
        }
        assert_eq!((cache.fresh(&0, now), cache.fresh(&1, now), cache.fresh(&99, now)), (Some(0), None, Some(99)));
    }

    #[test]
    fn huge_values_push_each_other_out() {
        let (mut cache, now) = (Cache::new(100), Instant::now());
        for n in 0..1000 {
            cache.insert(n, n, 25_000, now, SECOND, SECOND);
        }
        assert_eq!(cache.len(), 4);
    }

    proptest! {
        #[test]
        fn never_larger_than_allowed(most in 1usize..20, steps in proptest::collection::vec((0u8..30, any::<bool>(), 0usize..5000), 0..200)) {
            let (mut cache, now) = (Cache::new(most), Instant::now());
            for (key, read, weight) in steps {
                if read {
                    let _ = cache.fresh(&key, now);
                } else {
                    cache.insert(key, key, weight, now, SECOND, SECOND);
                }
                prop_assert!(cache.len() <= most && cache.bytes <= most * BYTES_PER_ENTRY);
                prop_assert_eq!(cache.order.len(), cache.len());
                prop_assert_eq!(cache.entries.values().map(|e| e.weight).sum::<usize>(), cache.bytes);
            }
        }
    }
}
