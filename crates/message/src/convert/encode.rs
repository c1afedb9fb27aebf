//! Quoted-printable and base64 (RFC 2045 sections 6.7 and 6.8), piece by piece.

use super::LineEnd;
use data_encoding::BASE64;

/// Characters of an encoded line, without its end.
const LINE: usize = 76;
/// Bytes that fill a line of base64.
const GROUP: usize = 57;

/// Whether quoted-printable writes a byte as three.
pub(super) const fn is_escaped(byte: u8) -> bool {
    !matches!(byte, b' '..=b'~' | b'\t') || byte == b'='
}

#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
    /// A blank that may turn out to be the last of its line.
    blank: Option<u8>,
}

impl QuotedPrintable {
    pub fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            if let Some(blank) = self.blank.take() {
                self.literal(blank, out);
            }
            match byte {
                b' ' | b'\t' => self.blank = Some(*byte),
                _ if is_escaped(*byte) => self.escape(*byte, out),
                _ => self.literal(*byte, out),
            }
        }
    }

    /// `octets`: a lone LF is a byte like any other.
    pub fn line_end(&mut self, end: LineEnd, octets: bool, out: &mut Vec<u8>) {
        if end == LineEnd::Lf && octets {
            return self.encode(b"\n", out);
        }
        self.last_blank(out);
        out.push(b'\n');
        self.column = 0;
    }

    /// The content is over. What ended in the middle of a line must not get a line end by being sent.
    pub fn finish(&mut self, last: bool, octets: bool, out: &mut Vec<u8>) {
        self.last_blank(out);
        if last && octets && self.column > 0 {
            out.extend_from_slice(b"=\n");
        }
        self.column = 0;
    }

    fn last_blank(&mut self, out: &mut Vec<u8>) {
        if let Some(blank) = self.blank.take() {
            self.escape(blank, out);
        }
    }

    fn room(&mut self, width: usize, out: &mut Vec<u8>) {
        if self.column + width >= LINE {
            out.extend_from_slice(b"=\n");
            self.column = 0;
        }
        self.column += width;
    }

    fn literal(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.room(1, out);
        out.push(byte);
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        self.room(3, out);
        let digit = |value: u8| DIGITS.get(usize::from(value & 15)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte)]);
    }
}

#[derive(Debug, Default)]
pub(super) struct Base64 {
    /// Less than one line.
    held: Vec<u8>,
}

impl Base64 {
    pub fn encode(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.held.len() + bytes.len() >= GROUP {
            let (now, later) = bytes.split_at((GROUP - self.held.len()).min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            self.flush(out);
            out.push(b'\n');
        }
        self.held.extend_from_slice(bytes);
    }

    /// A line end in its canonical form (RFC 2045 section 6.8), but what is stored as octets is them.
    pub fn line_end(&mut self, end: LineEnd, octets: bool, out: &mut Vec<u8>) {
        self.encode(if end == LineEnd::Lf && octets { b"\n" } else { b"\r\n" }, out);
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            return;
        }
        self.flush(out);
        out.push(b'\n');
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(BASE64.encode(&self.held).as_bytes());
        self.held.clear();
    }
}
