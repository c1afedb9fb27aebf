//! Why a question has no answer.

use std::fmt::Display;

/// Longest piece of a server's text in a log.
const LONGEST: usize = 200;

/// No answer now. Nothing of the key, nor of a password, may be in the text: it is logged, and shown to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    /// There is no connection, or none that can be used further; else the server can be asked again.
    pub broken: bool,
}

impl Trouble {
    /// The connection is of no more use.
    pub fn broken(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), broken: true }
    }

    /// The connection is as good as before.
    pub fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), broken: false }
    }

    /// The server does not speak its protocol.
    pub fn malformed(what: impl Display) -> Self {
        Self::broken(format!("the server's fault: {what}"))
    }

    /// The same, at this server.
    #[must_use]
    pub fn at(self, server: &str) -> Self {
        Self { reason: format!("{server}: {}", self.reason), ..self }
    }
}

/// What a server wrote, as it can stand in a log.
pub fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
