//! `From `-quoting of mbox content (the reversible `mboxrd` kind): a line that begins with any number of `>` and then
//! `From ` gets one `>` more, so no line of a message can be taken for the beginning of another.

const WORD: &[u8] = b"From ";

/// Quotes content that comes in pieces.
#[derive(Debug)]
pub struct Quoter {
    /// Bytes of `From ` seen since the line's `>`; `None`: the line is no candidate any more.
    matched: Option<usize>,
    at_line_start: bool,
}

impl Quoter {
    pub fn new() -> Self {
        Self { matched: Some(0), at_line_start: true }
    }

    /// Appends the quoted form of a piece.
    pub fn put(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = match self.matched {
                Some(matched) => self.line_start(matched, rest, out),
                None => self.line_rest(rest, out),
            };
        }
    }

    /// Looks at the one next byte of a line that may still have to be quoted.
    fn line_start<'a>(&mut self, matched: usize, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let Some((first, after)) = rest.split_first() else { return rest };
        self.at_line_start = false;
        match (matched, *first) {
            (0, b'>') => out.push(b'>'),
            (matched, byte) if WORD.get(matched) == Some(&byte) => {
                self.matched = Some(matched + 1);
                if matched + 1 == WORD.len() {
                    out.push(b'>');
                    out.extend_from_slice(WORD);
                    self.matched = None;
                }
            }
            (matched, _) => {
                out.extend_from_slice(WORD.get(..matched).unwrap_or_default());
                self.matched = None;
                return rest;
            }
        }
        after
    }

    fn line_rest<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        out.extend_from_slice(line);
        self.at_line_start = line.ends_with(b"\n");
        if self.at_line_start {
            self.matched = Some(0);
        }
        after
    }

    /// Ends the last line where it has no end, and adds the empty line that ends an mbox message.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(WORD.get(..self.matched.unwrap_or(0)).unwrap_or_default());
        out.extend_from_slice(if self.at_line_start { b"\n" } else { b"\n\n" });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quote(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut quoter, mut out) = (Quoter::new(), Vec::new());
        for piece in pieces {
            quoter.put(piece, &mut out);
        }
        quoter.finish(&mut out);
        out
    }

    #[test]
    fn table() {
        for (content, quoted) in [
            (&b""[..], &b"\n"[..]),
            (b"a", b"a\n\n"),
            (b"From x\n", b">From x\n\n"),
            (b">>From x\nFrom", b">>>From x\nFrom\n\n"),
            (b"a From b\nFro\nFromage\n>x\n", b"a From b\nFro\nFromage\n>x\n\n"),
            (b"\n\nFrom ", b"\n\n>From \n\n"),
        ] {
            for at in 0..=content.len() {
                assert_eq!(quote(&[&content[..at], &content[at..]]), quoted, "{} at {at}", content.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn no_line_begins_a_message_and_unquoting_gives_it_back(content in "([>From \n]|From |\n){0,40}", at in 0..80usize) {
            let bytes = content.as_bytes();
            let at = at.min(bytes.len());
            let quoted = quote(&[&bytes[..at], &bytes[at..]]);
            let text = String::from_utf8(quoted).unwrap();
            prop_assert!(text.split('\n').all(|line| !line.starts_with("From ")));
            let unquoted: Vec<&str> = text.split('\n').map(|line| {
                if line.trim_start_matches('>').starts_with("From ") { &line[1..] } else { line }
            }).collect();
            let end = if content.is_empty() || content.ends_with('\n') { "\n" } else { "\n\n" };
            prop_assert_eq!(unquoted.join("\n"), format!("{content}{end}"));
        }
    }
}
