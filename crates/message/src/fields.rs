//! The fields of a header, one after another.

use std::borrow::Cow;
use std::ops::Range;

/// One header field, folded lines included. Ranges are byte ranges of the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    /// Behind the colon, without the last line end; folds are still in it (see [`unfold`]).
    pub value: &'a [u8],
    /// Where `value` is in the content.
    pub value_range: Range<usize>,
    /// The whole field, its last line end included.
    pub range: Range<usize>,
}

impl Field<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value as text, unfolded and trimmed; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&unfold(self.value)).trim().to_owned()
    }
}

/// Iterates the fields of the header at the start of `content`, up to its end: an empty line, the first line that is no
/// field, or the end of the bytes. Lines of an mbox, `From ` or `>From `, in front of the first field are passed over.
pub fn fields(content: &[u8]) -> Fields<'_> {
    let mut fields = Fields { content, at: 0 };
    while fields.line(fields.at).is_some_and(|l| l.starts_with(b"From ") || l.starts_with(b">From ")) {
        fields.at = fields.line_end(fields.at);
    }
    fields
}

#[derive(Debug, Clone)]
pub struct Fields<'a> {
    content: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// How far the fields given so far reach; after the last one, where the header ends.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The line at an offset, without its line end.
    fn line(&self, at: usize) -> Option<&'a [u8]> {
        let line = self.content.get(at..self.line_end(at))?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        Some(line.strip_suffix(b"\r").unwrap_or(line)).filter(|_| at < self.content.len())
    }

    fn line_end(&self, at: usize) -> usize {
        let rest = self.content.get(at..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(self.content.len(), |length| at + length + 1)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let begin = self.at;
        let (name, value_begin) = field_name(self.content.get(begin..)?)?;
        let mut end = self.line_end(begin);
        while self.content.get(end).is_some_and(|b| matches!(b, b' ' | b'\t')) && !self.line(end).is_some_and(is_blank) {
            end = self.line_end(end);
        }
        self.at = end;
        let value = self.content.get(begin + value_begin..end)?;
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        let value_begin = begin + value_begin;
        Some(Field { name, value, value_range: value_begin..value_begin + value.len(), range: begin..end })
    }
}

/// The name at the start of a line and the offset behind its colon. Blanks before the colon are tolerated
/// (RFC 5322 section 4.5.8).
pub(crate) fn field_name(line: &[u8]) -> Option<(&[u8], usize)> {
    let length = line.iter().position(|b| !b.is_ascii_graphic() || *b == b':').filter(|length| *length > 0)?;
    let name = line.get(..length)?;
    let blanks = line.get(length..)?.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    (line.get(length + blanks) == Some(&b':')).then_some((name, length + blanks + 1))
}

/// A line of blanks only ends nothing by RFC 5322, but some read it as the end of the header. Here it ends it, so that
/// no field behind it is seen by one reader and not by the other.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}

/// A value without its line ends (RFC 5322 section 2.2.3); borrowed when it is not folded.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(content: &[u8]) -> Vec<String> {
        fields(content).map(|f| format!("{}={}", String::from_utf8_lossy(f.name), f.text())).collect()
    }

    #[test]
    fn folded_fields_with_either_line_end() {
        for content in [&b"Subject: a\n b\n\tc\nTo : x\n\nbody: no\n"[..], b"Subject: a\r\n b\r\n\tc\r\nTo : x\r\n\r\nbody: no\r\n"] {
            assert_eq!(names(content), ["Subject=a b\tc", "To=x"]);
        }
    }

    #[test]
    fn the_header_ends_at_what_is_no_field() {
        assert_eq!(names(b"A: 1\nno field\nB: 2\n\n"), ["A=1"]);
        assert_eq!(names(b"A: 1\n \nB: 2\n"), ["A=1"]);
        assert_eq!(names(b"\nA: 1\n"), Vec::<String>::new());
        assert_eq!(names(b": x\n"), Vec::<String>::new());
        assert_eq!(names(b"A b: x\n"), Vec::<String>::new());
        assert_eq!(names(b"From x@y Mon Jan  1 00:00:00 2026\n>From z\nA: 1"), ["A=1"]);
        assert_eq!(names(b"A:"), ["A="]);
    }

    proptest! {
        #[test]
        fn ranges_cover_the_header_without_gaps(content in "([A-C]{0,2}[: ]{0,2}[a-z\t \r]{0,4}\r?\n?){0,12}") {
            let mut at = None;
            for field in fields(content.as_bytes()) {
                prop_assert!(at.is_none_or(|at| at == field.range.start));
                prop_assert_eq!(field.value, &content.as_bytes()[field.value_range.clone()]);
                prop_assert!(field.range.end > field.range.start);
                at = Some(field.range.end);
            }
        }

        #[test]
        fn any_bytes(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            for field in fields(&content) {
                let _ = field.text();
            }
        }
    }
}
