//! The content of one message on its way to the socket.

use crate::work::Work;
use smtp::client::ContentEncoder;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Bytes read at once. Content up to this size leaves with its final dot in one write.
pub const PIECE: usize = 64 * 1024;

#[derive(Debug)]
pub struct Content {
    encoder: ContentEncoder,
    file: Arc<File>,
    offset: u64,
    left: u64,
    /// The reader thread has a request of ours.
    pub reading: bool,
}

/// What reading a piece came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// The final dot is appended.
    Complete,
    /// The page cache does not have it: the reader thread must read.
    Cold,
}

impl Content {
    pub fn new(work: &Work) -> Self {
        Self { encoder: ContentEncoder::default(), file: Arc::clone(&work.file), offset: work.body_offset, left: work.size, reading: false }
    }

    /// Reads the next piece without waiting for the disk and appends its encoded form.
    pub fn next(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> io::Result<Progress> {
        if self.left == 0 {
            return self.append(&[], out);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        match sys::read_at_no_wait(&self.file, buffer, self.offset) {
            Ok(0) => Err(short()),
            Ok(read) => self.append(buffer.get(..read).unwrap_or_default(), out),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => Ok(Progress::Cold),
            Err(e) => Err(e),
        }
    }

    /// Takes what the reader thread has read.
    pub fn supplied(&mut self, piece: io::Result<Vec<u8>>, out: &mut Vec<u8>) -> io::Result<Progress> {
        self.reading = false;
        match piece? {
            piece if piece.is_empty() => Err(short()),
            piece => self.append(&piece, out),
        }
    }

    fn append(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<Progress> {
        self.encoder.encode(piece, out);
        self.offset += piece.len() as u64;
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left > 0 {
            return Ok(Progress::More);
        }
        self.encoder.finish(out);
        Ok(Progress::Complete)
    }

    /// What the reader thread is to read for the session `token`.
    pub fn request(&mut self, token: usize) -> Request {
        self.reading = true;
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE);
        Request { token, file: Arc::clone(&self.file), offset: self.offset, length }
    }
}

/// A message cut short must never get a final dot.
fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the message file is shorter than the job says")
}

#[derive(Debug)]
pub struct Request {
    token: usize,
    file: Arc<File>,
    offset: u64,
    length: usize,
}

/// A piece for a session.
#[derive(Debug)]
pub struct Supply {
    pub token: usize,
    pub piece: io::Result<Vec<u8>>,
}

/// The thread that waits for the disk in the event loop's stead.
#[derive(Debug)]
pub struct Reader {
    requests: Sender<Request>,
    pub supplies: Receiver<Supply>,
}

impl Reader {
    pub fn start(waker: Arc<mio::Waker>) -> Self {
        let (requests, work) = channel::<Request>();
        let (done, supplies) = channel();
        std::thread::spawn(move || {
            for Request { token, file, offset, length } in work {
                let mut piece = vec![0; length];
                let piece = file.read_at(&mut piece, offset).map(|read| {
                    piece.truncate(read);
                    piece
                });
                if done.send(Supply { token, piece }).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        });
        Self { requests, supplies }
    }

    pub fn ask(&self, request: Request) -> io::Result<()> {
        self.requests.send(request).map_err(|_| io::Error::other("the reader thread has ended"))
    }
}
