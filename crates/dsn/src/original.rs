//! The message that the report is about, read piece by piece and twice: once to look, once to copy.

use std::io;

/// The original message. `pass` gives its bytes from the headers on, in order, as often as it is asked.
pub trait Original {
    fn pass(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;
}
impl Original for [u8] {
    fn pass(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        sink(self)
    }
}
impl Original for Vec<u8> {
    fn pass(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        sink(self)
    }
}

/// How much of the original goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    Full,
    /// The header fields, and of them at most this many bytes.
    Headers {
        limit: u64,
    },
}

/// Lets through what is to be returned.
pub(crate) struct Cut {
    left: Option<u64>,
    /// The last byte was a line end; at the very beginning too.
    line_start: bool,
    over: bool,
}
impl Cut {
    pub(crate) fn new(returned: Returned) -> Self {
        let left = match returned {
            Returned::Full => None,
            Returned::Headers { limit } => Some(limit),
        };
        Self { left, line_start: true, over: false }
    }
    /// The part of `bytes` that is returned.
    fn part<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(left) = &mut self.left else { return bytes };
        if self.over {
            return &[];
        }
        let mut taken = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let length = line.len() as u64;
            if (self.line_start && matches!(line, [b'\n'] | [b'\r', b'\n'])) || length > *left {
                self.over = true;
                break;
            }
            *left -= length;
            taken += line.len();
            self.line_start = line.ends_with(b"\n");
        }
        bytes.get(..taken).unwrap_or_default()
    }
}

/// Passes the returned part of `original` to `sink`; ends with a line end if there is anything at all.
pub(crate) fn pass_returned(original: &dyn Original, returned: Returned, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut cut = Cut::new(returned);
    let mut last = b'\n';
    original.pass(&mut |bytes| {
        let part = cut.part(bytes);
        if let Some(end) = part.last() {
            last = *end;
            sink(part)?;
        }
        Ok(())
    })?;
    if last == b'\n' { Ok(()) } else { sink(b"\n") }
}

/// Where the header ends: before the first empty line, or never.
#[derive(Debug)]
enum Header {
    /// This many bytes of `\n\r\n` or `\n\n` were last: 1 after a line end (and at the beginning), 2 after `\n\r`.
    Open(u8),
    Over,
}
impl Default for Header {
    fn default() -> Self {
        Self::Open(1)
    }
}
impl Header {
    /// The bytes that are still header.
    fn part<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            let Self::Open(seen) = *self else { return &[] };
            *self = match (seen, byte) {
                (1 | 2, b'\n') => Self::Over,
                (_, b'\n') => Self::Open(1),
                (1, b'\r') => Self::Open(2),
                _ => Self::Open(0),
            };
            if matches!(self, Self::Over) {
                return bytes.get(..at).unwrap_or_default();
            }
        }
        if matches!(self, Self::Over) { &[] } else { bytes }
    }
}

/// What a look at bytes showed.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub eight_bit: bool,
    /// In the header: what RFC 6532 is about. Content alone travels as 8BITMIME.
    pub eight_bit_header: bool,
    header: Header,
    pub has_boundary: bool,
    /// The end of what was seen, where a boundary may have begun.
    tail: Vec<u8>,
}
impl Look {
    pub(crate) fn see(&mut self, bytes: &[u8], boundary: &[u8]) {
        self.eight_bit |= !bytes.is_ascii();
        self.eight_bit_header |= !self.header.part(bytes).is_ascii();
        let overlap = boundary.len().saturating_sub(1);
        let begin = bytes.get(..overlap.min(bytes.len())).unwrap_or_default();
        self.tail.extend_from_slice(begin);
        self.has_boundary |= contains(&self.tail, boundary) || contains(bytes, boundary);
        if bytes.len() >= overlap {
            self.tail.clear();
            self.tail.extend_from_slice(bytes.get(bytes.len() - overlap..).unwrap_or_default());
        } else {
            let surplus = self.tail.len().saturating_sub(overlap);
            self.tail.drain(..surplus);
        }
    }
}
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}
