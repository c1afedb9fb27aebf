//! Acceptance: S1 to S2.
//!
//! The steps, and why each is where it is:
//! 1. `openat public/<id>` O_EXCL. Not in `router/`: routers must never see a message before all of it is there.
//! 2. `flock`. Recovery adopts complete files of `public/`; the lock tells it that a living process still has this one
//!    (it may wait for its fsync or its content filter) and goes away by itself with that process.
//! 3. `write`: the length line first, with the size of the whole file, so that a file cut short shows it.
//! 4. `fsync`, not fdatasync: fdatasync may leave out metadata that reading the data does not need, and the new name
//!    is such metadata. Fsync of a new file commits the journal transaction that holds its inode and its name.
//! 5. `renameat2 router/<id>`, never replacing. From here on routers work on it.
//! 6. Only now may the caller say 250.
//!
//! The folders are not synced. A power cut after step 5 brings back the old name or the new one, never none, since
//! the rename is one journal entry; under the old name the file is complete by its length line and is adopted
//! (`recovery`). What must not be adopted (a message for `freezer/`, or one that a content filter has yet to judge) has
//! no right length line while it is in `public/`. So one sync a message is enough. Six system calls: openat, flock, write, fsync, renameat2, close.

use crate::Spool;
use crate::fault;
use crate::folder::Folder;
use envelope::{Envelope, IdSource, LENGTH_FIELD, MessageId, write_envelope};
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Content up to this size is copied beside the envelope, so that one write takes all; more gets a write of its own.
const ONE_WRITE: usize = 256 * 1024;
/// A draft's buffer: what it holds of a large message at most (and twice that for a moment).
const BUFFER: usize = 64 * 1024;
/// Digits of the length line.
const LENGTH_DIGITS: usize = 20;

/// Makes drafts; one for each thread (holds the id source).
#[derive(Debug)]
pub struct Submitter {
    spool: Arc<Spool>,
    ids: IdSource,
    buffer: Vec<u8>,
}
/// A message file being written in `public/` (S1). Dropping it without commit removes it.
#[derive(Debug)]
pub struct Draft {
    spool: Arc<Spool>,
    id: MessageId,
    file: File,
    /// What is not written yet.
    buffer: Vec<u8>,
    /// Bytes of the length line and the envelope; 0: not known.
    envelope: u64,
    /// Bytes in the file.
    written: u64,
    /// The length line is right already.
    length_known: bool,
    committed: bool,
}

impl Submitter {
    pub fn new(spool: Arc<Spool>) -> Self {
        let seed = RandomState::new().build_hasher().finish();
        let folded = u32::try_from((seed ^ (seed >> 32)) & u64::from(u32::MAX)).unwrap_or(0);
        Self { spool, ids: IdSource::new(folded ^ std::process::id().rotate_left(16)), buffer: Vec::new() }
    }
    /// An id for a message to come (its Received line needs it before the file exists).
    pub fn next_id(&mut self) -> MessageId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        self.ids.next(u64::try_from(now).unwrap_or(u64::MAX))
    }
    /// Creates `public/<id>` and writes the envelope. The length line is filled in at the end.
    pub fn draft(&mut self, id: MessageId, envelope: &Envelope) -> io::Result<Draft> {
        let mut draft = self.create(id)?;
        begin(envelope, &mut draft.buffer);
        draft.envelope = draft.buffer.len() as u64;
        Ok(draft)
    }
    /// The whole of a small message at once: create, one write, one sync, rename. `content` = headers and body.
    /// After Ok the message is durable and named in `router/`.
    pub fn submit(&mut self, id: MessageId, envelope: &Envelope, content: &[u8]) -> io::Result<()> {
        self.stage(id, envelope, content)?.commit().map(|_| ())
    }
    /// The complete, not yet synced file. Not for what somebody has still to judge: a crash now, and recovery adopts it.
    pub fn stage(&mut self, id: MessageId, envelope: &Envelope, content: &[u8]) -> io::Result<Draft> {
        let mut draft = self.create(id)?;
        self.buffer.clear();
        begin(envelope, &mut self.buffer);
        let length = self.buffer.len().saturating_add(content.len());
        put_length(&mut self.buffer, length as u64);
        if content.len() <= ONE_WRITE {
            self.buffer.extend_from_slice(content);
            draft.put(&self.buffer)?;
        } else {
            draft.put(&self.buffer)?;
            draft.put(content)?;
        }
        draft.length_known = true;
        // A message to thousands of recipients must not leave every thread with a buffer of that size.
        self.buffer.shrink_to(ONE_WRITE.saturating_mul(2));
        Ok(draft)
    }
    fn create(&mut self, id: MessageId) -> io::Result<Draft> {
        fault::point()?;
        let file = self.spool.create_message(id.as_str())?;
        let draft = Draft {
            spool: Arc::clone(&self.spool),
            id,
            file,
            buffer: Vec::new(),
            envelope: 0,
            written: 0,
            length_known: false,
            committed: false,
        };
        draft.file.try_lock().map_err(|e| io::Error::other(e.to_string()))?;
        fault::point()?;
        Ok(draft)
    }
}

/// The length line (zeros for now) and the envelope.
fn begin(envelope: &Envelope, out: &mut Vec<u8>) {
    if envelope.length.is_none() {
        out.extend_from_slice(LENGTH_FIELD.as_bytes());
        out.extend_from_slice(b" 00000000000000000000\n");
    }
    write_envelope(envelope, out);
}
/// Bytes of the envelope's last line.
const END: u64 = "env-end\n".len() as u64;
/// Lines of an envelope that say nothing, so many bytes; none where they are too few.
fn comment(bytes: usize) -> Vec<u8> {
    const WORD: &[u8] = b"comment";
    const LINE: usize = 72;
    let mut out = Vec::with_capacity(bytes);
    while out.len() < bytes {
        let left = bytes - out.len();
        // What is left after this one is enough for another.
        let line = if left < 2 * LINE { left } else { LINE };
        if line <= WORD.len() {
            return Vec::new();
        }
        out.extend_from_slice(WORD);
        out.resize(out.len() + line - WORD.len() - 1, b' ');
        out.push(b'\n');
    }
    out
}
/// Where the digits of the length line stand.
const DIGITS_AT: usize = LENGTH_FIELD.len() + 1;
fn put_length(file: &mut [u8], length: u64) {
    if let Some(place) = file.get_mut(DIGITS_AT..DIGITS_AT + LENGTH_DIGITS) {
        place.copy_from_slice(&digits(length));
    }
}
fn digits(length: u64) -> [u8; LENGTH_DIGITS] {
    let mut text = String::with_capacity(LENGTH_DIGITS);
    let _ = write!(text, "{length:0LENGTH_DIGITS$}");
    text.as_bytes().try_into().unwrap_or([b'0'; LENGTH_DIGITS])
}

impl Draft {
    /// Sends what is written on its way to the disk and does not wait. Worth its call where several drafts are committed
    /// one after another: one journal commit then serves them all. A failure shows at the commit.
    pub fn start_writeback(&self) {
        let _ = sys::start_writeback(&self.file);
    }
    pub fn id(&self) -> MessageId {
        self.id
    }
    /// Appends headers or body (LF line ends). Not once the length stands there.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length_known {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        if self.buffer.len().saturating_add(bytes.len()) >= BUFFER {
            self.flush()?;
            if bytes.len() >= BUFFER {
                return self.put(bytes);
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
    /// Leaves only the first recipients: `envelope` is the one the draft was made with, without the last of them. Their lines
    /// become a comment (a writer cannot read what it has written, so nothing is moved), and are durable as such before the
    /// length can be: recovery never finds them in a complete file.
    pub fn narrow(&mut self, envelope: &Envelope) -> io::Result<()> {
        let mut kept = Vec::new();
        begin(envelope, &mut kept);
        let (from, to) = ((kept.len() as u64).checked_sub(END), self.envelope.checked_sub(END));
        let (Some(from), Some(room)) = (from, from.zip(to).and_then(|(from, to)| to.checked_sub(from))) else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        let comment = comment(usize::try_from(room).unwrap_or(0));
        if self.length_known || comment.len() as u64 != room {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.flush()?;
        fault::point()?;
        self.file.write_all_at(&comment, from)?;
        fault::point()?;
        self.file.sync_all()
    }
    /// Fills in the length, syncs, renames into `router/`. After Ok: durable (S2).
    pub fn commit(self) -> io::Result<MessageId> {
        self.commit_unless(|| false)
    }
    /// As [`Draft::commit`]; `taken_back` is asked in the last moment, between sync and rename. If it says yes the message
    /// goes, with `ConnectionAborted`.
    pub fn commit_unless(mut self, taken_back: impl FnOnce() -> bool) -> io::Result<MessageId> {
        self.complete()?;
        self.place(Folder::Router, taken_back)?;
        Ok(self.id)
    }
    /// Syncs, renames into `freezer/`, only then fills in the length and syncs again; writes `freezer/<id>.reason`.
    ///
    /// Twice, since a power cut can take back the rename: under its name in `public/` the file must not be one that
    /// recovery adopts, or what the filter refused would be delivered. The second sync makes the new name durable
    /// before the client is told.
    pub fn freeze(mut self, reason: &str) -> io::Result<MessageId> {
        if self.length_known {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.flush()?;
        self.place(Folder::Freezer, || false)?;
        self.complete()?;
        fault::point()?;
        self.file.sync_all()?;
        self.spool.write_reason(Folder::Freezer, self.id.as_str(), reason);
        Ok(self.id)
    }
    /// The bytes and the first name are durable, then the new name is there.
    fn place(&mut self, target: Folder, taken_back: impl FnOnce() -> bool) -> io::Result<()> {
        fault::point()?;
        self.file.sync_all()?;
        if taken_back() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        fault::point()?;
        self.spool.move_message(Folder::Public, self.id.as_str(), target, self.id.as_str())?;
        self.committed = true;
        fault::point()
    }
    /// All bytes are in the file, and the length line says how many.
    fn complete(&mut self) -> io::Result<()> {
        if self.length_known {
            return Ok(());
        }
        let length = self.written.saturating_add(self.buffer.len() as u64);
        if self.written == 0 {
            put_length(&mut self.buffer, length);
            self.flush()?;
        } else {
            // Last: until here the file says it is 0 bytes long, so it is nowhere taken for complete.
            self.flush()?;
            fault::point()?;
            self.file.write_all_at(&digits(length), DIGITS_AT as u64)?;
        }
        self.length_known = true;
        Ok(())
    }
    /// Writes what is buffered, so that a content filter can read it. The length line still says 0: a crash before the
    /// verdict must not leave a file that recovery would adopt unjudged.
    pub fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let put = self.put(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        put
    }
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        fault::point()?;
        self.file.write_all(bytes)?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        fault::point()
    }
}
impl Drop for Draft {
    fn drop(&mut self) {
        if !self.committed && !fault::crashed() {
            // Left-overs are harmless: recovery removes them once they are old.
            let _ = self.spool.remove_file(Folder::Public, self.id.as_str());
        }
    }
}
