//! One session with one server, message after message.

use super::transaction::REQUIRETLS_NEEDED;
use super::{Extensions, Framing, Transaction, Verdict, chunks, form, login, tls};
use crate::reply_reader::ReplyReader;
use status::Enhanced;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    Smtp,
    /// LHLO, and one final reply for each accepted recipient.
    Lmtp,
}

/// What the caller must act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server has greeted us and no transaction waits.
    Ready,
    /// No session came about, or it broke before the server answered MAIL: the transaction
    /// ([`Client::take_transaction`]) may go elsewhere at once.
    Refused(Verdict),
    /// Write the content as [`Client::framing`] says: up to the final dot, then call [`Client::content_sent`]; or in
    /// chunks, each followed by [`Client::chunk_sent`], while [`Client::may_send`].
    SendContent,
    /// The content as it is may not go to this server: look at it, then call [`Client::proceed`] or [`Client::withhold`].
    Unfit(form::Lacks),
    /// Every recipient has a verdict ([`Client::take_verdicts`]).
    Finished,
    /// Make the TLS handshake, then call [`Client::secured`]. Nothing the server said before counts any longer.
    StartTls,
}

/// What the session waits for: the timeouts of RFC 5321 section 4.5.3.2 go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaiting {
    Greeting,
    Hello,
    /// The reply to STARTTLS, and the handshake.
    StartTls,
    /// A reply to AUTH.
    LogIn,
    /// The reply to MAIL (or to RSET before it).
    Mail,
    Rcpt,
    Data,
    /// The caller to write content.
    Content,
    /// The reply to the final dot.
    Final,
    Quit,
    /// The next transaction.
    Nothing,
}

/// The commands whose replies are still to come, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    Auth,
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    /// To a chunk with more behind it.
    Chunk,
    /// To the last chunk, for all accepted recipients.
    LastChunk,
    /// To the final dot, for all accepted recipients.
    Final,
    /// LMTP: for this recipient.
    FinalOf(usize),
    /// To a lone dot after a 354 that came although no recipient was accepted.
    Discarded,
    Quit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Until the answer to EHLO.
    Opening,
    /// 220 to STARTTLS has come; only [`Client::secured`] leads on.
    Handshake,
    Idle,
    /// The caller looks at the content.
    Unfit,
    /// RSET, MAIL, RCPT, DATA; the next command to send.
    Envelope(Step),
    Content,
    /// The final dot is sent.
    Ending,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    Sent,
}

#[derive(Debug)]
pub(super) enum Standing {
    Unasked,
    Accepted,
    Decided(Verdict),
}

/// A session. Feed it with [`Client::receive`]; write whatever it appends to `out`.
#[derive(Debug)]
pub struct Client {
    pub(super) flavour: Flavour,
    pub(super) hello: String,
    pub(super) reader: ReplyReader,
    pub(super) offered: Extensions,
    pub(super) expected: VecDeque<Expected>,
    pub(super) state: State,
    pub(super) transaction: Option<Transaction>,
    pub(super) standings: Vec<Standing>,
    pub(super) mail_accepted: bool,
    /// The last transaction was left open on the server's side.
    pub(super) needs_reset: bool,
    /// The server has answered MAIL of this transaction.
    pub(super) answered: bool,
    /// The server has taken a MAIL in this session: it had room for it.
    pub(super) proven: bool,
    pub(super) crowded: bool,
    replies: u64,
    pub(super) tls: tls::Tls,
    pub(super) login: login::State,
    pub(super) chunks: chunks::Chunks,
    /// What the caller said about content that is unfit.
    pub(super) form: Option<form::Form>,
}

impl Client {
    /// A session whose connection has just been made; the server speaks first.
    pub fn new(flavour: Flavour, hello: String) -> Self {
        Self {
            flavour,
            hello,
            reader: ReplyReader::default(),
            offered: Extensions::default(),
            expected: VecDeque::from([Expected::Greeting]),
            state: State::Opening,
            transaction: None,
            standings: Vec::new(),
            mail_accepted: false,
            needs_reset: false,
            answered: false,
            proven: false,
            crowded: false,
            replies: 0,
            tls: tls::Tls::default(),
            login: login::State::default(),
            chunks: chunks::Chunks::default(),
            form: None,
        }
    }

    /// The name given with EHLO; before the greeting.
    pub fn set_hello(&mut self, hello: String) {
        self.hello = hello;
    }

    pub fn extensions(&self) -> &Extensions {
        &self.offered
    }

    /// Counts complete replies: each starts the deadline of the next one anew.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// The server has refused the session because it has too many connections (or says 421 before any transaction,
    /// which mostly means that).
    pub fn crowded(&self) -> bool {
        self.crowded
    }

    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    pub fn awaiting(&self) -> Awaiting {
        match self.state {
            State::Content if !self.may_send() => return Awaiting::Final,
            State::Content | State::Unfit => return Awaiting::Content,
            State::Handshake => return Awaiting::StartTls,
            _ => {}
        }
        match self.expected.front() {
            None => Awaiting::Nothing,
            Some(Expected::Greeting) => Awaiting::Greeting,
            Some(Expected::Ehlo | Expected::Helo) => Awaiting::Hello,
            Some(Expected::StartTls) => Awaiting::StartTls,
            Some(Expected::Auth) => Awaiting::LogIn,
            Some(Expected::Rset | Expected::Mail) => Awaiting::Mail,
            Some(Expected::Rcpt(_)) => Awaiting::Rcpt,
            Some(Expected::Data) => Awaiting::Data,
            Some(Expected::Chunk | Expected::LastChunk | Expected::Final | Expected::FinalOf(_) | Expected::Discarded) => Awaiting::Final,
            Some(Expected::Quit) => Awaiting::Quit,
        }
    }

    /// Starts a transaction, at once when the session is idle, else when the server has greeted. `Finished` at once
    /// when no recipient can be sent to this server.
    pub fn begin(&mut self, transaction: Transaction, out: &mut Vec<u8>) -> Option<Event> {
        self.standings.clear();
        self.standings.extend(transaction.recipients.iter().map(|_| Standing::Unasked));
        self.transaction = Some(transaction);
        self.mail_accepted = false;
        self.answered = false;
        self.form = None;
        match self.state {
            State::Idle => self.start(out),
            State::Opening | State::Handshake => None,
            _ => self.abandon("the session is not ready for a message"),
        }
    }

    /// Gives the transaction back after [`Event::Refused`].
    pub fn take_transaction(&mut self) -> Option<Transaction> {
        self.transaction.take()
    }

    /// The verdicts, in the order of the transaction's recipients; the transaction is over.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        self.transaction = None;
        let missing = || Verdict::deferred(Enhanced::transient(4, 2), "the session ended without an answer");
        self.standings.drain(..).map(|standing| if let Standing::Decided(verdict) = standing { verdict } else { missing() }).collect()
    }

    /// Takes bytes from the server and appends the commands that follow. After an event the rest of the input has
    /// been looked at too: a reply nobody asked for closes the session.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<Event> {
        if self.state == State::Closed {
            // Whatever the server says to QUIT, it has been heard.
            self.expected.clear();
            return None;
        }
        // Commands appended during this call have not been sent: no byte of this input can be their reply.
        let mut answerable = self.expected.len();
        let mut rest = input;
        let mut event = None;
        while self.state != State::Closed {
            let reply = match self.reader.next(&mut rest) {
                Ok(Some(reply)) => {
                    self.replies += 1;
                    Ok(reply)
                }
                Ok(None) => break,
                Err(error) => Err(error),
            };
            match event {
                Some(Event::Finished | Event::Ready) => {
                    self.state = State::Closed;
                    break;
                }
                Some(Event::StartTls) => return self.injected(),
                _ => {}
            }
            event = match (reply, answerable.checked_sub(1)) {
                (Err(error), _) => self.abandon(&error.to_string()),
                (Ok(reply), None) => self.unasked(reply),
                (Ok(reply), Some(left)) => {
                    answerable = left;
                    self.expected.pop_front().and_then(|expected| self.replied(expected, reply, out))
                }
            };
        }
        // Half a line beyond the 220 was not said inside TLS either.
        if matches!(event, Some(Event::StartTls)) && !self.reader.is_empty() { self.injected() } else { event }
    }

    /// The content and its final dot are written.
    pub fn content_sent(&mut self) {
        if self.state != State::Content {
            return;
        }
        self.state = State::Ending;
        self.expect_final();
    }

    pub(super) fn expect_final(&mut self) {
        if self.flavour == Flavour::Smtp {
            let last = if self.framing() == Framing::Dots { Expected::Final } else { Expected::LastChunk };
            return self.expected.push_back(last);
        }
        for (index, standing) in self.standings.iter().enumerate() {
            if matches!(standing, Standing::Accepted) {
                self.expected.push_back(Expected::FinalOf(index));
            }
        }
    }

    /// Says goodbye. Only to an idle session; another is just closed.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Idle {
            out.extend_from_slice(b"QUIT\r\n");
            self.expected.push_back(Expected::Quit);
        }
        self.state = State::Closed;
    }

    /// The connection is gone or given up; `why` is for the report.
    pub fn lost(&mut self, why: &str) -> Option<Event> {
        self.abandon(why)
    }

    pub(super) fn start(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let transaction = self.transaction.as_ref()?;
        if transaction.require_tls && !(self.tls.on && self.offered.requiretls) {
            // Another exchanger may be able to.
            return Some(Event::Refused(Verdict::failed(REQUIRETLS_NEEDED, "REQUIRETLS support required: the server does not offer it")));
        }
        if let Some(lacks) = self.form.is_none().then(|| transaction.unfit(&self.offered)).flatten() {
            self.state = State::Unfit;
            return Some(Event::Unfit(lacks));
        }
        if let Some(verdict) = transaction.obstacle(&self.offered, self.size(transaction)) {
            self.state = State::Idle;
            return Some(self.decide_open(&verdict));
        }
        let early = self.choose_framing();
        let transaction = self.transaction.as_ref()?;
        let mut sendable = false;
        for (recipient, standing) in transaction.recipients.iter().zip(&mut self.standings) {
            match recipient.obstacle(&self.offered) {
                Some(verdict) => *standing = Standing::Decided(verdict),
                None => sendable = true,
            }
        }
        if !sendable {
            self.state = State::Idle;
            return Some(Event::Finished);
        }
        self.state = State::Envelope(if self.needs_reset { Step::Rset } else { Step::Mail });
        self.emit(out);
        if early {
            self.state = State::Content;
            return Some(Event::SendContent);
        }
        None
    }

    /// Appends what may be sent now: all of the envelope where the server takes pipelining, else one command.
    pub(super) fn emit(&mut self, out: &mut Vec<u8>) {
        while let State::Envelope(step) = self.state {
            if step == Step::Sent || (!self.offered.pipelining && !self.expected.is_empty()) {
                return;
            }
            let (expected, next) = self.command(step, out);
            self.expected.extend(expected);
            self.state = State::Envelope(next);
        }
    }

    fn command(&self, step: Step, out: &mut Vec<u8>) -> (Option<Expected>, Step) {
        let Some(transaction) = &self.transaction else { return (None, Step::Sent) };
        match step {
            Step::Rset => {
                out.extend_from_slice(b"RSET\r\n");
                (Some(Expected::Rset), Step::Mail)
            }
            Step::Mail => {
                transaction.mail(&self.offered, self.form, out);
                (Some(Expected::Mail), self.recipient_from(0))
            }
            Step::Rcpt(index) => {
                if let Some(recipient) = transaction.recipients.get(index) {
                    recipient.rcpt(&self.offered, transaction.with_utf8(&self.offered), out);
                }
                (Some(Expected::Rcpt(index)), self.recipient_from(index + 1))
            }
            Step::Data if self.framing() != Framing::Dots => (None, Step::Sent),
            Step::Data if !self.offered.pipelining && !self.any_accepted() => (None, Step::Sent),
            Step::Data => {
                out.extend_from_slice(b"DATA\r\n");
                (Some(Expected::Data), Step::Sent)
            }
            Step::Sent => (None, Step::Sent),
        }
    }

    fn recipient_from(&self, index: usize) -> Step {
        let unasked = |standing: &Standing| matches!(standing, Standing::Unasked);
        match self.standings.iter().skip(index).position(unasked) {
            Some(offset) => Step::Rcpt(index + offset),
            None => Step::Data,
        }
    }

    pub(super) fn any_accepted(&self) -> bool {
        self.standings.iter().any(|standing| matches!(standing, Standing::Accepted))
    }
}
