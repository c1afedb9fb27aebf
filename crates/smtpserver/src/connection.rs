//! One client's socket and what belongs to it.

use crate::authentication::Login;
use crate::certificates::Offer;
use crate::conduct::Conduct;
use crate::context::Client;
use crate::messages::Incoming;
use crate::policy::Layer;
use crate::secure::Secure;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use smtp::server::Session;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Secure>),
    /// Only while one becomes another.
    Gone,
}

impl Stream {
    pub fn new(end: OwnedFd, client: Client) -> io::Result<Self> {
        Ok(match client {
            Client::Network(_) => {
                let stream = std::net::TcpStream::from(end);
                stream.set_nonblocking(true)?;
                Self::Tcp(TcpStream::from_std(stream))
            }
            Client::Local(_) => {
                let stream = std::os::unix::net::UnixStream::from(end);
                stream.set_nonblocking(true)?;
                Self::Unix(UnixStream::from_std(stream))
            }
        })
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }

    /// Wraps the connection. From now on its bytes are those inside TLS; the handshake comes with the next reads.
    pub fn secure(&mut self, offer: &Offer) -> io::Result<()> {
        match std::mem::replace(self, Self::Gone) {
            Self::Tcp(socket) => {
                // The ticket after the handshake is a small segment of its own; without this the first reply would wait for
                // its acknowledgement, which the client delays by up to 40 ms.
                socket.set_nodelay(true)?;
                *self = Self::Tls(Box::new(Secure::new(offer, socket)?));
            }
            other => *self = other,
        }
        Ok(())
    }

    /// Inside TLS, and the handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.is_handshaking())
    }

    /// What is left from earlier writes, inside TLS. `WouldBlock`: the client must take some first.
    fn push(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self { stream.push() } else { Ok(()) }
    }

    /// A short read has emptied the socket; not inside TLS, where a record is read whole or not at all.
    pub fn short_read_is_all(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// How the connection is protected, for Received and the log.
    pub fn describe(&self) -> Option<String> {
        if let Self::Tls(stream) = self { stream.describe() } else { None }
    }

    pub fn close(&mut self) {
        if let Self::Tls(stream) = self {
            stream.close();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Gone => Ok(0),
        }
    }

    /// Both interests at once and for good: edge triggered, so an idle session costs no further call.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, both),
            Self::Unix(stream) => stream.register(registry, token, both),
            Self::Tls(stream) => stream.socket.register(registry, token, both),
            Self::Gone => Ok(()),
        }
    }
}

/// The question that is open for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaiting {
    Nothing,
    /// The tracker, before the greeting.
    ConnectionRate,
    /// Nobody: the client has to wait for its greeting.
    FirstContact,
    /// Whoever the policy of this layer asks.
    Policy(Layer),
    /// The router: VRFY or EXPN.
    Inquiry,
    /// The authserver, on a login.
    Login,
    /// A thread or the filter has the message.
    Commit,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub stream: Stream,
    /// The master's number for it.
    pub number: u64,
    pub client: Client,
    pub session: Session,
    pub greeted: bool,
    /// Its place in the configuration.
    pub listener: u16,
    pub policy: policy::Session,
    /// No PROXY header is awaited (any more).
    pub heralded: bool,
    /// The login of this session, done or under way.
    pub login: Option<Box<Login>>,
    /// What STARTTLS would be made with.
    pub tls: Option<Arc<Offer>>,
    /// 220 to STARTTLS is in the output; the handshake follows.
    pub securing: bool,
    pub awaiting: Awaiting,
    /// There may be something to read that no event will tell of.
    pub readable: bool,
    /// The socket took everything last time.
    pub writable: bool,
    /// The client has closed its side: read until the end shows.
    pub half_closed: bool,
    /// Input that came while a question was open.
    pub held: Vec<u8>,
    /// Bytes of the session's output that are written already.
    pub written: usize,
    pub conduct: Conduct,
    pub deadline: Instant,
    /// A timer is set for this moment or earlier.
    pub timer: Option<Instant>,
    pub message: Option<Box<Incoming>>,
}

/// What became of the output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// The client must take some first.
    Some,
    Broken,
}

impl Connection {
    pub fn new(stream: Stream, number: u64, client: Client, session: Session, conduct: Conduct, deadline: Instant) -> Self {
        Self {
            stream,
            number,
            client,
            session,
            greeted: false,
            listener: u16::MAX,
            policy: policy::Session::default(),
            heralded: true,
            login: None,
            tls: None,
            securing: false,
            awaiting: Awaiting::Nothing,
            readable: false,
            writable: true,
            half_closed: false,
            held: Vec::new(),
            written: 0,
            conduct,
            deadline,
            timer: None,
            message: None,
        }
    }

    /// Writes replies, as far as the client takes them.
    pub fn flush(&mut self) -> Flushed {
        let output = self.session.output();
        while let Some(rest) = output.get(self.written..).filter(|rest| !rest.is_empty()) {
            if !self.writable {
                return Flushed::Some;
            }
            match self.stream.write(rest) {
                Ok(0) => return Flushed::Broken,
                Ok(taken) => self.written += taken,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Flushed::Some;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flushed::Broken,
            }
        }
        match self.stream.push() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                return Flushed::Some;
            }
            Err(_) => return Flushed::Broken,
            Ok(()) => {}
        }
        self.written = 0;
        output.clear();
        // An idle session keeps no buffer of any size.
        if output.capacity() > 512 {
            *output = Vec::new();
        }
        Flushed::All
    }

    /// Nothing in hand: may be told to go when the worker drains.
    pub fn is_idle(&self) -> bool {
        self.greeted && self.session.is_idle() && self.held.is_empty() && self.awaiting == Awaiting::Nothing
    }
}

/// All connections, by slot.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    pub count: usize,
}

impl Connections {
    /// A place for the next connection; it must be filled at once.
    pub fn vacant(&mut self) -> usize {
        self.count += 1;
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }

    /// Takes a connection out while it is worked on.
    pub fn take(&mut self, slot: usize) -> Option<Box<Connection>> {
        self.slots.get_mut(slot)?.take()
    }

    pub fn put(&mut self, slot: usize, connection: Box<Connection>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
    }

    /// The slot of a connection that is out is free again.
    pub fn release(&mut self, slot: usize) {
        self.count -= 1;
        self.free.push(slot);
    }

    pub fn peek(&self, slot: usize) -> Option<&Connection> {
        self.slots.get(slot)?.as_deref()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        self.slots.iter().enumerate().filter_map(|(slot, c)| Some((slot, c.as_deref()?)))
    }

    pub fn occupied(&self) -> Vec<usize> {
        self.slots.iter().enumerate().filter(|(_, c)| c.is_some()).map(|(slot, _)| slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5,000 idle sessions are a few megabytes at most.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 640, "{}", size_of::<Connection>());
    }
}
