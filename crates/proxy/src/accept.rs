//! The header of the PROXY protocol as a server reads it: version 1 (section 2.1 of its specification) and 2 (section 2.2).
//!
//! What follows the header belongs to the connection: the caller looks at bytes that are still in the socket, and takes
//! exactly as many as [`Header::Complete`] says.

use super::haproxy::{PROXY, SIGNATURE, TCP4, TCP6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes to look at: the longest header that is taken.
pub const LONGEST: usize = 1024;
/// The longest of version 1, line end included.
const LONGEST_1: usize = 107;
/// Version 2, command LOCAL.
const LOCAL: u8 = 0x20;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// They may become a header.
    More,
    /// Of so many bytes. `None`: the proxy speaks for itself, or does not know.
    Complete { used: usize, ends: Option<Ends> },
    /// No header, and why.
    Wrong(&'static str),
}

/// The client's connection with the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
}

/// Looks at all that has come so far.
pub fn read_header(input: &[u8]) -> Header {
    if input.starts_with(SIGNATURE) {
        return version_2(input);
    }
    if SIGNATURE.starts_with(input) || b"PROXY ".starts_with(input) {
        return Header::More;
    }
    if input.starts_with(b"PROXY ") { version_1(input) } else { Header::Wrong("no PROXY header") }
}

fn version_1(input: &[u8]) -> Header {
    let looked = input.get(..input.len().min(LONGEST_1)).unwrap_or_default();
    let Some(end) = looked.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() < LONGEST_1 { Header::More } else { Header::Wrong("the PROXY line is too long") };
    };
    let line = looked.get(..end).and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let used = end + 2;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Complete { used, ends: None },
        ["PROXY", family @ ("TCP4" | "TCP6"), client, server, client_port, server_port] => {
            let ends = end_of(family, client, client_port).zip(end_of(family, server, server_port));
            match ends {
                Some((client, server)) => Header::Complete { used, ends: Some(Ends { client, server }) },
                None => Header::Wrong("malformed PROXY line"),
            }
        }
        _ => Header::Wrong("malformed PROXY line"),
    }
}

fn end_of(family: &str, address: &str, port: &str) -> Option<SocketAddr> {
    let address: IpAddr = address.parse().ok()?;
    let port = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    (address.is_ipv4() == (family == "TCP4")).then(|| SocketAddr::new(address.to_canonical(), port))
}

fn version_2(input: &[u8]) -> Header {
    let Some((_, rest)) = input.split_at_checked(SIGNATURE.len()) else { return Header::More };
    let Some((&[command, family, high, low], rest)) = rest.split_first_chunk::<4>() else { return Header::More };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let used = SIGNATURE.len() + 4 + length;
    if used > LONGEST {
        return Header::Wrong("the PROXY header is too long");
    }
    if command != PROXY && command != LOCAL {
        return Header::Wrong("unknown version or command in the PROXY header");
    }
    let Some(body) = rest.get(..length) else { return Header::More };
    let ends = match (command, family) {
        // What a proxy says of itself is nobody's address; families we do not know are to be passed over.
        (LOCAL, _) | (_, 0) => return Header::Complete { used, ends: None },
        (_, TCP4) => four(body),
        (_, TCP6) => six(body),
        _ => return Header::Wrong("a PROXY header for no TCP connection"),
    };
    ends.map_or(Header::Wrong("the PROXY header is too short"), |ends| Header::Complete { used, ends: Some(ends) })
}

fn four(body: &[u8]) -> Option<Ends> {
    let (client, rest) = body.split_first_chunk::<4>()?;
    let (server, rest) = rest.split_first_chunk::<4>()?;
    ends(Ipv4Addr::from(*client).into(), Ipv4Addr::from(*server).into(), rest)
}

fn six(body: &[u8]) -> Option<Ends> {
    let (client, rest) = body.split_first_chunk::<16>()?;
    let (server, rest) = rest.split_first_chunk::<16>()?;
    ends(Ipv6Addr::from(*client).into(), Ipv6Addr::from(*server).into(), rest)
}

fn ends(client: IpAddr, server: IpAddr, ports: &[u8]) -> Option<Ends> {
    let (client_port, rest) = ports.split_first_chunk::<2>()?;
    let (server_port, _) = rest.split_first_chunk::<2>()?;
    let end = |address: IpAddr, port: &[u8; 2]| SocketAddr::new(address.to_canonical(), u16::from_be_bytes(*port));
    Some(Ends { client: end(client, client_port), server: end(server, server_port) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::haproxy;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, length: u16, body: &[u8]) -> Vec<u8> {
        [SIGNATURE.as_slice(), &[command, family], &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn headers_without_a_client() {
        for (header, used) in [
            (b"PROXY UNKNOWN\r\nEHLO x\r\n".to_vec(), 15),
            (b"PROXY UNKNOWN a b c d\r\n".to_vec(), 23),
            (v2(0x20, 0, 0, b"EHLO"), 16),
            (v2(0x20, 0x11, 12, &[7; 12]), 28),
            (v2(0x21, 0, 3, b"tlvEHLO"), 19),
        ] {
            assert_eq!(read_header(&header), Header::Complete { used, ends: None }, "{header:?}");
        }
    }

    /// attacks.md 33.
    #[test]
    fn wrong_headers() {
        for header in [
            b"EHLO x\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(),
            b"PROXY TCP6 1.2.3.4 ::1 1 1\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n".to_vec(),
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n".to_vec(),
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n".to_vec(),
            [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
            b"proxy UNKNOWN\r\n".to_vec(),
            v2(0x21, 0x11, 11, &[0; 11]),
            v2(0x21, 0x21, 12, &[0; 12]),
            v2(0x21, 0x11, 65535, b""),
            v2(0x11, 0x11, 12, &[0; 12]),
            v2(0x22, 0x11, 12, &[0; 12]),
            v2(0x21, 0x12, 12, &[0; 12]),
            v2(0x21, 0x31, 216, &[0; 216]),
        ] {
            assert!(matches!(read_header(&header), Header::Wrong(_)), "{header:?}");
        }
    }

    proptest! {
        /// What our own side writes is read, whatever follows; before its end nothing is decided.
        #[test]
        fn headers_are_read_as_written(a: u32, b: u128, c: u16, d: u16, after in prop::collection::vec(any::<u8>(), 0..20)) {
            let four = SocketAddr::new(IpAddr::V4(a.into()), c);
            let six = SocketAddr::new(IpAddr::V6(b.into()).to_canonical(), d);
            for (from, to) in [(four, four), (four, six), (six, four), (six, six)] {
                for header in [haproxy::version_1(from, to), haproxy::version_2(from, to)] {
                    for end in 0..header.len() {
                        prop_assert_eq!(read_header(&header[..end]), Header::More);
                    }
                    let used = header.len();
                    let expected = Header::Complete { used, ends: Some(Ends { client: from, server: to }) };
                    prop_assert_eq!(read_header(&[header.as_slice(), &after].concat()), expected);
                }
            }
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120), start in 0..3usize) {
            let start: &[u8] = [b"".as_slice(), b"PROXY ", SIGNATURE][start];
            let input = [start, &bytes].concat();
            if let Header::Complete { used, .. } = read_header(&input) {
                prop_assert!(used <= input.len());
            }
        }
    }
}
