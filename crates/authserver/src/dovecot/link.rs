//! The connection to Dovecot: one for all logins, opened when first needed and again when it broke.

use super::dialogue::{self, Dialogue, Request, Verdict};
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Output that Dovecot has not taken, in bytes; beyond it is broken.
const MAX_OUTPUT: usize = 1 << 20;

struct Connection {
    stream: UnixStream,
    dialogue: Dialogue,
    output: Vec<u8>,
}

/// By number: whose login it is, and until when an answer is waited for (`None`: the client is to speak).
struct Open {
    ticket: u64,
    deadline: Option<Instant>,
    /// Not said yet: the handshake is not over.
    held: Option<Request>,
}

pub struct Link {
    path: PathBuf,
    patience: Duration,
    token: Token,
    connection: Option<Connection>,
    open: HashMap<u32, Open>,
    next: u32,
    verdicts: Vec<(u64, Verdict)>,
}

impl Link {
    pub fn new(path: PathBuf, patience: Duration, token: Token) -> Self {
        let next = std::process::id() << 8;
        Self { path, patience, token, connection: None, open: HashMap::new(), next, verdicts: Vec::new() }
    }

    pub const fn token(&self) -> Token {
        self.token
    }

    /// Begins a login; the number is for [`Link::respond`] and [`Link::cancel`].
    pub fn begin(&mut self, ticket: u64, request: Request, registry: &Registry, now: Instant) -> u32 {
        self.next = self.next.wrapping_add(1).max(1) & 0x7fff_ffff;
        let number = self.next;
        if let Err(e) = self.connect(registry) {
            self.verdicts.push((ticket, Verdict::Temporary(format!("dovecot: {}: {e}", self.path.display()))));
            return number;
        }
        self.open.insert(number, Open { ticket, deadline: now.checked_add(self.patience), held: Some(request) });
        self.say_held();
        self.flush(registry);
        number
    }

    pub fn respond(&mut self, number: u32, response: &[u8], registry: &Registry, now: Instant) {
        let Some(open) = self.open.get_mut(&number) else { return };
        open.deadline = now.checked_add(self.patience);
        if let Some(connection) = &mut self.connection {
            connection.output.extend_from_slice(dialogue::response(number, response).as_bytes());
        }
        self.flush(registry);
    }

    pub fn cancel(&mut self, number: u32, registry: &Registry) {
        let Some(open) = self.open.remove(&number) else { return };
        if let (Some(connection), None) = (&mut self.connection, open.held) {
            connection.output.extend_from_slice(dialogue::cancel(number).as_bytes());
            self.flush(registry);
        }
    }

    /// Takes what Dovecot says.
    pub fn event(&mut self, registry: &Registry) {
        let mut buffer = [0; 8192];
        while let Some(connection) = &mut self.connection {
            match connection.stream.read(&mut buffer) {
                Ok(0) => return self.broken("the connection was closed", registry),
                Ok(count) => match connection.dialogue.feed(buffer.get(..count).unwrap_or_default()) {
                    Ok(verdicts) => self.heard(verdicts),
                    Err(reason) => return self.broken(reason, registry),
                },
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return self.broken(&e.to_string(), registry),
            }
        }
        self.say_held();
        self.flush(registry);
    }

    /// What has been decided, by ticket; deadlines too.
    pub fn take(&mut self, now: Instant, registry: &Registry) -> Vec<(u64, Verdict)> {
        let over: Vec<u32> = self.open.iter().filter(|(_, open)| open.deadline.is_some_and(|at| at <= now)).map(|(n, _)| *n).collect();
        let greeted = self.connection.as_ref().is_none_or(|connection| connection.dialogue.is_ready());
        if !over.is_empty() && !greeted {
            self.broken("no handshake in time", registry);
        }
        for open in over.into_iter().filter_map(|number| self.open.remove(&number)) {
            self.verdicts.push((open.ticket, Verdict::Temporary("dovecot: no answer in time".to_owned())));
        }
        std::mem::take(&mut self.verdicts)
    }

    pub fn wake(&self) -> Option<Instant> {
        self.open.values().filter_map(|open| open.deadline).min()
    }

    fn connect(&mut self, registry: &Registry) -> io::Result<()> {
        if self.connection.is_some() {
            return Ok(());
        }
        let mut stream = UnixStream::connect(&self.path)?;
        registry.register(&mut stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
        self.next = self.next.wrapping_add(1) & 0x7fff_ffff;
        let output = Dialogue::hello(self.next).into_bytes();
        self.connection = Some(Connection { stream, dialogue: Dialogue::default(), output });
        Ok(())
    }

    fn heard(&mut self, verdicts: Vec<(u32, Verdict)>) {
        for (number, verdict) in verdicts {
            if matches!(verdict, Verdict::Challenge(_)) {
                let Some(open) = self.open.get_mut(&number) else { continue };
                open.deadline = None;
                self.verdicts.push((open.ticket, verdict));
            } else if let Some(open) = self.open.remove(&number) {
                self.verdicts.push((open.ticket, verdict));
            }
        }
    }

    /// Says what waited for the end of the handshake.
    fn say_held(&mut self) {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.dialogue.is_ready()) else { return };
        let mut unknown = Vec::new();
        for (number, open) in &mut self.open {
            let Some(request) = open.held.take() else { continue };
            if connection.dialogue.knows(&request.mechanism) {
                connection.output.extend_from_slice(dialogue::request(*number, &request).as_bytes());
            } else {
                unknown.push(*number);
            }
        }
        for open in unknown.into_iter().filter_map(|number| self.open.remove(&number)) {
            self.verdicts.push((open.ticket, Verdict::Mechanism));
        }
    }

    fn flush(&mut self, registry: &Registry) {
        while let Some(connection) = self.connection.as_mut().filter(|connection| !connection.output.is_empty()) {
            match connection.stream.write(&connection.output) {
                Ok(count) => {
                    connection.output.drain(..count.min(connection.output.len()));
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && connection.output.len() <= MAX_OUTPUT => return,
                Err(e) => return self.broken(&e.to_string(), registry),
            }
        }
    }

    /// Every login on it is undecided; the next one connects anew.
    fn broken(&mut self, reason: &str, registry: &Registry) {
        if let Some(mut connection) = self.connection.take() {
            let _ = registry.deregister(&mut connection.stream);
        }
        daemon::event!(Warning, "backend_failed", backend = "dovecot", reason = reason);
        for (_, open) in self.open.drain() {
            self.verdicts.push((open.ticket, Verdict::Temporary(format!("dovecot: {reason}"))));
        }
    }
}
