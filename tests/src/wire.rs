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
    /// Addresses of the RCPT commands.
    pub recipients: Vec<String>,
    pub content: Vec<u8>,
    /// Connections before this one.
    pub session: usize,
    /// Octets of each BDAT.
    pub chunks: Vec<usize>,
}

impl Taken {
    pub fn sender(&self) -> &str {
        self.mail.split(['<', '>']).nth(1).unwrap_or_default()
    }

    /// Of the parameter SIZE.
    pub fn size(&self) -> Option<usize> {
        self.mail.split(' ').find_map(|word| word.strip_prefix("SIZE=")).and_then(|size| size.parse().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).replace("\r\n", "\n")
    }
}

/// A next hop that offers CHUNKING and BINARYMIME, or what it is told to, and keeps the octets.
#[derive(Debug)]
pub struct ChunkSink {
    pub port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl ChunkSink {
    pub fn start() -> Self {
        Self::offering(&["PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"])
    }

    /// One that offers these. Without CHUNKING it takes DATA, and only that.
    pub fn offering(words: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for (session, stream) in listener.incoming().flatten().enumerate() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, session, words, &shared));
            }
        });
        Self { port, taken }
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

/// Ends when the client does. LMTP where it is greeted so: then an answer for each recipient.
fn serve(stream: TcpStream, session: usize, words: &[&str], taken: &Mutex<Vec<Taken>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut out = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    out.write_all(b"220 sink.example ESMTP\r\n").ok()?;
    let chunking = words.contains(&"CHUNKING");
    let (mut message, mut lmtp) = (Taken::default(), false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let mut times = 1;
        let mut keep = |message: &mut Taken| {
            times = if lmtp { message.recipients.len() } else { 1 };
            taken.lock().unwrap().push(std::mem::take(message));
        };
        let mut reply = "250 2.0.0 ok".to_owned();
        match verb.as_str() {
            "EHLO" | "LHLO" => {
                lmtp = verb == "LHLO";
                let all: Vec<&str> = ["sink.example"].into_iter().chain(words.iter().copied()).collect();
                let line = |(at, word): (usize, &&str)| format!("250{}{word}", if at + 1 == all.len() { ' ' } else { '-' });
                reply = all.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n");
            }
            "MAIL" => message = Taken { mail: line.to_owned(), session, ..Taken::default() },
            "RCPT" => message.recipients.push(line.split(['<', '>']).nth(1)?.to_owned()),
            "BDAT" if chunking => {
                let mut words = line.split(' ').skip(1);
                let mut part = vec![0; words.next()?.parse().ok()?];
                reader.read_exact(&mut part).ok()?;
                message.chunks.push(part.len());
                message.content.extend(part);
                if words.next().is_some() {
                    keep(&mut message);
                }
            }
            "DATA" if !chunking => {
                out.write_all(b"354 go\r\n").ok()?;
                message.content = undotted(&mut reader)?;
                keep(&mut message);
            }
            "DATA" => "502 5.5.1 BDAT only".clone_into(&mut reply),
            _ => {}
        }
        out.write_all(format!("{reply}\r\n").repeat(times).as_bytes()).ok()?;
        if verb == "QUIT" {
            return None;
        }
    }
}

/// Content up to the final dot.
fn undotted(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        if line == b".\r\n" {
            return Some(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
