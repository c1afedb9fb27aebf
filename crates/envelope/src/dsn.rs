//! DSN parameters as carried through the suite (RFC 3461), and the body type (RFC 6152, RFC 3030).

use serde::{Deserialize, Serialize};
use std::fmt;

/// NOTIFY: when the sender wants a report. `None` of it in [`RecipientDsn`] means "not said" (failure and delay).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notify {
    pub never: bool,
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

/// DSN data of one recipient. `orcpt` is kept as the xtext the client sent (`rfc822;user@example.org`), checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecipientDsn {
    pub notify: Option<Notify>,
    pub orcpt: Option<String>,
}

/// RET: what a failure report returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ret {
    Full,
    Headers,
}

/// BODY of MAIL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyType {
    #[default]
    SevenBit,
    EightBit,
    /// BINARYMIME (RFC 3030): the stored content is the octets as they came; its line ends are not changed.
    Binary,
}

impl Notify {
    pub const NEVER: Self = Self { never: true, success: false, failure: false, delay: false };

    /// Reads `NEVER` or a list of `SUCCESS`, `FAILURE`, `DELAY` (RFC 3461 section 4.1), in any case.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut notify = Self { never: false, success: false, failure: false, delay: false };
        for word in text.split(',') {
            let flag = [("SUCCESS", &mut notify.success), ("FAILURE", &mut notify.failure), ("DELAY", &mut notify.delay)]
                .into_iter()
                .find(|(name, _)| word.eq_ignore_ascii_case(name));
            *flag?.1 = true;
        }
        Some(notify)
    }
}

/// As the NOTIFY parameter's value.
impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let mut any = false;
        for (_, word) in words.iter().filter(|(on, _)| *on && !self.never) {
            write!(f, "{}{word}", if any { "," } else { "" })?;
            any = true;
        }
        if any { Ok(()) } else { f.write_str("NEVER") }
    }
}

impl Ret {
    pub fn parse(text: &str) -> Option<Self> {
        [("FULL", Self::Full), ("HDRS", Self::Headers)].into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, ret)| ret)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl BodyType {
    /// `7BIT`, `8BITMIME` or `BINARYMIME`.
    pub fn parse(text: &str) -> Option<Self> {
        let names = [("7BIT", Self::SevenBit), ("8BITMIME", Self::EightBit), ("8BIT", Self::EightBit), ("BINARYMIME", Self::Binary)];
        names.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, bodytype)| bodytype)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBit => "8BITMIME",
            Self::Binary => "BINARYMIME",
        }
    }
}

/// ENVID: at most 100 characters of xtext (RFC 3461 sections 4.4, 5.4) that stand for printable ASCII. A hidden line
/// end would become a second line of the report.
pub fn is_envid(text: &str) -> bool {
    (1..=100).contains(&text.len()) && is_xtext(text)
}

/// ORCPT: `type;xtext` of at most 500 characters; for type `utf-8` also UTF-8 as in RFC 6533 section 3.
pub fn is_orcpt(text: &str) -> bool {
    let Some((kind, address)) = text.split_once(';') else { return false };
    let kind_ok = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let address_ok = if kind.eq_ignore_ascii_case("utf-8") {
        address.chars().all(|c| if c.is_ascii() { c.is_ascii_graphic() && c != '=' } else { !c.is_control() && !c.is_whitespace() })
            && is_plus_escaped(address)
    } else {
        is_xtext(address)
    };
    text.len() <= 500 && kind_ok && !address.is_empty() && address_ok
}

/// xtext that stands for printable ASCII (RFC 3461 section 4).
pub fn is_xtext(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'=') && is_plus_escaped(text)
}

/// Every `+` begins an escape `+HH` of a printable ASCII character.
fn is_plus_escaped(text: &str) -> bool {
    let upper = |b: &u8| matches!(b, b'0'..=b'9' | b'A'..=b'F');
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'+' {
            continue;
        }
        let (Some(high), Some(low)) = (rest.next().filter(upper), rest.next().filter(upper)) else { return false };
        let value = crate::lines::hex(high).zip(crate::lines::hex(low)).map(|(h, l)| (h << 4) | l);
        if !value.is_some_and(|v| (b' '..=b'~').contains(&v)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn notify_words() {
        for (text, back) in [("never", "NEVER"), ("SUCCESS", "SUCCESS"), ("delay,Failure", "FAILURE,DELAY")] {
            assert_eq!(Notify::parse(text).unwrap().to_string(), back);
        }
        for bad in ["", "NEVER,SUCCESS", "SUCCESS,", ",", "SUCCESS FAILURE", "x"] {
            assert_eq!(Notify::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hidden_line_ends_are_refused() {
        assert!(is_envid("QQ314159") && is_envid("a+2Bb+20c"));
        for bad in ["", "a+0Ab", "a+0D+0A", "a+00", "a+0", "a+", "a+2b", "a=b", "a b", "a\nb", "ü", "+7F"] {
            assert!(!is_envid(bad), "{bad:?}");
        }
        assert!(!is_envid(&"x".repeat(101)));
        assert!(is_orcpt("rfc822;user@example.org") && is_orcpt("utf-8;jürgen@x") && is_orcpt("rfc822;a+2Bb@x"));
        for bad in
            ["rfc822", "rfc822;", ";a@b", "rfc822;a+0Ab", "rfc822;a+00", "rfc822;ü", "utf-8;a+0Ab", "utf-8;a\u{85}b", "r c;a", "rfc822;a b"]
        {
            assert!(!is_orcpt(bad), "{bad:?}");
        }
        assert!(!is_orcpt(&format!("rfc822;{}", "x".repeat(500))));
    }
}
