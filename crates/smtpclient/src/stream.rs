//! The byte stream of a session: the bare socket, or TLS over it.

use nexthop::Socket;
use std::io::{self, Read, Write};

#[derive(Debug)]
pub struct Stream {
    pub socket: Socket,
    tls: Option<Box<tls::client::Session>>,
}

impl Stream {
    pub fn new(socket: Socket) -> Self {
        Self { socket, tls: None }
    }

    /// From here on everything goes through this session, its handshake first.
    pub fn secure(&mut self, session: tls::client::Session) {
        self.tls = Some(Box::new(session));
    }

    /// Goes on with the handshake: `None` while the socket has to be waited for.
    pub fn handshake(&mut self) -> Result<Option<tls::client::Summary>, tls::client::Failure> {
        match &mut self.tls {
            Some(tls) => tls.handshake(&mut self.socket),
            None => Err(tls::client::Failure::new(tls::client::Fault::Other, "no TLS session was begun")),
        }
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(&mut self.socket, buffer),
            None => self.socket.read(buffer),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.write(&mut self.socket, bytes),
            None => self.socket.write(bytes),
        }
    }

    /// Sends what TLS still holds; nothing to do without it.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&mut self.socket),
            None => Ok(()),
        }
    }

    /// Nothing more will be written: tells so inside TLS (close_notify), that nobody may take a cut for an end.
    pub fn end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.socket);
        }
    }
}
