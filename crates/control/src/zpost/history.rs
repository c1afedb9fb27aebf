//! The lines typed at `zpost route`, kept from one session to the next.
//!
//! They are the addresses of somebody's mail: the file is its owner's alone, and without a file that is, nothing is kept.

use nix::fcntl::OFlag;
use nix::unistd::Uid;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Lines that are kept.
pub const MOST: usize = 500;
/// Bytes of a line that is kept.
const LONGEST: usize = 1024;
/// Bytes that are read of a file; ours is smaller.
const LARGEST: u64 = 2 << 20;

/// The last lines, and where they are written.
#[derive(Debug)]
pub struct History {
    file: Option<File>,
    lines: VecDeque<String>,
    /// Lines of the file, which may be twice as many as are kept.
    written: usize,
}

/// `$XDG_STATE_HOME/zpost/route-history`, else below `~/.local/state`; a relative folder counts as none (XDG Base Directory).
pub fn place() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("zpost/route-history"))
}

impl History {
    /// What is there; a file that is another's, or cannot be written, is left alone.
    pub fn open(path: Option<&Path>) -> Self {
        let mut history = Self { file: path.and_then(own), lines: VecDeque::new(), written: 0 };
        let mut text = Vec::new();
        if let Some(file) = &mut history.file {
            let _ = file.take(LARGEST).read_to_end(&mut text);
        }
        for line in String::from_utf8_lossy(&text).lines() {
            history.written += 1;
            history.keep(line);
        }
        history.trim();
        history
    }

    /// Oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// One more; written at once, so that a terminal that goes away loses nothing.
    pub fn add(&mut self, line: &str) {
        if !self.keep(line) {
            return;
        }
        if let Some(file) = &mut self.file {
            // Elsewhere a session may write the same file: one write a line keeps lines whole.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        self.written += 1;
        self.trim();
    }

    /// Whether it is worth keeping: not what was typed just before, and nothing that a terminal would obey.
    fn keep(&mut self, line: &str) -> bool {
        let fit = !line.trim().is_empty() && line.len() <= LONGEST && crate::output::shown(line) == line;
        if !fit || self.lines.back().is_some_and(|last| last == line) {
            return false;
        }
        if self.lines.len() == MOST {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
        true
    }

    fn trim(&mut self) {
        let Some(file) = self.file.as_mut().filter(|_| self.written > 2 * MOST) else { return };
        let text: String = self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        self.written = self.lines.len();
    }
}

/// The file, when it is the caller's own and nobody else's.
fn own(path: &Path) -> Option<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(path.parent()?).ok()?;
    // Without O_NONBLOCK a FIFO of that name would hold the command.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(flags).open(path).ok()?;
    let about = file.metadata().ok()?;
    if !about.is_file() || about.uid() != Uid::effective().as_raw() {
        return None;
    }
    if about.mode() & 0o177 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).ok()?;
    }
    Some(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    fn all(history: &History) -> Vec<&str> {
        history.lines().collect()
    }

    #[test]
    fn lines_come_back_and_are_the_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/zpost/route-history");
        let mut first = History::open(Some(&path));
        for line in ["a@b.example", "a@b.example", "", "esc\u{1b}[2J", "lookup t k", &"x".repeat(LONGEST + 1)] {
            first.add(line);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(all(&History::open(Some(&path))), ["a@b.example", "lookup t k"]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "also after somebody opened it up");
    }

    #[test]
    fn it_does_not_grow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let mut history = History::open(Some(&path));
        for n in 0..5 * MOST {
            history.add(&format!("user{n}@b.example"));
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 2 * MOST + 1, "{lines}");
        let again = History::open(Some(&path));
        assert_eq!(all(&again).len(), MOST);
        assert_eq!(again.lines().last(), Some(format!("user{}@b.example", 5 * MOST - 1).as_str()));
    }

    #[test]
    fn nothing_is_kept_where_the_file_is_not_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "precious\n").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [Some(link.as_path()), Some(fifo.as_path()), Some(Path::new("/proc/none/history")), None] {
            let mut history = History::open(path);
            history.add("a@b.example");
            assert_eq!(all(&history), ["a@b.example"], "in this session it is there");
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious\n");
    }
}
