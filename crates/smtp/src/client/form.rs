//! Content that a server may not take as it is (RFC 6152 section 3, RFC 3030 section 3, RFC 6531 section 3.2): the caller
//! looks at it and says in which form it goes, or that it does not.

use super::session::State;
use super::{Client, Event, Transaction, Verdict};

/// What the server does not offer and the envelope asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacks {
    /// 8BITMIME, or BINARYMIME with CHUNKING.
    pub content: bool,
    /// SMTPUTF8, which only a header beyond ASCII needs.
    pub utf8: bool,
}

/// The form that such content takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is stored: it turned out to need nothing.
    Stored,
    /// Converted to seven bits, with about so many bytes.
    Converted { size: u64 },
}

impl Form {
    pub(super) const fn is_converted(self) -> bool {
        matches!(self, Self::Converted { .. })
    }

    pub(super) const fn size(self, stored: u64) -> u64 {
        match self {
            Self::Stored => stored,
            Self::Converted { size } => size,
        }
    }
}

impl Client {
    /// While [`Event::Unfit`] waits for an answer: what the server lacks.
    pub fn lacks(&self) -> Option<Lacks> {
        let transaction = self.transaction.as_ref().filter(|_| self.state == State::Unfit)?;
        transaction.unfit(&self.offered)
    }

    /// After [`Event::Unfit`]: goes on with the content in this form.
    pub fn proceed(&mut self, form: Form, out: &mut Vec<u8>) -> Option<Event> {
        if self.state != State::Unfit {
            return None;
        }
        self.form = Some(form);
        self.state = State::Idle;
        self.start(out)
    }

    /// After [`Event::Unfit`]: the message does not go to this server.
    pub fn withhold(&mut self, verdict: &Verdict) -> Option<Event> {
        if self.state != State::Unfit {
            return None;
        }
        self.state = State::Idle;
        Some(self.decide_open(verdict))
    }

    pub(super) fn size(&self, transaction: &Transaction) -> u64 {
        self.form.map_or(transaction.size, |form| form.size(transaction.size))
    }
}
