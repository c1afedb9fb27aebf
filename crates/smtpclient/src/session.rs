//! One connection: socket, protocol machine, what is still to be written, and its deadline.

use crate::content::{Content, Progress, Reader, survey};
use crate::dialling::Dialled;
use crate::egress::Way;
use crate::racing::Rival;
use crate::secured::Security;
use crate::stream::Stream;
use crate::work::Work;
use ipc::agents::Learned;
use nexthop::Candidate;
use proxy::Socks5;
use smtp::client::{Awaiting, Client, Event, Flavour, Form, Framing};
use std::io;
use std::time::{Duration, Instant};

/// A drained output buffer above this size is given back: idle sessions stay small.
const KEPT_BUFFER: usize = 16 * 1024;
/// How long the server may take to answer QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Slowest taking of content, in bytes a second over the whole message, on top of `reply_deadline`.
const SLOWEST: u64 = 500;

#[derive(Debug)]
pub struct Session {
    stream: Stream,
    pub client: Client,
    pub security: Security,
    /// Where it leads, for another try.
    pub candidate: Candidate,
    pub token: usize,
    /// As `remote` of reports.
    pub remote: String,
    pub way: Way,
    /// Until the proxy has made the connection.
    socks: Option<Box<Socks5>>,
    /// Attempts at other addresses of the same host, and when the next one begins.
    pub rivals: Vec<Rival>,
    pub next_attempt: Option<Instant>,
    /// The session broke while content went in chunks.
    pub broke_in_chunks: bool,
    /// The content goes converted.
    converted: bool,
    pub host: String,
    pub flavour: Flavour,
    pub work: Option<Box<Work>>,
    pub content: Option<Content>,
    /// Messages whose transaction came to an end.
    pub served: u32,
    /// The server has closed its side: no further job may come here.
    pub ended: bool,
    connected: bool,
    out: Vec<u8>,
    written: usize,
    /// The reply count and stage when `since` was taken.
    stage: (u64, Awaiting),
    since: Instant,
    activity: Instant,
}

/// What is to be done about a session.
#[derive(Debug)]
pub enum Turn {
    /// Nothing but waiting.
    Wait,
    /// The connection could not be made.
    Unconnected(io::Error),
    Event(Event),
    /// The handshake is done.
    Secured(tls::client::Summary),
    /// TLS did not come about.
    TlsFailed(tls::client::Failure),
    /// Nothing is left to do with it.
    Over,
}

impl Session {
    /// A session on a connection that is being made.
    pub fn new(
        token: usize,
        dialled: Dialled,
        candidate: Candidate,
        security: Security,
        mut work: Box<Work>,
        hello: &str,
        now: Instant,
    ) -> Self {
        let mut client = Client::new(work.flavour, dialled.hello.unwrap_or_else(|| hello.to_owned()));
        client.set_starttls(security.assurance.starttls);
        let mut out = dialled.opening;
        if let Some(transaction) = work.transaction.take() {
            let _ = client.begin(transaction, &mut out);
        }
        Self {
            stream: Stream::new(dialled.socket),
            client,
            security,
            token,
            remote: candidate.to_string(),
            candidate,
            way: work.way,
            socks: dialled.socks,
            rivals: Vec::new(),
            next_attempt: None,
            broke_in_chunks: false,
            converted: false,
            host: work.host.clone(),
            flavour: work.flavour,
            work: Some(work),
            content: None,
            served: 0,
            ended: false,
            connected: false,
            out,
            written: 0,
            stage: (0, Awaiting::Greeting),
            since: now,
            activity: now,
        }
    }

    /// The connection of another attempt takes the place of this one's.
    pub fn take_over(&mut self, rival: Rival) {
        self.stream = Stream::new(rival.dialled.socket);
        self.socks = rival.dialled.socks;
        self.out = rival.dialled.opening;
        self.written = 0;
        if let Some(hello) = rival.dialled.hello {
            self.client.set_hello(hello);
        }
        self.token = rival.token;
        self.remote = rival.candidate.to_string();
        self.candidate = rival.candidate;
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What this session has taught about its server, with a transaction that is over.
    pub fn learned(&self) -> Learned {
        let limits = self.client.extensions().limits;
        let (mail_max, rcpt_max, rcpt_domain_max) = (limits.mail_max, limits.rcpt_max, limits.rcpt_domain_max);
        Learned { mail_max, rcpt_max, rcpt_domain_max, greeted: true, reused: self.served > 1, ..Learned::default() }
    }

    /// May it take one more message, as far as their number goes?
    pub fn has_room(&self, most: u32) -> bool {
        self.served < self.client.extensions().limits.mail_max.map_or(most, |limit| limit.min(most))
    }

    pub fn register(&mut self, registry: &mio::Registry) -> io::Result<()> {
        self.stream.socket.register(registry, mio::Token(self.token))
    }

    /// Takes the next job over this idle session.
    pub fn reuse(&mut self, mut work: Box<Work>, now: Instant) -> Turn {
        let transaction = work.transaction.take();
        self.work = Some(work);
        self.since = now;
        self.activity = now;
        match transaction.and_then(|transaction| self.client.begin(transaction, &mut self.out)) {
            Some(event) => Turn::Event(event),
            None => self.write(now),
        }
    }

    /// What epoll has said. `ended`: the server has closed its side, so read to the very end.
    pub fn ready(&mut self, readable: bool, ended: bool, buffer: &mut [u8], now: Instant) -> Turn {
        if !self.connected {
            match self.stream.socket.connected() {
                Ok(Some(())) => {
                    (self.connected, self.since, self.activity) = (true, now, now);
                }
                Ok(None) => return Turn::Wait,
                Err(e) => return Turn::Unconnected(e),
            }
        }
        self.ended |= ended;
        if self.security.shaking {
            return self.shake();
        }
        // A proxy that refuses makes the connection "unconnected" as late as here.
        match if readable { self.read(buffer, now) } else { Turn::Wait } {
            Turn::Wait => self.write(now),
            turn => turn,
        }
    }

    /// Begins the handshake.
    pub fn begin_tls(&mut self, session: tls::client::Session) -> Turn {
        self.stream.secure(session);
        self.security.shaking = true;
        self.shake()
    }

    fn shake(&mut self) -> Turn {
        match self.stream.handshake() {
            Ok(None) => Turn::Wait,
            Err(failure) => Turn::TlsFailed(failure),
            Ok(Some(summary)) => {
                self.security.made(&summary);
                self.client.secured(&mut self.out);
                Turn::Secured(summary)
            }
        }
    }

    /// Our end of the connection, for reports.
    pub fn source(&self) -> Option<std::net::IpAddr> {
        self.stream.socket.source_address()
    }

    fn read(&mut self, buffer: &mut [u8], now: Instant) -> Turn {
        loop {
            match self.stream.read(buffer) {
                Ok(0) if self.socks.is_some() => return Turn::Unconnected(io::Error::other("the proxy closed the connection")),
                Ok(0) => return self.lost("the server closed the connection"),
                Ok(length) => {
                    self.activity = now;
                    let mut input = buffer.get(..length).unwrap_or_default();
                    if let Some(socks) = &mut self.socks {
                        match socks.receive(&mut input, &mut self.out) {
                            Ok(true) => self.socks = None,
                            Ok(false) => {}
                            Err(fault) => return Turn::Unconnected(io::Error::other(fault)),
                        }
                    }
                    if !input.is_empty()
                        && let Some(event) = self.client.receive(input, &mut self.out)
                    {
                        return Turn::Event(event);
                    }
                    // A short read has emptied a bare socket; the next byte is a new event.
                    if length < buffer.len() && !self.ended && !self.stream.is_tls() {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.lost(&format!("the connection broke: {e}")),
            }
        }
        if self.client.is_closed() && self.work.is_none() && self.client.awaiting() != Awaiting::Quit { Turn::Over } else { Turn::Wait }
    }

    /// The connection is gone or given up.
    pub fn lost(&mut self, why: &str) -> Turn {
        self.content = None;
        self.broke_in_chunks |= self.client.in_chunks();
        self.client.lost(why).map_or(Turn::Over, Turn::Event)
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn write(&mut self, now: Instant) -> Turn {
        while self.connected && self.written < self.out.len() {
            match self.stream.write(self.out.get(self.written..).unwrap_or_default()) {
                Ok(written) => {
                    self.written += written;
                    self.activity = now;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Turn::Wait;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.lost(&format!("the connection broke: {e}")),
            }
        }
        match self.stream.flush() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Turn::Wait,
            Err(e) => return self.lost(&format!("the connection broke: {e}")),
            Ok(()) => {}
        }
        if self.written == self.out.len() {
            self.written = 0;
            self.out.clear();
            if self.out.capacity() > KEPT_BUFFER && self.content.is_none() {
                self.out = Vec::new();
            }
        }
        Turn::Wait
    }

    /// Begins to send the content as the protocol machine wants it.
    pub fn send_content(&mut self) {
        let (framing, converted) = (self.client.framing(), std::mem::take(&mut self.converted));
        self.content = self.work.as_deref().map(|work| Content::new(work, framing, converted));
    }

    /// Has the content looked at, which the server does not take as it is.
    pub fn survey(&self, reader: &Reader) -> io::Result<()> {
        self.work.as_deref().map_or(Ok(()), |work| reader.ask(survey(work, self.token)))
    }

    /// The content goes in this form.
    pub fn proceed(&mut self, form: Form, now: Instant) -> Turn {
        self.converted = form != Form::Stored;
        match self.client.proceed(form, &mut self.out) {
            Some(event) => Turn::Event(event),
            None => self.write(now),
        }
    }

    /// Sends content while the socket takes it and the page cache has it. The first piece leaves with the envelope where
    /// that is still here.
    pub fn pump(&mut self, buffer: &mut [u8], reader: &Reader, now: Instant) -> Turn {
        loop {
            let fresh = self.content.as_ref().is_some_and(|content| content.is_fresh(self.work.as_deref()));
            if !fresh && let turn @ (Turn::Event(_) | Turn::Over) = self.write(now) {
                return turn;
            }
            let Some(content) = &mut self.content else { return Turn::Wait };
            if (!self.out.is_empty() && !fresh) || content.reading || !self.client.may_send() {
                return Turn::Wait;
            }
            let progress = match content.next(buffer, &mut self.out) {
                Ok(Progress::Cold) => reader.ask(content.request(self.token)).map(|()| Progress::Cold),
                other => other,
            };
            let cold = matches!(progress, Ok(Progress::Cold));
            if let turn @ (Turn::Event(_) | Turn::Over) = self.progressed(progress) {
                return turn;
            }
            if cold || self.content.is_none() {
                return self.write(now);
            }
        }
    }

    /// Goes on with what the reader thread has read. The last piece is written here: without content left, nobody
    /// pumps any more.
    pub fn supplied(&mut self, piece: io::Result<Vec<u8>>, now: Instant) -> Turn {
        let Some(content) = &mut self.content else { return Turn::Wait };
        let progress = content.supplied(piece, &mut self.out);
        match self.progressed(progress) {
            Turn::Wait => self.write(now),
            turn => turn,
        }
    }

    fn progressed(&mut self, progress: io::Result<Progress>) -> Turn {
        match progress {
            Ok(Progress::More | Progress::Cold) => Turn::Wait,
            Ok(Progress::Chunk) => {
                self.client.chunk_sent(false);
                Turn::Wait
            }
            Ok(Progress::Complete) => {
                self.content = None;
                match self.client.framing() {
                    Framing::Dots => self.client.content_sent(),
                    Framing::Lines | Framing::Octets => self.client.chunk_sent(true),
                }
                Turn::Wait
            }
            // Before content_sent: the end has not been written, so the server must drop what it has.
            Err(e) => self.lost(&format!("the message cannot be read: {e}")),
        }
    }

    /// Says goodbye; false when there is nobody to say it to.
    pub fn quit(&mut self, now: Instant) -> bool {
        if !self.client.is_idle() || !self.connected {
            return false;
        }
        self.client.quit(&mut self.out);
        self.since = now;
        let said = !matches!(self.write(now), Turn::Over);
        self.stream.end();
        said
    }

    /// When this session has waited too long, and for what. Call after every event: a new stage starts a new deadline.
    pub fn deadline(&mut self, client: &settings::Client, now: Instant) -> (Instant, &'static str) {
        if !self.connected {
            let limit = self.since + client.connect_timeout;
            return (self.next_attempt.map_or(limit, |next| next.min(limit)), "the connection");
        }
        let stage = (self.client.replies(), self.client.awaiting());
        if stage != self.stage {
            self.stage = stage;
            self.since = now;
            self.activity = now;
        }
        let (patience, what) = match stage.1 {
            Awaiting::Greeting => (client.greeting_timeout, "the greeting"),
            Awaiting::Hello => (client.hello_timeout, "the reply to EHLO"),
            Awaiting::LogIn => (client.hello_timeout, "the reply to AUTH"),
            Awaiting::StartTls => (self.security.patience, "TLS"),
            Awaiting::Mail => (client.mail_timeout, "the reply to MAIL"),
            Awaiting::Rcpt => (client.rcpt_timeout, "the reply to RCPT"),
            Awaiting::Data => (client.data_timeout, "the reply to DATA"),
            Awaiting::Content => (client.block_timeout, "the server to take the content"),
            Awaiting::Final => (client.final_timeout, "the reply to the final dot"),
            Awaiting::Quit => (QUIT_TIMEOUT, "the reply to QUIT"),
            Awaiting::Nothing => (client.idle, "the next message"),
        };
        // Bytes that trickle move `activity`, never `since`.
        let size = self.work.as_ref().map_or(0, |work| work.size);
        let slow = if matches!(stage.1, Awaiting::Content | Awaiting::Final) { size / SLOWEST } else { 0 };
        let overall = self.since + client.reply_deadline + Duration::from_secs(slow);
        ((self.activity + patience).min(overall), what)
    }
}
