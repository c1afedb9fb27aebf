//! Files in a Maildir's `tmp` that nobody finishes any more.

use crate::{home, maildir};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// As the Maildir's description says: 36 hours without being touched.
const OLD: u64 = 36 * 3600;
/// Entries looked at in one go.
const MOST: usize = 1000;
/// One delivery in so many looks.
const EVERY: u64 = 64;

/// Cleans at every 64th delivery of this process, beginning with its first, since most processes make few.
pub fn now_and_then(temporary: &OwnedFd) {
    static DELIVERIES: AtomicU64 = AtomicU64::new(0);
    if DELIVERIES.fetch_add(1, Relaxed).is_multiple_of(EVERY) {
        clean(temporary, daemon::clock::unix_seconds());
    }
}

/// Removes regular files that nobody has written or read for 36 hours before `now`. Trouble here is no trouble of the delivery.
fn clean(temporary: &OwnedFd, now: u64) {
    for name in home::names(temporary, MOST).unwrap_or_default() {
        let Ok(status) = maildir::status_at(temporary, &name) else { continue };
        let regular = status.st_mode & nix::libc::S_IFMT == nix::libc::S_IFREG;
        let touched = u64::try_from(status.st_atime.max(status.st_mtime)).unwrap_or(0);
        if regular && now.saturating_sub(touched) > OLD {
            let _ = unlinkat(temporary, name.as_slice(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::{self, File, FileTimes};
    use std::time::{Duration, SystemTime};

    #[test]
    fn only_old_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str, hours: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            let then = SystemTime::now() - Duration::from_secs(hours * 3600);
            file.set_times(FileTimes::new().set_accessed(then).set_modified(then)).unwrap();
        };
        made("old", 37);
        made("young", 35);
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("old", folder.path().join("link")).unwrap();
        clean(&File::open(folder.path()).unwrap().into(), daemon::clock::unix_seconds());
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["folder", "link", "young"]);
    }
}
