//! Why a question has no answer.

use std::fmt::Display;

/// Longest piece of a server's text in a log.
const LONGEST: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// For the log: holds neither key nor password.
    pub reason: String,
    /// There is no connection, or none that can be used further; else the server can be asked again.
    pub broken: bool,
}

impl Fault {
    pub fn broken(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), broken: true }
    }

    pub fn refused(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), broken: false }
    }

    /// The server does not speak the protocol.
    pub fn malformed(what: impl Display) -> Self {
        Self::broken(format!("the server's fault: {what}"))
    }

    /// The same, at a server or in a table.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        Self { reason: format!("{place}: {}", self.reason), ..self }
    }
}

/// What a server wrote, as it can stand in a log.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
