//! The `<...>` of MAIL and RCPT.

use crate::{Address, AddressError, domain};
use std::fmt;

/// Bytes between the brackets at most: a mailbox of the largest size and a source route of a sensible one.
const MAX_PATH: usize = 1024;

/// A reverse or forward path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// `<>`
    Null,
    Mailbox(Address),
}

impl Path {
    /// The mailbox, if there is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Mailbox(address) => Some(address),
        }
    }

    /// The text between the brackets.
    pub fn as_str(&self) -> &str {
        self.address().map_or("", Address::as_str)
    }
}

/// Without brackets; the null path as `<>`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(address) => address.fmt(f),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// No `<`, no `>`, blanks inside.
    Brackets,
    Address(AddressError),
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brackets => f.write_str("address must be in angle brackets, without blanks"),
            Self::Address(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PathError {}

impl From<AddressError> for PathError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

/// Reads a path at the start of `input` (after `FROM:` or `TO:`, blanks skipped by the caller), strips source routes
/// (RFC 5321 appendix C), and gives what follows the `>`. A mailbox without domain is refused unless it is
/// `postmaster` (RFC 5321 section 4.1.1.3).
pub fn parse_path(input: &[u8], utf8: bool) -> Result<(Path, &[u8]), PathError> {
    let inside = input.strip_prefix(b"<").ok_or(PathError::Brackets)?;
    let end = closing_bracket(inside)?;
    let (text, rest) = inside.split_at_checked(end).ok_or(PathError::Brackets)?;
    let rest = rest.strip_prefix(b">").ok_or(PathError::Brackets)?;
    if text.is_empty() {
        return Ok((Path::Null, rest));
    }
    if !utf8 && !text.is_ascii() {
        return Err(AddressError::NotAscii.into());
    }
    let text = std::str::from_utf8(text).map_err(|_| AddressError::NotUtf8)?;
    let address = Address::parse(strip_route(text)?)?;
    if address.domain().is_none() && !address.as_str().eq_ignore_ascii_case("postmaster") {
        return Err(AddressError::Domain.into());
    }
    Ok((Path::Mailbox(address), rest))
}

/// The offset of the first `>` outside quotes.
fn closing_bracket(inside: &[u8]) -> Result<usize, PathError> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in inside.iter().enumerate() {
        if byte.is_ascii_control() {
            return Err(AddressError::ControlByte.into());
        }
        if at > MAX_PATH {
            return Err(AddressError::TooLong.into());
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Ok(at),
            b' ' | b'<' if !quoted => return Err(PathError::Brackets),
            _ => {}
        }
    }
    Err(PathError::Brackets)
}

/// `@one,@two:user@domain` gives `user@domain`. The hosts are checked although nobody will use them.
fn strip_route(text: &str) -> Result<&str, AddressError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let mut literal = false;
    let colon = text.find(|c| {
        literal = (literal || c == '[') && c != ']';
        c == ':' && !literal
    });
    let (route, mailbox) = colon.and_then(|at| text.split_at_checked(at)).ok_or(AddressError::LocalPart)?;
    for hop in route.split(',') {
        let host = hop.strip_prefix('@').ok_or(AddressError::Domain)?;
        domain::check(host).map_err(|_| AddressError::Domain)?;
    }
    mailbox.strip_prefix(':').ok_or(AddressError::LocalPart)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "path_tests.rs"]
mod tests;
