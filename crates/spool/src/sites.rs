//! What the scheduler remembers of sites, as one small text in `transport/`, the folder that it owns.

use crate::Spool;
use crate::folder::Folder;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::Mode;
use std::io::{self, Read, Write};

const NAME: &str = ".sites";
const TEMPORARY: &str = ".sites.new";
/// A larger file is not ours.
const LARGEST: u64 = 16 * 1024 * 1024;

impl Spool {
    /// Replaces the text at once. Not synced: losing it costs nothing but learning again, and a torn one is told by its
    /// lines.
    pub fn write_sites(&self, text: &str) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        let mut file = self.open_file(Folder::Transport, TEMPORARY, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        file.write_all(text.as_bytes())?;
        let folder = self.folder(Folder::Transport)?;
        Ok(renameat(folder, TEMPORARY, folder, NAME)?)
    }

    /// The text of an earlier life; `None` when there is none, or none of ours.
    pub fn read_sites(&self) -> io::Result<Option<String>> {
        let file = match self.open_file(Folder::Transport, NAME, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let details = file.metadata()?;
        if !details.is_file() || details.len() > LARGEST {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(String::from_utf8(bytes).ok())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::{Owners, Spool};

    #[test]
    fn the_text_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.read_sites().unwrap(), None);
        spool.write_sites("a long text\n").unwrap();
        spool.write_sites("short\n").unwrap();
        assert_eq!(spool.read_sites().unwrap().as_deref(), Some("short\n"));
        let path = folder.path().join("transport/.sites");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(spool.read_sites().is_err(), "links are not followed");
    }
}
