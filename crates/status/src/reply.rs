//! A reply of an SMTP or LMTP server: code, enhanced code, text (RFC 5321 section 4.2, RFC 2034).

use crate::{Class, Enhanced, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One reply; `text` holds no CR, LF or other control byte, the continuation lines joined by blanks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub code: u16,
    pub status: Option<Enhanced>,
    pub text: String,
}

impl Reply {
    pub fn new(code: u16, status: Enhanced, text: impl Into<String>) -> Self {
        Self { code, status: Some(status), text: text.into() }
    }
    /// The enhanced code, or the one that the basic code implies.
    pub fn enhanced(&self) -> Enhanced {
        self.status.unwrap_or(Enhanced::of_reply_code(self.code))
    }
    /// The outcome for a recipient whose command or message got this reply.
    pub fn outcome(&self) -> Outcome {
        match Enhanced::of_reply_code(self.code).class {
            Class::Success => Outcome::Delivered,
            Class::Transient => Outcome::Deferred,
            Class::Permanent => Outcome::Failed,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.text)
    }
}
