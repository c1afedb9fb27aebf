//! Message content for the wire: CRLF line ends, dots stuffed (RFC 5321 sections 2.3.8 and 4.5.2).

use memchr::memchr2;

/// How content goes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// After DATA: dots stuffed, up to the final dot.
    #[default]
    Dots,
    /// In chunks (BDAT), as lines.
    Lines,
    /// In chunks, the body octet by octet (BINARYMIME). Its header is lines all the same: fields of our own are among them.
    Octets,
}

/// Turns stored content (LF line ends) into what goes between 354 and the final reply, piece by piece.
///
/// What leaves holds no CR and no LF but in CRLF: a stray CR becomes a blank, so no server can be made to see an end of
/// data that we did not send. A CR directly before LF is part of the line end (files dropped with CRLF line ends).
#[derive(Debug)]
pub struct ContentEncoder {
    at_line_start: bool,
    /// The last piece ended in a CR; the next byte decides what it is.
    pending_cr: bool,
    framing: Framing,
    /// With [`Framing::Octets`]: the header is over.
    body: bool,
}

impl Default for ContentEncoder {
    fn default() -> Self {
        Self::new(Framing::Dots)
    }
}

impl ContentEncoder {
    pub const fn new(framing: Framing) -> Self {
        Self { at_line_start: true, pending_cr: false, framing, body: false }
    }

    /// Appends the encoded form of the next piece.
    pub fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.framing == Framing::Octets {
            return self.octets(piece, out);
        }
        self.lines(piece, out);
    }

    /// Lines up to the end of the first empty one, then octets.
    fn octets(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !self.body {
            let Some(at) = memchr::memchr(b'\n', piece) else { return self.lines(piece, out) };
            let (line, rest) = piece.split_at(at + 1);
            piece = rest;
            let empty = self.at_line_start && matches!((line, self.pending_cr), (b"\n" | b"\r\n", false) | (b"\n", true));
            self.lines(line, out);
            self.body = empty;
        }
        out.extend_from_slice(piece);
    }

    fn lines(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 32 + 16);
        let mut rest = piece;
        if let (true, Some(first)) = (self.pending_cr, rest.first()) {
            self.pending_cr = false;
            if *first != b'\n' {
                self.blank(out);
            }
        }
        while let Some(first) = rest.first() {
            if self.at_line_start && *first == b'.' && self.framing == Framing::Dots {
                out.push(b'.');
            }
            let Some((before, end, after)) = memchr2(b'\n', b'\r', rest).and_then(|at| {
                let (before, tail) = rest.split_at_checked(at)?;
                tail.split_first().map(|(end, after)| (before, *end, after))
            }) else {
                out.extend_from_slice(rest);
                self.at_line_start = false;
                return;
            };
            out.extend_from_slice(before);
            self.at_line_start &= before.is_empty();
            self.line_end(end, after.first(), out);
            rest = after;
        }
    }

    fn line_end(&mut self, end: u8, following: Option<&u8>, out: &mut Vec<u8>) {
        if end == b'\n' {
            out.extend_from_slice(b"\r\n");
            self.at_line_start = true;
            return;
        }
        match following {
            None => self.pending_cr = true,
            Some(b'\n') => {}
            Some(_) => self.blank(out),
        }
    }

    fn blank(&mut self, out: &mut Vec<u8>) {
        out.push(b' ');
        self.at_line_start = false;
    }

    /// Ends the last line if it has no end (octets are left as they are), and appends the final dot where there is one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.pending_cr) {
            self.blank(out);
        }
        if self.framing != Framing::Dots {
            if !self.at_line_start && !self.body {
                out.extend_from_slice(b"\r\n");
            }
            return;
        }
        out.extend_from_slice(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" });
        self.at_line_start = true;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (ContentEncoder::default(), Vec::new());
        for piece in pieces {
            encoder.encode(piece, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    /// What a server makes of it; `None` when the stream does not end exactly at its first end of data.
    fn decode(mut wire: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let at = memchr::memmem::find(wire, b"\r\n")?;
            let (line, rest) = (&wire[..at], &wire[at + 2..]);
            if line.contains(&b'\r') || line.contains(&b'\n') {
                return None;
            }
            if line == b"." {
                return rest.is_empty().then_some(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            content.push(b'\n');
            wire = rest;
        }
    }

    #[test]
    fn table() {
        for (content, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\n", b"a\r\n.\r\n"),
            (b".\n", b"..\r\n.\r\n"),
            (b"\n.\n", b"\r\n..\r\n.\r\n"),
            (b"a\r\n.\r\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb", b"a . b\r\n.\r\n"),
            (b"\r.\n", b" .\r\n.\r\n"),
            (b"\r\r\n", b" \r\n.\r\n"),
            (b"x\r", b"x \r\n.\r\n"),
        ] {
            for at in 0..=content.len() {
                assert_eq!(encode(&[&content[..at], &content[at..]]), wire, "{} at {at}", content.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn decodes_to_the_same_lines(content in "[a.\r\n ]{0,60}", a in 0..60usize, b in 0..60usize) {
            let bytes = content.as_bytes();
            let (a, b) = (a.min(bytes.len()), b.min(bytes.len()));
            let (a, b) = (a.min(b), a.max(b));
            let wire = encode(&[&bytes[..a], &bytes[a..b], &bytes[b..]]);
            let mut expected = content.replace("\r\n", "\n").replace('\r', " ");
            if !expected.is_empty() && !expected.ends_with('\n') {
                expected.push('\n');
            }
            prop_assert_eq!(decode(&wire), Some(expected.into_bytes()));
        }

        /// In chunks the same lines leave without stuffing; octets as they are behind the header.
        #[test]
        fn chunks(content in "[a.\\r\\n ]{0,60}", a in 0..60usize) {
            let bytes = content.as_bytes();
            let cut = a.min(bytes.len());
            let go = |framing| {
                let (mut encoder, mut out) = (ContentEncoder::new(framing), Vec::new());
                encoder.encode(&bytes[..cut], &mut out);
                encoder.encode(&bytes[cut..], &mut out);
                encoder.finish(&mut out);
                out
            };
            let lines = go(Framing::Lines);
            let text = String::from_utf8(lines).unwrap();
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
            let mut expected = content.replace("\r\n", "\n").replace('\r', " ");
            if !expected.is_empty() && !expected.ends_with('\n') {
                expected.push('\n');
            }
            prop_assert_eq!(text.replace("\r\n", "\n"), expected);
            let head = b"A: b\n\n";
            let (mut encoder, mut out) = (ContentEncoder::new(Framing::Octets), Vec::new());
            let whole = [head, bytes].concat();
            let cut = a.min(whole.len());
            encoder.encode(&whole[..cut], &mut out);
            encoder.encode(&whole[cut..], &mut out);
            encoder.finish(&mut out);
            prop_assert_eq!(out, [b"A: b\r\n\r\n", bytes].concat());
        }

        #[test]
        fn any_bytes_end_exactly_at_the_final_dot(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&encode(&[&content])).is_some());
        }
    }
}
