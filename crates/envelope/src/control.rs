//! The transport control file: one line per recipient with a state byte at a fixed place (ZMailer's tags).
//!
//! ```text
//! @ 1 9c1e6c2d1f0a7b33            version, checksum of the lines from `i` to `z`, states taken as blanks
//! i 1fk3v8q2m5a4c7zx              message id
//! o 150 4096                      where the headers begin in the message file, bytes from there
//! a 1795230000123                 arrival, Unix milliseconds
//! t 8BITMIME SMTPUTF8             body type; SMTPUTF8 where needed
//! l <x@example.org>               Message-ID
//! s sender@example.org            reverse path, <> when null
//! n QQ314159                      ENVID
//! R HDRS                          RET
//! p -3                            priority
//! b 1795233600 R                  deliver by: Unix seconds, by-mode
//! u 1795232000                    not before: Unix seconds
//! m 1 0 0 List-Id:%20<l.example.org>%0A   set 1 of header edits: at offset 0 of the header 0 bytes become this
//! w 1 owner l-owner@example.org 1 form 1 of the message: sender, and the set of header edits or -
//! q REQUIRED                      REQUIRETLS; OPTIONAL: TLS-Required: No
//! g 1                             what follows goes out in form 1; 0, and before the first g: as it is
//! r  smtp sink.example user@sink.example -
//! N TO=u@old.example NOTIFY=NEVER ORCPT=rfc822;u@old.example VIA=canonical%00u@old.example   about the r line before it
//! z 1                             end of the fixed part: number of r lines
//! d 132 1795230009 deferred 1 1795230309 4.4.1 - connection refused
//! ```
//! A file of former versions may have one line `e owner@example.org` instead: that owner for all recipients.
//! Values are single words, `%XX` for blanks, controls and `%`; only the text of a `d` line, at its end, keeps blanks.
//! The checksum guards what decides where mail goes. `d` lines are a record: a damaged one is left out, for a message
//! must not be routed and delivered again because a note about it was torn.

use crate::{BodyType, Edits, MessageId, RecipientDsn, Ret, Terms};
use address::{Address, Path};
use serde::{Deserialize, Serialize};
use status::Enhanced;
use std::fmt;

/// ZMailer's quad: where one recipient goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Quad {
    /// `smtp`, `lmtp`, `local`, `error`, `hold`, `discard`, or a channel of the administrator's.
    pub channel: String,
    /// Next hop (`example.org`, `[127.0.0.1]:2526`, `unix:/path`), or what the channel takes for it (error: the
    /// reason; hold: the condition); `-` when the channel needs none.
    pub host: String,
    /// The address as the next hop gets it; for `local` the user name or the address as configured.
    pub user: String,
    /// Attributes for the agent (`uid=1000`, `home=...`), `-` when none; never blanks.
    pub attributes: String,
}

/// [`ControlRecipient::via`] of an address that is another than the sender wrote, by whatever way.
pub const SENT_ON: &str = "-";

/// Attributes of what is held before anything was decided, the sender's form included.
pub const UNFORMED: &str = "unformed";

/// The byte at offset 1 of an `r` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecipientState {
    /// ` `: to do, or deferred.
    Queued,
    /// `h`: held by the administrator.
    Held,
    /// `f`: failed, the report is still to be sent.
    Failing,
    /// `s`: delivered, the report of success is still to be sent.
    Telling,
    /// `+`: delivered.
    Delivered,
    /// `-`: failed, and reported where a report was due.
    Failed,
}
impl RecipientState {
    pub const fn byte(self) -> u8 {
        match self {
            Self::Queued => b' ',
            Self::Held => b'h',
            Self::Failing => b'f',
            Self::Telling => b's',
            Self::Delivered => b'+',
            Self::Failed => b'-',
        }
    }
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b' ' => Some(Self::Queued),
            b'h' => Some(Self::Held),
            b'f' => Some(Self::Failing),
            b's' => Some(Self::Telling),
            b'+' => Some(Self::Delivered),
            b'-' => Some(Self::Failed),
            _ => None,
        }
    }
    /// Nothing is left to do for the recipient.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ControlRecipient {
    /// Byte offset of the `r` line in the file: the recipient's identity. Set by the reader, ignored by the writer.
    pub offset: u32,
    pub state: RecipientState,
    pub quad: Quad,
    /// The recipient address before routing (for reports), when it differs from `quad.user`.
    pub original: Option<String>,
    /// What routing did last to come to this address, where it would do so again: rewriting, which is done once, or an alias
    /// that names itself. Whoever routes the address again begins there.
    pub via: Option<String>,
    pub dsn: RecipientDsn,
    /// The form in which the message goes to it: 0 as it is, else 1-based in [`Control::forms`].
    pub form: u16,
}

/// Who sends a message, in one of its forms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The message's own.
    Own,
    /// The owner of a list: in the message's sender's place, for reports too.
    Owner(Address),
    /// The owner of a list, and each recipient is made part of the address (see [`crate::verp`]).
    Verp(Address),
    /// Its own in other words (SRS, masquerading): only on the way; reports that are made here go to its own.
    Alias(Address),
}

impl Sender {
    /// Who sends to a recipient, where that is not the message's own sender. `user`: of its quad.
    pub fn to(&self, user: &str) -> Option<String> {
        match self {
            Self::Own => None,
            Self::Owner(address) | Self::Alias(address) => Some(address.to_string()),
            Self::Verp(address) => Some(crate::verp(address.as_str(), user)),
        }
    }
}

/// What differs for some recipients of a message. One from nobody (`<>`) stays from nobody in all its forms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Form {
    pub sender: Sender,
    /// 0: none, else 1-based in [`Control::edits`].
    pub edits: u16,
}

/// A set of header edits, and where its lines are in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditSet {
    pub edits: Edits,
    /// First byte and length of the lines. Set by the reader, ignored by the writer.
    pub place: (u32, u32),
}

/// The fixed part of a control file.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    pub id: MessageId,
    /// Byte offset of the message headers in the message file.
    pub body_offset: u64,
    /// Bytes of the message file from `body_offset` on.
    pub size: u64,
    /// Unix milliseconds.
    pub arrived: u64,
    pub sender: Path,
    pub edits: Vec<EditSet>,
    pub forms: Vec<Form>,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    pub terms: Terms,
    /// Message-ID of the headers, for the log.
    pub message_id: Option<String>,
    pub recipients: Vec<ControlRecipient>,
}

/// The third word of a `d` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Happened {
    Deferred,
    Failed,
    /// In the mailbox; a report of it is due.
    Delivered,
    /// With a server that will not report; a report of it is due.
    Relayed,
    /// With several other recipients in its place; a report of it is due.
    Expanded,
    /// Not an attempt: the sender has been told that delivery takes longer.
    Delayed,
}

impl Happened {
    const ALL: [Self; 6] = [Self::Deferred, Self::Failed, Self::Delivered, Self::Relayed, Self::Expanded, Self::Delayed];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
            Self::Delayed => "delayed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|happened| happened.word() == word)
    }
}

/// One `d` line: what happened to a recipient at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The `offset` of the recipient.
    pub recipient: u32,
    /// Unix seconds.
    pub time: u64,
    pub happened: Happened,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Unix seconds of the next attempt; 0 when none is planned.
    pub next_attempt: u64,
    pub status: Enhanced,
    /// The server that answered, `-` when none.
    pub remote: String,
    /// Escaped: no control bytes, at most 512 bytes.
    pub text: String,
}
/// What a control file says: its fixed part, and the diagnostics appended since (a torn last line is left out).
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub control: Control,
    pub diagnostics: Vec<Diagnostic>,
}
/// Why a control file is not valid: the message goes back to `router/` (state S4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlError {
    pub line: usize,
    pub reason: String,
}
impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control file line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for ControlError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "control_tests.rs"]
mod tests;
