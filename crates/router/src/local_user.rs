//! Local users, as the places where they are found describe them.

use lookup::{Account, Found, TableError, TableUser};
use std::fmt::Write as _;

/// A local user that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// The name as the table writes it.
    pub name: String,
    /// For the quad: `uid=1000,home=/home/joe`, `-` when none.
    pub attributes: String,
    /// Where the user was found, for explanations.
    pub place: String,
}

impl LocalUser {
    /// The same user, with the detail that the address had.
    pub fn with_detail(mut self, detail: &str) -> Self {
        if !detail.is_empty() {
            let before = if self.attributes == "-" { String::new() } else { format!("{},", self.attributes) };
            self.attributes = format!("{before}detail={}", escaped(detail));
        }
        self
    }
}

pub(crate) fn of_account(account: Account) -> LocalUser {
    let attributes = format!("uid={},home={}", account.uid, escaped(&account.home));
    LocalUser { name: account.name, attributes, place: "system account".to_owned() }
}

pub(crate) fn of_any(name: &str) -> LocalUser {
    LocalUser { name: name.to_owned(), attributes: "-".to_owned(), place: "[local] users = any".to_owned() }
}

pub(crate) fn of_table(user: TableUser, path: &str) -> LocalUser {
    let attributes = user.home.map_or_else(|| "-".to_owned(), |home| format!("home={}", escaped(&home)));
    LocalUser { name: user.name, attributes, place: format!("{path}:{}", user.line) }
}

/// The value is a home folder, or empty.
pub(crate) fn of_declared(name: &str, found: &Found) -> Result<LocalUser, TableError> {
    let attributes = match found.values.first().map_or("", |home| home.trim()) {
        "" => "-".to_owned(),
        home if home.starts_with('/') => format!("home={}", escaped(home)),
        home => return Err(TableError::Temporary(format!("{}: `{home}` is no home folder", found.place))),
    };
    Ok(LocalUser { name: name.to_owned(), attributes, place: found.place.clone() })
}

/// With `users = "any"` the name becomes part of a path without being in any table: nothing that climbs or hides.
pub(crate) fn is_safe(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && !name.contains('/') && !name.chars().any(char::is_control)
}

/// Attributes hold no blanks, and commas only between them: such bytes become `%XX`.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && (!c.is_ascii_graphic() || matches!(c, ',' | '%')) {
            let _ = write!(out, "%{:02X}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_climb_are_no_users() {
        for name in ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\nb"] {
            assert!(!is_safe(name), "{name:?}");
        }
        assert!(is_safe("joe.x") && is_safe("a b"));
    }

    #[test]
    fn attributes_never_hold_blanks() {
        assert_eq!(escaped("/home/a b,c%"), "/home/a%20b%2Cc%25");
    }
}
