//! How many connections an address, a network and all together may have at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Past this many times a limit a connection is closed without a word: the 421 itself has a price.
const SILENT_FACTOR: u32 = 4;

/// What becomes of a new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Admit,
    /// Goes to a worker that answers 421 with this text.
    Refuse(Limit, &'static str),
    /// Closed at once.
    Close(Limit),
}

/// The limit that was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Total,
    Address,
    Network,
}

/// Open connections. Its size is bounded by them.
#[derive(Debug, Default)]
pub struct Table {
    total: u32,
    addresses: HashMap<IpAddr, u32>,
    networks: HashMap<IpAddr, u32>,
}

/// An IPv4 address that came in IPv6 clothes counts as itself.
pub fn folded(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// The first address of the network: IPv4 /24, IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

impl Table {
    /// Judges a connection from `address` (`None`: a local socket, which only the total limits).
    pub fn judge(&self, address: Option<IpAddr>, limits: &settings::Connections) -> Verdict {
        let counts = address
            .map(folded)
            .map_or((0, 0), |a| (self.addresses.get(&a).copied().unwrap_or(0), self.networks.get(&network(a)).copied().unwrap_or(0)));
        let met = [
            (Limit::Total, self.total, limits.total, "Too many connections, try again later"),
            (Limit::Address, counts.0, limits.per_address, "Too many connections from your address, try again later"),
            (Limit::Network, counts.1, limits.per_network, "Too many connections from your network, try again later"),
        ];
        let mut verdict = Verdict::Admit;
        for (which, count, limit, text) in met {
            if count >= limit.saturating_mul(SILENT_FACTOR) {
                return Verdict::Close(which);
            }
            if count >= limit && verdict == Verdict::Admit {
                verdict = Verdict::Refuse(which, text);
            }
        }
        verdict
    }

    /// Counts a connection, refused ones too: they hold a socket until they are gone.
    pub fn add(&mut self, address: Option<IpAddr>) {
        self.total = self.total.saturating_add(1);
        if let Some(address) = address.map(folded) {
            *self.addresses.entry(address).or_default() += 1;
            *self.networks.entry(network(address)).or_default() += 1;
        }
    }

    /// A counted connection has ended.
    pub fn remove(&mut self, address: Option<IpAddr>) {
        self.total = self.total.saturating_sub(1);
        if let Some(address) = address.map(folded) {
            release(&mut self.addresses, address);
            release(&mut self.networks, network(address));
        }
    }

    pub fn total(&self) -> u32 {
        self.total
    }
}

fn release(counts: &mut HashMap<IpAddr, u32>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(total: u32, per_address: u32, per_network: u32) -> settings::Connections {
        settings::Connections { total, per_address, per_network, reserve: 0 }
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_past_its_limit_is_told_and_then_cut() {
        let (mut table, limits) = (Table::default(), limits(1000, 2, 1000));
        let mut told = Vec::new();
        for _ in 0..9 {
            told.push(table.judge(address("10.0.0.1"), &limits));
            table.add(address("10.0.0.1"));
        }
        assert!(matches!(
            told.as_slice(),
            [Verdict::Admit, Verdict::Admit, Verdict::Refuse(Limit::Address, _), .., Verdict::Close(Limit::Address)]
        ));
        assert_eq!(table.judge(address("::ffff:10.0.0.1"), &limits), Verdict::Close(Limit::Address));
        assert_eq!(table.judge(address("10.0.0.2"), &limits), Verdict::Admit);
    }

    #[test]
    fn networks_count_together() {
        let (mut table, limits) = (Table::default(), limits(1000, 100, 2));
        table.add(address("2001:db8::1"));
        table.add(address("2001:db8::2"));
        assert!(matches!(table.judge(address("2001:db8::3"), &limits), Verdict::Refuse(Limit::Network, _)));
        assert_eq!(table.judge(address("2001:db8:0:1::3"), &limits), Verdict::Admit);
        table.remove(address("2001:db8::1"));
        assert_eq!(table.judge(address("2001:db8::3"), &limits), Verdict::Admit);
    }

    proptest! {
        #[test]
        fn what_came_and_went_leaves_nothing(addresses in proptest::collection::vec(any::<[u8; 4]>(), 0..50)) {
            let mut table = Table::default();
            for a in &addresses {
                table.add(Some(IpAddr::from(*a)));
            }
            for a in &addresses {
                table.remove(Some(IpAddr::from(*a)));
            }
            prop_assert_eq!((table.total, table.addresses.len(), table.networks.len()), (0, 0, 0));
        }
    }
}
