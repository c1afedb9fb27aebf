//! What a session says, and what it notes for the log.

use super::session::Session;
use super::transaction::Transaction;
use super::{Rejection, Stage};
use status::Reply;
use std::io::Write as _;

impl Session {
    /// A wrong command: counted, and too many end the session.
    pub(super) fn error(&mut self, code: u16, status: &str, text: &str) {
        self.errors += 1;
        if self.errors > self.config.max_errors {
            self.note(Stage::Protocol, 421, "", "too many errors");
            return self.close(421, "4.7.0", "too many errors");
        }
        self.reply(code, status, text);
    }

    pub(super) fn reply(&mut self, code: u16, status: &str, text: &str) {
        let _ = write!(self.output, "{code} {status} {text}\r\n");
    }

    /// A reply to be written as it is, line ends included.
    pub(super) fn raw(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Writes a reply that came from outside and notes it for the log. 421 ends the session (RFC 5321 section 3.8).
    pub(super) fn refuse(&mut self, stage: Stage, subject: &str, reply: &Reply) {
        self.note(stage, reply.code, subject, &reply.text);
        self.give(reply);
    }

    /// As [`Session::refuse`], for what was noted before.
    pub(super) fn give(&mut self, reply: &Reply) {
        self.write(reply);
        if reply.code == 421 {
            self.end();
        }
    }

    pub(super) fn note(&mut self, stage: Stage, code: u16, subject: &str, text: &str) {
        self.rejections.push(Rejection { stage, code, subject: subject.to_owned(), text: text.to_owned() });
    }

    /// Reply text may come from a table or a filter: no line end of it reaches the wire.
    pub(super) fn write(&mut self, reply: &Reply) {
        let code = if (400..600).contains(&reply.code) { reply.code } else { 451 };
        let _ = write!(self.output, "{code} {} ", reply.enhanced());
        let room = 400.min(reply.text.len());
        let text = reply.text.as_bytes().get(..room).unwrap_or_default();
        self.output.extend(text.iter().map(|b| if (b' '..=b'~').contains(b) { *b } else { b'?' }));
        self.raw("\r\n");
    }
}

pub(super) fn sender_text(transaction: &Transaction) -> String {
    match &transaction.sender {
        address::Path::Null => "<>".to_owned(),
        address::Path::Mailbox(address) => address.as_str().to_owned(),
    }
}

/// A reply from constants of this crate.
pub(super) fn reply_of(code: u16, status: &str, text: &str) -> Reply {
    Reply { code, status: status.parse().ok(), text: text.to_owned() }
}
