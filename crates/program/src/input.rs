//! What a program reads from its standard input.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A source of input, asked piece by piece as the program takes it.
pub trait Input: Send {
    /// Appends the next piece; false when nothing more will come. An error ends the program: half a message must not
    /// count as a whole one.
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool>;
}

/// A few bytes that are there already.
#[derive(Debug, Clone, Default)]
pub struct Bytes(pub Vec<u8>);

impl Input for Bytes {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        out.append(&mut self.0);
        Ok(false)
    }
}

/// Bytes read at once.
const PIECE: u64 = 64 * 1024;

/// A part of a file, read by position, with bytes put in front.
#[derive(Debug)]
pub struct Content {
    file: File,
    offset: u64,
    left: u64,
    front: Vec<u8>,
}

impl Content {
    /// `size` bytes from `offset` on. A file that is shorter is an error while reading.
    pub fn new(file: File, offset: u64, size: u64, front: Vec<u8>) -> Self {
        Self { file, offset, left: size, front }
    }
}

impl Input for Content {
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        out.append(&mut self.front);
        let length = usize::try_from(self.left.min(PIECE)).map_err(io::Error::other)?;
        let start = out.len();
        out.resize(start.saturating_add(length), 0);
        self.file.read_exact_at(out.get_mut(start..).unwrap_or_default(), self.offset)?;
        self.offset = self.offset.saturating_add(length as u64);
        self.left = self.left.saturating_sub(length as u64);
        Ok(self.left > 0)
    }
}
