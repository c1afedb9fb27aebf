//! Half a message at the end of an mbox: an agent that is killed while it appends leaves one.
//!
//! Before it appends, the agent notes in its dot lock how long the file was and with which bytes its piece begins. Who finds
//! that lock after its writer's death may cut the file there, if what follows is that piece alone: our pieces hold exactly
//! one line that begins with `From `, their first, so a second one means that somebody else has appended since, and then
//! nothing is cut. The message of the piece was not reported as delivered, so it comes again, whole.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};

const MARK: &str = "zpost";
const PIECE_MARK: &str = "piece";
/// Bytes of a dot lock that are read: a From line has an address at most.
const MAX_NOTE: u64 = 8192;
const PIECE: usize = 64 * 1024;
const SEPARATOR: &[u8] = b"\nFrom ";

/// What one of our dot locks says: the process, its host, and what it appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    writer: i32,
    pub host: String,
    pub record: Option<Record>,
}

/// What is being appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Length of the mailbox before.
    pub before: u64,
    pub device: u64,
    pub inode: u64,
    /// The piece's first bytes: the newlines that were missing, and its From line.
    pub lead: String,
}

impl Note {
    /// How a dot lock begins; other programs read the number.
    pub fn begin(host: &str) -> String {
        format!("{}\n{MARK} {host}\n", std::process::id())
    }

    /// Reads a dot lock; `None` where it is not ours.
    pub fn read(dot: &File) -> Option<Self> {
        let mut text = Vec::new();
        dot.take(MAX_NOTE).read_to_end(&mut text).ok()?;
        Self::parse(std::str::from_utf8(&text).ok()?)
    }

    /// The last whole record counts.
    fn parse(text: &str) -> Option<Self> {
        let (whole, _) = text.rsplit_once('\n')?;
        let mut lines = whole.split('\n');
        let writer = lines.next()?.parse().ok()?;
        let host = lines.next()?.strip_prefix(MARK)?.strip_prefix(' ')?.to_owned();
        Some(Self { writer, host, record: lines.filter_map(Record::parse).next_back() })
    }

    pub fn writer_is_dead(&self) -> bool {
        self.writer > 0 && kill(Pid::from_raw(self.writer), None) == Err(Errno::ESRCH)
    }
}

impl Record {
    pub fn line(&self) -> String {
        let Self { before, device, inode, lead } = self;
        format!("{PIECE_MARK} {before} {device} {inode} {}\n", lead.replace('\n', "|"))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        (words.next()? == PIECE_MARK).then_some(())?;
        let (before, device, inode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { before, device, inode, lead: words.next()?.replace('|', "\n") })
    }

    /// Cuts the piece off, if it is there and alone. Only under all locks.
    pub fn cut(&self, mailbox: &File) -> io::Result<bool> {
        let metadata = mailbox.metadata()?;
        let same = (metadata.dev(), metadata.ino()) == (self.device, self.inode);
        if !same || metadata.len() <= self.before || self.lead.is_empty() || !self.is_alone(mailbox, metadata.len())? {
            return Ok(false);
        }
        mailbox.set_len(self.before)?;
        mailbox.sync_all()?;
        Ok(true)
    }

    fn is_alone(&self, mailbox: &File, length: u64) -> io::Result<bool> {
        let lead = self.lead.as_bytes();
        let there = usize::try_from(length - self.before).unwrap_or(usize::MAX).min(lead.len());
        let mut begin = vec![0; there];
        mailbox.read_exact_at(&mut begin, self.before)?;
        if !lead.starts_with(&begin) {
            return Ok(false);
        }
        // From the line end of the From line on.
        let mut at = self.before.saturating_add(there as u64).saturating_sub(1);
        let mut piece = vec![0; PIECE];
        while at < length {
            let read = mailbox.read_at(&mut piece, at)?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.windows(SEPARATOR.len()).any(|window| window == SEPARATOR) {
                return Ok(false);
            }
            if read < SEPARATOR.len() {
                break;
            }
            // A separator across two pieces is seen whole in the second.
            at = at.saturating_add((read - (SEPARATOR.len() - 1)) as u64);
        }
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const OLD: &str = "From old\n\nold\n\n";
    const LEAD: &str = "From a@b Sat Nov 21 03:16:09 2026\n";

    fn record(file: &File) -> Record {
        let metadata = file.metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        Record { before: OLD.len() as u64, device, inode, lead: LEAD.into() }
    }

    /// The file's content after `cut`.
    fn after_cut(content: &[u8]) -> (bool, Vec<u8>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let cut = record(&file).cut(&file).unwrap();
        let mut now = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut now, 0).unwrap();
        (cut, now)
    }

    #[test]
    fn a_piece_is_cut_wherever_it_was_torn() {
        let whole = format!("{OLD}{LEAD}Subject: x\n\n>From here\n{}\n", "y\n".repeat(70_000));
        for at in (0..80).chain([65_536, 65_590, 131_100, whole.len()]) {
            let torn = whole.get(..OLD.len() + at).unwrap_or(&whole);
            assert_eq!(after_cut(torn.as_bytes()), (at > 0, OLD.as_bytes().to_vec()), "{at}");
        }
    }

    #[test]
    fn what_others_wrote_is_never_cut() {
        for padding in [0, 1, 65_490, 65_495, 65_500, 65_536, 131_000] {
            let other = format!("{OLD}{LEAD}torn{}\n\nFrom other\n\nx\n\n", "y".repeat(padding));
            assert_eq!(after_cut(other.as_bytes()), (false, other.clone().into_bytes()), "{padding}");
        }
        for text in [format!("{OLD}From c@d Sat"), OLD.to_owned(), "From".to_owned()] {
            assert_eq!(after_cut(text.as_bytes()), (false, text.clone().into_bytes()), "{text}");
        }
    }

    #[test]
    fn notes_round_trip() {
        let mut file = tempfile::tempfile().unwrap();
        let old = record(&file);
        let new = Record { lead: format!("\n\n{LEAD}"), before: 7, ..old.clone() };
        write!(file, "{}", Note::begin("h.example")).unwrap();
        let read = |mut file: &File| {
            std::io::Seek::rewind(&mut file).unwrap();
            Note::read(file).unwrap()
        };
        let begun = read(&file);
        assert_eq!((begun.writer, begun.host.as_str(), begun.record.is_none()), (std::process::id().cast_signed(), "h.example", true));
        assert!(!begun.writer_is_dead());
        write!(file, "{}{}piece 1 2 3 torn", old.line(), new.line()).unwrap();
        assert_eq!(read(&file).record, Some(new));
        for text in ["", "1", "1\n", "1\nother h\n", "1\nzpost", "x\nzpost h\n"] {
            assert_eq!(Note::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_note(text in "\\PC{0,40}|[0-9]{1,9}\nzpost [a-z]{1,3}\npiece [0-9]{1,3} [0-9]{1,3} [0-9]{1,3} .{0,9}\n") {
            let _ = Note::parse(&text);
        }
    }
}
