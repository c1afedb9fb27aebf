//! The locks of an mbox: a dot lock file beside it, an fcntl lock and a flock on it, those that `[local] mbox_locks` names.
//! Mail readers use one or the other; all of them must be ours before a byte is written.

use crate::maildir::unique_name;
use crate::torn::{Note, Record};
use ipc::deliveries::{Lock, Manner};
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// All locks, held until dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    file: &'a File,
    /// Those on the file, in the order they were taken in.
    held: Vec<Lock>,
    dot: Option<(PathBuf, File)>,
    /// What a process that died in the middle of an append had noted in its dot lock.
    pub left: Option<Record>,
}

impl Locked<'_> {
    /// Notes in the dot lock what is about to be appended, so that the next delivery can take back half of it.
    /// Without a dot lock there is no place for it: then half a message stays, as a message of its own.
    pub fn note(&mut self, record: &Record) -> io::Result<()> {
        match &mut self.dot {
            Some((_, dot)) => dot.write_all(record.line().as_bytes()),
            None => Ok(()),
        }
    }

    fn take(&mut self, lock: Lock, mailbox: &Path, manner: &Manner) -> io::Result<bool> {
        let taken = match lock {
            Lock::Dot => return self.take_dot(mailbox, manner),
            Lock::Fcntl => record_lock(self.file, nix::libc::F_WRLCK)?,
            Lock::Flock => match self.file.try_lock() {
                Ok(()) => true,
                Err(std::fs::TryLockError::WouldBlock) => false,
                Err(std::fs::TryLockError::Error(e)) => return Err(e),
            },
        };
        if taken {
            self.held.push(lock);
        }
        Ok(taken)
    }

    /// False: somebody else has it. Where the folder does not let us make files, the other locks must do.
    fn take_dot(&mut self, mailbox: &Path, manner: &Manner) -> io::Result<bool> {
        let mut path = mailbox.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        match OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path) {
            Ok(mut file) => {
                // With what is left to be mended, should another lock have made us let go and begin again.
                let mut text = Note::begin(&manner.hostname);
                text.extend(self.left.as_ref().map(Record::line));
                let written = file.write_all(text.as_bytes());
                self.dot = Some((path, file));
                written.map(|()| true)
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let Some((file, left)) = take_over(&path, manner) else { return Ok(false) };
                (self.dot, self.left) = (Some((path, file)), left);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => Ok(true),
            Err(e) => Err(e),
        }
    }

    fn release(&mut self) {
        while let Some(lock) = self.held.pop() {
            let _ = match lock {
                Lock::Fcntl => record_lock(self.file, nix::libc::F_UNLCK).map(drop),
                Lock::Flock | Lock::Dot => self.file.unlock(),
            };
        }
        if let Some((path, _)) = self.dot.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Takes all locks, waiting for others until `deadline`; `TimedOut` then. None is held while waiting for another one: a
/// reader may take them in the opposite order.
pub fn lock<'a>(mailbox: &Path, file: &'a File, manner: &Manner, deadline: Instant) -> io::Result<Locked<'a>> {
    let mut locked = Locked { file, held: Vec::new(), dot: None, left: None };
    loop {
        let mut all = true;
        for lock in &manner.locks {
            all = locked.take(*lock, mailbox, manner)?;
            if !all {
                break;
            }
        }
        if all {
            return Ok(locked);
        }
        locked.release();
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another program holds the mailbox's lock"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Takes the dot lock of a process that has died: one of ours on this host whose process is gone, or any that is older
/// than `mbox_lock_stale`, since nobody writes into a mailbox for so long. Gives the new lock, and what the dead one had noted.
///
/// Two processes may find the same one stale, and the slower one must not take the new lock of the faster: whoever takes it holds
/// a flock on the file it has looked at, and looks again whether the name still is that file. The new lock takes the old one's
/// place in one step and has its note from the beginning, so that a death now loses nothing of what was known.
fn take_over(path: &Path, manner: &Manner) -> Option<(File, Option<Record>)> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path).ok();
    if let Some(file) = &opened {
        file.try_lock().ok()?;
        let (opened, named) = (file.metadata().ok()?, path.symlink_metadata().ok()?);
        if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
            return None;
        }
    }
    let note = opened.as_ref().and_then(Note::read);
    let dead = note.as_ref().is_some_and(|note| note.host == manner.hostname && note.writer_is_dead());
    if !dead && !is_old(path, manner) {
        return None;
    }
    let left = note.and_then(|note| note.record);
    let mut text = Note::begin(&manner.hostname);
    text.extend(left.as_ref().map(Record::line));
    let fresh = path.with_file_name(format!(".lock.{}", unique_name(&manner.hostname)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(&fresh).ok()?;
    if file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&fresh, path)).is_err() {
        let _ = std::fs::remove_file(&fresh);
        return None;
    }
    Some((file, left))
}

fn is_old(path: &Path, manner: &Manner) -> bool {
    let age = path.symlink_metadata().and_then(|m| m.modified()).map(|at| SystemTime::now().duration_since(at));
    matches!(age, Ok(Ok(age)) if age > Duration::from_millis(manner.lock_stale))
}

/// The lock belongs to the open file, not to the process: it meets the record locks of other programs and keeps our own
/// threads apart too.
fn record_lock(file: &File, kind: i32) -> io::Result<bool> {
    let l_type = i16::try_from(kind).map_err(io::Error::other)?;
    let whole = nix::libc::flock { l_type, l_whence: nix::libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
