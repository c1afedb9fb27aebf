//! The addresses to try for a job, in order, and the finding of loops to ourselves (RFC 5321 section 5.1).

use ipc::dns::MailHost;
use settings::{Bind, Settings};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// One thing to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidate {
    Network { name: String, address: SocketAddr },
    Socket(PathBuf),
}

impl Candidate {
    /// Another address of the same host.
    pub fn is_beside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Network { name: a, .. }, Self::Network { name: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// As `remote` of a report: `host [ip]:port`, or a path.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { name, address } => write!(f, "{name} [{}]:{}", address.ip(), address.port()),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How we would recognise ourselves.
#[derive(Debug, Clone, Default)]
pub struct Ourselves {
    pub names: Vec<String>,
    pub listeners: Vec<SocketAddr>,
    /// Addresses of this machine, for listeners bound to all of them.
    pub addresses: Vec<IpAddr>,
}

impl Ourselves {
    pub fn new(settings: &Settings) -> Self {
        let listeners = settings.listeners.iter().filter_map(|listener| match &listener.bind {
            Bind::Tcp(address) => Some(SocketAddr::new(fold(address.ip()), address.port())),
            Bind::Unix(_) => None,
        });
        let names = vec![settings.identity.hostname.clone(), settings.client.hello.clone()];
        Self { names, listeners: listeners.collect(), addresses: interface_addresses() }
    }

    /// Whether a connection to `address` would reach one of our own listeners.
    pub fn listens_at(&self, address: SocketAddr) -> bool {
        let ip = fold(address.ip());
        self.listeners.iter().filter(|listener| listener.port() == address.port()).any(|listener| {
            let own = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || self.addresses.contains(&ip);
            listener.ip() == ip
                || (listener.ip().is_unspecified() && own(ip))
                // Connecting to 0.0.0.0 or :: reaches the loopback interface.
                || (ip.is_unspecified() && listener.ip().is_loopback())
        })
    }

    fn is(&self, host: &MailHost, port: u16) -> bool {
        let name = host.name.trim_end_matches('.');
        self.names.iter().any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(name))
            || host.addresses.iter().any(|ip| self.listens_at(SocketAddr::new(*ip, port)))
    }
}

/// An IPv4 address in IPv6 clothes is that IPv4 address.
fn fold(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let ip = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    interfaces.filter_map(ip).collect()
}

/// Why no address is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// The best exchanger is ourselves.
    Loop,
    NoAddress,
}

/// The addresses of mail exchangers in the order given (the resolver has sorted and shuffled them). Where one is
/// ourselves, it and all of the same or worse preference are left out: what they could do, we can.
pub fn exchangers(hosts: &[MailHost], port: u16, ourselves: &Ourselves) -> Result<VecDeque<Candidate>, Dead> {
    let limit = hosts.iter().filter(|host| ourselves.is(host, port)).map(|host| host.preference).min();
    let better = |host: &&MailHost| limit.is_none_or(|limit| host.preference < limit);
    let candidates: VecDeque<Candidate> =
        hosts.iter().filter(better).flat_map(|host| addresses(&host.name, &host.addresses, port)).collect();
    match (candidates.is_empty(), limit) {
        (false, _) => Ok(candidates),
        (true, Some(_)) => Err(Dead::Loop),
        (true, None) => Err(Dead::NoAddress),
    }
}

/// The addresses of one named host.
pub fn host(name: &str, ips: &[IpAddr], port: u16, ourselves: &Ourselves) -> Result<VecDeque<Candidate>, Dead> {
    if ips.iter().any(|ip| ourselves.listens_at(SocketAddr::new(*ip, port))) {
        return Err(Dead::Loop);
    }
    let candidates: VecDeque<Candidate> = addresses(name, ips, port).collect();
    if candidates.is_empty() { Err(Dead::NoAddress) } else { Ok(candidates) }
}

/// IPv6 first, then in turns (RFC 8305 section 4): where one family does not work, the other one's turn is soon.
fn addresses(name: &str, ips: &[IpAddr], port: u16) -> impl Iterator<Item = Candidate> {
    let (mut six, mut four) = (ips.iter().filter(|ip| ip.is_ipv6()), ips.iter().filter(|ip| ip.is_ipv4()));
    let mut turn = false;
    let in_turns = std::iter::from_fn(move || {
        turn = !turn;
        if turn { six.next().or_else(|| four.next()) } else { four.next().or_else(|| six.next()) }
    });
    in_turns.map(move |ip| Candidate::Network { name: name.to_owned(), address: SocketAddr::new(*ip, port) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn ourselves(listeners: &[&str]) -> Ourselves {
        Ourselves {
            names: vec!["mta.example".into()],
            listeners: listeners.iter().map(|l| l.parse().unwrap()).collect(),
            addresses: vec!["192.0.2.7".parse().unwrap()],
        }
    }

    fn mx(preference: u16, name: &str, ip: &str) -> MailHost {
        MailHost { preference, name: name.into(), addresses: vec![ip.parse().unwrap()], secure: false }
    }

    #[test]
    fn ourselves_and_worse_are_cut() {
        let hosts = [mx(5, "a", "192.0.2.1"), mx(10, "MTA.example.", "192.0.2.2"), mx(10, "b", "192.0.2.3"), mx(20, "c", "192.0.2.4")];
        let left = exchangers(&hosts, 25, &ourselves(&[])).unwrap();
        assert_eq!(left.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a [192.0.2.1]:25"]);
        assert_eq!(exchangers(&hosts[1..], 25, &ourselves(&[])), Err(Dead::Loop));
        assert_eq!(exchangers(&[], 25, &ourselves(&[])), Err(Dead::NoAddress));
    }

    #[test]
    fn own_listeners_are_known_in_every_form() {
        let wild = ourselves(&["0.0.0.0:2525"]);
        for own in
            ["127.0.0.1:2525", "127.9.9.9:2525", "192.0.2.7:2525", "[::ffff:192.0.2.7]:2525", "[::ffff:127.0.0.1]:2525", "0.0.0.0:2525"]
        {
            assert!(wild.listens_at(own.parse().unwrap()), "{own}");
        }
        for other in ["127.0.0.1:2526", "192.0.2.8:2525"] {
            assert!(!wild.listens_at(other.parse().unwrap()), "{other}");
        }
        let one = ourselves(&["127.0.0.1:25"]);
        assert!(one.listens_at("0.0.0.0:25".parse().unwrap()) && !one.listens_at("127.0.0.2:25".parse().unwrap()));
    }
}
