use crate::keys::Key;
use crate::table::Table;
use ipc::rates::Kind;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn key(n: u32) -> Key {
    Key::Address(IpAddr::V4(Ipv4Addr::from(n)))
}

fn table(window: u64, slots: u32, most: usize) -> Table {
    Table::new(seconds(window), slots, most, 1024)
}

#[test]
fn counts_leave_the_window_by_slots() {
    let mut table = table(80, 8, 10);
    assert_eq!(table.add(&key(1), Kind::Message, 3, seconds(0)), 3);
    assert_eq!(table.add(&key(1), Kind::Message, 2, seconds(45)), 5);
    assert_eq!(table.sum(&key(1), Kind::Message, seconds(79)), 5);
    assert_eq!(table.sum(&key(1), Kind::Message, seconds(80)), 2);
    assert_eq!(table.sum(&key(1), Kind::Message, seconds(119)), 2);
    assert_eq!(table.sum(&key(1), Kind::Message, seconds(120)), 0);
    assert_eq!(table.sum(&key(1), Kind::Recipient, seconds(0)), 0);
    assert_eq!(table.add(&key(1), Kind::Message, 1, seconds(1_000_000)), 1);
}

#[test]
fn counts_do_not_overflow() {
    let mut table = table(80, 8, 10);
    table.add(&key(1), Kind::Message, u32::MAX, seconds(0));
    assert_eq!(table.add(&key(1), Kind::Message, u32::MAX, seconds(0)), u64::from(u32::MAX));
    assert_eq!(table.add(&key(1), Kind::Message, 1, Duration::MAX), 1);
}

#[test]
fn a_sweep_of_addresses_does_not_push_out_who_is_active() {
    let mut table = table(3600, 8, 100);
    for n in 0..10_000 {
        table.add(&key(n), Kind::Connection, 1, seconds(1));
        table.add(&key(0), Kind::Connection, 1, seconds(1));
    }
    assert_eq!(table.sum(&key(0), Kind::Connection, seconds(1)), 10_001);
    assert_eq!((table.len(), table.evicted), (100, 9_900));
}

#[test]
fn a_sweep_does_not_make_a_heavy_one_forgotten() {
    let mut table = Table::new(seconds(3600), 8, 100, 4096);
    table.add(&key(0), Kind::Recipient, 5_000, seconds(1));
    for n in 1..20_000 {
        table.add(&key(n), Kind::Connection, 1, seconds(2));
    }
    let estimate = table.sum(&key(0), Kind::Recipient, seconds(3));
    assert!((5_000..5_100).contains(&estimate), "{estimate}");
    // It comes back, leaves and comes back: what was credited is not counted twice.
    for round in 0..5 {
        let sum = table.add(&key(0), Kind::Recipient, 1, seconds(4));
        assert!((5_001 + round..5_200).contains(&sum), "{sum} in round {round}");
        for n in 1..1_000 {
            table.add(&key(n), Kind::Connection, 1, seconds(5));
        }
    }
    assert_eq!(table.sum(&key(0), Kind::Recipient, seconds(3_700)), 0);
    assert_eq!(table.sketched(), 0, "sketches leave with their slots");
}

#[test]
fn who_was_forgotten_begins_anew() {
    let mut table = Table::new(seconds(3600), 8, 100, 4096);
    table.add(&key(0), Kind::Message, 50, seconds(1));
    (1..1_000).for_each(|n| {
        table.add(&key(n), Kind::Connection, 1, seconds(1));
    });
    assert!(table.estimates(&key(0), seconds(1)).is_some_and(|sums| sums.get(1) >= Some(&50)));
    table.forget(&key(0));
    assert_eq!(table.add(&key(0), Kind::Message, 1, seconds(1)), 1);
}

#[test]
fn other_bounds_keep_the_counts() {
    let mut table = Table::new(seconds(3600), 8, 1000, 4096);
    (0..1000).for_each(|n| {
        table.add(&key(n), Kind::Message, 7, seconds(1));
    });
    table.resize(10, 4096);
    assert_eq!(table.len(), 10);
    assert!((0..1000).all(|n| table.sum(&key(n), Kind::Message, seconds(1)) >= 7));
}

proptest! {
    #[test]
    fn never_below_what_was_counted_in_the_window(
        most in 1usize..20,
        slots in 0u32..10,
        width in 1usize..50,
        steps in proptest::collection::vec((0u32..40, 0u32..100, 0u64..20), 0..300),
    ) {
        let mut table = Table::new(seconds(60), slots, most, width);
        let mut all: Vec<(u32, u32, u64)> = Vec::new();
        let mut now = 0;
        for (who, count, later) in steps {
            now += later;
            all.push((who, count, now));
            table.add(&key(who), Kind::Abort, count, seconds(now));
            prop_assert!(table.len() <= most);
        }
        // Slots are whole: what is counted in the window's last slot counts for all of it.
        let slots = u64::from(slots.max(1));
        let slot = |at: u64| at * 1000 / (60_000 / slots);
        let mut exact: HashMap<u32, u64> = HashMap::new();
        let mut total = 0;
        for (who, count, at) in all {
            if slot(now) - slot(at) < slots {
                *exact.entry(who).or_default() += u64::from(count);
                total += u64::from(count);
            }
        }
        for who in 0..40 {
            let sum = table.sum(&key(who), Kind::Abort, seconds(now));
            prop_assert!(sum >= exact.get(&who).copied().unwrap_or(0), "{who}: {sum} of {exact:?}");
            prop_assert!(sum <= total * 2);
        }
        for who in 0..40 {
            prop_assert_eq!(table.sum(&key(who), Kind::Abort, seconds(now + 61)), 0);
        }
    }
}
