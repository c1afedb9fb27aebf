//! The host field of a job as the place to connect to.

use smtp::client::Flavour;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Port of LMTP where the host names none (as other MTAs do; RFC 2033 assigns none).
const LMTP_PORT: u16 = 24;

/// Where a job is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `example.org`, `example.org:2525`: the mail exchangers of a domain.
    Exchangers { domain: String, port: u16 },
    /// `[name]`, and every name on an LMTP channel: the addresses of one host.
    Host { name: String, port: u16 },
    /// `[10.0.0.1]:25`, with or without brackets.
    Address(SocketAddr),
    /// `unix:/path`.
    Socket(PathBuf),
}

impl Destination {
    /// Reads a host field; `Err` is the reason for the report.
    pub fn parse(host: &str, flavour: Flavour, smtp_port: u16) -> Result<Self, &'static str> {
        if let Some(path) = host.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Socket(path.into())) } else { Err("the socket path is not absolute") };
        }
        if host.is_empty() || host == "-" || host.len() > 300 || host.bytes().any(|b| b.is_ascii_control() || b == b' ') {
            return Err("no valid host");
        }
        let default = if flavour == Flavour::Lmtp { LMTP_PORT } else { smtp_port };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::Address(SocketAddr::new(ip, default)));
        }
        if let Some(rest) = host.strip_prefix('[') {
            return bracketed(rest, default);
        }
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => (name, number(port)?),
            None => (host, default),
        };
        if name.is_empty() {
            return Err("no host name before the port");
        }
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(Self::Address(SocketAddr::new(ip, port)));
        }
        let name = name.to_owned();
        Ok(if flavour == Flavour::Lmtp { Self::Host { name, port } } else { Self::Exchangers { domain: name, port } })
    }
}

fn bracketed(rest: &str, default: u16) -> Result<Destination, &'static str> {
    let (inside, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
    let port = match after.strip_prefix(':') {
        Some(port) => number(port)?,
        None if after.is_empty() => default,
        None => return Err("text after the bracket"),
    };
    let literal = match inside.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address,
        _ => inside,
    };
    if let Ok(ip) = literal.parse::<IpAddr>() {
        return Ok(Destination::Address(SocketAddr::new(ip, port)));
    }
    if inside.is_empty() || inside.contains([':', '[']) {
        return Err("no valid address in brackets");
    }
    Ok(Destination::Host { name: inside.to_owned(), port })
}

fn number(port: &str) -> Result<u16, &'static str> {
    match port.parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err("no valid port"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        let address = |text: &str| Ok(Destination::Address(text.parse().unwrap()));
        let exchangers = |domain: &str, port| Ok(Destination::Exchangers { domain: domain.into(), port });
        for (host, expected) in [
            ("example.org", exchangers("example.org", 25)),
            ("example.org:2525", exchangers("example.org", 2525)),
            ("[10.0.0.1]", address("10.0.0.1:25")),
            ("[10.0.0.1]:2526", address("10.0.0.1:2526")),
            ("10.0.0.1", address("10.0.0.1:25")),
            ("10.0.0.1:26", address("10.0.0.1:26")),
            ("::1", address("[::1]:25")),
            ("[IPv6:::1]:26", address("[::1]:26")),
            ("[mx.example]", Ok(Destination::Host { name: "mx.example".into(), port: 25 })),
            ("unix:/run/lmtp", Ok(Destination::Socket("/run/lmtp".into()))),
        ] {
            assert_eq!(Destination::parse(host, Flavour::Smtp, 25), expected, "{host}");
        }
        for host in ["", "-", "unix:x", "[", "[]", "[1.2.3.4]x", "a:0", "a:99999", ":25", "[1.2.3.4]:", "a b", "a\r\nb", "[a:b]"] {
            assert!(Destination::parse(host, Flavour::Smtp, 25).is_err(), "{host}");
        }
        assert_eq!(Destination::parse("h", Flavour::Lmtp, 25), Ok(Destination::Host { name: "h".into(), port: 24 }));
    }

    proptest! {
        #[test]
        fn any_text(host in "\\PC{0,40}|[\\[\\]:0-9a-f.]{0,20}") {
            let _ = Destination::parse(&host, Flavour::Smtp, 25);
        }
    }
}
