//! Moves one session on: reads what there is, feeds it to the machine, acts on its steps, writes what it says.

use crate::connection::{Awaiting, Connection, Flushed};
use crate::context::Client;
use crate::envelopes::sender_text;
use crate::policy::Asker;
use crate::sync::Key;
use crate::worker::Worker;
use ipc::rates::{Kind, ToTracker};
use smtp::server::{Rejection, Stage, Standing, Step};
use status::{Enhanced, Reply};
use std::io;
use std::time::Duration;

/// Reads of one session in one turn of the loop: then the others come first.
const READS_PER_TURN: usize = 16;
/// How old the knowledge of free space may be.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What one read brought.
pub(crate) enum Read {
    Bytes(usize),
    Nothing,
    End,
    /// What came is no TLS, or not as we speak it.
    Broken(io::Error),
}

impl Worker {
    /// The session's socket had an event, or its question has its answer.
    pub(crate) fn advance(&mut self, c: &mut Connection, key: Key) -> bool {
        let mut reads = 0;
        loop {
            // At the start, and again where XCLIENT has named another client.
            if !c.greeted && !self.greet(c, key) {
                return !c.session.is_closed() || c.flush() == Flushed::Some;
            }
            if c.session.is_closed() {
                return c.flush() == Flushed::Some;
            }
            if self.is_tarpitted(c) {
                return true;
            }
            if c.securing && !self.secure(c) {
                return false;
            }
            if c.session.is_waiting() {
                self.look_whether_gone(c, key);
                return true;
            }
            if !c.writable && c.flush() != Flushed::All {
                return c.flush() != Flushed::Broken;
            }
            if !c.held.is_empty() || c.session.is_ready() {
                let held = std::mem::take(&mut c.held);
                self.feed(c, key, &held);
                continue;
            }
            if !c.readable || c.message.as_ref().is_some_and(|message| message.is_full()) {
                return c.flush() != Flushed::Broken;
            }
            if reads == READS_PER_TURN {
                self.again.push(key);
                return c.flush() != Flushed::Broken;
            }
            reads += 1;
            if !self.read_once(c, key) {
                return false;
            }
        }
    }

    fn read_once(&mut self, c: &mut Connection, key: Key) -> bool {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let brought = read(c, &mut buffer);
        // Before the first command inside: who the client is may come out of the handshake.
        if c.conduct.handshaking && !c.stream.is_handshaking() {
            self.shaken_hands(c);
        }
        let go_on = match brought {
            Read::Bytes(count) => {
                self.feed(c, key, buffer.get(..count).unwrap_or_default());
                true
            }
            Read::Nothing => true,
            Read::End => {
                c.flush();
                false
            }
            Read::Broken(reason) => {
                self.broken_tls(c, &reason);
                false
            }
        };
        self.read_buffer = buffer;
        go_on
    }

    /// Asks the tracker; false: there is nothing to ask for this client.
    pub(crate) fn ask_rate(&mut self, c: &mut Connection, key: Key, kind: Kind, awaiting: Awaiting) -> bool {
        let Client::Network(address) = c.client else { return false };
        if !self.tracker.exists() {
            return false;
        }
        c.awaiting = awaiting;
        let event = self.event(c, address, kind);
        let asker = Asker::Connection(key);
        self.tracker.ask(|number| ToTracker::Ask { number, event, limits: Vec::new() }, asker, self.poll.registry(), self.now);
        true
    }

    /// The 220 has to leave in the clear before the first byte of the handshake. False: the connection is lost.
    fn secure(&mut self, c: &mut Connection) -> bool {
        match c.flush() {
            Flushed::Some => return true,
            Flushed::Broken => return false,
            Flushed::All => c.securing = false,
        }
        let Some(offer) = c.tls.take() else { return false };
        c.conduct.handshaking = true;
        c.deadline = self.now + self.command_timeout(c);
        c.readable = true;
        c.login = None;
        c.session.secured(self.context.rights(c.client, c.listener, true, self.scheduler.exists()));
        c.stream.secure(&offer).is_ok()
    }

    /// Feeds input; what the session does not take while a question is open is held.
    fn feed(&mut self, c: &mut Connection, key: Key, input: &[u8]) {
        if !c.conduct.opening.is_seen() && self.is_foreign(c, input) {
            return;
        }
        let said = c.session.output().len();
        let mut rest = input;
        loop {
            let with = c.session.with();
            let mut none = Vec::new();
            let sink = c.message.as_mut().map_or(&mut none, |message| &mut message.content);
            let (used, step) = c.session.step(rest, sink);
            rest = rest.get(used..).unwrap_or_default();
            match step {
                Step::Read => break,
                Step::Wait => {
                    c.held = rest.to_vec();
                    break;
                }
                Step::Close => break,
                Step::StartTls => {
                    // What came with it in the clear is dropped; the session has refused it already.
                    c.securing = true;
                    break;
                }
                Step::Hello => {
                    self.drop_message(c);
                    self.hello_policy(c, key);
                }
                Step::Authenticate { mechanism, initial } => self.authenticate(c, key, mechanism, initial),
                Step::AuthResponse(response) => self.auth_response(c, key, response),
                Step::AuthCancelled => self.auth_cancelled(c),
                Step::Sender => self.sender(c, key),
                Step::Recipient { standing } => self.recipient(c, key, standing),
                Step::Data => self.data_policy(c, key),
                Step::Begin => self.begin_message(c),
                Step::End(transaction) => self.end_message(c, key, transaction, with),
                Step::Refused => self.drop_message(c),
                Step::Inquiry { inquiry, address } => self.inquire(c, key, inquiry, &address),
                Step::XClient(stand) => {
                    self.stand(c, *stand);
                    break;
                }
                Step::XForward(said) => self.forwarded(c, &said),
                Step::Etrn(node) => {
                    daemon::event!(Info, "etrn", peer = c.client, node = node);
                    self.counters.add("etrn", 1);
                    self.scheduler.want(node);
                }
            }
        }
        self.spill(c, key);
        self.note(c);
        self.took_input(c, said);
    }

    /// MAIL: is there room, and has the client sent too much?
    fn sender(&mut self, c: &mut Connection, key: Key) {
        if self.now.saturating_duration_since(self.measured) >= MEASURE_EVERY {
            self.measured = self.now;
            self.disks.measure();
        }
        let declared = c.session.transaction().map_or(0, |t| t.declared_size);
        let room = self.context.settings.server.min_free_bytes.saturating_add(declared);
        if self.disks.choose(room, self.now).is_none() {
            let reply = Reply::new(452, Enhanced::transient(3, 1), "insufficient system storage");
            return c.session.answer(Err(reply));
        }
        self.sender_policy(c, key);
    }

    fn recipient(&mut self, c: &mut Connection, key: Key, standing: Standing) {
        if c.conduct.condemned {
            let reply = Reply::new(554, Enhanced::permanent(7, 1), "this client spoke before it was greeted");
            return c.session.answer(Err(reply));
        }
        self.recipient_policy(c, key, standing);
    }

    /// Refusals for log and counters.
    pub(crate) fn note(&mut self, c: &mut Connection) {
        self.note_because(c, None);
    }

    /// As [`Worker::note`], of a decision of policy.
    pub(crate) fn note_because(&mut self, c: &mut Connection, cause: Option<&policy::Cause>) {
        for Rejection { stage, code, subject, text } in c.session.take_rejections() {
            let counter = match stage {
                Stage::Connection => "rejected_connection",
                Stage::Hello => "rejected_helo",
                Stage::Authentication => "failed_authentications",
                Stage::Mail => "rejected_mail",
                Stage::Recipient | Stage::Inquiry => "rejected_rcpt",
                Stage::Data => "rejected_data",
                Stage::Protocol => "protocol_errors",
            };
            self.counters.add(counter, 1);
            if code < 500 {
                self.counters.add("deferred", 1);
            }
            let from = c.session.transaction().map(sender_text).unwrap_or_default();
            let Some(line) = daemon::log::Line::begin(settings::LogLevel::Info, "rejected") else { continue };
            let line = line.field("stage", &stage.word()).field("peer", &c.client);
            let line = line.field("helo", &c.session.hello().unwrap_or_default()).field("from", &from);
            let line = line.field("subject", &subject).field("code", &code).field("text", &text);
            because(line, cause).end();
        }
    }
}

/// Why policy refuses: the rule's place, what led to it, the score of lists, more of it.
fn because(mut line: daemon::log::Line, cause: Option<&policy::Cause>) -> daemon::log::Line {
    let Some(cause) = cause else { return line };
    line = line.field("cause", &cause.what);
    if !cause.rule.is_empty() {
        line = line.field("rule", &cause.rule);
    }
    if let Some(score) = cause.score {
        line = line.field("score", &score);
    }
    if cause.detail.is_empty() { line } else { line.field("detail", &cause.detail) }
}

/// One read. A short one has emptied the socket: no second call is needed to hear so.
pub(crate) fn read(c: &mut Connection, buffer: &mut [u8]) -> Read {
    loop {
        match c.stream.read(buffer) {
            Ok(0) => return Read::End,
            Ok(count) => {
                c.conduct.pace.received += count as u64;
                c.readable = count == buffer.len() || c.half_closed || !c.stream.short_read_is_all();
                return Read::Bytes(count);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                c.readable = false;
                return Read::Nothing;
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Read::Broken(e),
            Err(_) => return Read::End,
        }
    }
}
