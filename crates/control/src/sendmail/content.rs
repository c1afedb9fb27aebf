//! The message from standard input: where it ends, its recipients, what is missing in its header.

use super::addresses;
use crate::trouble::{EX_DATAERR, EX_IOERR, Trouble};
use address::Address;
use std::io::BufRead;

/// Header bytes that are read for recipients.
const MAX_HEADER: usize = 8 << 20;

/// A message with LF line ends, split where its body begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Complete lines.
    pub header: Vec<u8>,
    /// Begins with the empty line that separates it, if there is any body.
    pub body: Vec<u8>,
}

/// Reads to the end of input, or to the line with only a dot.
pub fn read(input: &mut dyn BufRead, dot_ends: bool, limit: u64) -> Result<Vec<u8>, Trouble> {
    let failed = |e: std::io::Error| Trouble::new(EX_IOERR, format!("cannot read the message: {e}; nothing was sent"));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut crlf = None;
    loop {
        let start = bytes.len();
        let left = limit.saturating_sub(start).saturating_add(3);
        let mut bounded = std::io::Read::take(&mut *input, u64::try_from(left).unwrap_or(u64::MAX));
        if bounded.read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
            break;
        }
        let line = bytes.get(start..).unwrap_or_default();
        if dot_ends && matches!(line, b".\n" | b".\r\n" | b".") {
            bytes.truncate(start);
            break;
        }
        // The first line says which line ends the caller writes; a CR elsewhere is content.
        if *crlf.get_or_insert(line.ends_with(b"\r\n")) && line.ends_with(b"\r\n") {
            bytes.truncate(bytes.len().saturating_sub(2));
            bytes.push(b'\n');
        }
        if bytes.len() > limit {
            return Err(Trouble::new(
                EX_DATAERR,
                format!("the message is larger than {limit} bytes ([server] max_message_size); nothing was sent"),
            ));
        }
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Splits header and body. A first line `From ` of a mailbox file is dropped; a text that begins with no header field
/// is all body.
pub fn split(bytes: &[u8]) -> Content {
    let mut fields = message::fields(bytes);
    let start = fields.offset();
    let found = fields.by_ref().count() > 0;
    let (start, end) = if found { (start, fields.offset()) } else { (0, 0) };
    let header = bytes.get(start..end).unwrap_or_default().to_vec();
    let rest = bytes.get(end..).unwrap_or_default();
    let mut body = Vec::with_capacity(rest.len() + 1);
    if !rest.starts_with(b"\n") {
        body.push(b'\n');
    }
    body.extend_from_slice(rest);
    Content { header, body }
}

impl Content {
    /// The recipients of To, Cc and Bcc; of the Resent- fields when there are any (RFC 5322 section 3.6.6).
    pub fn recipients(&self, domain: &str) -> Result<Vec<Address>, Trouble> {
        if self.header.len() > MAX_HEADER {
            return Err(Trouble::new(EX_DATAERR, "the header is too large to look for recipients; nothing was sent"));
        }
        let resent = message::fields(&self.header).any(|f| ["Resent-To", "Resent-Cc", "Resent-Bcc"].iter().any(|n| f.is(n)));
        let names = if resent { ["Resent-To", "Resent-Cc", "Resent-Bcc"] } else { ["To", "Cc", "Bcc"] };
        let mut all = Vec::new();
        for field in message::fields(&self.header) {
            if let Some(name) = names.iter().find(|n| field.is(n)) {
                let value = message::unfold(field.value);
                let text = std::str::from_utf8(&value)
                    .map_err(|_| Trouble::new(EX_DATAERR, format!("the {name} header is not UTF-8; nothing was sent")))?;
                all.extend(addresses::list(text, domain, &format!("the {name} header"))?);
            }
        }
        Ok(all)
    }

    /// Takes Bcc and Resent-Bcc out: who is in them must not be known to the others.
    pub fn remove_bcc(&mut self) {
        let mut kept = Vec::with_capacity(self.header.len());
        for field in message::fields(&self.header) {
            if !field.is("Bcc") && !field.is("Resent-Bcc") {
                kept.extend_from_slice(self.header.get(field.range).unwrap_or_default());
            }
        }
        self.header = kept;
    }

    pub fn has(&self, name: &str) -> bool {
        message::fields(&self.header).any(|f| f.is(name))
    }

    /// Puts a field in front.
    pub fn prepend(&mut self, line: &str) {
        let mut header = Vec::with_capacity(line.len() + 1 + self.header.len());
        header.extend_from_slice(line.as_bytes());
        header.push(b'\n');
        header.append(&mut self.header);
        self.header = header;
    }

    pub fn is_ascii(&self) -> bool {
        self.header.is_ascii() && self.body.is_ascii()
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        self.header.append(&mut self.body);
        self.header
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(text: &str, dot_ends: bool) -> String {
        String::from_utf8(read(&mut text.as_bytes(), dot_ends, 1000).unwrap()).unwrap()
    }

    #[test]
    fn where_the_message_ends() {
        assert_eq!(taken("a\n.\nb\n", true), "a\n");
        assert_eq!(taken("a\n.\nb\n", false), "a\n.\nb\n");
        assert_eq!(taken("a\n..\n.x\n", true), "a\n..\n.x\n");
        assert_eq!(taken("a\r\nb\r\n.\r\nc", true), "a\nb\n");
        assert_eq!(taken("a\nb\r\nc", true), "a\nb\r\nc\n");
        assert_eq!(taken("", true), "");
        assert_eq!(read(&mut "x".repeat(1001).as_bytes(), true, 1000).unwrap_err().code, EX_DATAERR);
        assert_eq!(taken(&"x".repeat(999), true).len(), 1000);
    }

    #[test]
    fn header_and_body() {
        let of = |text: &str| {
            let c = split(text.as_bytes());
            (String::from_utf8(c.header).unwrap(), String::from_utf8(c.body).unwrap())
        };
        let both = |h: &str, b: &str| (h.to_owned(), b.to_owned());
        assert_eq!(of("A: b\n c\nD: e\n\nbody\n"), both("A: b\n c\nD: e\n", "\nbody\n"));
        assert_eq!(of("hello there\nA: b\n"), both("", "\nhello there\nA: b\n"));
        assert_eq!(of("A: b\nno field\n"), both("A: b\n", "\nno field\n"));
        assert_eq!(of("A: b\n"), both("A: b\n", "\n"));
        assert_eq!(of("From x Mon\nA: b\n\nc\n"), both("A: b\n", "\nc\n"));
        assert_eq!(of(""), both("", "\n"));
    }

    #[test]
    fn recipients_and_bcc() {
        let mut c = split(b"To: a@b.c,\n Dee <d@e.f>\nBCC: g@h.i\nSubject: x\nCc: root\n\nTo: not@me\n");
        let found: Vec<String> = c.recipients("here.example").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a@b.c", "d@e.f", "g@h.i", "root@here.example"]);
        c.remove_bcc();
        assert!(!c.has("bcc") && c.has("cc"));
        assert_eq!(c.header, b"To: a@b.c,\n Dee <d@e.f>\nSubject: x\nCc: root\n");
        c.prepend("Date: now");
        assert!(c.header.starts_with(b"Date: now\nTo:"));
        let resent = split(b"To: a@b.c\nResent-To: x@y.z\n\n");
        assert_eq!(resent.recipients("h").unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_header_and_body(text in "([A-Z]{1,3}: [a-z]{0,5}\n( [a-z]\n)?|[a-z ]{0,9}\n|\n){0,8}") {
            let c = split(text.as_bytes());
            let all = c.clone().into_bytes();
            let joined = String::from_utf8(all).unwrap();
            prop_assert!(joined == text || joined.replacen("\n", "", 1) == text || joined.trim_end_matches('\n') == text.trim_end_matches('\n')
                || joined.replace('\n', "") == text.replace('\n', ""));
        }
    }
}
