//! What the program reads: fields in front, the message, and what the flags change in it.

use crate::words::Recipient;
use program::{Content, Input};
use std::fs::File;
use std::io;

/// The flags of a pipe, as ZMailer's sm has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    pub from_line: bool,
    pub quote_from: bool,
    pub return_path: bool,
    pub delivered_to: bool,
    pub original_recipient: bool,
    pub envelope_fields: bool,
    pub crlf: bool,
    pub dots: bool,
    pub many: bool,
    pub batch: bool,
}

impl Flags {
    pub fn parse(text: &str) -> Self {
        let has = |flag| text.contains(flag);
        Self {
            from_line: has('F'),
            quote_from: has('E'),
            return_path: has('P'),
            delivered_to: has('D'),
            original_recipient: has('O'),
            envelope_fields: has('e'),
            crlf: has('R'),
            // Batch SMTP ends its data with a dot.
            dots: has('X') || has('B'),
            many: has('m'),
            batch: has('B'),
        }
    }
}

/// What goes in front, with LF at the line ends.
pub fn front(flags: Flags, sender: &str, recipients: &[Recipient], hostname: &str, now: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut line = |text: String| {
        // Addresses hold no control bytes; should one ever, it must not become a line.
        out.extend(text.bytes().map(|b| if b.is_ascii_control() { b'?' } else { b }));
        out.push(b'\n');
    };
    if flags.batch {
        line(format!("HELO {hostname}"));
        line(format!("MAIL FROM:<{sender}>"));
        recipients.iter().for_each(|r| line(format!("RCPT TO:<{}>", r.address)));
        line("DATA".to_owned());
    }
    if flags.from_line {
        line(message::from_line(sender, now).trim_end().to_owned());
    }
    if flags.return_path {
        line(format!("Return-Path: <{sender}>"));
    }
    for recipient in recipients {
        if flags.delivered_to {
            line(format!("Delivered-To: {}", recipient.address));
        }
        if flags.original_recipient {
            line(format!("Original-Recipient: rfc822; {}", recipient.original));
        }
        if flags.envelope_fields {
            line(format!("X-Envelope-To: <{}>", recipient.address));
        }
    }
    if flags.envelope_fields {
        line(format!("X-Envelope-From: <{sender}>"));
    }
    out
}

/// The message as the program gets it, made piece by piece.
#[derive(Debug)]
pub struct Shaped {
    content: Content,
    shaper: Shaper,
    front: Vec<u8>,
    piece: Vec<u8>,
}

impl Shaped {
    pub fn new(file: File, content: ipc::Content, front: Vec<u8>, flags: Flags) -> Self {
        let shaper = Shaper { crlf: flags.crlf, dots: flags.dots, quote_from: flags.quote_from, batch: flags.batch, ..Shaper::default() };
        Self { content: Content::new(file, content.offset, content.rest, content.head), shaper, front, piece: Vec::new() }
    }
}

impl Input for Shaped {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let front = std::mem::take(&mut self.front);
        if self.shaper.crlf {
            front.split_inclusive(|b| *b == b'\n').for_each(|line| {
                out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                out.extend_from_slice(b"\r\n");
            });
        } else {
            out.extend_from_slice(&front);
        }
        self.piece.clear();
        let more = self.content.next(&mut self.piece)?;
        self.shaper.put(&self.piece, out);
        if !more {
            self.shaper.finish(out);
        }
        Ok(more)
    }
}

/// Line ends, dots and `From ` lines of content that comes in pieces.
#[derive(Debug, Default)]
struct Shaper {
    crlf: bool,
    dots: bool,
    quote_from: bool,
    batch: bool,
    /// Bytes of the line so far, those held back included; counted only up to what matters.
    column: usize,
    /// All of the line so far is a beginning of `From `, held back.
    held: usize,
    last: u8,
}

const WORD: &[u8] = b"From ";

impl Shaper {
    fn put(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if !(self.crlf || self.dots || self.quote_from) {
            return out.extend_from_slice(piece);
        }
        out.reserve(piece.len().saturating_add(piece.len() / 16));
        for byte in piece {
            self.byte(*byte, out);
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.quote_from && self.column == self.held && WORD.get(self.held) == Some(&byte) {
            self.held = self.held.saturating_add(1);
            self.column = self.held;
            if self.held == WORD.len() {
                out.push(b'>');
                out.extend_from_slice(WORD);
                // Longer than what is held, so nothing more of this line is looked at.
                (self.held, self.column) = (0, WORD.len());
            }
            self.last = byte;
            return;
        }
        self.release(out);
        if byte == b'\n' {
            if self.crlf && self.last != b'\r' {
                out.push(b'\r');
            }
            out.push(byte);
            self.column = 0;
        } else {
            if self.dots && self.column == 0 && byte == b'.' {
                out.push(byte);
            }
            out.push(byte);
            self.column = self.column.saturating_add(1);
        }
        self.last = byte;
    }

    /// What was held back is no `From ` after all.
    fn release(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(WORD.get(..self.held).unwrap_or_default());
        self.held = 0;
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(out);
        let end: &[u8] = if self.crlf { b"\r\n" } else { b"\n" };
        if !self.dots {
            return;
        }
        if self.last != b'\n' && self.last != 0 {
            out.extend_from_slice(end);
        }
        out.push(b'.');
        out.extend_from_slice(end);
        if self.batch {
            out.extend_from_slice(b"QUIT");
            out.extend_from_slice(end);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn shaped(flags: &str, content: &str) -> String {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "envelope{content}").unwrap();
        let flags = Flags::parse(flags);
        let recipients = [Recipient::new("a@x", Some("o@x"), ""), Recipient::new("b@y", None, "")];
        let front = front(flags, "s@z", &recipients, "mta.example", 0);
        let mut input = Shaped::new(file, ipc::Content { head: Vec::new(), offset: 8, rest: content.len() as u64 }, front, flags);
        let mut out = Vec::new();
        while input.next(&mut out).unwrap() {}
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_flag_does_its_own() {
        let plain = "Subject: x\n\nFrom me\n.\n>From you\nFro\nend";
        assert_eq!(shaped("", plain), plain);
        assert_eq!(shaped("F", "x"), "From s@z Thu Jan  1 00:00:00 1970\nx");
        assert_eq!(
            shaped("PDOe", "x"),
            "Return-Path: <s@z>\nDelivered-To: a@x\nOriginal-Recipient: rfc822; o@x\nX-Envelope-To: <a@x>\nDelivered-To: b@y\nOriginal-Recipient: rfc822; b@y\nX-Envelope-To: <b@y>\nX-Envelope-From: <s@z>\nx"
        );
        assert_eq!(shaped("E", plain), plain.replace("\nFrom me", "\n>From me"));
        assert_eq!(shaped("R", "a\nb\r\nc"), "a\r\nb\r\nc");
        assert_eq!(shaped("X", plain), plain.replace("\n.\n", "\n..\n") + "\n.\n");
        assert_eq!(
            shaped("BRP", ".x\n"),
            "HELO mta.example\r\nMAIL FROM:<s@z>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\nReturn-Path: <s@z>\r\n..x\r\n.\r\nQUIT\r\n"
        );
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_dots_can_be_taken_out_again(content in "([Frm .>x]|From |\n|\r\n){0,60}", cut in 0usize..60) {
            let shape = |pieces: &[&[u8]]| {
                let mut shaper = Shaper { dots: true, quote_from: true, crlf: true, ..Shaper::default() };
                let mut out = Vec::new();
                pieces.iter().for_each(|piece| shaper.put(piece, &mut out));
                shaper.finish(&mut out);
                out
            };
            let bytes = content.as_bytes();
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            let whole = shape(&[bytes]);
            prop_assert_eq!(&shape(&[a, b]), &whole);
            prop_assert!(whole.ends_with(b".\r\n"));
            let lines: Vec<&[u8]> = whole.split(|b| *b == b'\n').collect();
            let ends = lines.iter().filter(|line| **line == b".\r").count();
            prop_assert_eq!(ends, 1);
            prop_assert!(lines.iter().all(|line| !line.starts_with(b"From ")));
        }
    }
}
