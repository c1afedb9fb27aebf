//! One connection.

use crate::socket::Socket;
use crate::{Place, Trouble};
use ber::Extent;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of all that a server says to one question, or to a login.
const MOST: usize = 1024 * 1024;
/// Taken from the socket at a time.
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
    pub fn connect(place: &Place, deadline: Instant) -> Result<Self, Trouble> {
        Ok(Self { stream: Stream::Clear(Socket::connect(place, deadline)?), buffer: Vec::new(), received: 0 })
    }

    /// TLS from here on. `host` is whom the certificate must be of.
    pub fn secure(self, config: &Arc<ClientConfig>, host: &str) -> Result<Self, Trouble> {
        let Stream::Clear(socket) = self.stream else { return Err(Trouble::broken("TLS inside TLS")) };
        // What came before TLS may be another's (CVE-2021-23222 and its kin).
        if !self.buffer.is_empty() {
            return Err(Trouble::malformed("it goes on in the clear where TLS should begin"));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Trouble::broken(format!("`{host}` is no name for a certificate")))?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(|e| Trouble::broken(format!("TLS: {e}")))?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| match e.get_ref() {
                Some(inner) => Trouble::broken(format!("TLS: {inner}")),
                None => Trouble::broken(format!("TLS: {}", said(&e))),
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

    /// What the server says that it speaks inside TLS (ALPN).
    pub fn protocol(&self) -> Option<&[u8]> {
        match &self.stream {
            Stream::Clear(_) => None,
            Stream::Secure(stream) => stream.conn.alpn_protocol(),
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match &mut self.stream {
            Stream::Clear(socket) => socket,
            Stream::Secure(stream) => &mut stream.sock,
        }
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let sent = match &mut self.stream {
            Stream::Clear(socket) => socket.write_all(bytes),
            Stream::Secure(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(|e| trouble(&e))
    }

    /// The next `count` bytes.
    pub fn receive(&mut self, count: usize) -> Result<Vec<u8>, Trouble> {
        if self.received.saturating_add(count) > MOST {
            return Err(Trouble::malformed(format!("it answers with more than {MOST} bytes")));
        }
        while self.buffer.len() < count {
            self.fill()?;
        }
        self.received = self.received.saturating_add(count);
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// What has come, or comes next: something, and no more than a buffer.
    pub fn some(&mut self) -> Result<Vec<u8>, Trouble> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        let count = self.buffer.len();
        self.receive(count)
    }

    fn fill(&mut self) -> Result<(), Trouble> {
        let mut more = [0; BUFFER];
        loop {
            let got = match &mut self.stream {
                Stream::Clear(socket) => socket.read(&mut more),
                Stream::Secure(stream) => stream.read(&mut more),
            };
            match got {
                Ok(0) => return Err(trouble(&io::ErrorKind::UnexpectedEof.into())),
                Ok(got) => {
                    self.buffer.extend_from_slice(more.get(..got).unwrap_or_default());
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(trouble(&e)),
            }
        }
    }

    /// Of a protocol whose server speaks only when it is asked, in the clear: that it has said nothing since, and is still
    /// there. Else what it said would be taken for the next answer.
    pub fn expect_quiet(&self) -> Result<(), Trouble> {
        let unasked = || Trouble::malformed("it says what it was not asked");
        match &self.stream {
            _ if !self.buffer.is_empty() => Err(unasked()),
            Stream::Clear(socket) => match socket.peek() {
                Ok(0) => Err(trouble(&io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => Err(unasked()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
                Err(e) => Err(trouble(&e)),
            },
            Stream::Secure(_) => Ok(()),
        }
    }

    /// The content of the next element of BER, which must have this tag and be no longer than that.
    pub fn element(&mut self, tag: u8, longest: usize) -> Result<Vec<u8>, Trouble> {
        let mut begin = Vec::new();
        loop {
            match ber::extent(&begin) {
                Ok(Extent::Unknown { missing }) => begin.extend(self.receive(missing)?),
                Ok(Extent::Known { content, .. }) if begin.first() == Some(&tag) => {
                    if content > longest {
                        return Err(Trouble::malformed(format!("a message of it has {content} bytes")));
                    }
                    return self.receive(content);
                }
                _ => return Err(Trouble::malformed("its answer is no LDAP")),
            }
        }
    }

    /// The next bytes, as so many.
    pub fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Trouble> {
        self.receive(COUNT)?.try_into().map_err(|_| Trouble::broken("a piece of a message is missing"))
    }
}

fn trouble(e: &io::Error) -> Trouble {
    Trouble::broken(said(e))
}

fn said(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server ended the connection".to_owned(),
        _ => e.to_string(),
    }
}
