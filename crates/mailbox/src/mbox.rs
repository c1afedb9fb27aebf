//! Delivery into an mbox file: locked, appended, synced; cut back to its former length when anything fails, and by the next
//! delivery when the process was killed ([`Record`]).

use crate::delivery::Copy;
use crate::lock::{self, Locked};
use crate::mboxrd::Quoter;
use crate::torn::Record;
use crate::verdict::Verdict;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes gathered for one write.
const GATHERED: usize = 512 * 1024;
/// A mailbox that is replaced under our hands again and again is left alone.
const MOST_OPENED: u32 = 5;

/// Delivers one copy; gives the length of the mailbox before it.
pub fn deliver(path: &Path, copy: &Copy<'_>) -> Result<u64, Verdict> {
    let deadline = Instant::now() + Duration::from_millis(copy.manner.lock_wait);
    for _ in 0..MOST_OPENED {
        let (file, created) = open(path)?;
        let locked = lock::lock(path, &file, copy.manner, deadline).map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut => Verdict::deferred(2, 0, e.to_string()),
            _ => Verdict::of_error("the mailbox's lock", &e),
        })?;
        // While we waited the file may have been renamed or removed: then the copy would go where nobody looks.
        if is_still_there(path, &file) {
            return append(&file, locked, path, created, copy).map_err(|e| Verdict::of_error("the mailbox", &e));
        }
    }
    Err(Verdict::deferred(2, 0, "the mailbox is replaced again and again"))
}

/// Opens or makes the file, and makes sure that it is one: what a link or a FIFO leads to is not ours to write.
fn open(path: &Path) -> Result<(File, bool), Verdict> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let options = |create: bool| {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600).custom_flags(flags).create_new(create);
        options
    };
    let existing = || options(false).open(path).map(|file| (file, false));
    let opened = match existing() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match options(true).open(path) {
            // Somebody else has made it meanwhile.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => existing(),
            other => other.map(|file| (file, true)),
        },
        other => other,
    };
    let (file, created) = opened.map_err(|e| Verdict::of_error("the mailbox", &e))?;
    let metadata = file.metadata().map_err(|e| Verdict::of_error("the mailbox", &e))?;
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    let why = match (metadata.is_file(), metadata.nlink(), own) {
        (true, 1, true) => return Ok((file, created)),
        (false, ..) => "the mailbox is no regular file",
        (_, _, false) => "the mailbox belongs to another user",
        _ => "the mailbox has more than one name",
    };
    Err(Verdict::deferred(2, 0, why))
}

fn is_still_there(path: &Path, file: &File) -> bool {
    match (path.symlink_metadata(), file.metadata()) {
        (Ok(named), Ok(opened)) => (named.dev(), named.ino()) == (opened.dev(), opened.ino()),
        _ => false,
    }
}

fn append(file: &File, mut locked: Locked<'_>, path: &Path, created: bool, copy: &Copy<'_>) -> io::Result<u64> {
    if let Some(left) = locked.left.take() {
        left.cut(file)?;
    }
    let metadata = file.metadata()?;
    let before = metadata.len();
    let lead = format!("{}{}", missing_end(file, before)?, message::from_line(copy.sender, copy.now));
    locked.note(&Record { before, device: metadata.dev(), inode: metadata.ino(), lead: lead.clone() })?;
    let result = write(file, lead, copy).and_then(|()| file.sync_all());
    if result.is_err() {
        // Half a message would be read as part of the one before.
        file.set_len(before)?;
    }
    result?;
    if created {
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    }
    Ok(before)
}

/// What is missing of the empty line that every message ends with, whoever wrote the last one.
fn missing_end(file: &File, length: u64) -> io::Result<&'static str> {
    let mut last = [0; 2];
    let there = last.len().min(usize::try_from(length).unwrap_or(last.len()));
    let end = last.get_mut(..there).unwrap_or_default();
    file.read_exact_at(end, length - there as u64)?;
    Ok(match end {
        [] | [b'\n', b'\n'] => "",
        [.., b'\n'] => "\n",
        _ => "\n\n",
    })
}

fn write(mut file: &File, lead: String, copy: &Copy<'_>) -> io::Result<()> {
    let mut out = lead.into_bytes();
    out.extend_from_slice(&copy.trace_fields());
    let mut quoter = Quoter::new();
    copy.original.copy(&mut |piece| {
        quoter.put(piece, &mut out);
        // A small message with its end leaves in one write.
        if out.len() > GATHERED {
            file.write_all(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    quoter.finish(&mut out);
    file.write_all(&out)
}
