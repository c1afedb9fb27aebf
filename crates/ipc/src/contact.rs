//! Contact points: how a process opens a private conversation with a subdaemon.
//!
//! A contact point is one socketpair of the master's. Every caller holds the same calling end, the subdaemon holds the
//! other. A caller makes a socketpair and sends one end through; from then on the two talk privately. The master keeps
//! both ends open, so callers of a subdaemon that has died wait in the socket for its successor.

use crate::channel::{Channel, Frame, pair};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

/// The byte that comes with an end: a frame must not be empty.
const HELLO: &[u8] = b"z";

/// The calling end.
#[derive(Debug)]
pub struct Caller(UnixDatagram);

impl Caller {
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from(end);
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Opens a conversation. `WouldBlock`: too many callers wait for the subdaemon already; try again later.
    pub fn call<Out, In>(&self) -> io::Result<Channel<Out, In>>
    where
        Out: Frame + Serialize,
        In: Frame + DeserializeOwned,
    {
        let (ours, theirs) = pair()?;
        sys::send(&self.0, HELLO, &[theirs.as_fd()])?;
        Channel::new(ours)
    }
}

/// The subdaemon's end.
#[derive(Debug)]
pub struct ContactPoint(UnixDatagram);

impl ContactPoint {
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from(end);
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The next caller; `None` when nobody waits. Whatever is not exactly one descriptor is dropped.
    pub fn accept<Out, In>(&self) -> io::Result<Option<Channel<Out, In>>>
    where
        Out: Frame + Serialize,
        In: Frame + DeserializeOwned,
    {
        let mut hello = [0; 16];
        loop {
            let (length, mut ends) = match sys::receive(&self.0, &mut hello) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                other => other?,
            };
            if length == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if let (1, Some(end)) = (ends.len(), ends.pop()) {
                return Channel::new(end).map(Some);
            }
        }
    }
}

impl Source for ContactPoint {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

impl AsRawFd for ContactPoint {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
