//! The mailbox: `local-part@domain`.

use crate::domain;
use std::borrow::Cow;
use std::fmt;

/// Octets of a local part as written (RFC 5321 section 4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;

/// A syntactically valid mailbox, or a bare local part without `@` (only from local submission and tables;
/// the SMTP parser lets none through but `postmaster`).
///
/// The local part is a dot-string or a quoted string (RFC 5321 section 4.1.2, RFC 6531 section 3.3), strictly: no dot
/// at an end, no two dots in a row. The domain has no trailing dot: it would be a second spelling of the same mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: Box<str>,
    /// Byte offset of the `@`, if there is one.
    at: Option<u32>,
}

/// Why a text is no address. `Display` gives a text fit for an SMTP reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    Empty,
    TooLong,
    LocalPart,
    Domain,
    /// Non-ASCII where SMTPUTF8 was not asked for.
    NotAscii,
    /// Overlong forms, surrogates, stray bytes.
    NotUtf8,
    ControlByte,
}

impl Address {
    /// Reads `local@domain` (quoted local parts, address literals, UTF-8 allowed) or a bare local part.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > MAX_LOCAL + 1 + domain::MAX_DOMAIN {
            return Err(AddressError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(AddressError::ControlByte);
        }
        let local_end = local_end(text)?;
        if local_end > MAX_LOCAL {
            return Err(AddressError::TooLong);
        }
        let Some(rest) = text.get(local_end..).filter(|rest| !rest.is_empty()) else {
            return Ok(Self { text: text.into(), at: None });
        };
        let written = rest.strip_prefix('@').ok_or(AddressError::LocalPart)?;
        if written.len() > domain::MAX_DOMAIN {
            return Err(AddressError::TooLong);
        }
        domain::check(written).map_err(|_| AddressError::Domain)?;
        Ok(Self { text: text.into(), at: u32::try_from(local_end).ok() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part as written, quotes included.
    pub fn local(&self) -> &str {
        self.at.and_then(|at| self.text.get(..at as usize)).unwrap_or(&self.text)
    }

    /// The local part without quotes and backslashes: `"a b"` and `a\ b` name the same mailbox.
    pub fn unquoted_local(&self) -> Cow<'_, str> {
        unquoted(self.local())
    }

    /// The domain as written.
    pub fn domain(&self) -> Option<&str> {
        self.at.and_then(|at| self.text.get(at as usize + 1..))
    }

    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

/// Where the local part at the start of `text` ends.
fn local_end(text: &str) -> Result<usize, AddressError> {
    let end = match text.strip_prefix('"') {
        Some(inside) => quoted_end(inside).map(|end| end + 1),
        None => text.find('@').or(Some(text.len())).filter(|end| text.get(..*end).is_some_and(is_dot_string)),
    };
    end.ok_or(AddressError::LocalPart)
}

/// The offset behind the closing quote.
fn quoted_end(inside: &str) -> Option<usize> {
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some(at + 1),
            '\\' => {
                chars.next().filter(|(_, c)| (' '..='~').contains(c))?;
            }
            ' '..='~' => {}
            c if is_harmless(c) => {}
            _ => return None,
        }
    }
    None
}

fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || (c.is_ascii() && "!#$%&'*+-/=?^_`{|}~".contains(c)) || (!c.is_ascii() && is_harmless(c))
}

/// No blank, line break, invisible or direction-changing character: such a one in an address only serves to deceive
/// whoever reads it. (The joiners U+200C and U+200D are parts of words in some scripts.)
pub(crate) fn is_harmless(c: char) -> bool {
    let deceptive = matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}');
    !deceptive && !c.is_control() && !c.is_whitespace()
}

/// A local part without quotes and backslashes (RFC 5321 section 4.1.2: the quoted and the plain form name the same mailbox).
pub fn unquoted(local: &str) -> Cow<'_, str> {
    let Some(inside) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else { return Cow::Borrowed(local) };
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut plain = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty address",
            Self::TooLong => "address too long",
            Self::LocalPart => "malformed local part",
            Self::Domain => "malformed domain",
            Self::NotAscii => "address needs SMTPUTF8",
            Self::NotUtf8 => "address is not valid UTF-8",
            Self::ControlByte => "control character in address",
        })
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_an_address() {
        let a = Address::parse("user+x@Example.org").unwrap();
        assert_eq!((a.local(), a.domain(), a.as_str()), ("user+x", Some("Example.org"), "user+x@Example.org"));
        let a = Address::parse("root").unwrap();
        assert_eq!((a.local(), a.domain()), ("root", None));
        let a = Address::parse(r#""a b\"@\\c"@[IPv6:::1]"#).unwrap();
        assert_eq!((a.local(), a.domain()), (r#""a b\"@\\c""#, Some("[IPv6:::1]")));
        assert_eq!(a.unquoted_local(), r#"a b"@\c"#);
        assert_eq!(Address::parse(r#""plain"@x"#).unwrap().unquoted_local(), "plain");
        assert!(!Address::parse("jürgen@bücher.example").unwrap().is_ascii());
    }

    #[test]
    fn control_bytes_are_named_as_such() {
        for bad in ["a\nb@x", "\"a\r\nb\"@x", "\"a\0b\"@x", "a@x\u{7f}", "a\u{85}@x"] {
            assert_eq!(Address::parse(bad), Err(AddressError::ControlByte), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_holds_its_invariant(text in "\\PC{0,80}|[\"\\\\@a. ]{0,20}|[\\x00-\\x7f]{0,30}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(address.as_str(), &text);
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert!(address.local().starts_with('"') || !text.contains(' '));
                let again = match address.domain() {
                    Some(domain) => format!("{}@{domain}", address.local()),
                    None => address.local().to_owned(),
                };
                prop_assert_eq!(again, text);
                if let Some(domain) = address.domain() {
                    prop_assert!(crate::normalise(domain).is_ok());
                }
            }
        }
    }
}
