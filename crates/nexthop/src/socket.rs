//! A connection to a server: TCP, or a unix socket (LMTP).

use crate::candidates::Candidate;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};

#[derive(Debug)]
pub enum Socket {
    Network(TcpStream),
    Local(UnixStream),
}

impl Socket {
    /// Begins a connection; it is made (or has failed) when the socket becomes writable.
    pub fn connect(candidate: &Candidate) -> io::Result<Self> {
        match candidate {
            Candidate::Network { address, .. } => TcpStream::connect(*address).map(Self::Network),
            Candidate::Socket(path) => UnixStream::connect(path).map(Self::Local),
        }
    }

    /// Whether the connection is made: `None` not yet. Our writes are whole commands or whole pieces of content, so
    /// waiting to join them with later ones (Nagle) only costs time.
    pub fn connected(&self) -> io::Result<Option<()>> {
        match self {
            Self::Network(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                match stream.peer_addr() {
                    Ok(_) => stream.set_nodelay(true).map(Some),
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(None),
                    Err(e) => Err(e),
                }
            }
            Self::Local(stream) => stream.take_error()?.map_or(Ok(Some(())), Err),
        }
    }

    /// The address that the system (or the settings) gave our end.
    pub fn source_address(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Network(stream) => stream.local_addr().ok().map(|address| address.ip()),
            Self::Local(_) => None,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Network(stream) => stream,
            Self::Local(stream) => stream,
        }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Network(stream) => stream.read(buffer),
            Self::Local(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Network(stream) => stream.write(bytes),
            Self::Local(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Network(stream) => stream.write_vectored(pieces),
            Self::Local(stream) => stream.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
