//! Enhanced mail system status codes (RFC 3463): `class.subject.detail`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// First digit of an enhanced status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// 2: done.
    Success,
    /// 4: may work later.
    Transient,
    /// 5: will not work.
    Permanent,
}

/// An enhanced status code such as `5.1.1` (RFC 3463, registry RFC 5248).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Enhanced {
    pub class: Class,
    pub subject: u16,
    pub detail: u16,
}

impl Enhanced {
    pub const fn success(subject: u16, detail: u16) -> Self {
        Self { class: Class::Success, subject, detail }
    }
    pub const fn transient(subject: u16, detail: u16) -> Self {
        Self { class: Class::Transient, subject, detail }
    }
    pub const fn permanent(subject: u16, detail: u16) -> Self {
        Self { class: Class::Permanent, subject, detail }
    }
    /// The code that says no more than the first digit of a basic reply does (`4.0.0` for 4xx).
    /// Anything that is neither 2xx nor 4xx counts as permanent.
    pub const fn of_reply_code(code: u16) -> Self {
        match code / 100 {
            2 | 3 => Self::success(0, 0),
            4 => Self::transient(0, 0),
            _ => Self::permanent(0, 0),
        }
    }
    /// Reads a code at the start of `text` and gives what follows it (leading blanks removed).
    pub fn split(text: &str) -> Option<(Self, &str)> {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        let (code, rest) = text.split_at(end);
        code.parse().ok().map(|code| (code, rest.trim_start()))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Class::Success => 2,
            Class::Transient => 4,
            Class::Permanent => 5,
        };
        write!(f, "{class}.{}.{}", self.subject, self.detail)
    }
}

/// The text is not `[245].1*3DIGIT.1*3DIGIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseEnhancedError;

impl fmt::Display for ParseEnhancedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an enhanced status code")
    }
}

impl std::error::Error for ParseEnhancedError {}

impl FromStr for Enhanced {
    type Err = ParseEnhancedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let class = match parts.next() {
            Some("2") => Class::Success,
            Some("4") => Class::Transient,
            Some("5") => Class::Permanent,
            _ => return Err(ParseEnhancedError),
        };
        let subject = number(parts.next())?;
        let detail = number(parts.next())?;
        match parts.next() {
            None => Ok(Self { class, subject, detail }),
            Some(_) => Err(ParseEnhancedError),
        }
    }
}

fn number(part: Option<&str>) -> Result<u16, ParseEnhancedError> {
    let digits = part.ok_or(ParseEnhancedError)?;
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseEnhancedError);
    }
    digits.parse().map_err(|_| ParseEnhancedError)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in ["2.0.0", "4.7.1", "5.1.10", "5.999.999"] {
            assert_eq!(text.parse::<Enhanced>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_code() {
        for text in ["", "5", "5.", "5.1", "5.1.", "3.1.1", "5.1.1.1", "5.1234.1", "5.+1.1", "5.-1.1", "5.1.1 x"] {
            assert_eq!(text.parse::<Enhanced>(), Err(ParseEnhancedError), "{text:?}");
        }
    }

    #[test]
    fn splits_a_code_without_text() {
        assert_eq!(Enhanced::split("5.7.2"), Some((Enhanced::permanent(7, 2), "")));
        assert_eq!(Enhanced::split("2.1.5 ok"), Some((Enhanced::success(1, 5), "ok")));
        assert_eq!(Enhanced::split("ok 2.1.5"), None);
    }
}
