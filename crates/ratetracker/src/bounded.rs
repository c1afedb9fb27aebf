//! A map of so many keys at most. Who has to leave is found by the second chance: whoever was used since its last turn
//! goes to the end of the line. So a sweep of keys that come once does not push out those that come often.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

#[derive(Debug)]
pub struct Bounded<K, V> {
    held: HashMap<K, Held<V>>,
    /// The front is considered next. Keys that were removed may still be here.
    order: VecDeque<K>,
    most: usize,
}

#[derive(Debug)]
struct Held<V> {
    value: V,
    used: bool,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    pub fn new(most: usize) -> Self {
        Self { held: HashMap::new(), order: VecDeque::new(), most: most.max(1) }
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn contains(&self, key: &K) -> bool {
        self.held.contains_key(key)
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.held.get(key).map(|held| &held.value)
    }

    /// For a change that is no use.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.held.get_mut(key).map(|held| &mut held.value)
    }

    /// The value, which has a second chance now.
    pub fn used(&mut self, key: &K) -> Option<&mut V> {
        let held = self.held.get_mut(key)?;
        held.used = true;
        Some(&mut held.value)
    }

    /// Puts a value in, in place of that key's former one; gives who had to leave for it.
    pub fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        if let Some(held) = self.held.get_mut(&key) {
            held.value = value;
            return None;
        }
        let left = if self.held.len() >= self.most { self.evict() } else { None };
        self.order.push_back(key.clone());
        self.held.insert(key, Held { value, used: false });
        left
    }

    /// Whose turn it is to leave.
    pub fn evict(&mut self) -> Option<(K, V)> {
        while let Some(key) = self.order.pop_front() {
            match self.held.get_mut(&key) {
                Some(held) if held.used => {
                    held.used = false;
                    self.order.push_back(key);
                }
                Some(_) => {
                    let held = self.held.remove(&key)?;
                    return Some((key, held.value));
                }
                None => {}
            }
        }
        None
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let held = self.held.remove(key)?;
        if self.order.len() > self.held.len().saturating_mul(2).saturating_add(64) {
            self.tidy();
        }
        Some(held.value)
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let before = self.held.len();
        self.held.retain(|key, held| keep(key, &held.value));
        if self.held.len() < before {
            self.tidy();
        }
    }

    /// Leaves only so many.
    pub fn resize(&mut self, most: usize) -> Vec<(K, V)> {
        self.most = most.max(1);
        let mut left = Vec::new();
        while self.held.len() > self.most {
            match self.evict() {
                Some(one) => left.push(one),
                None => break,
            }
        }
        left
    }

    pub fn clear(&mut self) {
        self.held.clear();
        self.order.clear();
    }

    /// All, in the order of leaving as far as it is known.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().filter_map(|key| self.held.get(key).map(|held| (key, &held.value)))
    }

    fn tidy(&mut self) {
        let mut seen = HashSet::new();
        self.order.retain(|key| self.held.contains_key(key) && seen.insert(key.clone()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sweep_does_not_push_out_who_is_used() {
        let mut map = Bounded::new(100);
        map.insert(0, ());
        for n in 1..10_000 {
            map.insert(n, ());
            map.used(&0).unwrap();
        }
        assert!(map.contains(&0) && map.len() == 100);
    }

    proptest! {
        #[test]
        fn bounded_and_every_key_in_line(most in 0usize..20, steps in proptest::collection::vec((0u8..4, 0u8..40), 0..300)) {
            let mut map = Bounded::new(most);
            for (what, key) in steps {
                match what {
                    0 | 1 => drop(map.insert(key, key)),
                    2 => drop(map.remove(&key)),
                    _ => drop(map.used(&key)),
                }
                prop_assert!(map.len() <= most.max(1));
                prop_assert!(map.order.len() <= map.len() * 2 + 66);
                let in_line: HashSet<u8> = map.order.iter().copied().collect();
                prop_assert!(map.held.keys().all(|key| in_line.contains(key)));
            }
            let all = map.len();
            prop_assert!(std::iter::from_fn(|| map.evict()).count() == all);
        }
    }
}
