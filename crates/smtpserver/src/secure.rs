//! A client's connection inside TLS, as a socket that does not block.

use crate::certificates::Offer;
use mio::net::TcpStream;
use rustls::{HandshakeKind, ServerConnection};
use std::io::{self, Read, Write};
use std::sync::Arc;
use tls::server::Clients;

/// TLS over a socket. The handshake happens inside [`Secure::read`] and [`Secure::push`]; what is written before it is
/// done waits.
#[derive(Debug)]
pub(crate) struct Secure {
    pub socket: TcpStream,
    tls: ServerConnection,
    clients: Option<Arc<Clients>>,
}

impl Secure {
    pub fn new(offer: &Offer, socket: TcpStream) -> io::Result<Self> {
        let mut tls = ServerConnection::new(Arc::clone(&offer.config)).map_err(io::Error::other)?;
        // Replies are small; a client that takes none must not make us keep more than it would in the clear.
        tls.set_buffer_limit(Some(16 * 1024));
        Ok(Self { socket, tls, clients: offer.clients.clone() })
    }

    /// Decrypted bytes; `Ok(0)`: the client has ended; `WouldBlock`: the socket is empty.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Closed without close_notify: the protocol has its own end of data, nothing can be cut off unseen.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if self.tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The alert tells the client what was wrong.
                let _ = self.tls.write_tls(&mut self.socket);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            self.push_if_room()?;
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.tls.writer().write(bytes)?;
        self.push_if_room()?;
        if taken == 0 { Err(io::Error::from(io::ErrorKind::WouldBlock)) } else { Ok(taken) }
    }

    /// Writes what is encrypted already. `WouldBlock`: the client must take some first.
    pub fn push(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// For moments in which a full socket is no trouble: [`Secure::push`] comes again with the next event.
    fn push_if_room(&mut self) -> io::Result<()> {
        match self.push() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// What SCRAM can bind itself to: RFC 9266, of TLS 1.3 only (where there is but one way to make it).
    pub fn bindings(&self) -> Vec<(String, Vec<u8>)> {
        if self.tls.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return Vec::new();
        }
        let made = self.tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        made.map(|bytes: [u8; 32]| vec![("tls-exporter".to_owned(), bytes.to_vec())]).unwrap_or_default()
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whose certificate the client has shown; `None`: nobody's that we know.
    pub fn user(&self) -> Option<String> {
        self.clients.as_ref()?.user(self.tls.peer_certificates()?, rustls::pki_types::UnixTime::now())
    }

    /// SHA-256 of the certificate that the client has shown.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        self.tls.peer_certificates()?.first().map(|shown| tls::server::fingerprint(shown))
    }

    /// The handshake took up an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Tells the client that nothing follows (RFC 8446 section 6.1), as far as the socket has room.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = self.push();
    }

    /// For Received and the log: `TLSv1.3 TLS13_AES_128_GCM_SHA256`; `None` before the handshake is done.
    pub fn describe(&self) -> Option<String> {
        let version = match self.tls.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
            rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let suite = self.tls.negotiated_cipher_suite()?.suite();
        Some(format!("{version} {}", suite.as_str().unwrap_or("unknown cipher")))
    }
}
