//! Reading.

use std::fmt;

/// Not of this form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is no LDAP")
    }
}

impl std::error::Error for Malformed {}

/// How far an element reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes more must be seen to know it.
    Unknown { missing: usize },
    /// Bytes of tag and length, and of the content behind them.
    Known { header: usize, content: usize },
}

/// How far the element reaches that begins with these bytes.
pub fn extent(begin: &[u8]) -> Result<Extent, Malformed> {
    let [_, first, rest @ ..] = begin else { return Ok(Extent::Unknown { missing: 2usize.saturating_sub(begin.len()) }) };
    let count = match first {
        0..=0x7f => return Ok(Extent::Known { header: 2, content: usize::from(*first) }),
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return Err(Malformed),
    };
    Ok(match rest.get(..count) {
        None => Extent::Unknown { missing: count.saturating_sub(rest.len()) },
        Some(digits) => Extent::Known {
            header: count.saturating_add(2),
            content: digits.iter().fold(0, |sum: usize, digit| sum.wrapping_shl(8) | usize::from(*digit)),
        },
    })
}

/// What is left to be read of an element's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content<'a>(pub &'a [u8]);

impl<'a> Content<'a> {
    /// The next element, whatever it is; `None` at the end.
    pub fn take(&mut self) -> Result<Option<(u8, Content<'a>)>, Malformed> {
        let Some(tag) = self.0.first() else { return Ok(None) };
        let Extent::Known { header, content } = extent(self.0)? else { return Err(Malformed) };
        let (_, rest) = self.0.split_at_checked(header).ok_or(Malformed)?;
        let (content, rest) = rest.split_at_checked(content).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Some((*tag, Content(content))))
    }

    /// The next element, which must be this one.
    pub fn element(&mut self, wanted: u8) -> Result<Content<'a>, Malformed> {
        match self.take()? {
            Some((tag, content)) if tag == wanted => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// The next element as a number of at most four bytes, not negative.
    pub fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let Content(bytes) = self.element(tag)?;
        if bytes.is_empty() || bytes.len() > 4 || bytes.first().is_some_and(|first| *first >= 0x80) {
            return Err(Malformed);
        }
        Ok(bytes.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{INTEGER, OCTETS, element, number};
    use proptest::prelude::*;

    #[test]
    fn numbers_and_lengths() {
        for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[0, 128]), (256, &[1, 0]), (u32::MAX, &[0, 255, 255, 255, 255])] {
            assert_eq!(number(INTEGER, value), element(INTEGER, bytes), "{value}");
        }
        for length in [0, 127, 128, 255, 256, 65_535, 65_536] {
            let whole = element(OCTETS, &vec![7; length]);
            assert_eq!(extent(&whole).unwrap(), Extent::Known { header: whole.len() - length, content: length });
            let mut content = Content(&whole);
            assert_eq!(content.element(OCTETS).unwrap().0.len(), length);
            assert!(content.take().unwrap().is_none());
        }
    }

    #[test]
    fn lengths_that_lie() {
        for wrong in [&b"\x04"[..], b"\x04\x05abcd", b"\x04\x80", b"\x04\x85\0\0\0\0\x01a", b"\x04\x84\xff\xff\xff\xff", b"\x04\x82\x01"] {
            assert!(Content(wrong).take().is_err(), "{wrong:?}");
        }
        for wrong in [&b"\x02\0"[..], b"\x02\x01\xff", b"\x02\x05\0\0\0\0\x01", b"\x04\x01\x01"] {
            assert!(Content(wrong).number(INTEGER).is_err(), "{wrong:?}");
        }
        // Of the other kind of length, and longer than anybody's memory.
        assert_eq!((extent(b"\x30\x80"), extent(b"\x30\xff")), (Err(Malformed), Err(Malformed)));
        assert_eq!(extent(b"\x30\x84\xff\xff\xff\xff"), Ok(Extent::Known { header: 6, content: 0xffff_ffff }));
    }

    proptest! {
        #[test]
        fn a_number_comes_back(value in 0u32..0x8000_0000) {
            let bytes = number(INTEGER, value);
            prop_assert_eq!(Content(&bytes).number(INTEGER).unwrap(), value);
        }

        /// Cut anywhere, it asks for what is missing of the length, and never for more than there is.
        #[test]
        fn the_extent_of_a_beginning(length in prop_oneof![0usize..300, 65_500usize..65_600], cut in any::<prop::sample::Index>()) {
            let whole = element(OCTETS, &vec![7; length]);
            let cut = cut.index(whole.len() + 1);
            match extent(&whole[..cut]).unwrap() {
                Extent::Known { header, content } => prop_assert_eq!((header + content, content), (whole.len(), length)),
                Extent::Unknown { missing } => prop_assert!(missing > 0 && cut + missing <= whole.len()),
            }
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut content = Content(&bytes);
            while let Ok(Some((_, Content(inner)))) = content.take() {
                prop_assert!(inner.len() < bytes.len());
            }
        }
    }
}
