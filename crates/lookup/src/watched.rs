//! A file kept in memory and read again when it changes.

use crate::lines::SyntaxFault;
use crate::{Keeper, TableError, privilege};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long an answer stands before the file is looked at again.
const CHECK: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    /// Of owner and mode, too.
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
            inode: metadata.ino(),
        }
    }
}

/// A parsed file. `T` is what its text means.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    /// Bytes; a larger file is not read.
    limit: u64,
    checked: Option<Instant>,
    loaded: Option<(Stamp, Rc<T>)>,
    trouble: Option<TableError>,
    /// As of the last look, for the keeper; who that is, once somebody has asked.
    metadata: Option<Metadata>,
    keeper: Option<Keeper>,
    /// See [`Watched::careful`].
    careful: bool,
}

impl<T> Watched<T> {
    pub fn new(path: impl Into<PathBuf>, limit: u64) -> Self {
        Self { path: path.into(), limit, checked: None, loaded: None, trouble: None, metadata: None, keeper: None, careful: false }
    }

    /// For a file that somebody else than the administrator may own: where the path ends in a link, that is root's or
    /// belongs to whoever owns the file it leads to. A link of others could show them what only this process can read.
    #[must_use]
    pub fn careful(mut self) -> Self {
        self.careful = true;
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Of the file whose content [`Watched::read`] gave last.
    pub const fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// Whether the file is there to be read, without reading it.
    pub fn exists(&self) -> Result<(), TableError> {
        self.opened().map(|_| ()).map_err(|e| self.temporary(&e.into()))
    }

    /// The content now. `parse` runs only when the file changed; its `Err` is a temporary failure with that reason.
    pub fn read<E: Into<FileFault>>(&mut self, now: Instant, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Rc<T>, TableError> {
        let limit = self.limit;
        self.open(now, |file, _| parse(&text(file, limit)?).map_err(Into::into))
    }

    /// What is made of the open file, such as something that reads it in place. `make` runs only when the file changed.
    pub fn open(&mut self, now: Instant, make: impl FnOnce(File, &Metadata) -> Result<T, FileFault>) -> Result<Rc<T>, TableError> {
        if self.checked.is_none_or(|checked| now.saturating_duration_since(checked) >= CHECK) {
            self.checked = Some(now);
            self.keeper = None;
            self.trouble = self.check(make).err();
        }
        match (&self.trouble, &self.loaded) {
            (Some(trouble), _) => Err(trouble.clone()),
            (None, Some((_, value))) => Ok(Rc::clone(value)),
            (None, None) => Err(self.temporary(&FileFault::from("not read"))),
        }
    }

    /// Whose word the content is that [`Watched::read`] gave last. Worked out only where it is asked for.
    pub fn keeper(&mut self) -> Keeper {
        let found = self.keeper.unwrap_or_else(|| self.metadata.as_ref().map_or(Keeper::Nobody, |m| privilege::of(m, &self.path)));
        self.keeper = Some(found);
        found
    }

    fn check(&mut self, make: impl FnOnce(File, &Metadata) -> Result<T, FileFault>) -> Result<(), TableError> {
        let known = self.loaded.as_ref().map(|(stamp, _)| *stamp);
        let metadata = std::fs::metadata(&self.path).map_err(|e| self.temporary(&e.into()))?;
        if known == Some(Stamp::of(&metadata)) {
            self.metadata = Some(metadata);
            return Ok(());
        }
        let (metadata, value) = self.load(make).map_err(|fault| self.temporary(&fault))?;
        self.loaded = Some((Stamp::of(&metadata), Rc::new(value)));
        self.metadata = Some(metadata);
        Ok(())
    }

    /// The stamp is taken before reading: a file that changes meanwhile differs from it at the next check.
    fn load(&self, make: impl FnOnce(File, &Metadata) -> Result<T, FileFault>) -> Result<(Metadata, T), FileFault> {
        let (file, metadata) = self.opened()?;
        let value = make(file, &metadata)?;
        Ok((metadata, value))
    }

    fn opened(&self) -> io::Result<(File, Metadata)> {
        let file = open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        if metadata.len() > self.limit {
            return Err(io::Error::other(format!("larger than {} bytes", self.limit)));
        }
        if self.careful {
            let named = std::fs::symlink_metadata(&self.path)?;
            let same = (named.dev(), named.ino()) == (metadata.dev(), metadata.ino());
            let good_link = named.is_symlink() && (named.uid() == 0 || named.uid() == metadata.uid());
            if !same && !good_link {
                return Err(io::Error::other("a link that belongs neither to root nor to the owner of what it leads to"));
            }
        }
        Ok((file, metadata))
    }

    fn temporary(&self, fault: &FileFault) -> TableError {
        let line = fault.line.map_or_else(String::new, |line| format!(":{line}"));
        TableError::Temporary(format!("{}{line}: {}", self.path.display(), fault.reason))
    }
}

/// What is wrong with a file, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// 1-based.
    pub line: Option<usize>,
    pub reason: String,
}

impl From<String> for FileFault {
    fn from(reason: String) -> Self {
        Self { line: None, reason }
    }
}

impl From<&str> for FileFault {
    fn from(reason: &str) -> Self {
        Self::from(reason.to_owned())
    }
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        Self::from(error.to_string())
    }
}

impl From<SyntaxFault> for FileFault {
    fn from(fault: SyntaxFault) -> Self {
        Self { line: Some(fault.line), reason: fault.reason }
    }
}

fn text(file: File, limit: u64) -> Result<String, FileFault> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8".into())
}

/// Never waits on a FIFO or becomes the owner of a terminal.
fn open(path: &Path) -> io::Result<File> {
    use nix::fcntl::OFlag;
    OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits()).open(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps)]
    fn lines(text: &str) -> Result<usize, String> {
        Ok(text.lines().count())
    }

    #[test]
    fn reloads_after_a_change_and_looks_at_most_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        std::fs::write(&path, "a\n").unwrap();
        let mut table = Watched::new(&path, 100);
        let start = Instant::now();
        assert_eq!(*table.read(start, lines).unwrap(), 1);
        std::fs::write(&path, "a\nb\n").unwrap();
        assert_eq!(*table.read(start, lines).unwrap(), 1);
        assert_eq!(*table.read(start + CHECK, lines).unwrap(), 2);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(table.read(start + 2 * CHECK, lines), Err(TableError::Temporary(_))));
        std::fs::write(&path, "").unwrap();
        assert_eq!(*table.read(start + 3 * CHECK, lines).unwrap(), 0);
    }

    #[test]
    fn the_keeper_follows_the_mode() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("table");
        std::fs::write(&path, "a\n").unwrap();
        let mut table = Watched::new(&path, 100);
        let start = Instant::now();
        for (after, mode) in [(0, 0o644), (1, 0o666)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            table.read(start + after * CHECK, lines).unwrap();
            assert_eq!(table.keeper() == Keeper::Nobody, mode == 0o666);
        }
    }

    #[test]
    fn refuses_what_is_large_or_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Watched::new(folder.path(), 100).read(Instant::now(), lines).is_err());
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Watched::new(&fifo, 100).read(Instant::now(), lines).is_err());
        let large = folder.path().join("large");
        std::fs::write(&large, [b'x'; 101]).unwrap();
        assert!(Watched::new(&large, 100).read(Instant::now(), lines).unwrap_err().to_string().contains("larger"));
    }
}
