//! The listeners: bound once and kept for life, through reloads and upgrades.

use crate::configuration::Configuration;
use crate::sockets::{self, Shape};
use ipc::master::Peer;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use settings::{Bind, Fault};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Index of the local submission socket in `Session.listener`.
pub const SUBMIT: u16 = u16::MAX;

/// Where a listener is bound: what makes it the same one after a reload.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Place {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
    /// `<run>/submit`.
    Submit(PathBuf),
}

impl Place {
    pub fn of(bind: &Bind) -> Self {
        match bind {
            Bind::Tcp(address) => Self::Tcp(*address),
            Bind::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) | Self::Submit(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One listener.
#[derive(Debug)]
pub struct Listener {
    pub place: Place,
    socket: Socket,
    /// The poll said that somebody waits and we have not yet seen the end of the queue.
    pub waiting: bool,
}

impl Listener {
    /// Takes a bound and listening socket.
    pub fn adopt(place: Place, end: OwnedFd) -> Self {
        let socket = match place {
            Place::Tcp(_) => Socket::Tcp(TcpListener::from_std(end.into())),
            Place::Unix(_) | Place::Submit(_) => Socket::Unix(UnixListener::from_std(end.into())),
        };
        Self { place, socket, waiting: true }
    }

    /// Binds what the configuration asks for.
    pub fn bind(place: Place, backlog: u32) -> Result<Self, String> {
        let end = match &place {
            Place::Tcp(address) => sockets::tcp(*address, backlog)?,
            Place::Unix(path) | Place::Submit(path) => {
                sockets::unix(path, Shape { kind: SockType::Stream, mode: 0o666, uid: None, gid: None }, backlog)?
            }
        };
        Ok(Self::adopt(place, end))
    }

    /// The next client; `None`: nobody waits.
    pub fn accept(&self) -> io::Result<Option<(OwnedFd, Peer)>> {
        let accepted = match &self.socket {
            Socket::Tcp(listener) => listener.accept().map(|(stream, peer)| (OwnedFd::from(stream), Peer::Network(peer))),
            Socket::Unix(listener) => listener.accept().map(|(stream, _)| {
                let end = OwnedFd::from(stream);
                let peer = credentials(&end);
                (end, peer)
            }),
        };
        match accepted {
            Ok(client) => Ok(Some(client)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A second descriptor of the socket, for handing over.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Socket::Unix(listener) => listener.as_fd().try_clone_to_owned(),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.socket {
            Socket::Tcp(listener) => listener,
            Socket::Unix(listener) => listener,
        }
    }

    pub fn register(&mut self, registry: &Registry, key: usize) -> io::Result<()> {
        self.source().register(registry, Token(key), Interest::READABLE)
    }

    pub fn deregister(&mut self, registry: &Registry) {
        let _ = self.source().deregister(registry);
    }
}

/// Who is at the other end of a unix socket; a peer that cannot be asked is nobody.
pub fn credentials(end: &OwnedFd) -> Peer {
    match getsockopt(end, sockopt::PeerCredentials) {
        Ok(who) => Peer::Local { uid: who.uid(), gid: who.gid(), pid: who.pid() },
        Err(_) => Peer::Local { uid: u32::MAX, gid: u32::MAX, pid: 0 },
    }
}

/// Every place a configuration asks for, with its backlog; the local submission socket last.
pub fn places(configuration: &Configuration) -> Vec<(Place, u32)> {
    let settings = &configuration.settings;
    let mut places: Vec<(Place, u32)> = settings.listeners.iter().map(|l| (Place::of(&l.bind), l.backlog)).collect();
    places.push((Place::Submit(settings.paths.run.join("submit")), 128));
    places
}

/// Binds those of `places` that `known` has not; all faults at once, and then nothing stays bound.
pub fn bind_new(configuration: &Configuration, known: impl Fn(&Place) -> bool) -> Result<Vec<Listener>, Vec<Fault>> {
    let (mut bound, mut faults) = (Vec::new(), Vec::new());
    for (place, backlog) in places(configuration) {
        if known(&place) {
            continue;
        }
        match Listener::bind(place.clone(), backlog) {
            Ok(listener) => bound.push(listener),
            Err(text) => faults.push(configuration.fault(&place.to_string(), text)),
        }
    }
    if faults.is_empty() { Ok(bound) } else { Err(faults) }
}
