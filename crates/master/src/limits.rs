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

/// What a connection counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// `None`: a local socket or a load balancer, which only the total limits.
    pub address: Option<IpAddr>,
    /// See [`settings::Settings::is_stranger`].
    pub stranger: bool,
}

/// What holds for strangers now.
#[derive(Debug, Clone, Copy)]
pub struct Pressure {
    /// Most of them.
    pub strangers: u32,
    /// Overload, 0 to 3. From 2 an address and a network may have a quarter of what they may have else.
    pub level: u8,
}

/// Open connections. Its size is bounded by them.
#[derive(Debug, Default)]
pub struct Table {
    total: u32,
    strangers: u32,
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
    /// Judges a new connection.
    pub fn judge(&self, new: Counted, limits: &settings::Connections, pressure: Pressure) -> Verdict {
        let counts = new
            .address
            .map(folded)
            .map_or((0, 0), |a| (self.addresses.get(&a).copied().unwrap_or(0), self.networks.get(&network(a)).copied().unwrap_or(0)));
        let scarce = |limit: u32| if new.stranger && pressure.level >= 2 { (limit / 4).max(1) } else { limit };
        let (taken, places) = if new.stranger { (self.taken(limits.reserve), pressure.strangers) } else { (self.total, limits.total) };
        let met = [
            (Limit::Total, taken, places, "Too many connections, try again later"),
            (Limit::Address, counts.0, scarce(limits.per_address), "Too many connections from your address, try again later"),
            (Limit::Network, counts.1, scarce(limits.per_network), "Too many connections from your network, try again later"),
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
    pub fn add(&mut self, counted: Counted) {
        self.total = self.total.saturating_add(1);
        self.strangers = self.strangers.saturating_add(u32::from(counted.stranger));
        if let Some(address) = counted.address.map(folded) {
            *self.addresses.entry(address).or_default() += 1;
            *self.networks.entry(network(address)).or_default() += 1;
        }
    }

    /// A counted connection has ended.
    pub fn remove(&mut self, counted: Counted) {
        self.total = self.total.saturating_sub(1);
        self.strangers = self.strangers.saturating_sub(u32::from(counted.stranger));
        if let Some(address) = counted.address.map(folded) {
            release(&mut self.addresses, address);
            release(&mut self.networks, network(address));
        }
    }

    pub fn total(&self) -> u32 {
        self.total
    }

    pub fn strangers(&self) -> u32 {
        self.strangers
    }

    /// Places that strangers cannot have any more: their own, and what others take beyond the reserve.
    pub fn taken(&self, reserve: u32) -> u32 {
        self.strangers.max(self.total.saturating_sub(reserve))
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

    const CALM: Pressure = Pressure { strangers: 1000, level: 0 };

    fn from(text: &str) -> Counted {
        Counted { address: Some(text.parse().unwrap()), stranger: true }
    }

    #[test]
    fn an_address_past_its_limit_is_told_and_then_cut() {
        let (mut table, limits) = (Table::default(), limits(1000, 2, 1000));
        let mut told = Vec::new();
        for _ in 0..9 {
            told.push(table.judge(from("10.0.0.1"), &limits, CALM));
            table.add(from("10.0.0.1"));
        }
        assert!(matches!(
            told.as_slice(),
            [Verdict::Admit, Verdict::Admit, Verdict::Refuse(Limit::Address, _), .., Verdict::Close(Limit::Address)]
        ));
        assert_eq!(table.judge(from("::ffff:10.0.0.1"), &limits, CALM), Verdict::Close(Limit::Address));
        assert_eq!(table.judge(from("10.0.0.2"), &limits, CALM), Verdict::Admit);
    }

    #[test]
    fn networks_count_together() {
        let (mut table, limits) = (Table::default(), limits(1000, 100, 2));
        table.add(from("2001:db8::1"));
        table.add(from("2001:db8::2"));
        assert!(matches!(table.judge(from("2001:db8::3"), &limits, CALM), Verdict::Refuse(Limit::Network, _)));
        assert_eq!(table.judge(from("2001:db8:0:1::3"), &limits, CALM), Verdict::Admit);
        table.remove(from("2001:db8::1"));
        assert_eq!(table.judge(from("2001:db8::3"), &limits, CALM), Verdict::Admit);
    }

    #[test]
    fn strangers_leave_the_reserve_to_others() {
        let (mut table, limits) = (Table::default(), limits(10, 100, 100));
        let pressure = Pressure { strangers: 8, level: 0 };
        for _ in 0..8 {
            assert_eq!(table.judge(from("10.0.0.1"), &limits, pressure), Verdict::Admit);
            table.add(from("10.0.0.1"));
        }
        assert!(matches!(table.judge(from("10.0.1.1"), &limits, pressure), Verdict::Refuse(Limit::Total, _)));
        let friend = Counted { stranger: false, ..from("10.0.1.1") };
        assert_eq!(table.judge(friend, &limits, pressure), Verdict::Admit);
        table.add(friend);
        table.add(friend);
        assert!(matches!(table.judge(friend, &limits, pressure), Verdict::Refuse(Limit::Total, _)));
    }

    #[test]
    fn under_overload_strangers_may_have_less() {
        let (mut table, limits) = (Table::default(), limits(100, 8, 100));
        for _ in 0..2 {
            table.add(from("10.0.0.1"));
        }
        let loaded = Pressure { strangers: 50, level: 2 };
        assert!(matches!(table.judge(from("10.0.0.1"), &limits, loaded), Verdict::Refuse(Limit::Address, _)));
        assert_eq!(table.judge(Counted { stranger: false, ..from("10.0.0.1") }, &limits, loaded), Verdict::Admit);
    }

    proptest! {
        #[test]
        fn what_came_and_went_leaves_nothing(clients in proptest::collection::vec(any::<([u8; 4], bool)>(), 0..50)) {
            let mut table = Table::default();
            let clients: Vec<Counted> =
                clients.into_iter().map(|(a, stranger)| Counted { address: Some(IpAddr::from(a)), stranger }).collect();
            for client in &clients {
                table.add(*client);
            }
            for client in &clients {
                table.remove(*client);
            }
            prop_assert_eq!((table.total, table.strangers, table.addresses.len(), table.networks.len()), (0, 0, 0, 0));
        }
    }
}
