//! The content of one message on its way to the socket.

use crate::work::Work;
use message::{Converter, Plan, Surveyor};
use smtp::client::{ContentEncoder, Framing, announce};
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
    framing: Framing,
    /// Content that the server does not take as it is.
    converter: Option<Box<Converter>>,
    file: Arc<File>,
    offset: u64,
    left: u64,
    /// The edited beginning, until it has gone.
    head: Option<Vec<u8>>,
    /// The reader thread has a request of ours.
    pub reading: bool,
}

/// What reading a piece came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    /// A chunk is appended, with its command.
    Chunk,
    /// The final dot (or the last chunk) is appended.
    Complete,
    /// The page cache does not have it: the reader thread must read.
    Cold,
}

impl Content {
    pub fn new(work: &Work, framing: Framing, converted: bool) -> Self {
        let plan = work.plan.as_deref().filter(|_| converted);
        Self {
            encoder: ContentEncoder::new(framing),
            framing,
            converter: plan.map(|plan| Box::new(Converter::new(plan.clone(), work.octets))),
            file: Arc::clone(&work.file),
            offset: work.content.offset,
            left: work.content.rest,
            head: (!work.content.head.is_empty()).then(|| work.content.head.clone()),
            reading: false,
        }
    }

    /// Nothing has been read yet.
    pub fn is_fresh(&self, work: Option<&Work>) -> bool {
        !self.reading && work.is_some_and(|work| work.content.rest == self.left && work.content.head.is_empty() == self.head.is_none())
    }

    /// Reads the next piece without waiting for the disk and appends its encoded form.
    pub fn next(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> io::Result<Progress> {
        if let Some(head) = self.head.take() {
            return self.append(&head, 0, out);
        }
        if self.left == 0 {
            return self.append(&[], 0, out);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        match sys::read_at_no_wait(&self.file, buffer, self.offset) {
            Ok(0) => Err(short()),
            Ok(read) => self.append(buffer.get(..read).unwrap_or_default(), read as u64, out),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported) => Ok(Progress::Cold),
            Err(e) => Err(e),
        }
    }

    /// Takes what the reader thread has read.
    pub fn supplied(&mut self, piece: io::Result<Vec<u8>>, out: &mut Vec<u8>) -> io::Result<Progress> {
        self.reading = false;
        match piece? {
            piece if piece.is_empty() => Err(short()),
            piece => self.append(&piece, piece.len() as u64, out),
        }
    }

    /// `read`: how much of the piece is from the file.
    fn append(&mut self, piece: &[u8], read: u64, out: &mut Vec<u8>) -> io::Result<Progress> {
        let at = out.len();
        self.offset += read;
        self.left = self.left.saturating_sub(read);
        let last = self.left == 0;
        match &mut self.converter {
            None => self.encoder.encode(piece, out),
            Some(converter) => {
                let mut converted = Vec::with_capacity(piece.len() * 2);
                converter.feed(piece, &mut converted);
                if last {
                    converter.finish(&mut converted);
                }
                self.encoder.encode(&converted, out);
            }
        }
        if last {
            self.encoder.finish(out);
        }
        match (self.framing, last) {
            (Framing::Dots, false) => return Ok(Progress::More),
            (Framing::Dots, true) => return Ok(Progress::Complete),
            // The converter has kept it all back.
            (_, false) if out.len() == at => return Ok(Progress::More),
            _ => {}
        }
        announce(out, at, last);
        Ok(if last { Progress::Complete } else { Progress::Chunk })
    }

    /// What the reader thread is to read for the session `token`.
    pub fn request(&mut self, token: usize) -> Request {
        self.reading = true;
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE);
        Request::Piece { token, file: Arc::clone(&self.file), offset: self.offset, length }
    }
}

/// What the reader thread is to find out about a whole message.
pub fn survey(work: &Work, token: usize) -> Request {
    Request::Survey { token, file: Arc::clone(&work.file), content: work.content.clone(), octets: work.octets }
}

/// A message cut short must never get a final dot.
fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the message file is shorter than the job says")
}

#[derive(Debug)]
pub enum Request {
    Piece { token: usize, file: Arc<File>, offset: u64, length: usize },
    Survey { token: usize, file: Arc<File>, content: ipc::Content, octets: bool },
}

/// What a session has asked for.
#[derive(Debug)]
pub struct Supply {
    pub token: usize,
    pub what: Supplied,
}

#[derive(Debug)]
pub enum Supplied {
    Piece(io::Result<Vec<u8>>),
    Plan(io::Result<Plan>),
}

impl Request {
    fn serve(self) -> Supply {
        match self {
            Self::Piece { token, file, offset, length } => {
                let mut piece = vec![0; length];
                let piece = file.read_at(&mut piece, offset).map(|read| {
                    piece.truncate(read);
                    piece
                });
                Supply { token, what: Supplied::Piece(piece) }
            }
            Self::Survey { token, file, content, octets } => Supply { token, what: Supplied::Plan(plan(&file, &content, octets)) },
        }
    }
}

fn plan(file: &File, content: &ipc::Content, octets: bool) -> io::Result<Plan> {
    let mut surveyor = Surveyor::new(octets);
    content.pass(file, &mut |piece| {
        surveyor.feed(piece);
        Ok(())
    })?;
    Ok(surveyor.finish())
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
            for request in work {
                if done.send(request.serve()).is_err() || waker.wake().is_err() {
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
