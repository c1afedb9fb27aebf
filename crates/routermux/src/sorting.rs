//! Which lane a file belongs to, by a look at its beginning. The thread of its volume looks, never the event loop.

use crate::lanes::USUAL;
use address::Path;
use envelope::{Envelope, parse_envelope};
use settings::{Lane, LaneFacts};
use spool::Spool;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes looked at: envelope and headers of nearly every message.
const LOOK: usize = 8 * 1024;

/// `[[lane]]` as the threads know them.
#[derive(Debug)]
pub struct Sorter {
    lanes: Vec<Lane>,
    /// No lane asks for more than the size.
    by_size: bool,
}

impl Sorter {
    pub fn new(lanes: &[Lane]) -> Arc<Self> {
        Arc::new(Self { lanes: lanes.to_vec(), by_size: lanes.iter().all(Lane::is_by_size) })
    }

    /// The lane of a file of `router/`. One that cannot be read or makes no sense is as good as any: a router will say
    /// what is wrong with it.
    pub fn lane(&self, spool: &Spool, name: &str) -> usize {
        if self.by_size {
            let size = spool.input_size(name).unwrap_or(0);
            return self.matching(&LaneFacts { size, ..LaneFacts::default() });
        }
        let Ok(input) = spool.open_input(name) else { return USUAL };
        let mut buffer = [0; LOOK];
        let mut have = 0;
        while let Some(space) = buffer.get_mut(have..).filter(|space| !space.is_empty()) {
            match input.file.read_at(space, have as u64) {
                Ok(0) | Err(_) => break,
                Ok(read) => have = have.saturating_add(read),
            }
        }
        let bytes = buffer.get(..have).unwrap_or_default();
        self.look(bytes, input.size)
    }

    /// `bytes`: the beginning of a file of `size` bytes.
    fn look(&self, bytes: &[u8], size: u64) -> usize {
        let (envelope, content) = beginning(bytes);
        let sender = envelope.as_ref().and_then(|envelope| match &envelope.from {
            Some(Path::Mailbox(address)) => Some(address.as_str()),
            Some(Path::Null) => Some(""),
            None if envelope.errormsg => Some(""),
            None => None,
        });
        let precedence = message::fields(content).find(|field| field.is("Precedence")).map(|field| field.text());
        let word = precedence.as_deref().map(|text| text.split([' ', '\t', ';', '(']).next().unwrap_or(""));
        self.matching(&LaneFacts { size, precedence: word, sender })
    }

    /// The first whose conditions all hold.
    fn matching(&self, facts: &LaneFacts<'_>) -> usize {
        self.lanes.iter().position(|lane| lane.takes(facts)).map_or(USUAL, |at| at.saturating_add(1))
    }
}

/// The envelope, as far as it is there, and what is there of the content, whole lines of both.
fn beginning(bytes: &[u8]) -> (Option<Envelope>, &[u8]) {
    let whole = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
    let bytes = bytes.get(..whole).unwrap_or_default();
    match parse_envelope(bytes) {
        Ok((envelope, offset)) => (Some(envelope), bytes.get(offset..).unwrap_or_default()),
        // So many recipients: the sender stands before them.
        Err(fault) if fault.is_incomplete() => {
            let closed = [bytes, b"env-end\n"].concat();
            (parse_envelope(&closed).ok().map(|(envelope, _)| envelope), &[])
        }
        Err(_) => (None, &[]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spool::Owners;

    fn lane(min_size: u64, precedence: &[&str], senders: &[&str]) -> Lane {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Lane { name: String::new(), min_size, precedence: list(precedence), senders: list(senders), share: 1, routers: 0, line: 0 }
    }

    #[test]
    fn the_first_lane_whose_conditions_hold_takes_it() {
        let sorter = Sorter::new(&[lane(100, &[], &["<>"]), lane(0, &["bulk"], &[]), lane(0, &[], &["list@x.example"])]);
        let message = |from: &str, head: &str| format!("from <{from}>\nto <a@b.example>\nenv-end\n{head}\nbody\n");
        for (from, head, size, expected) in [
            ("", "", 100, 1),
            ("", "", 99, USUAL),
            ("", "Precedence: bulk\n", 99, 2),
            ("a@b.example", "X: y\nPRECEDENCE:\n Bulk (news)\n", 9, 2),
            ("list@x.example", "Precedence: first-class\n", 9, 3),
            ("list@x.example", "Precedence: bulk; really\n", 9, 2),
        ] {
            assert_eq!(sorter.look(message(from, head).as_bytes(), size), expected, "{from} {head}");
        }
    }

    #[test]
    fn many_recipients_hide_the_header_but_not_the_sender() {
        let sorter = Sorter::new(&[lane(0, &["bulk"], &[]), lane(0, &[], &["list@x.example"])]);
        let text = format!("from <list@x.example>\n{}env-end\nPrecedence: bulk\n\n", "to <a@b.example>\n".repeat(1000));
        assert_eq!(sorter.look(text.as_bytes().get(..LOOK).unwrap(), 20_000), 2);
        assert_eq!(sorter.look(text.as_bytes(), 20_000), 1);
        // A word that is cut off is none.
        let cut = b"from <a@x.example>\nto <a@b.example>\nenv-end\nPrecedence: bulk";
        assert_eq!(sorter.look(cut, 100), USUAL);
    }

    #[test]
    fn odd_files_are_usual_and_hold_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let at = |name: &str| folder.path().join("router").join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("junk"), vec![b'x'; 100_000]).unwrap();
        std::fs::write(at("large"), format!("from <>\nto <a@b.example>\nenv-end\nPrecedence: bulk\n\n{}", "x\n".repeat(50_000))).unwrap();
        let (by_size, by_field) = (Sorter::new(&[lane(50_000, &[], &[])]), Sorter::new(&[lane(50_000, &["bulk"], &[])]));
        for name in ["fifo", "link", "folder", "gone", "../queue"] {
            assert_eq!((by_size.lane(&spool, name), by_field.lane(&spool, name)), (USUAL, USUAL), "{name}");
        }
        assert_eq!((by_size.lane(&spool, "junk"), by_field.lane(&spool, "junk")), (1, USUAL));
        assert_eq!((by_size.lane(&spool, "large"), by_field.lane(&spool, "large")), (1, 1));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "(from |to |env-end|Precedence: |<a@b>|\n){0,20}") {
            let sorter = Sorter::new(&[lane(0, &["bulk"], &["<>"])]);
            sorter.look(&bytes, 1);
            sorter.look(text.as_bytes(), 1);
        }
    }
}
