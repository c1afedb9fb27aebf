//! A socket that gives up at a deadline.

use crate::{Place, Trouble, names};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    pub deadline: Instant,
    /// Nobody but this host can listen.
    pub inside: bool,
}

impl Socket {
    pub fn connect(place: &Place, deadline: Instant) -> Result<Self, Trouble> {
        match place {
            Place::Unix(path) => {
                let stream = unix(path, deadline).map_err(|e| Trouble::broken(format!("cannot connect: {e}")))?;
                Ok(Self { stream: Stream::Unix(stream), deadline, inside: true })
            }
            Place::Host { host, port } => {
                let addresses = names::addresses(host, *port, deadline)?;
                if let ([address], true) = (addresses.as_slice(), place.is_address()) {
                    return Self::tcp(*address, deadline);
                }
                crate::in_order(&addresses, deadline, |address, until| Self::tcp(*address, until)).map(|socket| Self { deadline, ..socket })
            }
        }
    }

    fn tcp(address: SocketAddr, deadline: Instant) -> Result<Self, Trouble> {
        let broken = |e: io::Error| Trouble::broken(format!("cannot connect: {e}"));
        let stream = TcpStream::connect_timeout(&address, left(deadline).map_err(broken)?).map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        Ok(Self { stream: Stream::Tcp(stream), deadline, inside: address.ip().is_loopback() })
    }

    /// Whether a byte could be read now, without waiting and without taking it; 0 at the end.
    pub fn peek(&self) -> io::Result<usize> {
        let descriptor = match &self.stream {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        };
        Ok(recv(descriptor, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
    }
}

/// A listener that nobody accepts from lets those wait that connect: as long as they let it.
fn unix(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let left = left(deadline)?;
    let wait = TimeVal::new(left.as_secs().try_into().unwrap_or(i64::MAX), left.subsec_micros().max(1).into());
    setsockopt(&socket, sockopt::SendTimeout, &wait)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::EAGAIN) => Err(io::ErrorKind::TimedOut.into()),
        Err(e) => Err(e.into()),
        Ok(()) => Ok(socket.into()),
    }
}

/// Time that is left, and never nothing: that would mean forever to the system.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left < Duration::from_micros(1) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(left(self.deadline)?);
        match &mut self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
            Stream::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = Some(left(self.deadline)?);
        match &mut self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
            Stream::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
