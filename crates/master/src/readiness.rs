//! Telling a supervisor: systemd by one datagram of `KEY=value` lines to `NOTIFY_SOCKET`, s6 by a newline on a descriptor.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where to tell; does nothing when nobody asked.
#[derive(Debug, Default)]
pub struct Readiness {
    socket: Option<SocketAddr>,
    /// Gone once it has been told.
    line: Option<File>,
}

impl Readiness {
    /// `line`: the descriptor of `--ready-fd`. The socket is that of the environment.
    pub fn new(line: Option<OwnedFd>) -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|name| address(&name));
        Self { socket, line: line.map(File::from) }
    }

    /// Tells the supervisor. That it does not listen is no trouble of ours.
    pub fn tell(&self, lines: &str) {
        if let Some(address) = &self.socket
            && let Ok(socket) = UnixDatagram::unbound()
        {
            let _ = socket.set_nonblocking(true);
            let _ = socket.send_to_addr(lines.as_bytes(), address);
        }
    }

    pub fn ready(&mut self) {
        if let Some(mut line) = self.line.take() {
            let _ = line.write_all(b"\n");
        }
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS=every process is ready", std::process::id()));
    }

    /// systemd wants the monotonic clock beside RELOADING.
    pub fn reloading(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .map_or(0, |t| t.tv_sec().saturating_mul(1_000_000).saturating_add(t.tv_nsec() / 1000));
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reloading"));
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }
}

fn address(name: &str) -> Option<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None if name.starts_with('/') => SocketAddr::from_pathname(name).ok(),
        None => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn tells_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@zpost-test-{}", std::process::id());
        for (text, socket) in [
            (path.to_str().unwrap(), UnixDatagram::bind(&path).unwrap()),
            (name.as_str(), UnixDatagram::bind_addr(&address(&name).unwrap()).unwrap()),
        ] {
            Readiness { socket: address(text), line: None }.ready();
            let mut buffer = [0; 200];
            let length = socket.recv(&mut buffer).unwrap();
            assert!(buffer.get(..length).unwrap().starts_with(b"READY=1\nMAINPID="));
        }
    }

    #[test]
    fn the_descriptor_hears_one_line_and_is_closed() {
        let (mut theirs, ours) = std::io::pipe().unwrap();
        let mut readiness = Readiness { socket: None, line: Some(File::from(OwnedFd::from(ours))) };
        readiness.ready();
        readiness.ready();
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"\n");
    }
}
