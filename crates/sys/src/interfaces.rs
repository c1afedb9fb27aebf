//! The addresses of this machine.

use std::net::IpAddr;

/// Those of all interfaces; none when the kernel does not tell.
pub fn interface_addresses() -> impl Iterator<Item = IpAddr> {
    nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|interface| {
        let address = interface.address?;
        let four = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn none_is_unspecified() {
        assert!(super::interface_addresses().all(|address| !address.is_unspecified()));
    }
}
