//! The file calls the spool is made of, each relative to a folder of it.

use crate::Spool;
use envelope::MessageId;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

/// A folder directly below the postoffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    Public,
    Router,
    Queue,
    Transport,
    Deferred,
    Freezer,
}
impl Folder {
    pub(crate) const ALL: [Self; 6] = [Self::Public, Self::Router, Self::Queue, Self::Transport, Self::Deferred, Self::Freezer];
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Router => "router",
            Self::Queue => "queue",
            Self::Transport => "transport",
            Self::Deferred => "deferred",
            Self::Freezer => "freezer",
        }
    }
}

/// Longest file name taken from a folder that others can write to.
const NAME_LIMIT: usize = 128;
/// Hash folders below `queue/` and `transport/`.
pub(crate) const HASH_FOLDERS: u8 = 64;
/// Message files: read by the suite's other users through the spool's group, written by nobody once accepted.
pub(crate) const MESSAGE_MODE: Mode = Mode::from_bits_truncate(0o640);
/// Control files: the router makes them, the scheduler (perhaps another user of the group) marks them.
pub(crate) const CONTROL_MODE: Mode = Mode::from_bits_truncate(0o660);

/// A name that is taken from `public/`, `router/` or a datagram: `[A-Za-z0-9._:+-]`, no leading dot, at most 128 bytes.
/// So a name can stand in a log line, a shell and a datagram as it is, and cannot leave its folder.
pub fn is_safe_name(name: &[u8]) -> bool {
    name.len() <= NAME_LIMIT
        && name.first().is_some_and(|first| *first != b'.')
        && name.iter().all(|b| b.is_ascii_alphanumeric() || b"._:+-".contains(b))
}

/// `2a/<id>`.
pub(crate) fn hashed(id: MessageId) -> String {
    format!("{:02x}/{id}", id.hash())
}
/// `2a/.<id>`: a control file being written.
pub(crate) fn hashed_temporary(id: MessageId) -> String {
    format!("{:02x}/.{id}", id.hash())
}

impl Spool {
    /// Opens a file; links are never followed, a FIFO never blocks.
    pub(crate) fn open_file(&self, folder: Folder, name: &str, flags: OFlag, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        Ok(File::from(openat(self.folder(folder)?, name, flags, mode)?))
    }
    /// A new file. `EEXIST` rather than anybody else's.
    pub(crate) fn create_file(&self, folder: Folder, name: &str, mode: Mode) -> io::Result<File> {
        self.open_file(folder, name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)
    }
    /// A new message file in `public/`. With a submit group the folder hands its group down, and members who guess the
    /// name could read the message; so the file gets the spool's own group, and no group right before it has that.
    /// Members' own processes may not do that: their files stay readable for the group (the routers need it).
    pub(crate) fn create_message(&self, name: &str) -> io::Result<File> {
        let Some(gid) = self.own_group() else { return self.create_file(Folder::Public, name, MESSAGE_MODE) };
        let file = self.create_file(Folder::Public, name, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let _ = std::os::unix::fs::fchown(&file, None, Some(gid));
        nix::sys::stat::fchmod(&file, MESSAGE_MODE)?;
        Ok(file)
    }
    pub(crate) fn open_read(&self, folder: Folder, name: &str) -> io::Result<File> {
        self.open_file(folder, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty())
    }
    /// Renames a message. An existing target is `AlreadyExists`, never overwritten: it would be a lost message.
    pub(crate) fn move_message(&self, from: Folder, old: &str, to: Folder, new: &str) -> io::Result<()> {
        let (source, target) = (self.folder(from)?, self.folder(to)?);
        match renameat2(source, old, target, new, RenameFlags::RENAME_NOREPLACE) {
            // A filesystem without the flag. Names are ours or safe and unique, so looking first is next best.
            Err(Errno::EINVAL | Errno::ENOSYS) => match status_at(target, new) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(renameat(source, old, target, new)?),
                Ok(_) => Err(Errno::EEXIST.into()),
                Err(e) => Err(e),
            },
            other => Ok(other?),
        }
    }
    pub(crate) fn remove_file(&self, folder: Folder, name: &str) -> io::Result<()> {
        Ok(unlinkat(self.folder(folder)?, name, UnlinkatFlags::NoRemoveDir)?)
    }
    /// True when there was such a file.
    pub(crate) fn remove_if_there(&self, folder: Folder, name: &str) -> io::Result<bool> {
        match self.remove_file(folder, name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }
    pub(crate) fn status_of(&self, folder: Folder, name: &str) -> io::Result<FileStat> {
        status_at(self.folder(folder)?, name)
    }
    pub(crate) fn exists(&self, folder: Folder, name: &str) -> io::Result<bool> {
        match self.status_of(folder, name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|_| true),
        }
    }
    /// Calls `each` for every name (`below`: a hash folder, or `.`), `.` and `..` left out.
    pub(crate) fn names(&self, folder: Folder, below: &str, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut open = Dir::openat(self.folder(folder)?, below, flags, Mode::empty())?;
        for entry in open.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                each(name);
            }
        }
        Ok(())
    }
    /// `<name>.reason` beside a message that was set aside. It is for people: failing to write it (the disk may be
    /// full) leaves the message where it is all the same, and the log has the reason too.
    pub(crate) fn write_reason(&self, folder: Folder, name: &str, reason: &str) {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        if let Ok(mut file) = self.open_file(folder, &format!("{name}.reason"), flags, MESSAGE_MODE) {
            let line: String = reason.chars().take(2000).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = io::Write::write_all(&mut file, format!("{line}\n").as_bytes());
        }
    }
}

fn status_at(folder: BorrowedFd<'_>, name: &str) -> io::Result<FileStat> {
    Ok(fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// Whole seconds since `then` (Unix seconds); 0 for a moment to come, so a clock that went back makes nothing old.
pub(crate) fn age_seconds(then: i64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    now.saturating_sub(u64::try_from(then).unwrap_or(0))
}

pub(crate) fn is_regular(status: &FileStat) -> bool {
    status.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG
}
