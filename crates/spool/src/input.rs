//! `router/`: what the router farm sees. Files here come from anybody who may write there.

use crate::fault;
use crate::folder::{CONTROL_MODE, Folder, hashed, hashed_temporary, is_regular};
use crate::{Spool, is_safe_name};
use envelope::MessageId;
use nix::errno::Errno;
use nix::sys::stat::fstat;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::Ordering::Relaxed;

/// A checked file of `router/`.
#[derive(Debug)]
pub struct InputFile {
    pub file: File,
    pub name: String,
    pub size: u64,
    pub owner: u32,
    /// Modification time, Unix milliseconds.
    pub modified: u64,
}
/// Why a file of `router/` cannot be routed.
#[derive(Debug)]
pub enum InputFault {
    /// Somebody else took it.
    Gone,
    /// Not a regular file, has other links, empty, grows: text for the reason file.
    Unacceptable(String),
    Io(io::Error),
}
/// Names in `deferred/` tried for one file before giving up.
const ASIDE_NAMES: u32 = 1000;

impl Spool {
    /// Names in `router/`, oldest first as far as ids tell, at most `limit`. Names with a leading dot, other than safe
    /// characters ([A-Za-z0-9._:+-]) or over 128 bytes are left out (and counted as unsafe).
    ///
    /// Names that are no ids tell no age: they come in turn with the ids, so that neither kind starves the other.
    pub fn scan_input(&self, limit: usize) -> io::Result<Vec<String>> {
        let (mut ids, mut others) = (Oldest::new(limit), Oldest::new(limit));
        let mut unsafe_names = 0;
        self.names(Folder::Router, ".", |name| match std::str::from_utf8(name) {
            Ok(text) if is_safe_name(name) => {
                if MessageId::parse(text).is_ok() {
                    ids.offer(text)
                } else {
                    others.offer(text)
                }
            }
            _ => unsafe_names += 1,
        })?;
        self.unsafe_names.store(unsafe_names, Relaxed);
        Ok(take_in_turn(ids.sorted(), others.sorted(), limit))
    }
    /// Names with which the last scan of `router/` could do nothing. They stay where they are: whoever may write there
    /// may also remove them, and no step of ours would be safe with such a name.
    pub fn unsafe_names(&self) -> u64 {
        self.unsafe_names.load(Relaxed)
    }
    /// Opens without following links or blocking on a FIFO and checks it.
    ///
    /// The caller compares the envelope's length line, where there is one, with `size`: who renames a file before all
    /// of it is there has a file that grows.
    pub fn open_input(&self, name: &str) -> Result<InputFile, InputFault> {
        if !is_safe_name(name.as_bytes()) {
            return Err(InputFault::Unacceptable("the name is not safe".into()));
        }
        let file = self.open_read(Folder::Router, name).map_err(open_fault)?;
        let status = fstat(&file).map_err(|e| InputFault::Io(e.into()))?;
        let fault = if !is_regular(&status) {
            "not a regular file"
        } else if status.st_nlink == 0 {
            return Err(InputFault::Gone);
        } else if status.st_nlink != 1 {
            "the file has other links, so it could be changed from elsewhere"
        } else if status.st_size <= 0 {
            "the file is empty"
        } else {
            let modified = status.st_mtime.saturating_mul(1000).saturating_add(status.st_mtime_nsec / 1_000_000);
            let size = u64::try_from(status.st_size).unwrap_or(0);
            let modified = u64::try_from(modified).unwrap_or(0);
            return Ok(InputFile { file, name: name.to_owned(), size, owner: status.st_uid, modified });
        };
        Err(InputFault::Unacceptable(fault.into()))
    }
    /// The size of a regular file of `router/`; no link is followed.
    pub fn input_size(&self, name: &str) -> io::Result<u64> {
        if !is_safe_name(name.as_bytes()) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let status = self.status_of(Folder::Router, name)?;
        if !is_regular(&status) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        Ok(u64::try_from(status.st_size).unwrap_or(0))
    }
    /// Routing's end: control file under a temporary name, message to `queue/`, control file named (S2 to S3).
    ///
    /// No sync: a torn or missing control file is S4, and the message is routed again. The message moves while the control
    /// file is complete but not yet valid by name: whoever sees `queue/n` alone can tell a router at work by `.n`.
    /// `AlreadyExists`: a message of this id is in the queue; take another id.
    pub fn enqueue(&self, name: &str, id: MessageId, control: &[u8]) -> io::Result<()> {
        let (temporary, queued) = (hashed_temporary(id), hashed(id));
        fault::point()?;
        self.write_temporary(&temporary, control)
            .and_then(|()| fault::point())
            .and_then(|()| self.move_message(Folder::Router, name, Folder::Queue, &queued))
            .inspect_err(|_| self.discard_temporary(&temporary))?;
        fault::point()
            .and_then(|()| {
                // Replaces: with no queue/n until now, an old transport/n is S5, a left-over of a removed message.
                let transport = self.folder(Folder::Transport)?;
                Ok(nix::fcntl::renameat(transport, temporary.as_str(), transport, queued.as_str())?)
            })
            .inspect_err(|_| {
                if !fault::crashed() {
                    // The message first: .n must not go while queue/n is there, or it would look like S4.
                    let _ = self.move_message(Folder::Queue, &queued, Folder::Router, name);
                    self.discard_temporary(&temporary);
                }
            })
    }
    fn write_temporary(&self, temporary: &str, control: &[u8]) -> io::Result<()> {
        let mut file = match self.create_file(Folder::Transport, temporary, CONTROL_MODE) {
            // Of a router that died over this message; it is ours now.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_if_there(Folder::Transport, temporary)?;
                self.create_file(Folder::Transport, temporary, CONTROL_MODE)?
            }
            other => other?,
        };
        fault::point()?;
        file.write_all(control)
    }
    fn discard_temporary(&self, temporary: &str) {
        if !fault::crashed() {
            let _ = self.remove_file(Folder::Transport, temporary);
        }
    }
    /// Sets a file of `router/` aside in `deferred/` with `<name>.reason`. A name taken there gets a number.
    pub fn set_aside(&self, name: &str, reason: &str) -> io::Result<()> {
        if !is_safe_name(name.as_bytes()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is not safe"));
        }
        let mut target = name.to_owned();
        for number in 1..ASIDE_NAMES {
            match self.move_message(Folder::Router, name, Folder::Deferred, &target) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => target = format!("{name}.{number}"),
                other => {
                    other?;
                    self.write_reason(Folder::Deferred, &target, reason);
                    return Ok(());
                }
            }
        }
        Err(Errno::EEXIST.into())
    }
}

fn open_fault(error: io::Error) -> InputFault {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => InputFault::Gone,
        Some(Errno::ELOOP) => InputFault::Unacceptable("a symbolic link".into()),
        Some(Errno::ENXIO) => InputFault::Unacceptable("not a regular file".into()),
        Some(Errno::EACCES) => InputFault::Unacceptable("its permissions do not let the router read it".into()),
        _ => InputFault::Io(error),
    }
}

/// The smallest `limit` names of any number, in bounded memory.
struct Oldest {
    limit: usize,
    heap: BinaryHeap<String>,
}
impl Oldest {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }
    fn offer(&mut self, name: &str) {
        if self.heap.len() < self.limit {
            self.heap.push(name.to_owned());
        } else if self.heap.peek().is_some_and(|largest| name < largest.as_str()) {
            self.heap.pop();
            self.heap.push(name.to_owned());
        }
    }
    fn sorted(self) -> Vec<String> {
        self.heap.into_sorted_vec()
    }
}

fn take_in_turn(ids: Vec<String>, others: Vec<String>, limit: usize) -> Vec<String> {
    let (mut ids, mut others) = (ids.into_iter(), others.into_iter());
    let mut names = Vec::with_capacity(limit.min(ids.len().saturating_add(others.len())));
    loop {
        let before = names.len();
        names.extend(ids.next());
        names.extend(others.next());
        if names.len() == before || names.len() >= limit {
            names.truncate(limit);
            return names;
        }
    }
}
