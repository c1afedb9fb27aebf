//! What a driver can see of a session.

use super::Protocol;
use super::session::{Errors, Security, Session, State};
use super::transaction::Transaction;
use address::Address;

impl Session {
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn security(&self) -> Security {
        self.security
    }

    /// The transaction in hand, if there is one.
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.state {
            State::AwaitingSender(t)
            | State::Transaction(t)
            | State::AwaitingRecipient(t, _)
            | State::AwaitingData(t, _)
            | State::Receiving(t, _) => Some(t),
            State::AwaitingInquiry(asked) => match &asked.0 {
                State::Transaction(t) => Some(t),
                State::BetweenChunks(chunked) => Some(&chunked.transaction),
                _ => None,
            },
            State::Chunk(chunked, _) | State::BetweenChunks(chunked) => Some(&chunked.transaction),
            _ => None,
        }
    }

    /// The recipient that [`crate::server::Step::Recipient`] asks about.
    pub fn candidate(&self) -> Option<&Address> {
        match &self.state {
            State::AwaitingRecipient(_, candidate) => Some(&candidate.recipient.address),
            _ => None,
        }
    }

    /// The address that [`crate::server::Step::Inquiry`] asks about.
    pub fn inquiry(&self) -> Option<&Address> {
        match &self.state {
            State::AwaitingInquiry(asked) => Some(&asked.1),
            _ => None,
        }
    }

    /// The name the client gave itself.
    pub fn hello(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| &*hello.name)
    }

    /// Between messages, and nothing asked.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Content is on its way (the data time-out holds).
    pub fn is_receiving(&self) -> bool {
        matches!(self.state, State::Receiving(..) | State::Chunk(..) | State::BetweenChunks(_) | State::Skipping(_))
    }

    /// There is something to do without more input: [`Session::step`] wants to be called.
    pub fn is_ready(&self) -> bool {
        match &self.state {
            State::Chunk(_, chunk) => chunk.left == 0,
            State::Skipping(skipping) => skipping.left == 0,
            _ => false,
        }
    }

    /// A question is open.
    pub fn is_waiting(&self) -> bool {
        self.state.is_question()
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// How often the client was wrong so far.
    pub fn errors(&self) -> Errors {
        Errors { wrong: self.errors, idle: self.idle_commands, refused_recipients: self.refused_recipients }
    }
}
