//! What an operator has frozen, as one small text in `transport/`, the folder of the scheduler.

use crate::Spool;
use crate::folder::Folder;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::Mode;
use std::io::{self, Read, Write};

const NAME: &str = ".freezes";
const TEMPORARY: &str = ".freezes.new";
const HEAD: &str = "zpost freezes 1";
/// Freezes at once, and bytes of one condition. More is refused, and not believed of the file.
const MOST: usize = 256;
const LONGEST: usize = 512;
const LARGEST: u64 = 1024 * 1024;

/// A part of the mail: all conditions that are there must hold. `channel` and `host` are patterns, as in clauses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub channel: Option<String>,
    pub host: Option<String>,
    /// An address; empty: reports.
    pub sender: Option<String>,
    /// An address.
    pub recipient: Option<String>,
    /// Of the recipient; `.suffix`: all domains below it.
    pub domain: Option<String>,
}

impl Part {
    fn fields(&self) -> [(&'static str, &Option<String>); 5] {
        let Self { channel, host, sender, recipient, domain } = self;
        [("channel", channel), ("host", host), ("sender", sender), ("recipient", recipient), ("domain", domain)]
    }

    /// It looks at messages, and not only at where they go.
    pub const fn looks_at_addresses(&self) -> bool {
        self.sender.is_some() || self.recipient.is_some() || self.domain.is_some()
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.fields().iter().all(|(_, value)| value.is_none()) {
            return Err("a freeze of a part needs a condition".to_owned());
        }
        for (name, value) in self.fields() {
            let Some(value) = value else { continue };
            if value.len() > LONGEST || value.chars().any(char::is_control) || (value.is_empty() && name != "sender") {
                return Err(format!("the {name} is empty, too long or has control characters"));
            }
        }
        Ok(())
    }
}

/// `channel=smtp host=*.example`, for people; in the file with tabs.
impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&line(self, " "))
    }
}

fn line(part: &Part, between: &str) -> String {
    let words = part.fields().into_iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
    words.collect::<Vec<_>>().join(between)
}

fn written(parts: &[Part]) -> String {
    let lines: String = parts.iter().map(|part| line(part, "\t") + "\n").collect();
    format!("{HEAD}\n{lines}end {}\n", parts.len())
}

/// The whole text or nothing: half a list would thaw the other half.
fn parse(text: &str) -> Result<Vec<Part>, String> {
    let rest = text.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix('\n')).ok_or("its first line is not ours")?;
    let mut parts = Vec::new();
    let mut lines = rest.lines();
    for found in &mut lines {
        if let Some(count) = found.strip_prefix("end ") {
            let whole = count.parse() == Ok(parts.len()) && lines.next().is_none() && text.ends_with('\n');
            return if whole { Ok(parts) } else { Err("its end does not fit".to_owned()) };
        }
        if parts.len() >= MOST {
            return Err("it has too many lines".to_owned());
        }
        parts.push(part(found)?);
    }
    Err("its end is missing".to_owned())
}

fn part(found: &str) -> Result<Part, String> {
    let mut part = Part::default();
    for word in found.split('\t') {
        let (name, value) = word.split_once('=').ok_or("a condition has no value")?;
        let place = match name {
            "channel" => &mut part.channel,
            "host" => &mut part.host,
            "sender" => &mut part.sender,
            "recipient" => &mut part.recipient,
            "domain" => &mut part.domain,
            _ => return Err("it has an unknown condition".to_owned()),
        };
        if place.replace(value.to_owned()).is_some() {
            return Err("a condition stands twice".to_owned());
        }
    }
    part.check().map(|()| part)
}

impl Spool {
    /// Replaces the list, durably: what was frozen stays so over a power cut.
    pub fn write_freezes(&self, parts: &[Part]) -> io::Result<()> {
        if parts.len() > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many freezes"));
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        let mut file = self.open_file(Folder::Transport, TEMPORARY, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        file.write_all(written(parts).as_bytes())?;
        file.sync_all()?;
        let folder = self.folder(Folder::Transport)?;
        renameat(folder, TEMPORARY, folder, NAME)?;
        // The rename too: a journal commits it with the file.
        file.sync_all()
    }

    /// The list; empty when there is no file. A file that is not whole is an error of kind `InvalidData`.
    pub fn read_freezes(&self) -> io::Result<Vec<Part>> {
        let file = match self.open_file(Folder::Transport, NAME, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let faulty = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("transport/{NAME} cannot be believed: {why}"));
        if !file.metadata()?.is_file() {
            return Err(faulty("it is no file".to_owned()));
        }
        let mut text = String::new();
        file.take(LARGEST)
            .read_to_string(&mut text)
            .map_err(|e| if e.kind() == io::ErrorKind::InvalidData { faulty(e.to_string()) } else { e })?;
        parse(&text).map_err(faulty)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Owners;
    use proptest::prelude::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_list_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.read_freezes().unwrap(), []);
        let parts = [
            Part { channel: some("smtp"), host: some("*.example"), ..Part::default() },
            Part { sender: some(""), domain: some(".b.example"), recipient: some("\"a = b\"@b.example"), ..Part::default() },
        ];
        spool.write_freezes(&parts).unwrap();
        assert_eq!(spool.read_freezes().unwrap(), parts);
        spool.write_freezes(&[]).unwrap();
        assert_eq!(spool.read_freezes().unwrap(), []);
    }

    #[test]
    fn half_a_list_is_none() {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let whole = written(&[Part { host: some("a"), ..Part::default() }, Part { host: some("b"), ..Part::default() }]);
        for length in 0..whole.len() {
            std::fs::write(folder.path().join("transport/.freezes"), &whole[..length]).unwrap();
            assert_eq!(spool.read_freezes().unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(zpost freezes 1\n)?([a-z]{0,9}=?[a-z\t]{0,9}\n){0,4}(end [0-9]\n)?") {
            if let Ok(parts) = parse(&text) {
                prop_assert_eq!(parse(&written(&parts)), Ok(parts));
            }
        }
    }
}
