//! A table by network, found by the longest prefix.

use settings::Network;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4-mapped addresses are IPv4.
#[derive(Debug, Clone)]
pub struct Networks<T> {
    entries: HashMap<(IpAddr, u8), T>,
    /// Lengths that occur, longest first.
    v4: Vec<u8>,
    v6: Vec<u8>,
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), v4: Vec::new(), v6: Vec::new() }
    }
}

impl<T: Default> Networks<T> {
    /// The entry of a network, made where there is none.
    pub fn entry(&mut self, network: Network) -> &mut T {
        let lengths = if network.address.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        if let Err(place) = lengths.binary_search_by(|length| network.prefix.cmp(length)) {
            lengths.insert(place, network.prefix);
        }
        self.entries.entry((first(network.address, network.prefix), network.prefix)).or_default()
    }
}

impl<T> Networks<T> {
    /// The entries of all networks that an address is in, with their prefix lengths, the smallest network first.
    pub fn matching(&self, address: IpAddr) -> impl Iterator<Item = (u8, &T)> {
        let address = address.to_canonical();
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().filter_map(move |length| self.entries.get(&(first(address, *length), *length)).map(|entry| (*length, entry)))
    }
}

/// The first address of the block of this length that `address` is in.
pub fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
        }
    }
}
