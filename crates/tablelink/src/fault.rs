//! Why a question has no answer.

use std::fmt::Display;

/// Longest piece of a server's text in a log.
const LONGEST: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// For the log: holds neither key nor password.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server ended the connection before it answered anything: it may have grown too old.
    Gone,
    /// There is no connection, or none that can be used further.
    Broken,
    /// The server said no; it can be asked again.
    Refused,
}

impl Fault {
    pub fn broken(reason: impl Into<String>) -> Self {
        Self { kind: Kind::Broken, reason: reason.into() }
    }

    pub fn refused(reason: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, reason: reason.into() }
    }

    /// The server does not speak the protocol.
    pub fn malformed(what: impl Display) -> Self {
        Self::broken(format!("the server's fault: {what}"))
    }

    /// The same, at a server.
    #[must_use]
    pub fn at(self, server: &str) -> Self {
        Self { kind: self.kind, reason: format!("{server}: {}", self.reason) }
    }
}

/// What a server wrote, as it can stand in a log.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
