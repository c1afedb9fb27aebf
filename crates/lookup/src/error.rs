//! Why a table gave no answer.

use std::fmt;

/// A lookup that failed; "not there" is no failure but `Ok(None)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableError {
    /// Try again later: unreadable file, NSS trouble, a line that does not parse.
    Temporary(String),
    /// Will not work until the administrator changes the table.
    Permanent(String),
    /// The question is on its way to another process: decide again once [`crate::Relations::hear`] has brought the answer.
    Pending,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Temporary(reason) | Self::Permanent(reason) => f.write_str(reason),
            Self::Pending => f.write_str("not answered yet"),
        }
    }
}

impl std::error::Error for TableError {}
