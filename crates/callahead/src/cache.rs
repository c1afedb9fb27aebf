//! What next hops have said. Time is passed in.

use ipc::callahead::Verdict;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Who was asked about whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Channel and host of the next hop.
    pub hop: crate::hop::Name,
    pub recipient: String,
}

/// What was said, and for how long it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// From here on it is asked for anew while it still holds.
    pub refresh_at: Instant,
    pub ends: Instant,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    used: bool,
}

/// What is known of a recipient.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    pub verdict: Verdict,
    pub refresh: bool,
}

/// Bounded: when full, what was not asked for since it was last considered goes first.
#[derive(Debug)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    /// Every key once.
    order: VecDeque<Key>,
    most: usize,
}

impl Cache {
    pub fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), most }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.shrink();
    }

    pub fn find(&mut self, key: &Key, now: Instant) -> Option<Known> {
        let entry = self.entries.get_mut(key).filter(|entry| now < entry.answer.ends)?;
        entry.used = true;
        Some(Known { verdict: entry.answer.verdict.clone(), refresh: entry.answer.refresh_at <= now })
    }

    /// Keeps a verdict for `ttl`. One that says nothing does not replace one that still holds.
    pub fn insert(&mut self, key: Key, verdict: Verdict, ttl: Duration, now: Instant) {
        let silent = matches!(verdict, Verdict::Unknown(_));
        if silent && let Some(entry) = self.entries.get_mut(&key).filter(|entry| now < entry.answer.ends) {
            // Asked for anew again, but not with every question.
            entry.answer.refresh_at = now + ttl;
            return;
        }
        let refresh_at = now + if matches!(verdict, Verdict::Taken) { ttl / 2 } else { ttl };
        self.put(key, Answer { verdict, refresh_at, ends: now + ttl });
    }

    /// Puts an answer in as it is.
    pub fn put(&mut self, key: Key, answer: Answer) {
        if self.entries.insert(key.clone(), Entry { answer, used: false }).is_none() {
            self.order.push_back(key);
        }
        self.shrink();
    }

    pub fn answer(&self, key: &Key) -> Option<&Answer> {
        self.entries.get(key).map(|entry| &entry.answer)
    }

    /// All, what came last at the end.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = (&Key, &Answer)> {
        self.order.iter().filter_map(|key| self.entries.get(key).map(|entry| (key, &entry.answer)))
    }

    fn shrink(&mut self) {
        while self.entries.len() > self.most {
            let Some(key) = self.order.pop_front() else { return };
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(key);
                }
                _ => drop(self.entries.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use status::{Enhanced, Reply};

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(recipient: &str) -> Key {
        Key { hop: crate::hop::Name { channel: "smtp".into(), host: "h".into() }, recipient: recipient.into() }
    }

    fn known(verdict: Verdict, refresh: bool) -> Option<Known> {
        Some(Known { verdict, refresh })
    }

    #[test]
    fn an_answer_is_refreshed_while_it_holds_and_then_gone() {
        let (mut cache, now) = (Cache::new(10), Instant::now());
        cache.insert(key("a"), Verdict::Taken, HOUR * 2, now);
        assert_eq!(cache.find(&key("a"), now + HOUR / 2), known(Verdict::Taken, false));
        assert_eq!(cache.find(&key("a"), now + HOUR), known(Verdict::Taken, true));
        assert_eq!(cache.find(&key("a"), now + HOUR * 2), None);
        assert_eq!(cache.find(&key("b"), now), None);
    }

    #[test]
    fn silence_does_not_replace_an_answer() {
        let (mut cache, now) = (Cache::new(10), Instant::now());
        cache.insert(key("a"), Verdict::Taken, HOUR * 2, now);
        cache.insert(key("a"), Verdict::Unknown("down".into()), HOUR / 60, now + HOUR);
        assert_eq!(cache.find(&key("a"), now + HOUR), known(Verdict::Taken, false));
        assert_eq!(cache.find(&key("a"), now + HOUR + HOUR / 60), known(Verdict::Taken, true));
        let refused = Verdict::Refused(Reply::new(550, Enhanced::permanent(1, 1), "no"));
        cache.insert(key("a"), refused.clone(), HOUR, now + HOUR);
        assert_eq!(cache.find(&key("a"), now + HOUR), known(refused, false));
    }

    #[test]
    fn never_larger_than_allowed_and_what_is_used_stays() {
        let (mut cache, now) = (Cache::new(100), Instant::now());
        for n in 0..1000 {
            cache.insert(key(&n.to_string()), Verdict::Taken, HOUR, now);
            cache.find(&key("0"), now);
            assert!(cache.len() <= 100 && cache.order.len() == cache.len());
        }
        assert!(cache.find(&key("0"), now).is_some() && cache.find(&key("1"), now).is_none());
    }
}
