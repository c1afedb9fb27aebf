//! The server's side of SMTP, LMTP and submission, without I/O.
//!
//! A driver feeds what it read to [`Session::step`], writes [`Session::output`] to the client, and answers the
//! questions that a [`Step`] asks: by [`Session::answer`] for a name, sender, recipient or the start of content, by
//! [`Session::challenge`] and its like for a login, by [`Session::finish`] or [`Session::finish_each`] for the message. While a question is open the
//! session takes no input. What the client may do is in [`Rights`], which the driver sets.
//!
//! **Invariants.** A line ends in CRLF and content ends at CRLF.CRLF, never at anything less (so no message can be
//! smuggled into another). A transaction is one boxed value inside the state, and one function drops it: sender,
//! recipients and verdicts cannot outlive each other. A recipient enters it only with a [`RelayPermitted`].
//!
//! RFC 5321, 1870 (SIZE), 2033 (LMTP), 2034 (enhanced codes), 2920 (PIPELINING), 3030 (CHUNKING, BINARYMIME), 3461 (DSN), 3207 (STARTTLS),
//! 4954 (AUTH), 6152 (8BITMIME),
//! 6531 (SMTPUTF8), 2852 (DELIVERBY), 4865 (FUTURERELEASE), 6710 (MT-PRIORITY), 8689 (REQUIRETLS), 9422 (LIMITS).

mod answers;
mod authentication;
mod chunks;
mod command;
mod content;
mod facts;
mod hello;
mod inquiries;
mod line;
mod mail;
mod parameters;
mod relay;
mod replies;
mod rights;
mod session;
mod terms;
mod transaction;
mod verbs;
mod verdicts;
mod xclient;

pub use command::showable;
pub use inquiries::Inquiry;
pub use relay::{Judgement, RelayPermitted, RelayPolicy};
pub use rights::{Grant, Rights, Standing};
pub use session::{Errors, Security, Session, Step};
pub use terms::Offers;
pub use transaction::{Recipient, Transaction};
pub use verdicts::Verdict;
pub use xclient::{Said, Stand};

/// What holds for all sessions of a server.
#[derive(Debug, Clone)]
pub struct Config {
    pub hostname: String,
    /// Text after the host name in the greeting.
    pub banner: String,
    /// Bytes as on the wire, CRLF line ends.
    pub max_message_size: u64,
    pub max_recipients: u32,
    /// Received fields before a loop is assumed.
    pub max_hops: u32,
    /// Wrong commands before 421.
    pub max_errors: u32,
    /// Commands without progress before 421.
    pub max_idle_commands: u32,
    /// Recipients refused in one session before it ends: whoever guesses names finds no cheap oracle here.
    pub max_refused_recipients: u32,
    pub max_header_bytes: u64,
    pub max_line: u64,
    /// Stray CR or LF in content becomes a blank instead of refusing the message.
    pub blank_newlines: bool,
    pub relay: RelayPolicy,
    pub offers: Offers,
}

/// Which dialect a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    /// RFC 6409: only for clients with relay permission.
    Submission,
    /// RFC 2033: LHLO, and one reply for each recipient after the content.
    Lmtp,
}

/// Where in the dialogue something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the greeting.
    Connection,
    Hello,
    Authentication,
    Mail,
    Recipient,
    /// VRFY, EXPN.
    Inquiry,
    Data,
    /// A wrong command, or bytes out of turn.
    Protocol,
}

impl Stage {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Hello => "helo",
            Self::Authentication => "auth",
            Self::Mail => "mail",
            Self::Recipient => "rcpt",
            Self::Inquiry => "vrfy",
            Self::Data => "data",
            Self::Protocol => "protocol",
        }
    }
}

/// A refusal for the log; `subject` is what the client sent, not escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub stage: Stage,
    pub code: u16,
    pub subject: String,
    pub text: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod authentication_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod chunks_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod extensions_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod session_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod verdicts_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod hostile_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod driver;
