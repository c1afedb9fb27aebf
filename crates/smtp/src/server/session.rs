//! The session: its state, the step function, and what the driver says to it.

use super::authentication;
use super::chunks::{Chunk, Chunked, Skipping};
use super::command;
use super::content::{Content, Fault};
use super::inquiries::Inquiry;
use super::line::{self, LineReader, Taken};
use super::relay::Judgement;
use super::replies::reply_of;
use super::rights::{Rights, Standing};
use super::transaction::{Recipient, Transaction};
use super::verdicts::Due;
use super::xclient::Stand;
use super::{Config, Protocol, Rejection, Stage};
use address::Address;
use status::Reply;
use std::io::Write as _;
use std::sync::Arc;

/// What the driver has to do next.
#[derive(Debug)]
pub enum Step {
    /// Everything was taken; feed more when there is more.
    Read,
    /// Only with [`Rights::ask_hello`]: may this client go on under the name of [`Session::hello`]? Say it by
    /// [`Session::answer`]. Content that was under way is to be dropped, as with [`Step::Refused`].
    Hello,
    /// The client wants to log in. Say [`Session::challenge`], [`Session::authenticated`] or [`Session::not_authenticated`].
    Authenticate { mechanism: String, initial: Option<Vec<u8>> },
    /// The client's next message of the exchange; to be answered as [`Step::Authenticate`].
    AuthResponse(Vec<u8>),
    /// The exchange is over by the client's doing (the reply is in the output).
    AuthCancelled,
    /// May this sender begin? See [`Session::transaction`]; say it by [`Session::answer`].
    Sender,
    /// May this recipient enter? See [`Session::candidate`]; say it by [`Session::answer`], or by [`Session::grant`] where
    /// the relay policy has denied it. What answer() lets through is refused as it should be where it was denied.
    Recipient { standing: Standing },
    /// Only with [`Rights::ask_data`]: may the content come? Say it by [`Session::answer`]; after its Ok content follows as
    /// after [`Step::Begin`].
    Data,
    /// Content follows. What is decoded goes into the sink of [`Session::step`].
    Begin,
    /// The content is complete and acceptable. Make it durable, then say so by [`Session::finish`], or by
    /// [`Session::finish_each`] where it is not for all recipients.
    End(Box<Transaction>),
    /// The content was refused, or the client has taken it back (RSET between chunks); the reply is in the output. Drop what
    /// is in the sink.
    Refused,
    /// A question is open; no input is taken before the answer.
    Wait,
    /// Write the output (220) in the clear, then shake hands; say it by [`Session::secured`]. Whatever else was read
    /// before is to be dropped.
    StartTls,
    /// A trusted peer says for whom it speaks; say it by [`Session::restart`], or [`Session::turn_away`].
    XClient(Box<Stand>),
    /// A trusted peer says where the next message came from: names in small letters, values. The reply is in the output.
    XForward(Vec<(String, String)>),
    /// VRFY or EXPN about an address of ours; say it by [`Session::answer_inquiry`].
    Inquiry { inquiry: Inquiry, address: Address },
    /// The mail for this node is to go now (RFC 1985); the reply is in the output.
    Etrn(String),
    /// Write the output, then close.
    Close,
}

/// The state of the connection below the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In the clear, and it stays so.
    Plain,
    /// In the clear; STARTTLS is announced.
    Offered,
    /// Inside TLS.
    Tls,
}

/// A recipient that waits for the driver's word.
#[derive(Debug)]
pub(super) struct Candidate {
    pub recipient: Recipient,
    pub judgement: Judgement,
}

/// The state owns its data: to leave one is to drop what belongs to it.
#[derive(Debug)]
pub(super) enum State {
    Idle,
    AwaitingHello,
    /// XCLIENT is to be acted upon.
    AwaitingStand,
    /// With the state that goes on after it, and what was asked about.
    AwaitingInquiry(Box<(State, Address)>),
    AwaitingAuthentication,
    /// The next line is the client's answer to a challenge.
    Authenticating,
    AwaitingSender(Box<Transaction>),
    Transaction(Box<Transaction>),
    AwaitingRecipient(Box<Transaction>, Box<Candidate>),
    /// With the chunk that is to begin it, where it is BDAT.
    AwaitingData(Box<Transaction>, Option<Chunk>),
    Receiving(Box<Transaction>, Box<Content>),
    /// BDAT: octets of a chunk.
    Chunk(Box<Chunked>, Chunk),
    /// BDAT: the next one, or the end of it.
    BetweenChunks(Box<Chunked>),
    Skipping(Box<Skipping>),
    /// The transaction has gone to the driver; these replies will be due.
    AwaitingCommit(Due),
    /// 220 is said; the next bytes belong to the handshake.
    AwaitingTls,
    Closed,
}

#[derive(Debug)]
pub(super) struct Hello {
    pub name: Box<str>,
    /// Said by EHLO or LHLO: extensions were announced.
    pub extended: bool,
}

/// What speaks against a client, for whoever slows or ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errors {
    /// Commands that were wrong, failed logins included.
    pub wrong: u32,
    /// Commands without progress since the last message.
    pub idle: u32,
    pub refused_recipients: u32,
}

impl State {
    /// The driver owes an answer.
    pub(super) const fn is_question(&self) -> bool {
        match self {
            Self::AwaitingHello
            | Self::AwaitingStand
            | Self::AwaitingInquiry(_)
            | Self::AwaitingAuthentication
            | Self::AwaitingSender(_)
            | Self::AwaitingRecipient(..)
            | Self::AwaitingData(..)
            | Self::AwaitingCommit(_)
            | Self::AwaitingTls => true,
            Self::Idle
            | Self::Authenticating
            | Self::Transaction(_)
            | Self::Receiving(..)
            | Self::Chunk(..)
            | Self::BetweenChunks(_)
            | Self::Skipping(_)
            | Self::Closed => false,
        }
    }
}

/// One client's dialogue. A few hundred bytes while idle.
#[derive(Debug)]
pub struct Session {
    pub(super) config: Arc<Config>,
    pub(super) protocol: Protocol,
    pub(super) rights: Arc<Rights>,
    pub(super) user: Option<Box<str>>,
    pub(super) security: Security,
    pub(super) hello: Option<Hello>,
    pub(super) state: State,
    lines: LineReader,
    pub(super) output: Vec<u8>,
    pub(super) rejections: Vec<Rejection>,
    pub(super) errors: u32,
    pub(super) idle_commands: u32,
    pub(super) refused_recipients: u32,
    /// Accepted in this session.
    pub(super) messages: u32,
}

impl Session {
    /// The greeting is in the output.
    pub fn new(config: Arc<Config>, protocol: Protocol, rights: Arc<Rights>, security: Security) -> Self {
        let mut session = Self {
            config,
            protocol,
            rights,
            user: None,
            security,
            hello: None,
            state: State::Idle,
            lines: LineReader::default(),
            output: Vec::with_capacity(64),
            rejections: Vec::new(),
            errors: 0,
            idle_commands: 0,
            refused_recipients: 0,
            messages: 0,
        };
        session.say_greeting();
        session
    }

    pub(super) fn say_greeting(&mut self) {
        let _ = write!(self.output, "220 {} {}\r\n", self.config.hostname, self.config.banner);
    }

    /// What the client may do; it holds from the next command on.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    pub fn set_rights(&mut self, rights: Arc<Rights>) {
        self.rights = rights;
    }

    /// A session that is over before it began: a 421 instead of the greeting.
    pub fn refused(config: Arc<Config>, text: &str) -> Self {
        let mut session = Self::new(config, Protocol::Smtp, Arc::default(), Security::Plain);
        session.output.clear();
        session.close(421, "4.7.0", text);
        session
    }

    /// Instead of the greeting: the client is not wanted, and the session is over.
    pub fn turn_away(&mut self, reply: &Reply) {
        self.output.clear();
        self.refuse(Stage::Connection, "", reply);
        self.end();
    }

    /// Takes some of `input`; decoded content is appended to `sink`. The bytes taken, and what to do next.
    pub fn step(&mut self, input: &[u8], sink: &mut Vec<u8>) -> (usize, Step) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let (taken, step) = match &mut self.state {
                State::Closed => return (input.len(), Step::Close),
                state if state.is_question() => return (used, Step::Wait),
                // A chunk may be empty.
                State::Chunk(_, chunk) if chunk.left == 0 || !rest.is_empty() => self.take_chunk(rest, sink),
                State::Skipping(skipping) if skipping.left == 0 || !rest.is_empty() => (self.take_skipped(rest), None),
                _ if rest.is_empty() => return (used, Step::Read),
                State::Receiving(_, content) => {
                    let (taken, ended) = content.feed(rest, &self.config, sink);
                    (taken, ended.then(|| self.end_of_data()))
                }
                _ => self.command(rest),
            };
            used += taken;
            if let Some(step) = step {
                return (used, step);
            }
        }
    }

    /// Replies for the client. The driver takes what it has written.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Refusals since the last call, for the log.
    pub fn take_rejections(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.rejections)
    }

    /// The answer to [`Step::StartTls`]: the handshake is done. The client begins anew (RFC 3207 section 4.2): what it
    /// said before may have been somebody else's. `rights`: what it may do now, and is told of.
    pub fn secured(&mut self, rights: Arc<Rights>) {
        self.security = Security::Tls;
        self.rights = rights;
        self.user = None;
        self.hello = None;
        self.state = State::Idle;
    }

    /// The dot has come: the transaction goes to the driver, or the content's fault to the client.
    fn end_of_data(&mut self) -> Step {
        let State::Receiving(transaction, content) = std::mem::replace(&mut self.state, State::Idle) else { return Step::Read };
        self.end_of_content(transaction, content.fault())
    }

    /// The one way from content to a message, by whichever command it came.
    pub(super) fn end_of_content(&mut self, transaction: Box<Transaction>, fault: Option<Fault>) -> Step {
        self.state = State::AwaitingCommit(Due::of(self.protocol, &transaction));
        match fault {
            None => Step::End(transaction),
            Some(fault) => {
                let (code, status, text) = fault.reply();
                self.finish(Err(reply_of(code, status, text)));
                Step::Refused
            }
        }
    }

    /// Ends the session: the last reply, then nothing is taken any more.
    pub fn close(&mut self, code: u16, status: &str, text: &str) {
        self.reply(code, status, text);
        self.end();
    }

    pub(super) fn end(&mut self) {
        self.leave_transaction();
        self.state = State::Closed;
    }

    /// Bytes came before they were due (before the greeting, after DATA): attacks.md 19, 20.
    pub fn out_of_turn(&mut self, bytes: &[u8]) {
        let seen = command::showable(bytes, 100);
        self.note(Stage::Protocol, 554, &String::from_utf8_lossy(seen), "protocol synchronization error");
        self.close(554, "5.5.0", "protocol synchronization error: wait for the reply");
    }

    /// The one way out of a transaction: sender, recipients, verdicts and content scan go together.
    pub(super) fn leave_transaction(&mut self) {
        self.state = State::Idle;
    }

    fn command(&mut self, input: &[u8]) -> (usize, Option<Step>) {
        let exchange = matches!(self.state, State::Authenticating);
        let long = exchange || (!self.rights.mechanisms.is_empty() && self.lines.begins(b"AUTH ", input));
        let (used, taken) = self.lines.take(input, if long { authentication::LONGEST } else { line::LONGEST });
        match taken {
            taken if exchange => return (used, self.auth_line(taken, used < input.len())),
            Taken::More => return (used, None),
            Taken::Line(line) => {
                let followed = used < input.len();
                if let Some(step) = self.execute(&line, followed.then(|| input.get(used..).unwrap_or_default())) {
                    return (used, Some(step));
                }
            }
            Taken::TooLong => self.error(500, "5.5.2", "line too long"),
            Taken::Malformed => self.error(500, "5.5.2", "bare CR, LF or NUL in a command: lines must end in CRLF"),
            Taken::Flood => self.close(421, "4.7.0", "line without end"),
        }
        (used, None)
    }
}
