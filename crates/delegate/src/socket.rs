//! A connection to a service, by TCP or a Unix-domain socket.

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use settings::Bind;
use std::io::{self, Read, Write};

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Begins a connection; it is made, or has failed, when the socket becomes writable.
    pub fn connect(server: &Bind, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = match server {
            Bind::Tcp(address) => TcpStream::connect(*address).map(Self::Tcp)?,
            Bind::Unix(path) => UnixStream::connect(path).map(Self::Unix)?,
        };
        registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(socket)
    }

    /// False: not yet.
    pub fn is_made(&self) -> io::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                match stream.peer_addr() {
                    // A question is one write: nothing is gained by waiting for more.
                    Ok(_) => stream.set_nodelay(true).map(|()| true),
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
                    Err(e) => Err(e),
                }
            }
            Self::Unix(stream) => stream.take_error()?.map_or(Ok(true), Err),
        }
    }

    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}
