//! What became of one copy.

use status::{Enhanced, Outcome};
use std::io;

/// Bytes of the text of a verdict.
pub const MAX_TEXT: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub status: Enhanced,
    pub text: String,
}

impl Verdict {
    pub fn delivered(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Delivered, status: Enhanced::success(0, 0), text: text.into() }
    }
    pub fn deferred(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Deferred, status: Enhanced::transient(subject, detail), text: text.into() }
    }
    pub fn failed(subject: u16, detail: u16, text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, status: Enhanced::permanent(subject, detail), text: text.into() }
    }
    /// A failed file call is never the sender's fault, so it only defers: disks get room, rights get mended.
    pub fn of_error(what: &str, error: &io::Error) -> Self {
        let (subject, detail) = match error.kind() {
            io::ErrorKind::QuotaExceeded => (2, 2),
            io::ErrorKind::StorageFull => (3, 1),
            io::ErrorKind::FileTooLarge => (2, 2),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (3, 5),
            _ => (3, 0),
        };
        Self::deferred(subject, detail, format!("{what}: {error}"))
    }
    /// The text without control bytes and of bounded length, for reports and lines.
    pub fn clean(mut self) -> Self {
        if self.text.chars().any(char::is_control) {
            self.text = self.text.replace(char::is_control, "?");
        }
        self.text.truncate(self.text.floor_char_boundary(MAX_TEXT));
        self
    }
}
