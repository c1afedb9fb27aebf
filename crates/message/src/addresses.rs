//! Addresses in header fields (RFC 5322 section 3.4): where they are, so that one can be changed and all else stays byte for
//! byte. Groups, comments, quoted strings, folds, routes and empty places are read; names of people and encoded words are
//! passed over. A value that is no list of addresses has none.

use std::ops::Range;

/// Fields whose values are lists of addresses of people.
const FIELDS: [&str; 17] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Errors-To",
    "Return-Receipt-To",
    "Disposition-Notification-To",
    "Mail-Followup-To",
    "Mail-Reply-To",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
];

/// Has a field of this name addresses?
pub fn holds_addresses(name: &[u8]) -> bool {
    FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Where the addresses with a domain are in the value of a field, in their order. `None`: it is no list of addresses. One
/// with blanks or comments within is passed over, for it could not be changed without them.
pub fn addresses(value: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut reader = Reader { tokens: tokens(value)?, at: 0, found: Vec::new() };
    reader.list()?;
    Some(reader.found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An atom; with `.` in it only by [`Kind::Special`].
    Word,
    Quoted,
    Literal,
    Special(u8),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    range: Range<usize>,
}

/// The tokens of a value, without blanks and comments; `None`: something is not closed, or has no place in a header.
fn tokens(value: &[u8]) -> Option<Vec<Token>> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&byte) = value.get(at) {
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'(' => {
                at = comment_end(value, at)?;
                continue;
            }
            b'"' => (Kind::Quoted, closed(value, at, b'"')?),
            b'[' => (Kind::Literal, closed(value, at, b']')?),
            b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.' => (Kind::Special(byte), at + 1),
            b')' | b']' | b'\\' | 0..=31 | 127 => return None,
            _ => (Kind::Word, atom_end(value, at)),
        };
        tokens.push(Token { kind, range: at..end });
        at = end;
    }
    Some(tokens)
}

/// Behind the end of a comment that begins here; comments hold comments.
fn comment_end(value: &[u8], begin: usize) -> Option<usize> {
    let (mut depth, mut at) = (0u32, begin);
    loop {
        match value.get(at)? {
            b'(' => depth = depth.checked_add(1)?,
            b')' => depth = depth.checked_sub(1)?,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Behind the end of a quoted string or a literal.
fn closed(value: &[u8], begin: usize, end: u8) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match value.get(at)? {
            b'\\' => at += 1,
            byte if *byte == end => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
}

fn atom_end(value: &[u8], begin: usize) -> usize {
    let special =
        |b: &u8| matches!(b, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'@' | b',' | b';' | b':' | b'.' | b'"' | b'\\' | 0..=32 | 127);
    value.get(begin..).unwrap_or_default().iter().position(special).map_or(value.len(), |length| begin + length)
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    found: Vec<Range<usize>>,
}

impl Reader {
    fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.kind() == Some(Kind::Special(byte));
        self.at += usize::from(there);
        there
    }

    /// Mailboxes and groups with commas between, to the end.
    fn list(&mut self) -> Option<()> {
        let mut grouped = false;
        loop {
            while self.take(b',') {}
            if self.kind().is_none() {
                return (!grouped).then_some(());
            }
            if grouped && self.take(b';') {
                grouped = false;
            } else {
                let begin = self.at;
                self.words();
                if !grouped && self.at > begin && self.take(b':') {
                    grouped = true;
                    continue;
                }
                self.mailbox(begin)?;
            }
            let over = match self.kind() {
                None | Some(Kind::Special(b',')) => true,
                Some(Kind::Special(b';')) => grouped,
                // A group may be followed by the next address without a comma only where it has just ended with one.
                _ => false,
            };
            if !over {
                return None;
            }
        }
    }

    /// Words and dots: a name of somebody, of a group, or a local part.
    fn words(&mut self) {
        while matches!(self.kind(), Some(Kind::Word | Kind::Quoted | Kind::Special(b'.'))) {
            self.at += 1;
        }
    }

    /// The rest of a mailbox whose words begin at `begin` and have been read.
    fn mailbox(&mut self, begin: usize) -> Option<()> {
        if self.take(b'<') {
            return self.angle();
        }
        if self.kind() == Some(Kind::Special(b'@')) {
            return self.domain_of(begin);
        }
        // A name alone is local, to whom is not for us to say; nothing at all is no mailbox.
        (self.at > begin).then_some(())
    }

    /// Behind `<`: an address with or without route, or none.
    fn angle(&mut self) -> Option<()> {
        if self.take(b'>') {
            return Some(());
        }
        if self.kind() == Some(Kind::Special(b'@')) {
            while self.take(b',') || self.take(b'@') {
                self.domain();
            }
            self.take(b':').then_some(())?;
        }
        let begin = self.at;
        self.words();
        match self.kind()? {
            Kind::Special(b'@') => self.domain_of(begin)?,
            _ if self.at > begin => {}
            _ => return None,
        }
        self.take(b'>').then_some(())
    }

    fn domain(&mut self) {
        match self.kind() {
            Some(Kind::Literal) => self.at += 1,
            _ => {
                while matches!(self.kind(), Some(Kind::Word | Kind::Special(b'.'))) {
                    self.at += 1;
                }
            }
        }
    }

    /// At the `@` of an address whose local part began at `begin`.
    fn domain_of(&mut self, begin: usize) -> Option<()> {
        let at = self.at;
        self.at += 1;
        self.domain();
        if at == begin || self.at == at + 1 {
            return None;
        }
        let parts = self.tokens.get(begin..self.at)?;
        let together = parts.windows(2).all(|pair| matches!(pair, [a, b] if a.range.end == b.range.start));
        if let (true, Some(first), Some(last)) = (together, parts.first(), parts.last()) {
            self.found.push(first.range.start..last.range.end);
        }
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(value: &str) -> Option<Vec<&str>> {
        Some(addresses(value.as_bytes())?.into_iter().map(|range| &value[range]).collect())
    }

    #[test]
    fn in_all_their_dresses() {
        for (value, expected) in [
            ("a@b", vec!["a@b"]),
            (" a@b , c@d", vec!["a@b", "c@d"]),
            ("Joe Q. Public <joe.q@b.example>", vec!["joe.q@b.example"]),
            ("\"x, y@z\" <a@b>, (c@d (e@f)) g@h (\\) i@j)", vec!["a@b", "g@h"]),
            ("Friends: a@b, Joe <c@d>;, e@f", vec!["a@b", "c@d", "e@f"]),
            ("Undisclosed recipients:;", vec![]),
            ("<@r1,@r2:u@d>", vec!["u@d"]),
            ("=?utf-8?q?a=40b?= <c@d>", vec!["c@d"]),
            ("\"a b\"@c.example, u@[192.0.2.1]", vec!["\"a b\"@c.example", "u@[192.0.2.1]"]),
            ("Joe\r\n <a@b>,\n\tc@d", vec!["a@b", "c@d"]),
            ("joe, a@b", vec!["a@b"]),
            ("<>", vec![]),
            ("", vec![]),
            (",,a@b,,", vec!["a@b"]),
            // Two names before an address: whose it is is not clear, so it stays.
            ("joe smith@b", vec![]),
            ("a @ b, c@d", vec!["c@d"]),
            ("a(x)@b", vec![]),
            ("j\u{fc}rgen@b.example", vec!["j\u{fc}rgen@b.example"]),
        ] {
            assert_eq!(found(value), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        for value in [
            "a@b c@d",
            "<a@b",
            "a@b>",
            "a@",
            "@b",
            "(a@b",
            "\"a@b",
            "a@b <c@d>",
            "x:a@b",
            "a@b;",
            "x: y: a@b;;",
            "a@b\u{0}",
            "<a@b> c",
            "a@b@c",
            "a\\@b",
            "<<a@b>>",
            "[x",
            "<@r>",
            "x:;y",
            "a@b]",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }

    #[test]
    fn names_of_fields() {
        assert!(holds_addresses(b"to") && holds_addresses(b"Resent-CC") && !holds_addresses(b"Subject") && !holds_addresses(b""));
    }

    proptest! {
        #[test]
        fn addresses_are_apart_and_have_an_at(value in "([a-z]{1,3}|@|<|>|,|;|:|\\.| |\"|\\(|\\)|\\[|\\]|\\\\|\r\n ){0,25}") {
            let mut end = 0;
            for range in addresses(value.as_bytes()).unwrap_or_default() {
                prop_assert!(range.start >= end);
                end = range.end;
                let text = &value[range];
                prop_assert!(text.contains('@') && !text.contains(['<', '>', '(', ',', ';']) || text.contains('"') || text.contains('['));
            }
        }

        #[test]
        fn any_bytes(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = addresses(&value);
        }

        /// Linear: a hundred thousand of anything are read at once.
        #[test]
        fn deep_and_long(piece in "[(<:,\"@\\[ ]|a@b,|x:|\\\\") {
            let _ = addresses(piece.repeat(100_000).as_bytes());
        }
    }
}
