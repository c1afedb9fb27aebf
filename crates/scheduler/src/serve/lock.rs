//! One scheduler for a postoffice: a lock that the kernel gives back when its holder dies.

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Tries once. `Ok(None)`: another scheduler holds it.
pub fn take(postoffice: &Path) -> io::Result<Option<Flock<File>>> {
    let file = match open(&postoffice.join(".scheduler.lock")) {
        // Where only root may write the postoffice itself, its transport folder serves: the scheduler owns that.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => File::open(postoffice.join("transport"))?,
        other => other?,
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, e)) => Err(e.into()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW).open(path)
}
