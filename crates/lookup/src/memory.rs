//! What is remembered of the answers of one table.

use settings::Table;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Answers kept at least, whatever `[[table]] cache` says: decisions that wait are made again with them.
const LEAST: usize = 2000;
/// How long it is believed that there is trouble: a dead server is not asked by each message.
const TROUBLE: Duration = Duration::from_secs(1);
/// Bytes that count as one answer.
const ANSWER: usize = 1024;

/// What a table said: its values, that the key is not there, or why there is no answer.
pub(crate) type Said = Result<Option<Vec<String>>, String>;

#[derive(Debug)]
struct Known {
    at: Instant,
    /// At most, by its source.
    ttl: Duration,
    said: Said,
}

/// Two generations: when the younger is full it becomes the older, and the older is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    young: HashMap<Box<str>, Known>,
    old: HashMap<Box<str>, Known>,
    /// Of the younger, in answers.
    weight: usize,
}

impl Memory {
    /// What is known of a key and may still be believed: anything that came after `began`, else what is young enough.
    pub fn find(&mut self, table: &Table, key: &str, began: Instant, now: Instant) -> Option<&Said> {
        if let Some((key, known)) = self.old.remove_entry(key) {
            self.put(table, key, known);
        }
        let known = self.young.get(key)?;
        let stays = match &known.said {
            Ok(Some(_)) => table.ttl,
            Ok(None) => table.negative_ttl,
            Err(_) => TROUBLE,
        };
        let stays = if table.cache == 0 && known.said.is_ok() { Duration::ZERO } else { stays };
        (known.at >= began || now.saturating_duration_since(known.at) < stays.min(known.ttl)).then_some(&known.said)
    }

    /// `ttl`: for how long it holds, where its source says so.
    pub fn learn(&mut self, table: &Table, key: Box<str>, said: Said, ttl: Option<Duration>, now: Instant) {
        self.old.remove(&key);
        self.put(table, key, Known { at: now, ttl: ttl.unwrap_or(Duration::MAX), said });
    }

    fn put(&mut self, table: &Table, key: Box<str>, known: Known) {
        let text = match &known.said {
            Ok(values) => values.iter().flatten().map(String::len).sum(),
            Err(reason) => reason.len(),
        };
        let weight = 1 + (key.len() + text) / ANSWER;
        if self.weight + weight > table.cache.max(LEAST) / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, known);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table(cache: usize) -> Table {
        let text = format!(
            "paths.postoffice = \"/x\"\nidentity.hostname = \"m.example\"\n[[table]]\nname = \"t\"\nkind = \"tcp\"\nservers = [\"127.0.0.1:1\"]\ncache = {cache}\n"
        );
        settings::parse(&text, "t").unwrap().tables.remove(0)
    }

    #[test]
    fn answers_are_believed_for_their_time_and_by_whom_they_came_after() {
        let (table, began) = (table(10), Instant::now());
        let mut memory = Memory::default();
        let after = |seconds| began + Duration::from_secs(seconds);
        memory.learn(&table, "a".into(), Ok(Some(vec!["x".into()])), None, began);
        memory.learn(&table, "b".into(), Ok(None), None, began);
        memory.learn(&table, "c".into(), Err("down".into()), None, began);
        memory.learn(&table, "short".into(), Ok(Some(vec!["x".into()])), Some(Duration::from_secs(5)), began);
        memory.learn(&table, "long".into(), Ok(None), Some(Duration::from_secs(100)), began);
        memory.learn(&table, "over".into(), Ok(None), Some(Duration::ZERO), began);
        let mut known = |key: &str, since, now| memory.find(&table, key, since, now).is_some();
        assert!(known("a", after(59), after(59)) && !known("a", after(60), after(60)));
        assert!(known("b", after(9), after(9)) && !known("b", after(10), after(10)));
        assert!(known("c", after(0), after(5)) && !known("c", after(1), after(1)));
        assert!(known("short", after(4), after(4)) && !known("short", after(5), after(5)), "the record's TTL is less than the table's");
        assert!(known("long", after(9), after(9)) && !known("long", after(10), after(10)), "and it makes that no longer");
        assert!(!known("over", after(1), after(1)) && known("over", began, after(1)));
        assert!(known("a", began, after(1000)), "it came after that decision began");
        assert!(!known("d", began, began));
    }

    #[test]
    fn there_are_never_more_than_the_bound() {
        let (table, now) = (table(3000), Instant::now());
        let mut memory = Memory::default();
        for n in 0..10_000 {
            memory.learn(&table, n.to_string().into(), Ok(None), None, now);
            // Asked for again and again, it stays.
            assert!(memory.find(&table, "0", now, now).is_some());
        }
        assert!(memory.len() <= 3001, "{}", memory.len());
        for n in 0..100 {
            memory.learn(&table, n.to_string().into(), Ok(Some(vec!["x".repeat(60_000)])), None, now);
        }
        assert!(memory.len() <= 3001);
        assert!(memory.weight <= 1500);
    }

    #[test]
    fn without_a_cache_only_the_decision_that_asked_uses_an_answer() {
        let (table, began) = (table(0), Instant::now());
        let mut memory = Memory::default();
        memory.learn(&table, "a".into(), Ok(None), None, began);
        assert!(memory.find(&table, "a", began, began).is_some());
        let later = began + Duration::from_millis(1);
        assert!(memory.find(&table, "a", later, later).is_none());
    }
}
