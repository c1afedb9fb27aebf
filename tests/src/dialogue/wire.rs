//! A client's connection that reads while it writes, so that neither side waits for the other for ever.

use super::Cut;
use crate::tls;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Wire {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What the server has said and nobody has taken.
    heard: Vec<u8>,
    /// The server says nothing more.
    pub ended: bool,
    /// It takes nothing more.
    deaf: bool,
    cut: Cut,
    patience: Duration,
}

impl Wire {
    pub fn open(port: u16, cut: Cut, patience: Duration) -> std::io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, tls: None, heard: Vec::new(), ended: false, deaf: false, cut, patience })
    }

    /// Sends in pieces. A server that takes no more is no error here: what it said last tells.
    pub fn send(&mut self, bytes: &[u8]) {
        for piece in self.cut.pieces(bytes) {
            match &mut self.tls {
                None => self.write(piece),
                Some(tls) => {
                    let _ = tls.writer().write_all(piece);
                    self.push();
                }
            }
        }
    }

    /// Writes everything, reading meanwhile.
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.deaf {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let both = PollFlags::POLLIN | PollFlags::POLLOUT;
                    assert!(self.wait(if self.ended { PollFlags::POLLOUT } else { both }, self.patience), "the server takes nothing");
                }
                Err(_) => self.deaf = true,
            }
            self.read();
        }
    }

    /// What TLS has to say goes out.
    fn push(&mut self) {
        let mut records = Vec::new();
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && tls.write_tls(&mut records).is_ok() {}
        }
        for piece in self.cut.pieces(&records) {
            self.write(piece);
        }
    }

    fn wait(&self, flags: PollFlags, limit: Duration) -> bool {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        poll(&mut [PollFd::new(self.socket.as_fd(), flags)], timeout).is_ok_and(|count| count > 0)
    }

    /// Takes what is there.
    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while !self.ended {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.take(&buffer[..count]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.ended = true,
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        let Some(tls) = &mut self.tls else { return self.heard.extend_from_slice(bytes) };
        while !bytes.is_empty() {
            if tls.read_tls(&mut bytes).is_err() || tls.process_new_packets().is_err() {
                // The alert, if there is one, is not worth waiting for.
                self.ended = true;
                return;
            }
            let _ = tls.reader().read_to_end(&mut self.heard);
        }
    }

    /// Shakes hands inside the connection; false: the server would not.
    pub fn secure(&mut self, alpn: Option<&str>) -> bool {
        let mut config = (*tls::client()).clone();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("mta.test.example").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        self.tls = Some(Box::new(client));
        let start = Instant::now();
        loop {
            self.push();
            self.read();
            if !self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                // The last flight.
                self.push();
                return !self.ended;
            }
            if self.ended {
                return false;
            }
            assert!(start.elapsed() < self.patience, "the handshake never ends");
            self.wait(PollFlags::POLLIN, self.patience);
        }
    }

    /// The next reply, its lines joined by ` / `, without the code in all but the first. `None`: the server has closed.
    /// `Err`: what came is no reply.
    pub fn reply(&mut self) -> Result<Option<String>, String> {
        let mut reply: Option<String> = None;
        loop {
            let Some(line) = self.line()? else {
                return reply.map_or(Ok(None), |part| Err(format!("closed in the middle of {part:?}")));
            };
            let line = String::from_utf8(line).map_err(|e| format!("a reply that is not ASCII: {e}"))?;
            let code = line.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| format!("no code: {line:?}"))?;
            if line.len() > 510 || line.bytes().any(|b| !(b' '..=b'~').contains(&b)) {
                return Err(format!("a reply line that is too long or holds what is not printable: {line:?}"));
            }
            let last = match line.as_bytes().get(3) {
                Some(b'-') => false,
                Some(b' ') | None => true,
                Some(_) => return Err(format!("no reply line: {line:?}")),
            };
            let text = line.get(4..).unwrap_or_default();
            match &mut reply {
                None => reply = Some(format!("{code} {text}")),
                Some(all) if all.starts_with(code) => all.push_str(&format!(" / {text}")),
                Some(all) => return Err(format!("the code changes: {all:?}, {line:?}")),
            }
            if last {
                return Ok(reply);
            }
        }
    }

    /// The next line without its CRLF; `None` at the end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let start = Instant::now();
        loop {
            self.read();
            if let Some(at) = self.heard.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.heard.drain(..=at).collect();
                line.pop();
                return if line.pop() == Some(b'\r') { Ok(Some(line)) } else { Err("a line that does not end in CRLF".to_owned()) };
            }
            if self.ended {
                // The alert of a failed handshake says no more than the end does.
                return if self.heard.is_empty() || self.heard.starts_with(&[21, 3]) {
                    Ok(None)
                } else {
                    Err(format!("half a line: {:?}", self.heard.escape_ascii().to_string()))
                };
            }
            if start.elapsed() > self.patience {
                return Err("no reply".to_owned());
            }
            self.wait(PollFlags::POLLIN, self.patience);
        }
    }
}
