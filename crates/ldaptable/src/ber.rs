//! The basic encoding rules as LDAP uses them (X.690; RFC 4511 section 5.1): definite lengths, one byte a tag.

use tablelink::{Fault, Link};

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// Bytes of one message of a server.
const LONGEST: usize = 256 * 1024;

pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [a, b, c, d] = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = vec![tag];
    match content.len() {
        0..=0x7f => out.push(d),
        0x80..=0xff => out.extend([0x81, d]),
        0x100..=0xffff => out.extend([0x82, c, d]),
        _ => out.extend([0x84, a, b, c, d]),
    }
    out.extend_from_slice(content);
    out
}

/// An integer or a member of an enumeration, not negative.
pub fn number(tag: u8, number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut content: &[u8] = &bytes;
    while let [0, rest @ ..] = content
        && rest.first().is_some_and(|next| *next < 0x80)
    {
        content = rest;
    }
    let sign = if content.first().is_some_and(|first| *first >= 0x80) { &[0][..] } else { &[] };
    element(tag, &[sign, content].concat())
}

fn malformed() -> Fault {
    Fault::malformed("its answer is no LDAP")
}

/// What is left to be read of an element's content.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a>(pub &'a [u8]);

impl<'a> Content<'a> {
    /// The next element, whatever it is; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u8, Content<'a>)>, Fault> {
        let [tag, first, rest @ ..] = self.0 else {
            return if self.0.is_empty() { Ok(None) } else { Err(malformed()) };
        };
        let (digits, rest) = rest.split_at_checked(more_digits(*first)?).ok_or_else(malformed)?;
        let (content, rest) = rest.split_at_checked(length(*first, digits)?).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(Some((*tag, Content(content))))
    }

    /// The next element, which must be this one.
    pub fn element(&mut self, wanted: u8) -> Result<Content<'a>, Fault> {
        match self.next()? {
            Some((tag, content)) if tag == wanted => Ok(content),
            _ => Err(malformed()),
        }
    }

    /// The next element as a number.
    pub fn number(&mut self, tag: u8) -> Result<u32, Fault> {
        let Content(bytes) = self.element(tag)?;
        if bytes.is_empty() || bytes.len() > 4 || bytes.first().is_some_and(|first| *first >= 0x80) {
            return Err(malformed());
        }
        Ok(bytes.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
    }
}

/// Bytes of the length behind its first one.
fn more_digits(first: u8) -> Result<usize, Fault> {
    match first {
        0..=0x7f => Ok(0),
        0x81..=0x84 => Ok(usize::from(first & 0x7f)),
        _ => Err(malformed()),
    }
}

fn length(first: u8, digits: &[u8]) -> Result<usize, Fault> {
    let length = if digits.is_empty() { usize::from(first) } else { digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)) };
    if length > LONGEST { Err(Fault::malformed(format!("a message of it has {length} bytes"))) } else { Ok(length) }
}

/// The content of the next message.
pub fn message(link: &mut Link) -> Result<Vec<u8>, Fault> {
    let [tag, first] = link.array()?;
    if tag != SEQUENCE {
        return Err(malformed());
    }
    let digits = link.receive(more_digits(first)?)?;
    link.receive(length(first, &digits)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_lengths() {
        for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[0, 128]), (256, &[1, 0]), (u32::MAX, &[0, 255, 255, 255, 255])] {
            assert_eq!(number(INTEGER, value), element(INTEGER, bytes), "{value}");
        }
        for length in [0, 127, 128, 255, 256, 65_535, 65_536] {
            let whole = element(OCTETS, &vec![7; length]);
            let mut content = Content(&whole);
            assert_eq!(content.element(OCTETS).unwrap().0.len(), length);
            assert!(content.next().unwrap().is_none());
        }
    }

    #[test]
    fn lengths_that_lie() {
        for wrong in [&b"\x04"[..], b"\x04\x05abcd", b"\x04\x80", b"\x04\x85\0\0\0\0\x01a", b"\x04\x84\xff\xff\xff\xff", b"\x04\x82\x01"] {
            assert!(Content(wrong).next().is_err(), "{wrong:?}");
        }
        for wrong in [&b"\x02\0"[..], b"\x02\x01\xff", b"\x02\x05\0\0\0\0\x01", b"\x04\x01\x01"] {
            assert!(Content(wrong).number(INTEGER).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_number_comes_back(value in 0u32..0x8000_0000) {
            let bytes = number(INTEGER, value);
            prop_assert_eq!(Content(&bytes).number(INTEGER).unwrap(), value);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut content = Content(&bytes);
            while let Ok(Some(_)) = content.next() {}
        }
    }
}
