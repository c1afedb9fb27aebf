//! One attempt at a connection: from which address, through which proxy, and what is said before SMTP begins.

use crate::egress::Exit;
use mio::net::TcpStream;
use nexthop::Candidate;
use nexthop::Socket;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt};
use proxy::Socks5;
use settings::{Proxy, Source};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// A connection that is being made.
#[derive(Debug)]
pub struct Dialled {
    pub socket: Socket,
    /// EHLO's name, where the source address has its own.
    pub hello: Option<String>,
    /// What is sent before anything else.
    pub opening: Vec<u8>,
    pub socks: Option<Box<Socks5>>,
}

#[derive(Debug)]
pub enum Failure {
    /// The source address cannot be used, whatever the destination is.
    Unbound(io::Error),
    Unconnected(io::Error),
}

/// Begins a connection to `candidate`, as `exit` says.
pub fn dial(candidate: &Candidate, exit: Option<&Exit>) -> Result<Dialled, Failure> {
    let (Candidate::Network { address, .. }, Some(exit)) = (candidate, exit) else {
        let socket = Socket::connect(candidate).map_err(Failure::Unconnected)?;
        return Ok(Dialled { socket, hello: None, opening: Vec::new(), socks: None });
    };
    let source = &exit.source;
    let (mut opening, mut socks) = (Vec::new(), None);
    let from = SocketAddr::new(source.address, 0);
    match &source.proxy {
        Some(Proxy::Socks5 { user, .. }) => {
            let login = user.clone().map(|user| (user, exit.password.clone().unwrap_or_default()));
            socks = Some(Box::new(Socks5::begin(*address, login, &mut opening)));
        }
        Some(Proxy::HaProxy { version: 1, .. }) => opening = proxy::version_1(from, *address),
        Some(Proxy::HaProxy { .. }) => opening = proxy::version_2(from, *address),
        None => {}
    }
    let stream = match &source.proxy {
        Some(proxy) => TcpStream::connect(proxy.address()).map_err(Failure::Unconnected)?,
        None => bound(source, *address)?,
    };
    Ok(Dialled { socket: Socket::Network(stream), hello: source.hello.clone(), opening, socks })
}

fn bound(source: &Source, to: SocketAddr) -> Result<TcpStream, Failure> {
    let unbound = |e: Errno| Failure::Unbound(e.into());
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let end = socket(family, SockType::Stream, flags, None).map_err(|e| Failure::Unconnected(e.into()))?;
    if let Some(interface) = &source.interface {
        setsockopt(&end, sockopt::BindToDevice, &interface.into()).map_err(unbound)?;
    }
    // Without it each connection would need a port of its own, whatever its destination; it is no matter of life.
    let _ = setsockopt(&end, sockopt::IpBindAddressNoPort, &true);
    bind(end.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source.address, 0))).map_err(unbound)?;
    match connect(end.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from_std(std::net::TcpStream::from(end))),
        Err(Errno::EADDRNOTAVAIL) => Err(unbound(Errno::EADDRNOTAVAIL)),
        Err(e) => Err(Failure::Unconnected(e.into())),
    }
}
