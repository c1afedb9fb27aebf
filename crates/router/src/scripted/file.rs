//! The script's file: looked at once a second at most, tried before it is taken.

use super::{Facts, Lent, shown};
use daemon::event;
use script::{Hook, Limits, Script};
use settings::Routing;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a file is taken to be what it was.
const CHECK: Duration = Duration::from_secs(1);
/// Bytes read of it; the script's own bound is below.
const LONGEST: u64 = 2 << 20;

/// What tells one version of a file from another; `None`: it cannot be looked at.
type Stamp = Option<(i64, i64, u64, u64)>;

/// A watched script.
#[derive(Debug)]
pub struct ScriptFile {
    path: PathBuf,
    limits: Limits,
    checked: Option<Instant>,
    stamp: Option<Stamp>,
    script: Option<Box<Script>>,
    /// Why there is none.
    trouble: String,
    /// Of the message in hand.
    pub facts: Facts,
}

impl ScriptFile {
    /// Read at once: what the configuration was checked with is had before it changes. `None`: no script is configured.
    pub fn new(routing: &Routing) -> Option<Self> {
        let path = routing.script.clone()?;
        let limits = limits(routing);
        let mut file = Self { path, limits, checked: None, stamp: None, script: None, trouble: String::new(), facts: Facts::default() };
        file.watch(Instant::now());
        Some(file)
    }

    /// Whether a hook is to be asked.
    pub fn defines(&mut self, now: Instant, hook: Hook) -> bool {
        self.watch(now);
        self.script.as_ref().is_none_or(|script| script.has(hook))
    }

    /// The script, where it defines a hook; `Err`: why there is none.
    pub fn lend(&mut self, now: Instant, hook: Hook) -> Result<Option<Lent>, String> {
        self.watch(now);
        let Some(script) = self.script.take_if(|script| script.has(hook)) else {
            return if self.script.is_some() { Ok(None) } else { Err(self.trouble.clone()) };
        };
        Ok(Some(Lent { script, facts: std::mem::take(&mut self.facts) }))
    }

    pub fn give_back(&mut self, lent: Lent) {
        self.script = Some(lent.script);
        self.facts = lent.facts;
    }

    fn watch(&mut self, now: Instant) {
        if self.checked.is_none_or(|checked| now.saturating_duration_since(checked) >= CHECK) {
            self.checked = Some(now);
            self.look();
        }
    }

    /// Takes a new text, or keeps the old one and says why, once for each text.
    fn look(&mut self) {
        let stamp = std::fs::metadata(&self.path).ok().map(|metadata| stamp(&metadata));
        if self.stamp == Some(stamp) {
            return;
        }
        let name = shown(&self.path);
        let first = self.stamp.is_none();
        self.stamp = Some(stamp);
        match load(&self.path, self.limits) {
            Ok(script) => {
                self.script = Some(Box::new(script));
                if !first {
                    event!(Info, "script_loaded", file = name);
                }
            }
            Err(reason) => {
                event!(Error, "script_refused", file = name, reason = reason, kept = self.script.is_some());
                self.trouble = reason;
            }
        }
    }
}

fn limits(routing: &Routing) -> Limits {
    Limits {
        instructions: routing.script_instructions.saturating_mul(1000),
        memory: usize::try_from(routing.script_memory).unwrap_or(usize::MAX),
        ..Limits::default()
    }
}

fn load(path: &Path, limits: Limits) -> Result<Script, String> {
    let name = shown(path);
    let text = read(path).map_err(|e| format!("{name}: {e}"))?;
    Script::load(&name, &text, limits).map_err(|fault| fault.to_string())
}

/// Whether a script could be taken into use; the reason, with its line, where not.
pub fn check(path: &Path, instructions: u64, memory: usize) -> Result<(), String> {
    load(path, Limits { instructions, memory, ..Limits::default() }).map(drop)
}

fn read(path: &Path) -> io::Result<String> {
    // Never waits on a FIFO or becomes the owner of a terminal.
    use nix::fcntl::OFlag;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn stamp(metadata: &Metadata) -> (i64, i64, u64, u64) {
    (metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn watched(path: &Path) -> ScriptFile {
        let (path, limits) = (path.to_owned(), Limits::default());
        ScriptFile { path, limits, checked: None, stamp: None, script: None, trouble: String::new(), facts: Facts::default() }
    }

    #[test]
    fn a_broken_text_keeps_the_old_script() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("router.lua");
        let mut file = watched(&path);
        let start = Instant::now();
        let Err(reason) = file.lend(start, Hook::Route) else { unreachable!() };
        assert!(reason.starts_with("router.lua: "), "{reason}");
        std::fs::write(&path, "function route() end").unwrap();
        assert!(file.lend(start, Hook::Route).is_err(), "looked at twice within a second");
        let lent = file.lend(start + CHECK, Hook::Route).unwrap().unwrap();
        file.give_back(lent);
        assert!(file.lend(start + CHECK, Hook::Policy).unwrap().is_none());
        std::fs::write(&path, "function route( end").unwrap();
        let lent = file.lend(start + 2 * CHECK, Hook::Route).unwrap().unwrap();
        file.give_back(lent);
        std::fs::remove_file(&path).unwrap();
        let lent = file.lend(start + 3 * CHECK, Hook::Route).unwrap().unwrap();
        file.give_back(lent);
        std::fs::write(&path, "function policy() end").unwrap();
        assert!(file.lend(start + 4 * CHECK, Hook::Route).unwrap().is_none());
        assert!(file.lend(start + 4 * CHECK, Hook::Policy).unwrap().is_some());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path(), 1000, 1 << 20).is_err());
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(check(&fifo, 1000, 1 << 20).unwrap_err().contains("regular"));
    }
}
