//! Connections by the thousand from many addresses of loopback, by clients that are no mail servers.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::io::{Result, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Connects to a port of 127.0.0.1 from another address of loopback.
pub fn connect_from(from: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let end = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(end.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    connect(end.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))?;
    Ok(end.into())
}

/// An address of its own for each number, 256 to a network.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f01_0001 + number)
}

/// What a client of a flood does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Silent,
    /// The beginning of a command, and another byte when told.
    Trickle,
    Garbage,
}

/// Open connections; dropped, they close.
#[derive(Debug, Default)]
pub struct Flood {
    connections: Vec<(Manner, TcpStream)>,
    /// Connections that could not be made.
    pub failed: usize,
}

impl Flood {
    /// Opens so many, at most so many a second: in turn one that is silent, one that trickles, one that sends garbage.
    pub fn pour(port: u16, count: u32, per_second: u32) -> Self {
        const THREADS: u32 = 4;
        let begin = Instant::now();
        let pour = |thread: u32| {
            let mut part = Self::default();
            for number in (thread..count).step_by(THREADS as usize) {
                let due = begin + Duration::from_secs(1) * number / per_second;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                match connect_from(address(number), port) {
                    Ok(stream) => part.connections.push((begin_with(number, &stream), stream)),
                    Err(_) => part.failed += 1,
                }
            }
            part
        };
        let mut flood = Self::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || pour(thread))).collect();
            for part in threads.into_iter().filter_map(|thread| thread.join().ok()) {
                flood.connections.extend(part.connections);
                flood.failed += part.failed;
            }
        });
        flood
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Those that trickle send one byte more, as far as they are still connected.
    pub fn trickle(&self) {
        for (_, stream) in self.connections.iter().filter(|(manner, _)| *manner == Manner::Trickle) {
            let _ = { stream }.write_all(b"x");
        }
    }
}

fn begin_with(number: u32, mut stream: &TcpStream) -> Manner {
    let _ = stream.set_nonblocking(true);
    match number % 3 {
        0 => Manner::Silent,
        1 => Manner::Trickle,
        _ => {
            let garbage: &[u8] = match number % 4 {
                0 => b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
                1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                2 => b"\x00\xff\x00\xff\x00\xff\x00\xff",
                _ => b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
            };
            let _ = stream.write_all(garbage);
            Manner::Garbage
        }
    }
}

/// Raises the limit of descriptors of this process and of what it starts; false: it may not.
pub fn raise_descriptors(wanted: u64) -> bool {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft >= wanted => true,
        Ok((_, hard)) => setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok(),
        Err(_) => false,
    }
}
