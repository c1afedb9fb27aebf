//! Networks: `network value` a line; of those that an address is in, the smallest answers.

use crate::lines::SyntaxFault;
use crate::pairs::read_pairs;
use settings::Network;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// A file of networks.
#[derive(Debug, Default)]
pub struct Networks {
    networks: HashMap<Network, (usize, String)>,
    /// Those that occur: whether of IPv6, and the prefix.
    lengths: BTreeSet<(bool, u8)>,
}

impl Networks {
    /// The first line of a network counts.
    pub fn read(text: &str) -> Result<Self, SyntaxFault> {
        let mut all = Self::default();
        for pair in read_pairs(text.as_bytes()) {
            let (line, network, value) = pair?;
            let network: Network = network.parse().map_err(|reason| SyntaxFault { line, reason })?;
            all.lengths.insert((network.address.is_ipv6(), network.prefix));
            if let Entry::Vacant(place) = all.networks.entry(network) {
                place.insert((line, value));
            }
        }
        Ok(all)
    }

    pub fn len(&self) -> usize {
        self.networks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Line and value. `key`: an address, also as a literal; anything else is in no network.
    pub fn find(&self, key: &str) -> Option<(usize, &str)> {
        let address = address::literal_address(key).or_else(|| key.parse().ok())?.to_canonical();
        let of_this = self.lengths.range((address.is_ipv6(), 0)..=(address.is_ipv6(), u8::MAX));
        let found = of_this.rev().find_map(|(_, prefix)| self.networks.get(&network(address, *prefix)));
        found.map(|(line, value)| (*line, value.as_str()))
    }
}

/// The block of this size that an address is in.
fn network(address: IpAddr, prefix: u8) -> Network {
    let bits = u32::from(prefix);
    let address = match address {
        IpAddr::V4(a) => IpAddr::V4((a.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0)).into()),
        IpAddr::V6(a) => IpAddr::V6((a.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0)).into()),
    };
    Network { address, prefix }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_network_answers_wherever_it_stands() {
        let table =
            Networks::read("# c\n10.0.0.0/8 ours\n10.1.0.0/16 lab\n0.0.0.0/0 any\n2001:db8::/32: v6\n::1 me\n10.1.0.0/16 again\n").unwrap();
        for (key, value) in [
            ("10.1.2.3", Some((3, "lab"))),
            ("::ffff:10.1.2.3", Some((3, "lab"))),
            ("[10.2.2.3]", Some((2, "ours"))),
            ("192.0.2.1", Some((4, "any"))),
            ("[IPv6:2001:db8::5]", Some((5, "v6"))),
            ("::1", Some((6, "me"))),
            ("::2", None),
            ("host.example.org", None),
            ("", None),
        ] {
            assert_eq!(table.find(key), value, "{key}");
        }
        for text in ["10.0.0.1/8 x\n", "x y\n", "10.0.0.0/40 x\n"] {
            assert_eq!(Networks::read(text).unwrap_err().line, 1);
        }
    }

    proptest! {
        #[test]
        fn as_a_search_through_all_would(
            networks in prop::collection::vec((0_u32..16, 28_u8..=32), 0..20),
            sixes in prop::collection::vec((0_u128..16, 124_u8..=128), 0..20),
            key in 0_u32..16,
        ) {
            let four = networks.iter().map(|(bits, prefix)| network(IpAddr::V4((*bits).into()), *prefix));
            let six = sixes.iter().map(|(bits, prefix)| network(IpAddr::V6((*bits).into()), *prefix));
            let all: Vec<Network> = four.chain(six).collect();
            let text: String = all.iter().map(|network| format!("{}/{} {network}\n", network.address, network.prefix)).collect();
            let table = Networks::read(&text).unwrap();
            for key in [IpAddr::V4(key.into()), IpAddr::V6(u128::from(key).into())] {
                let wanted = all.iter().filter(|network| network.contains(key)).max_by_key(|network| network.prefix);
                let found = table.find(&key.to_string()).map(|(_, value)| value.to_owned());
                prop_assert_eq!(found, wanted.map(ToString::to_string));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "([0-9a-f.:/]{0,12} ?[a-z]{0,3}\n){0,5}", any in any::<String>(), key in "[0-9.:\\[\\]IPv]{0,12}") {
            for text in [text, any] {
                if let Ok(table) = Networks::read(&text) {
                    let _ = table.find(&key);
                }
            }
        }
    }
}
