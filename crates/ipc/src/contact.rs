//! Contact points: how a process opens a private conversation with a subdaemon.
//!
//! A contact point is one socketpair of the master's. Every caller holds the same calling end, the subdaemon holds the
//! other. A caller makes a socketpair and sends one end through; from then on the two talk privately. The master keeps
//! both ends open, so callers of a subdaemon that has died wait in the socket for its successor.

use crate::channel::{Channel, Frame, pair};
use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{SockType, getsockopt, sockopt};
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

    /// Another holder of the same end.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
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

    /// The next caller; `None` when nobody waits. Whatever is not exactly one end of a conversation is dropped: a caller that
    /// was taken over must not make us fail over what it sends (a file cannot be waited for, for one).
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
            if let (1, Some(end)) = (ends.len(), ends.pop())
                && getsockopt(&end, sockopt::SockType) == Ok(SockType::SeqPacket)
                && getsockopt(&end, sockopt::AcceptConn) == Ok(false)
                && let Ok(channel) = Channel::new(end)
            {
                return Ok(Some(channel));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::UdpSocket;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Word(u8);
    impl Frame for Word {
        const PROTOCOL: u8 = 251;
    }

    #[test]
    fn only_one_end_of_a_conversation_is_a_caller() {
        let (calling, serving) = pair().unwrap();
        let (caller, contact) = (Caller::new(calling.try_clone().unwrap()).unwrap(), ContactPoint::new(serving).unwrap());
        let calling = UnixDatagram::from(calling);
        let file = File::open("/dev/null").unwrap();
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (a, b) = pair().unwrap();
        for ends in [&[][..], &[file.as_fd()], &[datagram.as_fd()], &[udp.as_fd()], &[a.as_fd(), b.as_fd()], &[a.as_fd(); 6]] {
            sys::send(&calling, HELLO, ends).unwrap();
        }
        let mut conversation = caller.call::<Word, Word>().unwrap();
        let mut heard = contact.accept::<Word, Word>().unwrap().expect("the true caller behind all that");
        conversation.send(&Word(7)).unwrap();
        assert_eq!(heard.recv().unwrap().unwrap().0, Word(7));
        assert!(contact.accept::<Word, Word>().unwrap().is_none());
    }
}
