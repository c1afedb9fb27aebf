//! Ports for servers that tests start, so that tests which run at the same time do not take each other's.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// How many ports there are to choose from.
const ROOM: u16 = 12_000;

/// A port nobody listens on now, and that nobody else gets before this process ends.
///
/// What the kernel gives to outgoing connections and to port 0 it never gives here: these ports lie below that range. Each
/// is claimed by a name in the abstract namespace of unix sockets, which lives as long as this process and as far as the
/// network namespace that the port belongs to.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = range();
    // Each process begins elsewhere, so that few claims meet.
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(ROOM)).unwrap();
    for _ in 0..ROOM {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % ROOM;
        let port = ports.start + (begin + step) % ROOM;
        if is_free(port) && claim(port) {
            return port;
        }
    }
    panic!("no port of {ports:?} is free");
}

/// Below those that the kernel gives away by itself; where it gives away almost all, any.
fn range() -> Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let lowest: u16 = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(32_768);
    let end = if lowest > ROOM + 5_000 { lowest } else { 32_000 };
    end - ROOM..end
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok() && UdpSocket::bind(("0.0.0.0", port)).is_ok()
}

/// Holds the port's name until this process ends; false: another test has it.
fn claim(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("zpost-test-port-{port}")).unwrap();
    UnixListener::bind_addr(&name).map(std::mem::forget).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let mut all: Vec<u16> = (0..200).map(|_| free_port()).collect();
        assert!(all.iter().all(|port| range().contains(port) && is_free(*port) && !claim(*port)));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
    }
}
