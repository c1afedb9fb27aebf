//! Files on a volume that have no name: they end with the last descriptor, however the process ends.

use crate::Spool;
use crate::folder::Folder;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file without a name, for the scheduler to write and others to read.
#[derive(Debug)]
pub struct Unnamed(pub File);

impl Spool {
    /// A new one, where control files are: on the disk of the volume.
    pub fn unnamed(&self) -> io::Result<Unnamed> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        // Whoever gets a descriptor for reading cannot make one for writing of it.
        match openat(self.folder(Folder::Transport)?, ".", flags, Mode::S_IRUSR) {
            Ok(file) => Ok(Unnamed(File::from(file))),
            // Filesystems without it say so in several ways.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL | Errno::ENOENT | Errno::ENOSYS) => self.unnamed_at_once(),
            Err(e) => Err(e.into()),
        }
    }

    /// With a name for a moment. One that a crash left is in the way of none but its successor, who removes it.
    pub(crate) fn unnamed_at_once(&self) -> io::Result<Unnamed> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!(".copy-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.remove_if_there(Folder::Transport, &name)?;
        let file = self.open_file(Folder::Transport, &name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL, Mode::S_IRUSR)?;
        self.remove_file(Folder::Transport, &name)?;
        Ok(Unnamed(file))
    }
}

impl Unnamed {
    /// Another descriptor of it, for reading only, with a position of its own. Needs /proc.
    pub fn reader(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Owners;
    use std::io::{Read, Write};

    #[test]
    fn each_reader_has_the_whole_and_no_name_is_left() {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let names =
            || std::fs::read_dir(folder.path().join("transport")).unwrap().filter(|name| !name.as_ref().unwrap().path().is_dir()).count();
        for make in [Spool::unnamed, Spool::unnamed_at_once] {
            let mut unnamed = make(&spool).unwrap();
            unnamed.0.write_all(b"content").unwrap();
            for _ in 0..2 {
                let (mut reader, mut text) = (unnamed.reader().unwrap(), String::new());
                reader.read_to_string(&mut text).unwrap();
                assert_eq!(text, "content");
                assert!(reader.write_all(b"x").is_err(), "it may write");
            }
            assert_eq!(names(), 0);
        }
    }
}
