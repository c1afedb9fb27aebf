//! Counts of addresses and networks in a sliding window. Time is passed in.

use ipc::rates::Kind;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const KINDS: usize = 6;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Address(IpAddr),
    Network(IpAddr),
}

impl Key {
    /// IPv4-mapped IPv6 is IPv4; an IPv6 client is its /64.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(prefix64(v6)),
        })
    }

    pub fn network(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & 0xffff_ff00)),
            IpAddr::V6(v6) => IpAddr::V6(prefix64(v6)),
        })
    }
}

fn prefix64(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))
}

/// Counters of all keys; bounded.
#[derive(Debug)]
pub struct Table {
    entries: HashMap<Key, Entry>,
    /// Every key once; the front is considered for eviction next.
    order: VecDeque<Key>,
    most: usize,
    slots: usize,
    slot: Duration,
    pub evicted: u64,
}

#[derive(Debug)]
struct Entry {
    /// For each kind `slots` counts, a ring by slot number.
    counts: Box<[u32]>,
    /// The number of the slot counted in last.
    last: u64,
    /// Counted again since it was last considered for eviction.
    used: bool,
}

impl Table {
    /// `most`: keys; the window is cut into `slots`.
    pub fn new(window: Duration, slots: u32, most: usize) -> Self {
        let slots = slots.clamp(1, 1024);
        let slot = (window / slots).max(Duration::from_millis(1));
        Self { entries: HashMap::new(), order: VecDeque::new(), most: most.max(1), slots: slots as usize, slot, evicted: 0 }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds to a key's count and gives its sum over the window. `now`: since any fixed moment.
    pub fn add(&mut self, key: Key, kind: Kind, count: u32, now: Duration) -> u64 {
        let (slots, number) = (self.slots, self.slot_number(now));
        let entry = self.entry(key, number);
        entry.advance(number, slots);
        let ring = entry.ring(kind, slots);
        // A window has slots, so the remainder is in the ring.
        if let Some(place) = ring.get_mut((number % slots as u64) as usize) {
            *place = place.saturating_add(count);
        }
        ring.iter().map(|n| u64::from(*n)).sum()
    }

    /// A key's sum over the window.
    pub fn sum(&mut self, key: Key, kind: Kind, now: Duration) -> u64 {
        let (slots, number) = (self.slots, self.slot_number(now));
        let Some(entry) = self.entries.get_mut(&key) else { return 0 };
        entry.advance(number, slots);
        entry.ring(kind, slots).iter().map(|n| u64::from(*n)).sum()
    }

    fn slot_number(&self, now: Duration) -> u64 {
        u64::try_from(now.as_millis() / self.slot.as_millis().max(1)).unwrap_or(u64::MAX)
    }

    fn entry(&mut self, key: Key, number: u64) -> &mut Entry {
        let known = self.entries.contains_key(&key);
        if !known {
            while self.entries.len() >= self.most {
                self.evict();
            }
            self.order.push_back(key);
        }
        let size = KINDS * self.slots;
        let entry = self.entries.entry(key).or_insert_with(|| Entry { counts: vec![0; size].into(), last: number, used: false });
        entry.used = known;
        entry
    }

    /// Second chance: who was counted since its last turn goes to the end of the line.
    fn evict(&mut self) {
        while let Some(key) = self.order.pop_front() {
            match self.entries.get_mut(&key) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(key);
                }
                _ => {
                    self.entries.remove(&key);
                    self.evicted += 1;
                    return;
                }
            }
        }
        // Cannot be: every key is in line. Should it ever, empty is still bounded.
        self.entries.clear();
    }
}

impl Entry {
    /// Empties the slots that have passed since the last count. Time that went back stays in the last slot.
    fn advance(&mut self, number: u64, slots: usize) {
        let passed = number.saturating_sub(self.last).min(slots as u64);
        for ring in self.counts.chunks_mut(slots) {
            for step in 1..=passed {
                let at = (self.last.wrapping_add(step) % slots as u64) as usize;
                if let Some(place) = ring.get_mut(at) {
                    *place = 0;
                }
            }
        }
        // After a long silence every slot is emptied whatever its number.
        if number.saturating_sub(self.last) > slots as u64 {
            self.counts.fill(0);
        }
        self.last = self.last.max(number);
    }

    fn ring(&mut self, kind: Kind, slots: usize) -> &mut [u32] {
        let begin = match kind {
            Kind::Connection => 0,
            Kind::Message => 1,
            Kind::Recipient => 2,
            Kind::FailedAuthentication => 3,
            Kind::Abort => 4,
            Kind::Excess => 5,
        } * slots;
        self.counts.get_mut(begin..begin + slots).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn key(n: u32) -> Key {
        Key::Address(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn counts_leave_the_window_by_slots() {
        let mut table = Table::new(seconds(80), 8, 10);
        assert_eq!(table.add(key(1), Kind::Message, 3, seconds(0)), 3);
        assert_eq!(table.add(key(1), Kind::Message, 2, seconds(45)), 5);
        assert_eq!(table.sum(key(1), Kind::Message, seconds(79)), 5);
        assert_eq!(table.sum(key(1), Kind::Message, seconds(80)), 2);
        assert_eq!(table.sum(key(1), Kind::Message, seconds(119)), 2);
        assert_eq!(table.sum(key(1), Kind::Message, seconds(120)), 0);
        assert_eq!(table.sum(key(1), Kind::Recipient, seconds(0)), 0);
        assert_eq!(table.add(key(1), Kind::Message, 1, seconds(1_000_000)), 1);
    }

    #[test]
    fn counts_do_not_overflow() {
        let mut table = Table::new(seconds(80), 8, 10);
        table.add(key(1), Kind::Message, u32::MAX, seconds(0));
        assert_eq!(table.add(key(1), Kind::Message, u32::MAX, seconds(0)), u64::from(u32::MAX));
        assert_eq!(table.add(key(1), Kind::Message, 1, Duration::MAX), 1);
    }

    #[test]
    fn keys_fold() {
        let a = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(Key::address(a("::ffff:192.0.2.7")), Key::address(a("192.0.2.7")));
        assert_ne!(Key::address(a("192.0.2.8")), Key::address(a("192.0.2.7")));
        assert_eq!(Key::network(a("192.0.2.8")), Key::network(a("192.0.2.7")));
        assert_ne!(Key::network(a("192.0.3.8")), Key::network(a("192.0.2.8")));
        assert_eq!(Key::address(a("2001:db8::1")), Key::address(a("2001:db8::2")));
        assert_ne!(Key::address(a("2001:db8::1")), Key::address(a("2001:db8:0:1::1")));
    }

    #[test]
    fn a_sweep_of_addresses_does_not_push_out_who_is_active() {
        let mut table = Table::new(seconds(3600), 8, 100);
        for n in 0..10_000 {
            table.add(key(n), Kind::Connection, 1, seconds(1));
            table.add(key(0), Kind::Connection, 1, seconds(1));
        }
        assert_eq!(table.sum(key(0), Kind::Connection, seconds(1)), 10_001);
        assert_eq!((table.len(), table.evicted), (100, 9_900));
    }

    proptest! {
        #[test]
        fn bounded_and_never_more_than_was_counted(
            most in 1usize..20,
            slots in 0u32..10,
            steps in proptest::collection::vec((0u32..40, 0u32..100, 0u64..50), 0..300),
        ) {
            let mut table = Table::new(seconds(60), slots, most);
            let (mut now, mut total) = (0, 0);
            for (who, count, later) in steps {
                now += later;
                total += u64::from(count);
                let sum = table.add(key(who), Kind::Abort, count, seconds(now));
                prop_assert!(sum >= u64::from(count) && sum <= total);
                prop_assert!(table.len() <= most && table.order.len() == table.len());
            }
            let keys: Vec<Key> = table.entries.keys().copied().collect();
            for key in keys {
                prop_assert_eq!(table.sum(key, Kind::Abort, seconds(now + 61)), 0);
            }
        }
    }
}
