//! Maildir++ quota: the file `maildirsize` holds the limits in its first line and a sum in the lines after it.
//!
//! A delivery takes the file's lock (flock), looks whether the message fits, appends its size and only then delivers, with the lock
//! held to the end: two deliveries cannot both take the last room. A process that is killed in between has counted
//! too much; the sum is made anew from the files before anything is refused because of it.

use crate::verdict::Verdict;
use crate::{home, maildir};
use ipc::deliveries::Manner;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

const NAME: &str = "maildirsize";
/// Longest file before it is made anew, in bytes (as Maildir++ says).
const MAX_FILE: u64 = 5120;
/// Age in seconds of a sum that is believed when it says "full".
const BELIEVED: u64 = 15 * 60;
/// Files and folders counted at most.
const MOST: usize = 1_000_000;
/// Tries to open a file that others replace.
const TRIES: u32 = 20;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    bytes: i64,
    count: i64,
}

/// 0 is "no limit".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Limits {
    bytes: i64,
    count: i64,
}

impl Limits {
    const fn allow(self, sum: Sum) -> bool {
        (self.bytes == 0 || sum.bytes <= self.bytes) && (self.count == 0 || sum.count <= self.count)
    }

    /// `1000000S,100C`; anything else is no definition.
    fn parse(line: &str) -> Option<Self> {
        let mut limits = Self::default();
        for word in line.split(',') {
            let (number, kind) = word.split_at_checked(word.len().checked_sub(1)?)?;
            let number = number.parse::<i64>().ok().filter(|n| *n >= 0)?;
            match kind {
                "S" => limits.bytes = number,
                "C" => limits.count = number,
                _ => return None,
            }
        }
        Some(limits)
    }

    fn line(self) -> String {
        match self.count {
            0 => format!("{}S", self.bytes),
            count => format!("{}S,{count}C", self.bytes),
        }
    }
}

/// Room that is taken; the lock is held until this is dropped.
#[derive(Debug)]
pub struct Reservation(Option<(File, i64)>);

impl Reservation {
    /// The delivery has failed.
    pub fn give_back(self) {
        if let Some((mut file, size)) = self.0 {
            let _ = file.write_all(format!("-{size} -1\n").as_bytes());
        }
    }
}

/// Takes room for a message in this Maildir.
pub fn reserve(root: &OwnedFd, size: u64, manner: &Manner) -> Result<Reservation, Verdict> {
    let trouble = |e: io::Error| Verdict::of_error(NAME, &e);
    let deadline = Instant::now() + Duration::from_millis(manner.lock_wait);
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let mut fresh = false;
    for _ in 0..TRIES {
        let Some(mut file) = open(root, deadline).map_err(trouble)? else {
            let limits = Limits { bytes: i64::try_from(manner.quota).unwrap_or(i64::MAX), count: 0 };
            if manner.quota == 0 {
                return Ok(Reservation(None));
            }
            fresh = recount(root, limits, manner, false).map_err(trouble)?;
            continue;
        };
        let (limits, sum, lines, length) = read(&mut file, manner).map_err(trouble)?;
        let Some(limits) = limits else { return Ok(Reservation(None)) };
        let then = Sum { bytes: sum.bytes.saturating_add(size), count: sum.count.saturating_add(1) };
        let age = file.metadata().map_err(trouble)?.mtime();
        let old = daemon::clock::unix_seconds().saturating_sub(u64::try_from(age).unwrap_or(0)) > BELIEVED;
        if !fresh && (length > MAX_FILE || (!limits.allow(then) && (old || lines > 1))) {
            fresh = recount(root, limits, manner, true).map_err(trouble)?;
            continue;
        }
        if !limits.allow(then) {
            let text = "the mailbox is over its quota";
            return Err(if manner.quota_fails { Verdict::failed(2, 2, text) } else { Verdict::deferred(2, 2, text) });
        }
        file.write_all(format!("{size} 1\n").as_bytes()).map_err(trouble)?;
        return Ok(Reservation(Some((file, size))));
    }
    Err(Verdict::deferred(2, 0, "maildirsize is replaced again and again"))
}

/// The file, locked, and still the one with that name.
fn open(root: &OwnedFd, deadline: Instant) -> io::Result<Option<File>> {
    let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    loop {
        let file = match openat(root, NAME, flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            other => File::from(other?),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let locked = file.try_lock().is_ok();
        let (opened, named) = (file.metadata()?, maildir::status_at(root, NAME.as_bytes()));
        if locked && named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.dev(), opened.ino())) {
            return Ok(Some(file));
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another delivery holds its lock"));
        }
        if !locked {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Limits, sum, lines after the first, bytes. Without limits anywhere: none.
fn read(file: &mut File, manner: &Manner) -> io::Result<(Option<Limits>, Sum, usize, u64)> {
    let length = file.metadata()?.len();
    let mut text = Vec::new();
    file.take(2 * MAX_FILE).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines();
    let configured = (manner.quota > 0).then(|| Limits { bytes: i64::try_from(manner.quota).unwrap_or(i64::MAX), count: 0 });
    let limits = lines.next().and_then(Limits::parse).or(configured);
    let (mut sum, mut seen) = (Sum::default(), 0);
    for line in lines {
        let mut numbers = line.split_ascii_whitespace().map(|word| word.parse::<i64>().unwrap_or(0));
        sum.bytes = sum.bytes.saturating_add(numbers.next().unwrap_or(0));
        sum.count = sum.count.saturating_add(numbers.next().unwrap_or(0));
        seen += 1;
    }
    Ok((limits, sum, seen, length))
}

/// Counts all files and makes a new `maildirsize`: in place of the old one, whose lock is held, or (`replace` false) where
/// there is none. One that came to be meanwhile stays, since others have counted in it: then false.
fn recount(root: &OwnedFd, limits: Limits, manner: &Manner, replace: bool) -> io::Result<bool> {
    let sum = count(root)?;
    // Beside its place: `tmp` may not be there yet.
    let name = format!("{NAME}.{}", maildir::unique_name(&manner.hostname));
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mut file = File::from(openat(root, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    let written = file.write_all(format!("{}\n{} {}\n", limits.line(), sum.bytes, sum.count).as_bytes());
    let placed = written.and_then(|()| match replace {
        true => Ok(renameat(root, name.as_str(), root, NAME).map(|()| true)?),
        false => match linkat(root, name.as_str(), root, NAME, AtFlags::empty()) {
            Err(Errno::EEXIST) => Ok(false),
            other => Ok(other.map(|()| true)?),
        },
    });
    if !replace || placed.is_err() {
        let _ = unlinkat(root, name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    placed
}

/// Messages of the Maildir and its folders, but for the trash.
fn count(root: &OwnedFd) -> io::Result<Sum> {
    let mut sum = Sum::default();
    count_folder(root, &mut sum)?;
    for name in home::names(root, MOST)?.into_iter().filter(|name| name.starts_with(b".") && name != b".Trash") {
        if let Ok(folder) = openat(root, name.as_slice(), FOLDER, Mode::empty()) {
            count_folder(&folder, &mut sum)?;
        }
    }
    Ok(sum)
}

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

fn count_folder(folder: &OwnedFd, sum: &mut Sum) -> io::Result<()> {
    for below in ["new", "cur"] {
        let Ok(files) = openat(folder, below, FOLDER, Mode::empty()) else { continue };
        for name in home::names(&files, MOST)?.into_iter().filter(|name| !name.starts_with(b".")) {
            let Some(size) = named_size(&name).or_else(|| Some(maildir::status_at(&files, &name).ok()?.st_size)) else { continue };
            *sum = Sum { bytes: sum.bytes.saturating_add(size), count: sum.count.saturating_add(1) };
        }
    }
    Ok(())
}

/// The size that a name tells: `...,S=1234` up to the next comma or colon.
fn named_size(name: &[u8]) -> Option<i64> {
    let name = std::str::from_utf8(name).ok()?;
    let (_, after) = name.rsplit_once(",S=")?;
    after.split([',', ':']).next()?.parse().ok().filter(|size| *size >= 0)
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
