//! Who was answered when: `~/.vacation.db`, a line `unix-seconds address` each, to be read with a pager.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Senders remembered; then the oldest are forgotten.
const MOST: usize = 20_000;
/// Bytes that are read of a file: more was not written by this program.
const LARGEST: u64 = 16 << 20;

/// The file, held for this run alone: two messages of one sender that come together are answered once.
#[derive(Debug)]
pub struct Memory {
    file: File,
    /// Oldest first.
    answered: Vec<(u64, String)>,
}

impl Memory {
    /// Opens or makes the file, and waits for others who have it.
    pub fn open(path: &Path) -> io::Result<Self> {
        use nix::fcntl::OFlag;
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.lock()?;
        let mut text = Vec::new();
        (&mut file).take(LARGEST).read_to_end(&mut text)?;
        let line = |line: &str| line.split_once(' ').and_then(|(time, sender)| Some((time.parse().ok()?, sender.to_owned())));
        let mut answered: Vec<(u64, String)> = String::from_utf8_lossy(&text).lines().filter_map(line).collect();
        answered.sort_by_key(|(time, _)| *time);
        Ok(Self { file, answered })
    }

    /// Whether this sender was answered less than `interval` seconds ago. A time that lies ahead is a clock gone wrong, and
    /// counts as no answer.
    pub fn knows(&self, sender: &str, now: u64, interval: u64) -> bool {
        let sender = sender.to_lowercase();
        self.answered.iter().any(|(time, other)| *other == sender && *time <= now && now - time < interval)
    }

    /// Remembers an answer, forgets those that no longer matter, and is durable.
    pub fn remember(&mut self, sender: &str, now: u64, interval: u64) -> io::Result<()> {
        let sender = sender.to_lowercase();
        self.answered.retain(|(time, other)| *time <= now && now - time < interval && *other != sender);
        self.answered.push((now, sender));
        let surplus = self.answered.len().saturating_sub(MOST);
        self.answered.drain(..surplus);
        self.write()
    }

    /// Forgets one: the answer could not be sent.
    pub fn forget(&mut self, sender: &str) -> io::Result<()> {
        let sender = sender.to_lowercase();
        self.answered.retain(|(_, other)| *other != sender);
        self.write()
    }

    /// Forgets everybody.
    pub fn clear(&mut self) -> io::Result<()> {
        self.answered.clear();
        self.write()
    }

    /// Time and address of those answered.
    pub fn list(&self) -> &[(u64, String)] {
        &self.answered
    }

    fn write(&mut self) -> io::Result<()> {
        let text: String = self.answered.iter().map(|(time, sender)| format!("{time} {sender}\n")).collect();
        self.file.seek(io::SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_the_interval_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut memory = Memory::open(&path).unwrap();
        assert!(!memory.knows("a@b.c", 100, 10));
        memory.remember("A@b.c", 100, 10).unwrap();
        drop(memory);
        let mut memory = Memory::open(&path).unwrap();
        assert!(memory.knows("a@B.c", 109, 10) && !memory.knows("a@b.c", 110, 10) && !memory.knows("a@b.c", 99, 10));
        memory.remember("d@e.f", 200, 10).unwrap();
        assert_eq!(memory.list(), [(200, "d@e.f".to_owned())]);
        memory.clear().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn is_bounded_and_reads_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let many: String = (0..MOST + 5).map(|n| format!("{} {n}@x\n", 1000 + n)).collect();
        std::fs::write(&path, format!("rubbish\n\u{0} \n{many}")).unwrap();
        let mut memory = Memory::open(&path).unwrap();
        memory.remember("new@x", 50_000, 1 << 40).unwrap();
        assert_eq!(Memory::open(&folder.path().join("other")).unwrap().list().len(), 0);
        assert_eq!((memory.list().len(), memory.list().last().unwrap().1.as_str()), (MOST, "new@x"));
    }

    #[test]
    fn follows_no_link_and_opens_no_fifo() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(Memory::open(&link).is_err());
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Memory::open(&fifo).is_err());
    }
}
