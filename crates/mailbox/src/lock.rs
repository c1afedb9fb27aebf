//! The two locks of an mbox: the dot lock file beside it and the fcntl lock on it. Mail readers use one or the other.

use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A dot lock older than this was left by a program that died: nobody writes into a mailbox for so long.
const STALE: Duration = Duration::from_secs(300);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Both locks, held until dropped (closing the file lets the fcntl lock go).
#[derive(Debug)]
pub struct Locked {
    dot: Option<PathBuf>,
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Some(dot) = &self.dot {
            let _ = std::fs::remove_file(dot);
        }
    }
}

/// Takes both locks, waiting for others until `deadline`; `TimedOut` then. One is never held while waiting for the
/// other: a reader may take them in the opposite order.
pub fn lock(mailbox: &Path, file: &File, deadline: Instant) -> io::Result<Locked> {
    loop {
        if let Some(locked) = dot_lock(mailbox)?
            && record_lock(file)?
        {
            return Ok(locked);
        }
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another program holds the mailbox's lock"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// `None`: somebody else has it. Where the folder does not let us make files, the fcntl lock must do.
fn dot_lock(mailbox: &Path) -> io::Result<Option<Locked>> {
    let mut path = mailbox.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    match OpenOptions::new().write(true).create_new(true).mode(0o444).open(&path) {
        Ok(mut file) => {
            let locked = Locked { dot: Some(path) };
            write!(file, "{}", std::process::id())?;
            Ok(Some(locked))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let age = path.symlink_metadata().and_then(|m| m.modified()).map(|at| SystemTime::now().duration_since(at));
            if let Ok(Ok(age)) = age
                && age > STALE
            {
                let _ = std::fs::remove_file(&path);
            }
            Ok(None)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => Ok(Some(Locked { dot: None })),
        Err(e) => Err(e),
    }
}

/// The lock belongs to the open file, not to the process: it meets the record locks of other programs and keeps our own
/// threads apart too.
fn record_lock(file: &File) -> io::Result<bool> {
    let whole =
        nix::libc::flock { l_type: nix::libc::F_WRLCK as i16, l_whence: nix::libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
