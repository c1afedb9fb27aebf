//! One state file to which is appended what changes. Lines as in [`lines`]:
//!
//! ```text
//! zpost-NAME 1 TIME WALL        milliseconds of the clock, Unix seconds
//! t TIME WALL                   the same, later
//! ...                           whose file it is: a later line about a thing replaces an earlier one
//! ```
//! It is written anew, with what still counts, when as much has been appended as it had, and at every start.

use crate::{Clock, Piece, Saver, Stamp, lines};
use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Appended at least, before a file is written anew.
const LEAST: usize = 64 * 1024;
/// A disk that takes nothing leaves so much waiting; then it gets the whole when it does.
const MOST_WAITING: usize = 1 << 20;
/// The thread is looked at again so soon while it is busy.
const GLANCE: Duration = Duration::from_millis(20);

/// The file of what a service remembers, and the time that goes on with it.
#[derive(Debug)]
pub struct Journal {
    saver: Saver,
    name: &'static str,
    clock: Clock,
    /// What has changed waits so long for more.
    patience: Duration,
    waiting: Vec<u8>,
    /// When what waits is handed over.
    due: Option<Instant>,
    /// Bytes of the file when it was written, and appended since.
    whole: usize,
    appended: usize,
    /// The file cannot be appended to.
    anew: bool,
}

impl Journal {
    /// Reads the file of this name; `take` gets its lines, with the clock that goes on from it, and gives nothing for what is
    /// no line of its own. What changes waits for `patience` before it is written.
    pub fn open(folder: &Path, name: &'static str, patience: Duration, mut take: impl FnMut(&Clock, &str) -> Option<()>) -> Self {
        let saver = Saver::new(folder);
        let bytes = saver.read(name).unwrap_or_else(|e| {
            daemon::event!(Warning, "state_not_read", file = folder.join(name).display(), reason = e);
            Vec::new()
        });
        let damaged = Cell::new(0);
        let mut stamps = lines::read(&bytes, &damaged);
        let first = stamps.next().and_then(|line| stamp(line.strip_prefix("zpost-")?.strip_prefix(name)?.strip_prefix(" 1 ")?));
        let last = stamps.filter_map(|line| stamp(line.strip_prefix("t ")?)).last();
        let clock = Clock::since(first.map(|first| last.unwrap_or(first)).into_iter(), daemon::clock::unix_seconds());
        let (mut entries, mut strange) = (0u64, 0u64);
        if first.is_some() {
            for line in lines::read(&bytes, &Cell::new(0)).skip(1).filter(|line| !line.starts_with("t ")) {
                let taken = take(&clock, line).is_some();
                entries += u64::from(taken);
                strange += u64::from(!taken);
            }
        }
        let lost = damaged.get() + strange;
        if !bytes.is_empty() && (lost > 0 || first.is_none()) {
            daemon::event!(Warning, "state_damaged", file = folder.join(name).display(), lines = lost, entries = entries);
        }
        // What comes next must not become part of a torn line.
        let due = (!bytes.is_empty()).then(Instant::now);
        Self { saver, name, clock, patience, waiting: Vec::new(), due, whole: 0, appended: 0, anew: true }
    }

    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Something has changed: a line that says so.
    pub fn note(&mut self, text: fmt::Arguments<'_>, now: Instant) {
        if self.waiting.len() >= MOST_WAITING {
            self.anew = true;
            self.waiting.clear();
        }
        lines::write(&mut self.waiting, text);
        if self.due.is_none() {
            self.due = Some(now.checked_add(self.patience).unwrap_or(now));
        }
    }

    /// When [`Journal::work`] is wanted.
    pub fn wake(&self) -> Option<Instant> {
        self.due
    }

    /// Hands over what is due. `all` writes everything that still counts.
    pub fn work(&mut self, now: Instant, all: impl FnOnce(&mut dyn FnMut(fmt::Arguments<'_>))) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        if self.saver.is_busy() {
            self.due = now.checked_add(GLANCE);
            return;
        }
        self.due = None;
        let piece = self.piece(all);
        if let Err(e) = self.saver.save(vec![piece]) {
            self.anew = true;
            daemon::event!(Warning, "state_not_saved", reason = e);
        }
    }

    /// The last that is written.
    pub fn finish(&mut self, all: impl FnOnce(&mut dyn FnMut(fmt::Arguments<'_>))) {
        if self.due.take().is_some() {
            let piece = self.piece(all);
            self.saver.finish(vec![piece]);
        }
    }

    fn piece(&mut self, all: impl FnOnce(&mut dyn FnMut(fmt::Arguments<'_>))) -> Piece {
        let Stamp { time, wall } = self.clock.stamp();
        let mut bytes = Vec::new();
        let anew = self.saver.has_failed() || self.anew || self.appended.saturating_add(self.waiting.len()) > self.whole.max(LEAST);
        if anew {
            (self.anew, self.appended) = (false, 0);
            self.waiting.clear();
            lines::write(&mut bytes, format_args!("zpost-{} 1 {} {wall}", self.name, time.as_millis()));
            all(&mut |text| lines::write(&mut bytes, text));
            self.whole = bytes.len();
            return Piece::Whole(self.name, bytes);
        }
        // The clock of the machine may have been set since.
        lines::write(&mut bytes, format_args!("t {} {wall}", time.as_millis()));
        bytes.append(&mut self.waiting);
        self.appended = self.appended.saturating_add(bytes.len());
        Piece::More(self.name, bytes)
    }
}

fn stamp(words: &str) -> Option<Stamp> {
    let (time, wall) = words.split_once(' ')?;
    Some(Stamp { time: Duration::from_millis(time.parse().ok()?), wall: wall.parse().ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs;

    /// Numbers by name, as a service would keep them.
    struct Kept {
        journal: Journal,
        numbers: BTreeMap<String, u64>,
    }

    impl Kept {
        fn open(folder: &Path) -> Self {
            let mut numbers = BTreeMap::new();
            let journal = Journal::open(folder, "numbers", Duration::ZERO, |_, line| {
                let (name, number) = line.split_once(' ')?;
                numbers.insert(name.to_owned(), number.parse().ok()?);
                Some(())
            });
            Self { journal, numbers }
        }

        fn put(&mut self, name: &str, number: u64) {
            self.numbers.insert(name.to_owned(), number);
            self.journal.note(format_args!("{name} {number}"), Instant::now());
        }

        fn work(&mut self) {
            let numbers = &self.numbers;
            self.journal.work(Instant::now(), |write| numbers.iter().for_each(|(name, number)| write(format_args!("{name} {number}"))));
        }

        /// Until nothing waits, as a loop with its wake-ups does.
        fn settle(&mut self) {
            while self.journal.wake().is_some() || self.journal.saver.is_busy() {
                self.work();
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn what_was_noted_is_there_after_an_end_without_warning() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3u64 {
            let mut kept = Kept::open(folder.path());
            assert_eq!(kept.numbers.len(), if round == 0 { 0 } else { 10 });
            assert!(kept.numbers.iter().all(|(_, number)| *number == round * 100));
            for step in 1..=100 {
                (0..10).for_each(|n| kept.put(&format!("n{n}"), round * 100 + step));
                kept.settle();
            }
            // Dropped: no last word.
        }
        let file = fs::metadata(folder.path().join("numbers")).unwrap().len();
        assert!(file < 2 * LEAST as u64 + 1000, "{file}");
    }

    #[test]
    fn a_file_grows_to_a_bound_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(folder.path());
        let mut largest = 0;
        for n in 0..20_000 {
            kept.put("one", n);
            if n % 50 == 0 {
                kept.settle();
                largest = largest.max(fs::metadata(folder.path().join("numbers")).unwrap().len());
            }
        }
        assert!(largest > LEAST as u64 / 2 && largest < LEAST as u64 + 8000, "{largest}");
        kept.settle();
        assert_eq!(Kept::open(folder.path()).numbers, BTreeMap::from([("one".to_owned(), 19_999)]));
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_no_memory_and_gets_the_whole_when_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::open(&folder.path().join("later"));
        for n in 0..200_000 {
            kept.put(&format!("n{}", n % 7), n);
            assert!(kept.journal.waiting.len() <= MOST_WAITING + 100);
        }
        kept.settle();
        fs::create_dir(folder.path().join("later")).unwrap();
        kept.put("last", 1);
        kept.settle();
        assert_eq!(Kept::open(&folder.path().join("later")).numbers, kept.numbers);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_out_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        fs::write(&path, [0xff; 500]).unwrap();
        let mut kept = Kept::open(folder.path());
        assert!(kept.numbers.is_empty());
        kept.settle();
        kept.put("a", 1);
        kept.settle();
        assert_eq!(Kept::open(folder.path()).numbers.len(), 1);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(Kept::open(folder.path()).numbers.is_empty(), "it cannot be read");
    }

    #[test]
    fn the_time_is_that_of_the_last_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let wall = daemon::clock::unix_seconds();
        let mut bytes = Vec::new();
        lines::write(&mut bytes, format_args!("zpost-numbers 1 5000 5"));
        // The clock of the machine was set by decades, while the process ran.
        lines::write(&mut bytes, format_args!("t 9000 {wall}"));
        fs::write(folder.path().join("numbers"), bytes).unwrap();
        let now = Kept::open(folder.path()).journal.clock().now();
        assert!(now >= Duration::from_secs(9) && now < Duration::from_secs(600), "{now:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_file_cut_short_gives_what_stood_before(cut in 0usize..600, bytes: Vec<u8>) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("numbers");
            let mut kept = Kept::open(folder.path());
            for n in 0..20 {
                kept.put(&format!("n{}", n % 3), n);
                kept.settle();
            }
            let mut file = fs::read(&path).unwrap();
            file.truncate(cut);
            file.extend(&bytes);
            fs::write(&path, file).unwrap();
            let mut next = Kept::open(folder.path());
            prop_assert!(next.numbers.iter().all(|(name, number)| *number <= kept.numbers.get(name).copied().unwrap_or(0)));
            next.put("new", 7);
            next.settle();
            let last = Kept::open(folder.path());
            prop_assert_eq!(last.numbers.get("new"), Some(&7));
        }
    }
}
