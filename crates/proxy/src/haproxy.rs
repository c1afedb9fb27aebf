//! The header of the PROXY protocol: where a connection comes from and where it goes (its specification, sections 2.1
//! and 2.2).

use std::net::{IpAddr, SocketAddr};

pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
pub(crate) const PROXY: u8 = 0x21;
/// TCP over IPv4, over IPv6.
pub(crate) const TCP4: u8 = 0x11;
pub(crate) const TCP6: u8 = 0x21;

/// The text form; at most 107 bytes.
pub fn version_1(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (from, to, family) = same_family(from, to);
    format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port()).into_bytes()
}

/// The binary form.
pub fn version_2(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (from, to, _) = same_family(from, to);
    let mut addresses = Vec::with_capacity(36);
    for address in [from, to] {
        match address.ip() {
            IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
        }
    }
    for address in [from, to] {
        addresses.extend_from_slice(&address.port().to_be_bytes());
    }
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[PROXY, if from.is_ipv4() { TCP4 } else { TCP6 }, 0, 0]);
    let length = u16::try_from(addresses.len()).unwrap_or(0);
    if let Some(place) = header.last_chunk_mut::<2>() {
        *place = length.to_be_bytes();
    }
    header.extend_from_slice(&addresses);
    header
}

/// Both as IPv6 where one is: a header has one family.
fn same_family(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr, &'static str) {
    if from.is_ipv4() && to.is_ipv4() {
        return (from, to, "TCP4");
    }
    let six = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (six(from), six(to), "TCP6")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_versions() {
        let (from, to) = (address("192.0.2.1:4000"), address("198.51.100.7:25"));
        assert_eq!(version_1(from, to), b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 25\r\n");
        let expected = [SIGNATURE.as_slice(), &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 7, 0x0f, 0xa0, 0, 25]].concat();
        assert_eq!(version_2(from, to), expected);
        let six = address("[2001:db8::1]:25");
        assert_eq!(version_1(from, six), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 4000 25\r\n");
        assert_eq!(version_2(from, six).len(), 16 + 36);
    }

    proptest! {
        #[test]
        fn lengths_fit(a: u32, b: u128, c: u16, d: u16) {
            let four = SocketAddr::new(IpAddr::V4(a.into()), c);
            let six = SocketAddr::new(IpAddr::V6(b.into()), d);
            for (from, to) in [(four, four), (four, six), (six, four), (six, six)] {
                let text = version_1(from, to);
                prop_assert!(text.len() <= 107 && text.ends_with(b"\r\n"));
                let header = version_2(from, to);
                let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
                prop_assert_eq!(header.len(), 16 + length);
            }
        }
    }
}
