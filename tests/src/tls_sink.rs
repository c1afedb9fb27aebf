//! A next hop with STARTTLS, on threads of the test: it counts, and keeps what tests look for in what it took.

use crate::tls;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Lines of the content that begin so are kept.
const KEPT: [&str; 2] = ["X-Number: ", "Action: "];

/// One message that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The paths of MAIL and RCPT, in angle brackets, without parameters.
    pub from: String,
    pub to: Vec<String>,
    pub secure: bool,
    /// `X-Number` and `Action` lines, wherever they stand.
    pub lines: Vec<String>,
}

impl Taken {
    /// The values of the kept lines with this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[derive(Debug, Default)]
struct Seen {
    messages: AtomicUsize,
    secure_sessions: AtomicUsize,
    keep: bool,
    taken: Mutex<HashMap<Taken, usize>>,
}

/// The server; its threads end with the test's process.
#[derive(Debug, Clone)]
pub struct TlsSink {
    pub port: u16,
    seen: Arc<Seen>,
}

impl TlsSink {
    /// With a certificate of its own, made for this; keeps what it takes. Recipients whose name begins with `refused` get 550.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = certificate(folder.path(), "sink.example");
        Self::on(0, &chain, &key, true)
    }

    /// On a port (0: a free one) with a certificate from files; `keep`: also keeps what it takes, not only counts.
    pub fn on(port: u16, chain: &Path, key: &Path, keep: bool) -> Self {
        let config = tls::server(chain, key);
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let seen = Arc::new(Seen { keep, ..Seen::default() });
        let sink = Self { port: listener.local_addr().unwrap().port(), seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
                std::thread::Builder::new().stack_size(256 * 1024).spawn(move || drop(greet(socket, &config, &seen))).unwrap();
            }
        });
        sink
    }

    pub fn messages(&self) -> usize {
        self.seen.messages.load(Relaxed)
    }
    /// Sessions in which TLS was begun.
    pub fn secure_sessions(&self) -> usize {
        self.seen.secure_sessions.load(Relaxed)
    }
    /// Each message taken, and how often the same.
    pub fn taken(&self) -> HashMap<Taken, usize> {
        self.seen.taken.lock().unwrap().clone()
    }
}

/// A certificate of its own for a host: chain and key.
pub fn certificate(folder: &Path, host: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (chain, key)
}

fn greet(socket: TcpStream, config: &Arc<rustls::ServerConfig>, seen: &Seen) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut plain = BufReader::new(socket);
    plain.get_mut().write_all(b"220 sink.example ESMTP\r\n")?;
    if serve(&mut plain, true, seen, TcpStream::write_all)? {
        seen.secure_sessions.fetch_add(1, Relaxed);
        let mut inside = BufReader::new(tls::accept(config, plain.into_inner()));
        serve(&mut inside, false, seen, tls::ServerStream::write_all)?;
    }
    Ok(())
}

/// True: STARTTLS was said and answered.
fn serve<S: Read>(
    stream: &mut BufReader<S>,
    offer: bool,
    seen: &Seen,
    write: fn(&mut S, &[u8]) -> std::io::Result<()>,
) -> std::io::Result<bool> {
    let mut line = Vec::new();
    let mut message = Taken::default();
    // Replies leave together before the next read, as a server with pipelining does.
    let mut replies = Vec::new();
    loop {
        if stream.buffer().is_empty() && !replies.is_empty() {
            write(stream.get_mut(), &replies)?;
            replies.clear();
        }
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => {
                replies.extend_from_slice(b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n");
                replies.extend_from_slice(if offer { b"250 STARTTLS\r\n".as_slice() } else { b"250 DSN\r\n" });
            }
            b"STAR" => {
                write(stream.get_mut(), b"220 go\r\n")?;
                return Ok(true);
            }
            b"MAIL" => {
                message = Taken { from: path(&line), secure: !offer, ..Taken::default() };
                replies.extend_from_slice(b"250 ok\r\n");
            }
            b"RCPT" if path(&line).starts_with("<refused") => replies.extend_from_slice(b"550 5.1.1 nobody of this name\r\n"),
            b"RCPT" => {
                message.to.push(path(&line));
                replies.extend_from_slice(b"250 ok\r\n");
            }
            b"DATA" if message.to.is_empty() => replies.extend_from_slice(b"554 5.5.1 no recipients\r\n"),
            b"DATA" => {
                replies.extend_from_slice(b"354 go\r\n");
                write(stream.get_mut(), &replies)?;
                replies.clear();
                while line != b".\r\n" {
                    line.clear();
                    if stream.read_until(b'\n', &mut line)? == 0 {
                        return Ok(false);
                    }
                    if seen.keep && KEPT.iter().any(|kept| line.starts_with(kept.as_bytes())) {
                        message.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                    }
                }
                seen.messages.fetch_add(1, Relaxed);
                if seen.keep {
                    *seen.taken.lock().unwrap().entry(std::mem::take(&mut message)).or_default() += 1;
                }
                replies.extend_from_slice(b"250 ok\r\n");
            }
            b"QUIT" => {
                replies.extend_from_slice(b"221 bye\r\n");
                write(stream.get_mut(), &replies)?;
                return Ok(false);
            }
            _ => replies.extend_from_slice(b"250 ok\r\n"),
        }
    }
}

/// From the first angle bracket to the last of the path.
fn path(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let from = text.find('<').unwrap_or(0);
    let to = text.find('>').map_or(text.len(), |at| at + 1);
    text.get(from..to).unwrap_or_default().to_owned()
}
