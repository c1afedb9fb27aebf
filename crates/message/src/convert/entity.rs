//! What the header of a message or body part says about its content.

use crate::fields::unfold;

/// Longest boundary taken; RFC 2046 section 5.1.1 allows 70.
const MAX_BOUNDARY: usize = 250;

/// Content-Transfer-Encoding (RFC 2045 section 6.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, or nothing said.
    #[default]
    Seven,
    Eight,
    Binary,
    QuotedPrintable,
    Base64,
    Other,
}

impl Encoding {
    pub fn parse(value: &[u8]) -> Self {
        let word = value.trim_ascii().split(|b| matches!(b, b' ' | b'\t' | b';' | b'(')).next().unwrap_or_default();
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("7bit") || word.is_empty() {
            Self::Seven
        } else if is("8bit") {
            Self::Eight
        } else if is("binary") {
            Self::Binary
        } else if is("quoted-printable") {
            Self::QuotedPrintable
        } else if is("base64") {
            Self::Base64
        } else {
            Self::Other
        }
    }

    /// The content is there as it is.
    pub const fn is_identity(self) -> bool {
        matches!(self, Self::Seven | Self::Eight | Self::Binary)
    }
}

/// What an entity holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Multipart {
        boundary: Vec<u8>,
        signed: bool,
        digest: bool,
    },
    /// `message/rfc822`, `message/global`.
    Message,
    Text,
    Binary,
    /// It has no encoding that may change (`message/partial`), or no structure that can be found.
    Untouchable,
}

/// A header that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    pub kind: Kind,
    pub encoding: Encoding,
    pub mime_version: bool,
    pub content_type: bool,
    /// A DKIM-Signature or DomainKey-Signature field.
    pub signature: bool,
}

/// `text/plain; charset=x` to what it holds. `digest`: inside multipart/digest, where a message is what is meant by
/// nothing (RFC 2046 section 5.1.5).
pub fn kind(value: Option<&[u8]>, digest: bool) -> Kind {
    let Some(value) = value else { return if digest { Kind::Message } else { Kind::Text } };
    let value = unfold(value);
    let mut reader = Reader { rest: &value };
    let (major, slash, minor) = (reader.token(), reader.take(b'/'), reader.token());
    if major.is_empty() || !slash || minor.is_empty() {
        // RFC 2045 section 5.2: as if nothing were said.
        return Kind::Text;
    }
    match (major.as_str(), minor.as_str()) {
        ("multipart", minor) => match reader.parameter("boundary") {
            Some(boundary) if (1..=MAX_BOUNDARY).contains(&boundary.len()) => {
                Kind::Multipart { boundary, signed: minor == "signed", digest: minor == "digest" }
            }
            _ => Kind::Untouchable,
        },
        ("message", "rfc822" | "global") => Kind::Message,
        ("message", "partial" | "external-body") => Kind::Untouchable,
        ("text" | "message", _) => Kind::Text,
        _ => Kind::Binary,
    }
}

/// Words of a structured field (RFC 2045 section 5.1), comments passed over.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn blanks(&mut self) {
        let mut depth = 0u32;
        while let Some((first, rest)) = self.rest.split_first() {
            match first {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => {
                    self.rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                b' ' | b'\t' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.rest = rest;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let Some(rest) = self.rest.strip_prefix(&[byte]) else { return false };
        self.rest = rest;
        true
    }

    /// Lower case.
    fn token(&mut self) -> String {
        self.blanks();
        let special = |b: &u8| !b.is_ascii_graphic() || b"()<>@,;:\\\"/[]?=".contains(b);
        let length = self.rest.iter().position(special).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        String::from_utf8_lossy(token).to_ascii_lowercase()
    }

    fn value(&mut self) -> Vec<u8> {
        self.blanks();
        let Some(mut rest) = self.rest.strip_prefix(b"\"") else {
            // Boundaries are written without their quotes more often than not.
            let length = self.rest.iter().position(|b| matches!(b, b';' | b' ' | b'\t')).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(length);
            self.rest = rest;
            return value.to_vec();
        };
        let mut value = Vec::new();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match (first, after.split_first()) {
                (b'"', _) => break,
                (b'\\', Some((escaped, after))) => {
                    value.push(*escaped);
                    rest = after;
                }
                (byte, _) => value.push(*byte),
            }
        }
        self.rest = rest;
        value
    }

    fn parameter(&mut self, name: &str) -> Option<Vec<u8>> {
        loop {
            while !self.take(b';') {
                // What is no parameter is passed over.
                self.rest = self.rest.get(1..).filter(|rest| !rest.is_empty())?;
            }
            let found = self.token();
            if !self.take(b'=') {
                continue;
            }
            let value = self.value();
            if found == name {
                // RFC 2046 section 5.1.1: blanks at its end are none of it.
                return Some(value.trim_ascii_end().to_vec());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn multipart(boundary: &str) -> Kind {
        Kind::Multipart { boundary: boundary.into(), signed: false, digest: false }
    }

    #[test]
    fn table() {
        for (value, expected) in [
            ("multipart/mixed; boundary=abc", multipart("abc")),
            (" Multipart/Mixed ;charset=x;\n BOUNDARY=\"a \\\"b\" ; x=y", multipart("a \"b")),
            ("multipart/mixed (it; is=mixed); (c) boundary = (d) abc", multipart("abc")),
            ("multipart/mixed; boundary==_x/y", multipart("=_x/y")),
            ("multipart/mixed; type=\"boundary=no\"; boundary=yes", multipart("yes")),
            ("multipart/mixed; nothing; boundary=yes", multipart("yes")),
            ("multipart/mixed", Kind::Untouchable),
            ("multipart/mixed; boundary=\"\"", Kind::Untouchable),
            ("message/rfc822", Kind::Message),
            ("message/partial; id=1", Kind::Untouchable),
            ("message/delivery-status", Kind::Text),
            ("image/png", Kind::Binary),
            ("text", Kind::Text),
            ("", Kind::Text),
        ] {
            assert_eq!(kind(Some(value.as_bytes()), false), expected, "{value}");
        }
        assert_eq!((kind(None, true), kind(None, false)), (Kind::Message, Kind::Text));
        for (value, expected) in [
            (" 8BIT ", Encoding::Eight),
            ("base64", Encoding::Base64),
            ("7bit (really)", Encoding::Seven),
            ("x-uuencode", Encoding::Other),
            ("Binary", Encoding::Binary),
        ] {
            assert_eq!(Encoding::parse(value.as_bytes()), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_value(value in proptest::collection::vec(any::<u8>(), 0..80), text in "multipart/[a-z;=\"\\\\() ]{0,40}") {
            let _ = kind(Some(&value), false);
            let _ = kind(Some(text.as_bytes()), false);
        }
    }
}
