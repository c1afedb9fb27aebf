//! Raw SMTP over a socket: a client that says exactly what it is told, and a next hop that takes BDAT.

use crate::LONG;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A client.
#[derive(Debug)]
pub struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Wire {
    /// Connected; nothing read.
    pub fn connect(port: u16) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        writer.set_read_timeout(Some(LONG)).unwrap();
        writer.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(writer.try_clone().unwrap()), writer }
    }

    /// Greeted, and EHLO said.
    pub fn hello(port: u16) -> Self {
        let mut wire = Self::connect(port);
        wire.hear("220");
        wire.say("EHLO client.example", "250");
        wire
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).unwrap();
    }

    /// The next reply with all its lines; empty when the server has closed.
    pub fn reply(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return all;
            }
            all.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return all;
            }
        }
    }

    /// The next reply, which must begin with `expected`.
    pub fn hear(&mut self, expected: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(expected), "{reply:?}, not {expected}");
        reply
    }

    pub fn say(&mut self, command: &str, expected: &str) -> String {
        self.send(format!("{command}\r\n"));
        let reply = self.reply();
        assert!(reply.starts_with(expected), "{command}: {reply:?}, not {expected}");
        reply
    }

    pub fn chunk(&mut self, content: &[u8], last: bool) {
        self.send(format!("BDAT {}{}\r\n", content.len(), if last { " LAST" } else { "" }));
        self.send(content);
    }

    /// One message with DATA; `content` is written as it is, with the end of data after it. Gives the spool id.
    pub fn message(&mut self, mail: &str, rcpt: &str, content: &str) -> String {
        self.say(&format!("MAIL FROM:{mail}"), "250");
        self.say(&format!("RCPT TO:{rcpt}"), "250");
        self.say("DATA", "354");
        self.send(content);
        let reply = self.say("\r\n.", "250");
        reply.trim_end().rsplit(' ').next().unwrap().to_owned()
    }

    pub fn close(self) -> TcpStream {
        self.writer
    }
}

/// What a [`ChunkSink`] got in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The MAIL command.
    pub mail: String,
    pub content: Vec<u8>,
}

/// A next hop that offers CHUNKING and BINARYMIME and keeps the octets.
#[derive(Debug)]
pub struct ChunkSink {
    pub port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl ChunkSink {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, taken }
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

/// Ends when the client does.
fn serve(stream: TcpStream, taken: &Mutex<Vec<Taken>>) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    out.write_all(b"220 sink.example ESMTP\r\n").ok()?;
    let mut message = Taken::default();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 BINARYMIME",
            "MAIL" => {
                message = Taken { mail: line.to_owned(), content: Vec::new() };
                "250 2.1.0 ok"
            }
            "BDAT" => {
                let mut words = line.split(' ').skip(1);
                let mut part = vec![0; words.next()?.parse().ok()?];
                reader.read_exact(&mut part).ok()?;
                message.content.extend(part);
                if words.next().is_some() {
                    taken.lock().unwrap().push(std::mem::take(&mut message));
                }
                "250 2.0.0 ok"
            }
            "DATA" => "502 5.5.1 BDAT only",
            _ => "250 2.0.0 ok",
        };
        out.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
        if verb == "QUIT" {
            return None;
        }
    }
}
