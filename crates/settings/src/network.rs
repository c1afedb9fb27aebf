//! Address blocks.

use crate::Network;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

impl Network {
    /// True when `address` lies in the block. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.prefix.into())).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    /// `10.0.0.0/8`, `::1`, `[2001:db8::]/32`. Bits after the prefix are an error: they are most often a slip.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let parsed: IpAddr = bare.parse().map_err(|_| format!("`{text}` is not an address block such as 10.0.0.0/8 or 2001:db8::/32"))?;
        let (whole, folded) = (if parsed.is_ipv4() { 32 } else { 128 }, parsed.to_canonical());
        let mut length: u8 = match prefix {
            None => whole,
            Some(p) => p.parse().ok().filter(|p| *p <= whole).ok_or_else(|| format!("`{text}`: the prefix length is 0 to {whole}"))?,
        };
        if folded.is_ipv4() && whole == 128 {
            length = length.checked_sub(96).ok_or_else(|| format!("`{text}`: an IPv4-mapped block is /96 or longer"))?;
        }
        let network = Self { address: folded, prefix: length };
        if network.first() != folded {
            return Err(format!("`{text}` has bits set after its prefix; did you mean {}/{length}?", network.first()));
        }
        Ok(network)
    }
}

impl Network {
    /// The first address of the block.
    fn first(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => {
                IpAddr::V4((a.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0)).into())
            }
            IpAddr::V6(a) => {
                IpAddr::V6((a.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(self.prefix.into())).unwrap_or(0)).into())
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix == whole { write!(f, "{}", self.address) } else { write!(f, "{}/{}", self.address, self.prefix) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn blocks_contain_their_addresses_only() {
        assert!(contains("127.0.0.0/8", "127.255.0.1"));
        assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(!contains("127.0.0.0/8", "128.0.0.1"));
        assert!(contains("::1", "::1"));
        assert!(!contains("::1", "::2"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
    }

    #[test]
    fn slips_are_refused() {
        for text in ["", "10.0.0.1/8", "10.0.0.0/33", "::1/129", "10.0.0", "10.0.0.0/-1", "10.0.0.0/", "::ffff:1.2.3.4/90", "localhost"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
