//! One TLS session over a byte stream that does not wait.

use super::fault::Failure;
use super::verifier::{Standing, Verifier};
use rustls::HandshakeKind;
use rustls::client::ClientConnection;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What was agreed on, for logs and reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// `TLS13_AES_128_GCM_SHA256`.
    pub cipher: String,
    pub resumed: bool,
    pub standing: Standing,
}

/// A session; every call takes the stream it runs over.
#[derive(Debug)]
pub struct Session {
    connection: ClientConnection,
    verifier: Arc<Verifier>,
    result: Option<Result<(), Failure>>,
}

impl Session {
    pub(crate) fn new(connection: ClientConnection, verifier: Arc<Verifier>) -> Self {
        Self { connection, verifier, result: None }
    }

    /// Goes on with the handshake until it is done (`Some`) or the stream has to be waited for.
    pub fn handshake(&mut self, stream: &mut (impl Read + Write)) -> Result<Option<Summary>, Failure> {
        loop {
            match self.push(stream) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(Failure::broken(format!("the connection broke in the TLS handshake: {e}"))),
                Ok(()) => {}
            }
            if !self.connection.is_handshaking() {
                return Ok(Some(self.summary()));
            }
            match self.connection.read_tls(stream) {
                Ok(0) => return Err(Failure::broken("the server closed the connection in the TLS handshake")),
                Ok(_) => self.process(stream)?,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Failure::broken(format!("the connection broke in the TLS handshake: {e}"))),
            }
        }
    }

    fn process(&mut self, stream: &mut (impl Read + Write)) -> Result<(), Failure> {
        let processed = self.connection.process_new_packets();
        if let Some(result) = self.verifier.take_fresh() {
            self.result = Some(result);
        }
        let Err(error) = processed else { return Ok(()) };
        // The alert that tells the server why.
        let _ = self.push(stream);
        match (&self.result, &error) {
            (Some(Err(failure)), rustls::Error::InvalidCertificate(_)) => Err(failure.clone()),
            _ => Err(Failure::from(&error)),
        }
    }

    fn summary(&self) -> Summary {
        let resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let result = if resumed { self.verifier.last() } else { self.result.clone() };
        let standing = match result {
            Some(Ok(())) => Standing::Verified,
            Some(Err(failure)) => Standing::Unverified(failure),
            None => Standing::Unverified(Failure::new(super::Fault::Other, "the server showed no certificate")),
        };
        let cipher = self.connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
        let version = match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        Summary { version, cipher, resumed, standing }
    }

    /// Reads what was sent inside; 0 at the end of the stream.
    pub fn read(&mut self, stream: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                // Without close_notify: SMTP says itself where its messages end.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            match self.connection.read_tls(stream) {
                Ok(_) => self.process(stream).map_err(|failure| io::Error::new(io::ErrorKind::InvalidData, failure.text))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Takes some of `bytes` to be sent inside; what of it has not left yet leaves with [`Session::flush`].
    pub fn write(&mut self, stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        self.push(stream)?;
        let taken = self.connection.writer().write(bytes)?;
        match self.push(stream) {
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => Err(e),
            _ => Ok(taken),
        }
    }

    /// Sends what waits, `WouldBlock` when the stream takes no more.
    pub fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        self.push(stream)
    }

    /// Says that nothing more will come (close_notify), as far as the stream takes it.
    pub fn close(&mut self, stream: &mut impl Write) {
        self.connection.send_close_notify();
        let _ = self.push(stream);
    }

    fn push(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
