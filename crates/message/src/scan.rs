//! Where a header ends, and what the suite wants to know of it.

use crate::fields::{field_name, fields};
use std::ops::Range;

/// Where the header ends and the body begins. They differ by the empty line between; where that is missing (the first
/// line of the body is no field) they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderEnd {
    pub header: usize,
    pub body: usize,
}

/// What a [`HeaderScanner`] knows so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The header goes on behind these bytes.
    More,
    Complete(HeaderEnd),
    /// The header is larger than the limit.
    TooLarge,
}

/// Finds the end of a header that arrives in pieces. Each line is looked at once, however often it is asked.
#[derive(Debug, Clone)]
pub struct HeaderScanner {
    limit: usize,
    /// The first line not yet judged begins here.
    at: usize,
    /// Within that line, no line end up to here.
    searched: usize,
    in_field: bool,
}

impl HeaderScanner {
    /// `limit`: bytes of header at most.
    pub fn new(limit: usize) -> Self {
        Self { limit, at: 0, searched: 0, in_field: false }
    }

    /// `content`: everything received so far, from the first byte. `last`: no more will come, so the end of the bytes
    /// ends the header.
    pub fn feed(&mut self, content: &[u8], last: bool) -> Progress {
        loop {
            let from = self.searched.max(self.at);
            let found = memchr::memchr(b'\n', content.get(from..).unwrap_or_default());
            let next = match found {
                Some(length) => from + length + 1,
                None if content.len() > self.limit => return Progress::TooLarge,
                None if !last => {
                    self.searched = content.len();
                    return Progress::More;
                }
                None if self.at >= content.len() => return self.complete(content.len()),
                None => content.len(),
            };
            let line = content.get(self.at..next).unwrap_or_default();
            match self.judge(line) {
                Kind::Header if next > self.limit => return Progress::TooLarge,
                Kind::Header => self.at = next,
                Kind::Separator => return self.complete(next),
                Kind::Body => return self.complete(self.at),
            }
        }
    }

    fn complete(&self, body: usize) -> Progress {
        Progress::Complete(HeaderEnd { header: self.at, body })
    }

    fn judge(&mut self, line: &[u8]) -> Kind {
        let blank = line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        if blank {
            return Kind::Separator;
        }
        if !self.in_field && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
            return Kind::Header;
        }
        if folded && self.in_field {
            return Kind::Header;
        }
        if field_name(line).is_some() {
            self.in_field = true;
            return Kind::Header;
        }
        Kind::Body
    }
}

enum Kind {
    Header,
    Separator,
    Body,
}

/// What the suite wants to know of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub end: HeaderEnd,
    pub fields: usize,
    /// Received fields: hops so far.
    pub received: usize,
    /// The value ranges of the first field of each name, blanks around them cut off.
    pub message_id: Option<Range<usize>>,
    pub date: Option<Range<usize>>,
    pub from: Option<Range<usize>>,
    pub subject: Option<Range<usize>>,
    /// `TLS-Required: No` (RFC 8689 section 5).
    pub tls_not_required: bool,
}

/// Scans a complete header. `None` when it is larger than `limit` bytes.
pub fn scan(content: &[u8], limit: usize) -> Option<Summary> {
    let Progress::Complete(end) = HeaderScanner::new(limit).feed(content, true) else { return None };
    let mut summary =
        Summary { end, fields: 0, received: 0, message_id: None, date: None, from: None, subject: None, tls_not_required: false };
    for field in fields(content.get(..end.header).unwrap_or_default()) {
        summary.fields += 1;
        let place = match field.name.len() {
            12 if field.is("TLS-Required") => {
                summary.tls_not_required |= field.value.trim_ascii().eq_ignore_ascii_case(b"No");
                continue;
            }
            8 if field.is("Received") => {
                summary.received += 1;
                continue;
            }
            10 if field.is("Message-ID") => &mut summary.message_id,
            4 if field.is("Date") => &mut summary.date,
            4 if field.is("From") => &mut summary.from,
            7 if field.is("Subject") => &mut summary.subject,
            _ => continue,
        };
        place.get_or_insert_with(|| trimmed(field.value, field.value_range.start));
    }
    Some(summary)
}

fn trimmed(value: &[u8], begin: usize) -> Range<usize> {
    let front = value.len() - value.trim_ascii_start().len();
    begin + front..begin + front + value.trim_ascii().len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tls_not_required_only_by_no() {
        for (content, expected) in [
            (&b"TLS-Required: No\n\n"[..], true),
            (b"tls-required:\r\n no \n", true),
            (b"TLS-Required: Yes\n\n", false),
            (b"\nTLS-Required: No\n", false),
        ] {
            assert_eq!(scan(content, 1000).unwrap().tls_not_required, expected, "{}", content.escape_ascii());
        }
    }

    #[test]
    fn a_summary() {
        let content = b"Received: a\n b\nRECEIVED: c\nmessage-id:\n <x@y> \nDate: d\nDate: e\n\nbody\n";
        let s = scan(content, 1000).unwrap();
        assert_eq!((s.received, s.fields), (2, 5));
        assert_eq!(&content[s.message_id.unwrap()], b"<x@y>");
        assert_eq!(&content[s.date.unwrap()], b"d");
        assert_eq!(&content[s.end.body..], b"body\n");
        assert_eq!(content[s.end.header], b'\n');
    }

    #[test]
    fn odd_ends() {
        for (content, header, body) in [
            (&b""[..], 0, 0),
            (b"\n", 0, 1),
            (b"\r\nx", 0, 2),
            (b"A: b", 4, 4),
            (b"A: b\n", 5, 5),
            (b"A: b\nbody", 5, 5),
            (b"body: x y\nno\n", 10, 10),
            (b"body\n", 0, 0),
            (b" folded nothing\n", 0, 0),
        ] {
            assert_eq!(scan(content, 100).unwrap().end, HeaderEnd { header, body }, "{}", content.escape_ascii());
        }
    }

    #[test]
    fn the_limit_holds_for_any_shape() {
        assert_eq!(scan(&b"A: b\n".repeat(100), 100), None);
        assert_eq!(scan(&[b"A: ".as_slice(), &b"x".repeat(200)].concat(), 100), None);
        assert_eq!(scan(&[b"A:\n".as_slice(), &b" x\n".repeat(200)].concat(), 100), None);
        assert_eq!(scan(&b"From x\n".repeat(200), 100), None);
        assert!(scan(&[b"A: b\n\n".as_slice(), &b"x".repeat(200)].concat(), 100).is_some());
    }

    /// A quadratic scanner would need 10^12 steps here.
    #[test]
    fn a_million_continuation_lines_are_nothing() {
        let content = [b"A:\n".as_slice(), &b" x\n".repeat(1_000_000), b"\nbody"].concat();
        assert_eq!(scan(&content, usize::MAX).unwrap().fields, 1);
        let mut scanner = HeaderScanner::new(usize::MAX);
        for end in (0..content.len()).step_by(997) {
            assert_eq!(scanner.feed(&content[..end], false), Progress::More);
        }
        assert!(matches!(scanner.feed(&content, false), Progress::Complete(_)));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(content in "([A-C]{0,2}[: ]{0,2}[a-z\t \r]{0,4}\r?\n?){0,12}", cuts in proptest::collection::vec(0usize..100, 0..6)) {
            let bytes = content.as_bytes();
            let whole = HeaderScanner::new(1000).feed(bytes, true);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut scanner = HeaderScanner::new(1000);
            let mut seen = Progress::More;
            for cut in cuts {
                if seen == Progress::More {
                    seen = scanner.feed(&bytes[..cut], false);
                }
            }
            if seen == Progress::More {
                seen = scanner.feed(bytes, true);
            }
            prop_assert_eq!(seen, whole);
        }

        #[test]
        fn scanner_and_fields_agree(content in "([A-C]{0,2}[: ]{0,2}[a-z\t \r]{0,4}\r?\n?){0,12}") {
            let summary = scan(content.as_bytes(), 1000).unwrap();
            let mut all = fields(content.as_bytes());
            prop_assert_eq!(all.by_ref().count(), summary.fields);
            prop_assert_eq!(all.offset(), summary.end.header);
        }

        #[test]
        fn any_bytes(content in proptest::collection::vec(any::<u8>(), 0..200), limit in 0usize..300) {
            let _ = scan(&content, limit);
        }
    }
}
