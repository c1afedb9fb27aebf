//! Lines and escapes shared by the two formats.

use std::borrow::Cow;

/// The complete lines of a text, without their LF, with the offset each begins at.
pub(crate) struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Lines<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// What is left behind the last complete line.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest();
        let length = memchr::memchr(b'\n', rest)?;
        let begin = self.offset;
        self.offset += length + 1;
        Some((begin, rest.get(..length)?))
    }
}

/// Appends a value as one blank-free word: controls, blanks and `%` as `%XX`, the empty value as `%`.
pub(crate) fn escape(value: &str, out: &mut Vec<u8>) {
    if value.is_empty() {
        out.push(b'%');
    } else {
        escape_with(value, out, |b| b.is_ascii_graphic() && b != b'%');
    }
}

/// Appends a value that is the rest of its line: as [`escape`], but blanks stay readable.
pub(crate) fn escape_text(value: &str, out: &mut Vec<u8>) {
    escape_with(value, out, |b| (b.is_ascii_graphic() || b == b' ') && b != b'%');
}

/// Appends any bytes as the rest of their line: blanks stay readable, what is no printable ASCII is `%XX`.
pub(crate) fn escape_bytes(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        if (byte.is_ascii_graphic() || *byte == b' ') && *byte != b'%' {
            out.push(*byte);
        } else {
            percent(*byte, out);
        }
    }
}

/// What [`escape_bytes`] has written.
pub(crate) fn unescape_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (hex(*rest.next()?)?, hex(*rest.next()?)?);
            bytes.push((high << 4) | low);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

fn escape_with(value: &str, out: &mut Vec<u8>, plain: impl Fn(u8) -> bool) {
    if value.bytes().all(&plain) {
        return out.extend_from_slice(value.as_bytes());
    }
    for c in value.chars() {
        let mut utf8 = [0; 4];
        let bytes = c.encode_utf8(&mut utf8).as_bytes();
        let readable = if c.is_ascii() { bytes.iter().all(|b| plain(*b)) } else { !c.is_control() };
        if readable {
            out.extend_from_slice(bytes);
        } else {
            bytes.iter().for_each(|b| percent(*b, out));
        }
    }
}

fn percent(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

/// The value of an escaped word or text; `None` when it is neither well escaped nor UTF-8.
pub fn unescape(word: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'%', word).is_none() {
        return std::str::from_utf8(word).ok().map(Cow::Borrowed);
    }
    if word == b"%" {
        return Some(Cow::Borrowed(""));
    }
    String::from_utf8(unescape_bytes(word)?).ok().map(Cow::Owned)
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// A decimal number: digits only, no sign, no overflow.
pub(crate) fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unfinished_line_is_no_line() {
        let mut lines = Lines::new(b"a\n\nbc\nd");
        assert_eq!(lines.by_ref().collect::<Vec<_>>(), [(0, &b"a"[..]), (2, b""), (3, b"bc")]);
        assert_eq!(lines.rest(), b"d");
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number::<u32>(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"+1", b"-1", b"4294967296", b"1 ", b"x"] {
            assert_eq!(number::<u32>(bad), None);
        }
    }

    #[test]
    fn bad_escapes_are_refused() {
        for bad in [&b"%1"[..], b"%zz", b"a%", b"%FF", b"\xff"] {
            assert_eq!(unescape(bad), None);
        }
    }

    proptest! {
        #[test]
        fn escapes_come_back(value in "\\PC{0,20}|[\\x00-\\x7f%]{0,20}") {
            let mut word = Vec::new();
            escape(&value, &mut word);
            prop_assert!(word.iter().all(|b| *b > b' ' && *b != 0x7f) && !word.is_empty());
            prop_assert_eq!(unescape(&word).unwrap(), value.as_str());
            let mut text = Vec::new();
            escape_text(&value, &mut text);
            prop_assert!(!text.contains(&b'\n'));
            prop_assert_eq!(unescape(&text).unwrap(), value.as_str());
        }

        #[test]
        fn bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..30)) {
            let mut text = Vec::new();
            escape_bytes(&bytes, &mut text);
            prop_assert!(text.iter().all(|b| (b' '..0x7f).contains(b)));
            prop_assert_eq!(unescape_bytes(&text).unwrap(), bytes);
        }

        #[test]
        fn any_bytes(word in proptest::collection::vec(any::<u8>(), 0..30)) {
            let _ = unescape(&word);
        }
    }
}
