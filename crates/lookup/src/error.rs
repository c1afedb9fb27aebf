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

impl TableError {
    /// Says of which declared table the trouble is; [`table_in`] reads it again.
    pub fn of_table(self, name: &str) -> Self {
        match self {
            Self::Temporary(reason) if table_in(&reason).is_none() => Self::Temporary(format!("{TABLE}{name}: {reason}")),
            other => other,
        }
    }
}

/// How a reason begins that is about a declared table.
const TABLE: &str = "table ";

/// The declared table that a reason of [`TableError::Temporary`] is about, and the rest of it.
pub fn table_in(reason: &str) -> Option<(&str, &str)> {
    let (name, why) = reason.strip_prefix(TABLE)?.split_once(": ")?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then_some((name, why))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_its_table_once() {
        let error = TableError::Temporary("no way: there".into()).of_table("people").of_table("chain");
        assert_eq!(error, TableError::Temporary("table people: no way: there".into()));
        assert_eq!(table_in(&error.to_string()), Some(("people", "no way: there")));
        for other in ["/etc/aliases: gone", "table", "table people", "table of contents: x", "table : x"] {
            assert_eq!(table_in(other), None, "{other}");
        }
        assert_eq!(TableError::Pending.of_table("people"), TableError::Pending);
    }
}
