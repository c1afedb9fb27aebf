//! The longest key, against a search through all of them.

use super::*;
use crate::networks::Networks;
use crate::rule::{covers, domain_keys, mailbox_keys};
use proptest::prelude::*;
use settings::Network;

fn network() -> impl Strategy<Value = Network> {
    let v4 = (any::<u32>(), 0_u8..=32).prop_map(|(bits, prefix)| (IpAddr::V4((bits & 0x0f0f_000f).into()), prefix));
    let v6 = (any::<u128>(), 0_u8..=128).prop_map(|(bits, prefix)| (IpAddr::V6((bits & 0x2003_0000_ffff).into()), prefix));
    prop_oneof![v4, v6].prop_map(|(address, prefix)| Network { address: crate::networks::first(address, prefix), prefix })
}

proptest! {
    #[test]
    fn the_longest_prefix_wins(networks in prop::collection::vec(network(), 0..40), probe in network()) {
        let mut table: Networks<Vec<usize>> = Networks::default();
        for (number, network) in networks.iter().enumerate() {
            table.entry(*network).push(number);
        }
        let found = table.matching(probe.address).next().and_then(|(_, numbers)| numbers.first().copied());
        let canonical = probe.address.to_canonical();
        let mut best: Option<(u8, usize)> = None;
        for (number, network) in networks.iter().enumerate() {
            if network.address.is_ipv4() == canonical.is_ipv4() && network.contains(canonical) && best.is_none_or(|(length, _)| network.prefix > length) {
                best = Some((network.prefix, number));
            }
        }
        prop_assert_eq!(found, best.map(|(_, number)| number));
    }

    #[test]
    fn the_longest_suffix_wins(patterns in prop::collection::vec("\\.?[ab](\\.[ab]){0,3}", 1..20), name in "[ab](\\.[ab]){0,4}") {
        let found = domain_keys(&name).find(|key| patterns.iter().any(|pattern| pattern == key));
        let best = patterns.iter().filter(|pattern| covers(pattern, &name)).max_by_key(|pattern| (pattern.len() + usize::from(!pattern.starts_with('.')) * 1000, pattern.len()));
        prop_assert_eq!(found, best.map(String::as_str));
    }

    #[test]
    fn keys_of_any_text(text in ".{0,40}") {
        for key in mailbox_keys(&text).chain(domain_keys(&text)) {
            prop_assert!(!key.is_empty());
        }
    }
}

#[test]
fn keys_of_an_address() {
    let keys: Vec<&str> = mailbox_keys("u@a.b.example").collect();
    assert_eq!(keys, ["u@a.b.example", "a.b.example", ".b.example", ".example", "u@"]);
    assert_eq!(mailbox_keys("<>").collect::<Vec<_>>(), ["<>"]);
    assert_eq!(domain_keys("[192.0.2.1]").collect::<Vec<_>>(), ["[192.0.2.1]"]);
}

#[test]
fn of_equal_keys_the_first_whose_conditions_hold() {
    let rules = "[[access]]\nsender = [\"sender.example\"]\nclient = [\"203.0.113.0/24\"]\nrefuse = \"first\"\n\
                 [[access]]\nsender = [\"sender.example\"]\nrefuse = \"second\"\n[[access]]\nsender = [\"sender.example\"]\nrefuse = \"third\"\n";
    assert_eq!(stranger(rules), "550 5.7.1 second (rule z:12)");
}

#[test]
fn the_longer_key_hides_the_shorter() {
    let rules =
        "[[access]]\nclient = [\"198.51.100.0/24\"]\nrefuse = \"no\"\n[[access]]\nclient = [\"198.51.100.7\"]\nwarn = \"a friend\"\n";
    let policy = policy(rules);
    let mut client = Client::new(&policy, kind);
    assert_eq!(say(&client.connect()), "ok");
    assert_eq!(client.session.take_log().first().map(|cause| cause.detail.clone()).unwrap(), "a friend");
}
