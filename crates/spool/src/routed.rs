//! `queue/` and `transport/`: what the scheduler alone opens, marks and removes.

use crate::Spool;
use crate::fault;
use crate::folder::{Folder, HASH_FOLDERS, age_seconds, hashed, hashed_temporary};
use envelope::{Edits, MessageId, Parsed, parse_control, parse_edits};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

#[derive(Debug)]
pub struct Loaded {
    pub parsed: Parsed,
    /// The message, read-only.
    pub message: File,
}
#[derive(Debug)]
pub enum LoadError {
    /// Neither file: removed meanwhile, or a forged notice; or a router is just between moving the message and naming
    /// the control file, and will send a notice.
    Gone,
    /// S5: the control file had no message; it was removed.
    NoMessage,
    /// S4: no valid control file; the message went back to `router/` (reason).
    Returned(String),
    Io(io::Error),
}
impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
/// An incremental scan: one hash folder a step.
#[derive(Debug, Default)]
pub struct TransportScan {
    pub next: u8,
}
/// A router takes microseconds from moving the message to naming the control file. One that took longer than this (or a
/// power cut in between) is taken for dead; should it wake up, its last step fails and nothing is lost.
const ROUTER_STEP_SECONDS: u64 = 30;
/// First read of a control file: some ten recipients.
const CONTROL_READ: usize = 4096;
/// A temporary control file without message and older than this was left by a router that died.
const TORN_SECONDS: u64 = 3600;

impl Spool {
    /// Reads the control file and opens the message of an id; repairs S4 and S5 as it meets them.
    pub fn load(&self, id: MessageId) -> Result<Loaded, LoadError> {
        let message = match self.open_message(id) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let there = self.remove_if_there(Folder::Transport, &hashed(id))?;
                return Err(if there { LoadError::NoMessage } else { LoadError::Gone });
            }
            other => other?,
        };
        let bytes = match self.read_control(id) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.without_control(id)?),
            other => other?,
        };
        match parse_control(&bytes) {
            Ok(parsed) if parsed.control.id == id => {
                self.cut_torn_line(id, &bytes)?;
                Ok(Loaded { parsed, message })
            }
            Ok(_) => Err(self.give_back(id, "the control file is of another message".into())?),
            Err(e) => Err(self.give_back(id, format!("control file line {}: {}", e.line, e.reason))?),
        }
    }

    /// `queue/n` was seen without `transport/n`. A router at work has `.n` all the while that `queue/n` is there and
    /// `n` is not: so ask for `.n`, and then once more for `n`, which it may have become meanwhile. This order needs no clock;
    /// only a router that died there does.
    fn without_control(&self, id: MessageId) -> io::Result<LoadError> {
        let at_work = self.exists(Folder::Transport, &hashed_temporary(id))?;
        if self.exists(Folder::Transport, &hashed(id))? {
            return Ok(LoadError::Gone);
        }
        if at_work {
            // The rename into queue/ set the change time.
            let moved = match self.status_of(Folder::Queue, &hashed(id)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(LoadError::Gone),
                other => other?.st_ctime,
            };
            if age_seconds(moved) < ROUTER_STEP_SECONDS {
                return Ok(LoadError::Gone);
            }
        }
        self.give_back(id, "no control file".into())
    }

    /// S4 to S2. The message first: with the control files gone first and a crash then, it would be S4 still; this way
    /// it is S5. Both are mended; this one sooner serves the message.
    fn give_back(&self, id: MessageId, reason: String) -> io::Result<LoadError> {
        match self.move_message(Folder::Queue, &hashed(id), Folder::Router, id.as_str()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(LoadError::Gone),
            other => other?,
        }
        fault::point()?;
        self.remove_if_there(Folder::Transport, &hashed(id))?;
        self.remove_if_there(Folder::Transport, &hashed_temporary(id))?;
        Ok(LoadError::Returned(reason))
    }

    /// A crash while a diagnostic was appended leaves half a line; the next one must not be glued to it.
    fn cut_torn_line(&self, id: MessageId, bytes: &[u8]) -> io::Result<()> {
        if bytes.ends_with(b"\n") {
            return Ok(());
        }
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at.saturating_add(1));
        self.open_file(Folder::Transport, &hashed(id), OFlag::O_WRONLY, Mode::empty())?.set_len(whole as u64)
    }

    /// The control file as it stands.
    pub fn read_control(&self, id: MessageId) -> io::Result<Vec<u8>> {
        read_whole(&mut self.open_read(Folder::Transport, &hashed(id))?)
    }

    /// The header edits in `bytes` bytes of a control file from `first` on ([`envelope::EditSet::place`]).
    pub fn edits(&self, id: MessageId, first: u32, bytes: u32) -> io::Result<Edits> {
        let file = self.open_read(Folder::Transport, &hashed(id))?;
        let mut lines = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut lines, u64::from(first))?;
        parse_edits(&lines).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the header edits of the control file have changed"))
    }

    /// Only opens the message (for a later job of it).
    pub fn open_message(&self, id: MessageId) -> io::Result<File> {
        self.open_read(Folder::Queue, &hashed(id))
    }

    /// queue/ first, then transport/. Missing files are no error.
    ///
    /// In this order a crash leaves S5, which means "done". The other way round it would leave S4: all recipients again.
    pub fn remove(&self, id: MessageId) -> io::Result<()> {
        let name = hashed(id);
        fault::point()?;
        self.remove_if_there(Folder::Queue, &name)?;
        fault::point()?;
        self.remove_if_there(Folder::Transport, &name)?;
        Ok(())
    }

    /// Ids in the next hash folder of transport/ and queue/ (an id only in queue/ may be S4: `load` tells); `None`
    /// after the last folder. Removes torn temporary control files of dead routers as it passes.
    pub fn scan_step(&self, scan: &mut TransportScan) -> io::Result<Option<Vec<MessageId>>> {
        if scan.next >= HASH_FOLDERS {
            return Ok(None);
        }
        let below = format!("{:02x}", scan.next);
        let (mut ids, mut temporary) = (Vec::new(), Vec::new());
        let parse = |name: &[u8]| std::str::from_utf8(name).ok().and_then(|text| MessageId::parse(text).ok());
        for folder in [Folder::Queue, Folder::Transport] {
            self.names(folder, &below, |name| match (parse(name), name.strip_prefix(b".").and_then(parse)) {
                (Some(id), _) => ids.push(id),
                (None, Some(id)) if folder == Folder::Transport => temporary.push(id),
                _ => {}
            })?;
        }
        ids.sort_unstable();
        ids.dedup();
        for id in temporary.into_iter().filter(|id| ids.binary_search(id).is_err()) {
            self.remove_torn(id);
        }
        scan.next = scan.next.saturating_add(1);
        Ok(Some(ids))
    }

    fn remove_torn(&self, id: MessageId) {
        let name = hashed_temporary(id);
        let old = self.status_of(Folder::Transport, &name).is_ok_and(|status| age_seconds(status.st_mtime) >= TORN_SECONDS);
        if old {
            let _ = self.remove_file(Folder::Transport, &name);
        }
    }
}

/// A short read of a regular file is its end: one call for nearly every control file, where `read_to_end` makes four.
fn read_whole(file: &mut File) -> io::Result<Vec<u8>> {
    let (mut bytes, mut filled) = (vec![0; CONTROL_READ], 0usize);
    while let Some(room) = bytes.get_mut(filled..) {
        let (wanted, length) = match file.read(room) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => (room.len(), other?),
        };
        filled = filled.saturating_add(length);
        if length < wanted {
            break;
        }
        bytes.resize(bytes.len().saturating_mul(4), 0);
    }
    bytes.truncate(filled);
    Ok(bytes)
}
