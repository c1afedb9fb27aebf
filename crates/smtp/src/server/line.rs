//! Command lines out of a byte stream, at constant memory.

/// Longest command line in bytes, line end included: the 512 of RFC 5321 section 4.5.3.1.4 with room for every extension.
pub(super) const LONGEST: usize = 4096;
/// An over-long line is skipped to its end; one longer than this ends the session.
const PATIENCE: usize = 64 * 1024;

/// The start of a line that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct LineReader {
    partial: Vec<u8>,
    /// Bytes of an over-long line seen so far; 0: none is being skipped.
    skipped: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Wants more input.
    More,
    /// A whole line without its line end.
    Line(Vec<u8>),
    /// A line that ended, but was too long.
    TooLong,
    /// A line that ended in a bare LF, or held a CR or NUL: never executed.
    Malformed,
    /// The client sends a line without end.
    Flood,
}

impl LineReader {
    /// Does the line in hand begin so, in any case?
    pub(super) fn begins(&self, word: &[u8], input: &[u8]) -> bool {
        word.iter().zip(self.partial.iter().chain(input)).filter(|(w, b)| w.eq_ignore_ascii_case(b)).count() == word.len()
    }

    /// Takes at most one line of at most `most` bytes from `input`: the bytes used, and the line.
    pub(super) fn take(&mut self, input: &[u8], most: usize) -> (usize, Taken) {
        let (used, ended) = match memchr::memchr(b'\n', input) {
            Some(at) => (at + 1, true),
            None => (input.len(), false),
        };
        let part = input.get(..used).unwrap_or_default();
        if self.skipped > 0 || self.partial.len() + part.len() > most {
            return (used, self.skip(part.len(), ended));
        }
        if !ended {
            self.partial.extend_from_slice(part);
            return (used, Taken::More);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(part);
        line.pop();
        if line.pop() != Some(b'\r') || memchr::memchr2(b'\r', 0, &line).is_some() {
            return (used, Taken::Malformed);
        }
        (used, Taken::Line(line))
    }

    fn skip(&mut self, bytes: usize, ended: bool) -> Taken {
        self.skipped += self.partial.len() + bytes;
        self.partial = Vec::new();
        if self.skipped > PATIENCE {
            return Taken::Flood;
        }
        if ended {
            self.skipped = 0;
            return Taken::TooLong;
        }
        Taken::More
    }

    /// Bytes kept in memory.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.partial.capacity()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn only_crlf_ends_a_good_line() {
        let mut reader = LineReader::default();
        assert_eq!(reader.take(b"NOOP\r\nQUIT", LONGEST), (6, Taken::Line(b"NOOP".to_vec())));
        for bad in [&b"NOOP\n"[..], b"NO\rOP\r\n", b"NO\0OP\r\n", b"NOOP\r\r\n", b"\n"] {
            assert_eq!(reader.take(bad, LONGEST), (bad.len(), Taken::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn splits_do_not_matter() {
        let mut reader = LineReader::default();
        let mut lines = Vec::new();
        for byte in b"EHLO x\r\nNOOP\r\n" {
            if let (1, Taken::Line(line)) = reader.take(&[*byte], LONGEST) {
                lines.push(line);
            }
        }
        assert_eq!(lines, [b"EHLO x".to_vec(), b"NOOP".to_vec()]);
    }

    #[test]
    fn a_long_line_is_skipped_and_an_endless_one_ends_it() {
        let mut reader = LineReader::default();
        let long = [vec![b'x'; 5000], b"\r\n".to_vec()].concat();
        assert_eq!(reader.take(&long[..4000], LONGEST).1, Taken::More);
        assert_eq!(reader.take(&long[4000..], LONGEST).1, Taken::TooLong);
        assert_eq!(reader.take(b"NOOP\r\n", LONGEST).1, Taken::Line(b"NOOP".to_vec()));
        let mut most = 0;
        for _ in 0..16 {
            assert_eq!(reader.take(&[b'x'; 4096], LONGEST).1, Taken::More);
            most = most.max(reader.held());
        }
        assert_eq!(reader.take(b"x", LONGEST).1, Taken::Flood);
        assert!(most <= 2 * LONGEST);
    }
}
