//! One connection.

use crate::socket::Socket;
use crate::{Fault, Place};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of all that a server says to one question, or to a login.
const MOST: usize = 1024 * 1024;
/// Taken from the socket at a time; never more than is asked for is given.
const BUFFER: usize = 8 * 1024;

/// A connection, in the clear or inside TLS.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    /// Read and not yet asked for.
    buffer: Vec<u8>,
    /// Since [`Link::begin`].
    received: usize,
}

#[derive(Debug)]
enum Stream {
    Clear(Socket),
    Secure(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Link {
    pub fn connect(place: &Place, deadline: Instant) -> Result<Self, Fault> {
        Ok(Self { stream: Stream::Clear(Socket::connect(place, deadline)?), buffer: Vec::new(), received: 0 })
    }

    /// TLS from here on. `host` is whom the certificate must be of.
    pub fn secure(self, config: &Arc<ClientConfig>, host: &str) -> Result<Self, Fault> {
        let Stream::Clear(socket) = self.stream else { return Err(Fault::broken("TLS inside TLS")) };
        // What came before TLS may be another's (CVE-2021-23222 and its kin).
        if !self.buffer.is_empty() {
            return Err(Fault::malformed("it goes on in the clear where TLS should begin"));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Fault::broken(format!("`{host}` is no name for a certificate")))?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(|e| Fault::broken(format!("TLS: {e}")))?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| match e.get_ref() {
                Some(inner) => Fault::broken(format!("TLS: {inner}")),
                None => Fault::broken(format!("TLS: {}", said(&e))),
            })?;
        }
        Ok(Self { stream: Stream::Secure(Box::new(stream)), buffer: Vec::new(), received: 0 })
    }

    /// A new question: until when, and all its bytes to come.
    pub fn begin(&mut self, deadline: Instant) {
        self.received = 0;
        self.socket().deadline = deadline;
    }

    /// Whether what is sent can be read by nobody between: a password may be.
    pub fn is_private(&mut self) -> bool {
        self.is_secure() || self.socket().inside
    }

    pub const fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Secure(_))
    }

    fn socket(&mut self) -> &mut Socket {
        match &mut self.stream {
            Stream::Clear(socket) => socket,
            Stream::Secure(stream) => &mut stream.sock,
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = match &mut self.stream {
            Stream::Clear(socket) => socket.write_all(bytes),
            Stream::Secure(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(|e| fault(&e))
    }

    /// The next `count` bytes.
    pub fn receive(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        if self.received.saturating_add(count) > MOST {
            return Err(Fault::malformed(format!("it answers with more than {MOST} bytes")));
        }
        while self.buffer.len() < count {
            let mut more = [0; BUFFER];
            let wanted = if self.is_secure() { BUFFER } else { (count - self.buffer.len()).min(BUFFER) };
            let space = more.get_mut(..wanted).unwrap_or_default();
            let got = match &mut self.stream {
                Stream::Clear(socket) => socket.read(space),
                Stream::Secure(stream) => stream.read(space),
            };
            match got {
                Ok(0) => return Err(fault(&io::ErrorKind::UnexpectedEof.into())),
                Ok(got) => self.buffer.extend_from_slice(space.get(..got).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(fault(&e)),
            }
        }
        self.received = self.received.saturating_add(count);
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// The next bytes, as so many.
    pub fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Fault> {
        self.receive(COUNT)?.try_into().map_err(|_| Fault::broken("a piece of a message is missing"))
    }
}

fn fault(e: &io::Error) -> Fault {
    Fault::broken(said(e))
}

fn said(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server ended the connection".to_owned(),
        _ => e.to_string(),
    }
}
