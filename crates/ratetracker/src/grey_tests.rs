use crate::grey::{Grey, Memory};
use ipc::rates::Triplet;
use proptest::prelude::*;
use settings::Greylist;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn greylist(entries: usize) -> Greylist {
    Greylist { delay: at(5 * MINUTE), retry_window: at(2 * DAY), lifetime: at(35 * DAY), auto_allow: 3, entries }
}

fn memory() -> Memory {
    Memory::new(&greylist(1000), at(30 * DAY), 1000)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn triplet(address: &str, sender: &str, recipient: &str) -> Triplet {
    Triplet { address: address.parse().unwrap(), sender: sender.to_owned(), recipient: recipient.to_owned() }
}

#[test]
fn a_new_triplet_waits_and_then_passes() {
    let mut memory = memory();
    let one = triplet("192.0.2.1", "a@x.example", "b@y.example");
    assert_eq!(memory.judge(&one, at(1000)), Grey::Wait(at(300)));
    assert_eq!(memory.judge(&one, at(1100)), Grey::Wait(at(200)), "an early retry does not begin the wait anew");
    // Another host of the network, another spelling.
    assert_eq!(memory.judge(&triplet("192.0.2.99", "A@X.example", "B@y.example"), at(1300)), Grey::Known);
    assert_eq!(memory.judge(&one, at(1301)), Grey::Known);
    for other in [
        triplet("192.0.3.1", "a@x.example", "b@y.example"),
        triplet("192.0.2.1", "", "b@y.example"),
        triplet("192.0.2.1", "a@x.example", "c@y.example"),
        triplet("2001:db8::1", "a@x.example", "b@y.example"),
    ] {
        assert_eq!(memory.judge(&other, at(1301)), Grey::Wait(at(300)), "{other:?}");
    }
}

#[test]
fn a_retry_after_the_window_is_a_new_triplet() {
    let mut memory = memory();
    let one = triplet("192.0.2.1", "a@x.example", "b@y.example");
    memory.judge(&one, at(0));
    assert_eq!(memory.judge(&one, at(2 * DAY + 1)), Grey::Wait(at(300)));
    assert_eq!(memory.judge(&one, at(2 * DAY + 301)), Grey::Known);
}

#[test]
fn what_has_passed_lives_as_long_as_mail_comes() {
    let mut memory = memory();
    let one = triplet("192.0.2.1", "a@x.example", "b@y.example");
    memory.judge(&one, at(0));
    assert_eq!(memory.judge(&one, at(300)), Grey::Known);
    assert_eq!(memory.judge(&one, at(300 + 35 * DAY)), Grey::Known);
    assert_eq!(memory.judge(&one, at(300 + 71 * DAY)), Grey::Wait(at(300)));
}

#[test]
fn a_client_that_has_passed_often_waits_no_more() {
    let mut memory = memory();
    let pass = |memory: &mut Memory, n: u64, now: u64| {
        let one = triplet("192.0.2.1", "a@x.example", &format!("r{n}@y.example"));
        memory.judge(&one, at(now));
        assert_eq!(memory.judge(&one, at(now + 300)), Grey::Known);
    };
    // Three within an hour count once.
    (0..3).for_each(|n| pass(&mut memory, n, 1000 + n * 10));
    assert!(matches!(memory.judge(&triplet("192.0.2.1", "z@z.example", "n@y.example"), at(2000)), Grey::Wait(_)));
    pass(&mut memory, 10, 1000 + HOUR);
    pass(&mut memory, 11, 1000 + 2 * HOUR);
    assert_eq!(memory.judge(&triplet("192.0.2.1", "new@z.example", "n@y.example"), at(3 * HOUR)), Grey::Known);
    assert!(matches!(memory.judge(&triplet("192.0.3.1", "new@z.example", "n@y.example"), at(3 * HOUR)), Grey::Wait(_)));
    assert!(matches!(memory.judge(&triplet("192.0.2.1", "new@z.example", "n@y.example"), at(40 * DAY)), Grey::Wait(_)));
}

#[test]
fn mail_of_a_list_is_one_triplet() {
    let mut memory = memory();
    memory.judge(&triplet("192.0.2.1", "bounce-1@l.example", "b@y.example"), at(0));
    assert_eq!(memory.judge(&triplet("192.0.2.1", "bounce-2@l.example", "b@y.example"), at(300)), Grey::Known);
}

#[test]
fn who_waits_leaves_before_who_has_passed() {
    let mut memory = Memory::new(&greylist(100), at(DAY), 10);
    let one = |n: u32| triplet(&format!("10.{}.{}.1", n / 256, n % 256), "a@x.example", "b@y.example");
    for n in 0..60 {
        memory.judge(&one(n), at(0));
        assert_eq!(memory.judge(&one(n), at(300)), Grey::Known);
    }
    for n in 100..5000 {
        memory.judge(&one(n), at(400));
        assert!(memory.waiting.len() + memory.passed.len() <= 100);
    }
    assert!((0..60).all(|n| memory.judge(&one(n), at(500)) == Grey::Known));
}

#[test]
fn a_client_is_known_for_a_while_after_first_contact() {
    let mut memory = memory();
    let (address, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    assert!(!memory.visit(address, at(0)));
    memory.meet(address, at(0));
    assert!(memory.visit(address, at(30 * DAY)) && memory.visit(address, at(60 * DAY)), "each visit begins the time anew");
    assert!(!memory.visit(other, at(0)));
    assert!(!memory.visit(address, at(91 * DAY)));
    memory.expire(at(91 * DAY));
    assert_eq!(memory.met.len(), 0);
}

proptest! {
    #[test]
    fn bounded_and_never_early(
        steps in proptest::collection::vec((0u8..30, 0u8..3, 0u64..4000), 0..300),
    ) {
        let mut memory = Memory::new(&Greylist { auto_allow: 0, ..greylist(10) }, at(DAY), 5);
        let (mut now, mut first) = (0, std::collections::HashMap::new());
        for (network, sender, later) in steps {
            now += later;
            let one = triplet(&format!("10.0.{network}.1"), &format!("{}@x.example", ["a", "b", "c"][usize::from(sender)]), "b@y.example");
            let verdict = memory.judge(&one, at(now));
            let since = *first.entry((network, sender)).or_insert(now);
            match verdict {
                Grey::Known => prop_assert!(now - since >= 300),
                Grey::Wait(wait) => prop_assert!(wait > Duration::ZERO && wait <= at(300)),
            }
            prop_assert!(memory.waiting.len() + memory.passed.len() <= 11);
        }
    }
}
