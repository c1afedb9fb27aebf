//! Who is counted.

use ipc::rates::Event;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Longest name of a user or domain that is a key; what is longer counts by its beginning.
const LONGEST: usize = 255;

/// An address, a network, a user or a sender's domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Address(IpAddr),
    Network(IpAddr),
    User(Arc<str>),
    Domain(Arc<str>),
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
        Self::Network(network(address))
    }

    pub fn user(name: &str) -> Self {
        Self::User(cut(name).into())
    }

    pub fn domain(name: &str) -> Self {
        Self::Domain(cut(name).into())
    }

    /// Everybody that an event concerns.
    pub fn all(event: &Event) -> impl Iterator<Item = Self> {
        let named = event.user.as_deref().map(Self::user).into_iter().chain(event.domain.as_deref().map(Self::domain));
        [Self::address(event.address), Self::network(event.address)].into_iter().chain(named)
    }

    /// As in `zpost rates`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Network(_) => "network",
            Self::User(_) => "user",
            Self::Domain(_) => "domain",
        }
    }

    /// The key of a kind and its text; `None`: there is none such.
    pub fn parse(kind: &str, text: &str) -> Option<Self> {
        Some(match kind {
            "address" => Self::Address(text.parse().ok()?),
            "network" => Self::network(text.rsplit_once('/')?.0.parse().ok()?),
            "user" => Self::user(text),
            "domain" => Self::domain(text.strip_prefix('@')?),
            _ => return None,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Network(address) => write!(f, "{}", block(*address)),
            Self::User(name) => write!(f, "{name}"),
            Self::Domain(name) => write!(f, "@{name}"),
        }
    }
}

/// IPv4 /24, IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & 0xffff_ff00)),
        IpAddr::V6(v6) => IpAddr::V6(prefix64(v6)),
    }
}

/// A network with its prefix length.
pub fn block(network: IpAddr) -> String {
    format!("{network}/{}", if network.is_ipv4() { 24 } else { 64 })
}

fn prefix64(address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))
}

fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(LONGEST)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_fold() {
        let a = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(Key::address(a("::ffff:192.0.2.7")), Key::address(a("192.0.2.7")));
        assert_ne!(Key::address(a("192.0.2.8")), Key::address(a("192.0.2.7")));
        assert_eq!(Key::network(a("192.0.2.8")), Key::network(a("192.0.2.7")));
        assert_ne!(Key::network(a("192.0.3.8")), Key::network(a("192.0.2.8")));
        assert_eq!(Key::address(a("2001:db8::1")), Key::address(a("2001:db8::2")));
        assert_ne!(Key::address(a("2001:db8::1")), Key::address(a("2001:db8:0:1::1")));
        assert_eq!(Key::user(&"ü".repeat(500)), Key::user(&"ü".repeat(127)));
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let a = |text: &str| text.parse::<IpAddr>().unwrap();
        let keys = [
            Key::address(a("192.0.2.1")),
            Key::network(a("192.0.2.1")),
            Key::network(a("2001:db8::1")),
            Key::user("joe@example.org"),
            Key::domain("example.org"),
        ];
        for key in keys {
            assert_eq!(Key::parse(key.kind(), &key.to_string()), Some(key));
        }
        assert_eq!(Key::parse("planet", "mars"), None);
        assert_eq!(Key::network(a("192.0.2.1")).to_string(), "192.0.2.0/24");
    }
}
