//! Delivery into a Maildir or a folder of it: written and synced in `tmp`, then renamed into `new`, whose folder is
//! synced. Every step goes by open folders, and `tmp`, `new` and `cur` are never followed where they are links.

use crate::delivery::Copy;
use crate::verdict::Verdict;
use crate::{home, leftovers, quota};
use ipc::deliveries::DetailFolders;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// Bytes of a detail that names a folder, and folders looked through for it.
const MAX_DETAIL: usize = 100;
const MAX_FOLDERS: usize = 10_000;

/// Delivers one copy; gives the path of its file. Nothing is in `new` before it is whole and on the disk; on any error
/// `tmp` is cleaned.
pub fn deliver(maildir: &Path, copy: &Copy<'_>) -> Result<PathBuf, Verdict> {
    let root = open_root(maildir).map_err(|e| Verdict::of_error("the Maildir", &e))?;
    let size = copy.trace_fields().len() as u64 + copy.original.size();
    let reservation = quota::reserve(&root, size, copy.manner)?;
    let stored = store(&root, maildir, copy, size).map_err(|e| Verdict::of_error("the Maildir", &e));
    if stored.is_err() {
        reservation.give_back();
    }
    stored
}

fn store(root: &OwnedFd, maildir: &Path, copy: &Copy<'_>, size: u64) -> io::Result<PathBuf> {
    let (folder, named) = match detail_folder(root, copy)? {
        Some((folder, name)) => (folder, maildir.join(name)),
        None => (root.try_clone()?, maildir.to_owned()),
    };
    let [temporary, new, _] = three(&folder)?;
    leftovers::now_and_then(&temporary);
    let name = unique_name(&copy.manner.hostname);
    let file = create_new(&temporary, &name)?;
    let last = format!("{name},S={size}");
    let result = fill(&file, copy).and_then(|()| {
        renameat(&temporary, name.as_str(), &new, last.as_str())?;
        // Without this the name could be lost with the power although the message was reported as delivered.
        File::from(new.try_clone()?).sync_all()
    });
    if result.is_err() {
        let _ = unlinkat(&temporary, name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    result.map(|()| named.join("new").join(last))
}

/// The Maildir itself may be a link: its owner, or the administrator, says where mail is kept.
fn open_root(maildir: &Path) -> io::Result<OwnedFd> {
    match nix::fcntl::open(maildir, FOLDER, Mode::empty()) {
        Err(Errno::ENOENT) => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(maildir);
            made.map_err(|e| io::Error::new(e.kind(), format!("there is none, and its user cannot make it: {e}")))?;
            maildir.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
            Ok(nix::fcntl::open(maildir, FOLDER, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

/// `tmp`, `new` and `cur`, made where they are missing, for the owner's eyes only.
fn three(folder: &OwnedFd) -> io::Result<[OwnedFd; 3]> {
    Ok([below(folder, "tmp")?, below(folder, "new")?, below(folder, "cur")?])
}

fn below(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match open_folder(folder, name) {
        Err(Errno::ENOENT) => {
            make(folder, name)?;
            Ok(open_folder(folder, name)?)
        }
        Err(Errno::ELOOP | Errno::ENOTDIR) => Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{name} is a link or no folder"))),
        other => Ok(other?),
    }
}

fn make(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match mkdirat(folder, name, Mode::S_IRWXU) {
        // Somebody else was faster.
        Ok(()) | Err(Errno::EEXIST) => File::from(folder.try_clone()?).sync_all(),
        Err(e) => Err(e.into()),
    }
}

fn open_folder(folder: &OwnedFd, name: &str) -> nix::Result<OwnedFd> {
    openat(folder, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty())
}

/// The Maildir++ folder that the detail names, whatever the case of its letters.
fn detail_folder(root: &OwnedFd, copy: &Copy<'_>) -> io::Result<Option<(OwnedFd, String)>> {
    let folders = copy.manner.detail_folders;
    let Some(name) = copy.detail.filter(|_| folders != DetailFolders::Never).and_then(folder_name) else { return Ok(None) };
    let existing = home::names(root, MAX_FOLDERS)?.into_iter().filter_map(|found| String::from_utf8(found).ok());
    if let Some(found) = existing.into_iter().find(|found| found.eq_ignore_ascii_case(&name)) {
        // A link or a file of that name is no folder of this Maildir.
        return Ok(open_folder(root, &found).ok().map(|folder| (folder, found)));
    }
    if folders != DetailFolders::Made {
        return Ok(None);
    }
    make(root, &name)?;
    let folder = open_folder(root, &name)?;
    // Tells mail readers that it is a folder of a Maildir and none itself.
    let mark = openat(&folder, "maildirfolder", OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::S_IRUSR);
    mark.map(drop)?;
    Ok(Some((folder, name)))
}

/// `.detail`, where that is the name of a folder and nothing else: dots only between words (they separate levels), no
/// slashes, nothing that a mail reader would have to encode.
fn folder_name(detail: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '~' | '*' | '%' | '&' | '"' | '\\' | '|');
    let words = detail.split('.').all(|word| !word.is_empty());
    (words && detail.len() <= MAX_DETAIL && detail.chars().all(plain)).then(|| format!(".{detail}"))
}

fn create_new(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(openat(folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
}

fn fill(mut file: &File, copy: &Copy<'_>) -> io::Result<()> {
    // Header lines and content of a small message leave in one write.
    let mut lead = copy.trace_fields();
    copy.original.copy(&mut |piece| {
        if lead.is_empty() {
            return file.write_all(piece);
        }
        lead.extend_from_slice(piece);
        file.write_all(&std::mem::take(&mut lead))
    })?;
    file.sync_all()
}

/// `time.MmicrosPpidQcounter.host`, never the same twice on one machine.
pub fn unique_name(hostname: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let micros = daemon::clock::unix_micros();
    let host = hostname.replace('/', "\\057").replace(':', "\\072");
    let (counter, pid) = (COUNTER.fetch_add(1, Relaxed), std::process::id());
    format!("{}.M{:06}P{pid}Q{counter}.{host}", micros / 1_000_000, micros % 1_000_000)
}

/// A file's status, without following links.
pub fn status_at(folder: &OwnedFd, name: &[u8]) -> nix::Result<nix::sys::stat::FileStat> {
    nix::sys::stat::fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_that_are_folders() {
        for (detail, name) in [
            ("news", Some(".news")),
            ("lists.rust", Some(".lists.rust")),
            ("a-b_c", Some(".a-b_c")),
            ("", None),
            (".", None),
            ("..", None),
            (".x", None),
            ("x.", None),
            ("a..b", None),
            ("../../etc", None),
            ("a/b", None),
            ("a b", None),
            ("a\nb", None),
            ("\u{fc}ber", None),
            (&"x".repeat(101), None),
        ] {
            assert_eq!(folder_name(detail).as_deref(), name, "{detail:?}");
        }
    }
}
