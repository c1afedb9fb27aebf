//! Sockets that the master binds: TCP and unix listeners, notification sockets, the control and agent sockets.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, listen, setsockopt, socket, sockopt,
};
use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

const FLAGS: SockFlag = SockFlag::SOCK_CLOEXEC.union(SockFlag::SOCK_NONBLOCK);

/// A listening TCP socket. `Err` says what the operator can do.
pub fn tcp(address: SocketAddr, backlog: u32) -> Result<OwnedFd, String> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let make = || {
        let end = socket(family, SockType::Stream, FLAGS, None)?;
        setsockopt(&end, sockopt::ReuseAddr, &true)?;
        if address.is_ipv6() {
            setsockopt(&end, sockopt::Ipv6V6Only, &true)?;
        }
        bind(end.as_raw_fd(), &SockaddrStorage::from(address))?;
        listen(&end, backlog_of(backlog))?;
        Ok(end)
    };
    make().map_err(|e| match e {
        Errno::EADDRINUSE => format!("port in use: another program listens on {address}; stop it or choose another port"),
        Errno::EACCES => format!("no permission to bind {address}: start as root, or choose a port above 1023"),
        Errno::EADDRNOTAVAIL => format!("cannot bind {address}: this machine has no such address"),
        e => format!("cannot bind {address}: {}", e.desc()),
    })
}

/// What a unix socket is for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub kind: SockType,
    pub mode: u32,
    /// `None`: stays the master's.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// Binds a unix socket, removing one that nobody serves any more. Streams and packet sockets listen.
pub fn unix(path: &Path, shape: Shape, backlog: u32) -> Result<OwnedFd, String> {
    let name = path.display();
    let served = |address: &UnixAddr| {
        let probe = socket(AddressFamily::Unix, shape.kind, FLAGS, None);
        probe.is_ok_and(|probe| matches!(connect(probe.as_raw_fd(), address), Ok(()) | Err(Errno::EAGAIN)))
    };
    if is_socket(path)? && served(&address_of(path)?) {
        return Err(format!("socket in use: another program listens on {name}; stop it or choose another path"));
    }
    unix_under_lock(path, shape, backlog)
}

/// As [`unix`], for a socket that only the holder of the master's lock makes: one that is there is stale, even while a process
/// that has lost its master has it for a moment yet.
pub fn unix_under_lock(path: &Path, shape: Shape, backlog: u32) -> Result<OwnedFd, String> {
    let name = path.display();
    let address = address_of(path)?;
    if is_socket(path)? {
        fs::remove_file(path).map_err(|e| format!("cannot remove the stale socket {name}: {e}"))?;
    }
    let make = || -> std::io::Result<OwnedFd> {
        let end = socket(AddressFamily::Unix, shape.kind, FLAGS, None)?;
        bind(end.as_raw_fd(), &address)?;
        // Owner first: chown may clear mode bits, and nobody may write before the mode says so.
        if shape.uid.is_some() || shape.gid.is_some() {
            std::os::unix::fs::chown(path, shape.uid, shape.gid)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(shape.mode))?;
        if shape.kind != SockType::Datagram {
            listen(&end, backlog_of(backlog))?;
        }
        Ok(end)
    };
    make().map_err(|e| format!("cannot make socket {name}: {e}"))
}

fn address_of(path: &Path) -> Result<UnixAddr, String> {
    UnixAddr::new(path).map_err(|_| format!("socket path {} is too long (at most 107 bytes)", path.display()))
}

/// False: nothing is there. Anything but a socket is an error.
fn is_socket(path: &Path) -> Result<bool, String> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(false),
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(format!("{} exists and is no socket; remove it or choose another path", path.display())),
    }
}

fn backlog_of(wanted: u32) -> Backlog {
    i32::try_from(wanted).ok().and_then(|n| Backlog::new(n).ok()).unwrap_or(Backlog::MAXCONN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_port_in_use_is_said() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let said = tcp(taken.local_addr().unwrap(), 10).unwrap_err();
        assert!(said.contains("port in use"), "{said}");
    }

    #[test]
    fn stale_sockets_go_and_live_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let shape = Shape { kind: SockType::Stream, mode: 0o666, uid: None, gid: None };
        let live = UnixListener::bind(&path).unwrap();
        assert!(unix(&path, shape, 5).unwrap_err().contains("in use"));
        drop(live);
        unix(&path, shape, 5).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let file = folder.path().join("f");
        fs::write(&file, "").unwrap();
        assert!(unix(&file, shape, 5).unwrap_err().contains("no socket"));
        assert!(unix(&folder.path().join("x".repeat(120)), shape, 5).unwrap_err().contains("too long"));
    }
}
