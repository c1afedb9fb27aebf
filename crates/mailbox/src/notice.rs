//! Telling a mail notifier (biff, a mail reader) of a new message: one datagram, a hint that may be lost.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;

/// Sends `user@offset:path` where `[local] notify` says, as comsat reads it. Never waits.
pub fn tell(target: &str, user: &str, offset: u64, path: &str) {
    let datagram = format!("{user}@{offset}:{path}").replace(char::is_control, "?");
    let _ = match target.strip_prefix("unix:") {
        Some(socket) => to_socket(socket, &datagram),
        None => target.strip_prefix("udp:").and_then(|at| at.parse().ok()).map_or(Ok(0), |at| to_address(at, &datagram)),
    };
}

fn to_socket(path: &str, datagram: &str) -> std::io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(datagram.as_bytes(), path)
}

fn to_address(address: SocketAddr, datagram: &str) -> std::io::Result<usize> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.send_to(datagram.as_bytes(), address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_and_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("biff");
        let socket = UnixDatagram::bind(&path).unwrap();
        tell(&format!("unix:{}", path.display()), "joe", 17, "/var/mail/joe\n");
        let mut text = [0; 100];
        let length = socket.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"joe@17:/var/mail/joe?");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        tell(&format!("udp:{}", udp.local_addr().unwrap()), "joe", 0, "/m");
        let length = udp.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"joe@0:/m");
        for nobody in ["", "unix:/no/such", "udp:x", "else"] {
            tell(nobody, "joe", 0, "/m");
        }
    }
}
