//! Replies of a server, from bytes (RFC 5321 section 4.2).
//!
//! The server is not trusted: lines, their number and the text kept are bounded, and no control byte of a reply
//! reaches a log, a control file or a report.

use memchr::memchr;
use status::{Class, Enhanced, Reply};
use std::fmt::{self, Write as _};

/// Longest reply line, CRLF included. RFC 5321 section 4.5.3.1.5 allows 512; servers in the field send more.
pub const MAX_LINE: usize = 4096;
/// Most lines of one reply.
pub const MAX_LINES: usize = 100;
/// Text kept of one reply; the rest is read and dropped.
const MAX_TEXT: usize = 8192;

/// What the server sent is no reply; nothing after it can be trusted to be in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    LineTooLong,
    TooManyLines,
    /// A line does not begin with three digits and a blank or hyphen.
    NotAReply,
    /// The lines of one reply carry different codes.
    CodeChanged,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "the server sent an overlong reply line",
            Self::TooManyLines => "the server sent a reply of too many lines",
            Self::NotAReply => "the server sent what is no SMTP reply",
            Self::CodeChanged => "the server changed the code within one reply",
        })
    }
}

impl std::error::Error for ReplyError {}

/// A complete reply with its lines still apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireReply {
    pub code: u16,
    /// Lines joined by LF, without code; control bytes are escaped.
    text: String,
}

impl WireReply {
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// One text with the enhanced code taken out of every line. A code of another class than the basic one is a
    /// mistake of the server's; the basic code decides.
    pub fn into_reply(self) -> Reply {
        let class = Enhanced::of_reply_code(self.code).class;
        let mut status = None;
        let mut text = String::with_capacity(self.text.len());
        for line in self.text.split('\n') {
            let rest = match Enhanced::split(line) {
                Some((code, rest)) => {
                    status.get_or_insert(Enhanced { class, ..code });
                    rest
                }
                None => line,
            };
            if !text.is_empty() && !rest.is_empty() {
                text.push(' ');
            }
            text.push_str(rest);
        }
        Reply { code: self.code, status, text }
    }

    pub fn class(&self) -> Class {
        Enhanced::of_reply_code(self.code).class
    }
}

/// Splits a byte stream into replies, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct ReplyReader {
    /// An incomplete line.
    partial: Vec<u8>,
    /// Of the incomplete reply; 0: none.
    code: u16,
    lines: usize,
    text: String,
}

impl ReplyReader {
    /// Takes bytes off `input` up to the end of one reply; `None` when the input ran out before.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<WireReply>, ReplyError> {
        while let Some(at) = memchr(b'\n', input) {
            let (line, rest) = input.split_at(at + 1);
            *input = rest;
            let done = if self.partial.is_empty() {
                self.line(line)?
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole)?
            };
            if let Some(reply) = done {
                return Ok(Some(reply));
            }
        }
        if self.partial.len() + input.len() > MAX_LINE {
            return Err(ReplyError::LineTooLong);
        }
        self.partial.extend_from_slice(input);
        *input = &[];
        Ok(None)
    }

    /// True between replies: a connection that ends here ended cleanly.
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.code == 0
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<WireReply>, ReplyError> {
        if line.len() > MAX_LINE {
            return Err(ReplyError::LineTooLong);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, last, text) = split(line)?;
        if self.code != 0 && self.code != code {
            return Err(ReplyError::CodeChanged);
        }
        if self.lines == MAX_LINES {
            return Err(ReplyError::TooManyLines);
        }
        if self.lines > 0 && self.text.len() < MAX_TEXT {
            self.text.push('\n');
        }
        if self.text.len() < MAX_TEXT {
            escape(text, &mut self.text);
        }
        self.code = code;
        self.lines += 1;
        if !last {
            return Ok(None);
        }
        self.code = 0;
        self.lines = 0;
        Ok(Some(WireReply { code, text: std::mem::take(&mut self.text) }))
    }
}

/// Code, whether this is the reply's last line, text.
fn split(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::NotAReply)?;
    let mut code = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(ReplyError::NotAReply);
        }
        code = code * 10 + u16::from(digit - b'0');
    }
    if !(200..600).contains(&code) {
        return Err(ReplyError::NotAReply);
    }
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ' | b'\t', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(ReplyError::NotAReply),
    }
}

/// Appends remote bytes as text without control bytes: each becomes `\xNN`, bytes that are no UTF-8 too.
pub fn escape(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push(' '),
                c if c.is_control() || matches!(c, '\u{200b}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                    let _ = write!(out, "\\x{:02x}", c as u32);
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(reply) = reader.next(&mut rest)? {
                replies.push(reply.into_reply());
            }
        }
        Ok(replies)
    }

    #[test]
    fn every_split_gives_the_same_replies() {
        let stream = b"250-2.1.0 one\r\n250 2.1.0 two\r\n550 5.1.1 no\r\n354\r\n250\r\n";
        let whole = all(&[stream]).unwrap();
        assert_eq!(whole.iter().map(ToString::to_string).collect::<Vec<_>>(), ["250 2.1.0 one two", "550 5.1.1 no", "354 ", "250 "]);
        for at in 0..stream.len() {
            assert_eq!(all(&[&stream[..at], &stream[at..]]).unwrap(), whole, "{at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(all(&bytes).unwrap(), whole);
    }

    #[test]
    fn hostile_lines_are_errors() {
        let long = [b"250 ".to_vec(), vec![b'x'; MAX_LINE]].concat();
        let endless = b"250-x\r\n".repeat(MAX_LINES + 1);
        for (input, error) in [
            (&b"2x0 a\r\n"[..], ReplyError::NotAReply),
            (b"\r\n", ReplyError::NotAReply),
            (b"25\r\n", ReplyError::NotAReply),
            (b"250ok\r\n", ReplyError::NotAReply),
            (b"100 x\r\n", ReplyError::NotAReply),
            (b"999 x\r\n", ReplyError::NotAReply),
            (b"HTTP/1.1 200 OK\r\n", ReplyError::NotAReply),
            (b"\x16\x03\x01\x02\x00\n", ReplyError::NotAReply),
            (b"250-a\r\n550 b\r\n", ReplyError::CodeChanged),
            (&long, ReplyError::LineTooLong),
            (&endless, ReplyError::TooManyLines),
        ] {
            assert_eq!(all(&[input]), Err(error), "{:?}", input.escape_ascii().to_string());
        }
    }

    #[test]
    fn text_is_escaped_and_an_enhanced_code_needs_no_text() {
        let replies = all(&[b"550 5.7.2\r\n450 a\x1b[2J\rb\0\xff\n250 4.1.1 odd class\r\n"]).unwrap();
        assert_eq!((replies[0].status, replies[0].text.as_str()), (Some(Enhanced::permanent(7, 2)), ""));
        assert_eq!(replies[1].text, "a\\x1b[2J\\x0db\\x00\\xff");
        assert_eq!(replies[2].status, Some(Enhanced::success(1, 1)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_bounded_clean_text(bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0..600usize) {
            let cut = cut.min(bytes.len());
            if let Ok(replies) = all(&[&bytes[..cut], &bytes[cut..]]) {
                for reply in replies {
                    prop_assert!((200..600).contains(&reply.code));
                    prop_assert!(!reply.text.chars().any(char::is_control));
                }
            }
        }
    }
}
