//! What is remembered of failures beyond the end of the process: whoever can make it end must not be rid of a lock. Every
//! change is appended to `authserver/failures` of the postoffice, and is with the thread that writes before the client is
//! answered; see `statefile::Journal`.
//!
//! ```text
//! a ADDRESS SINCE COUNT LOCKED      milliseconds of the clock; - for not locked
//! n NETWORK SINCE COUNT LOCKED
//! u USER SINCE COUNT LOCKED
//! ```

use crate::failures::{Consequence, Failures, Limits, MOST_NAME, Record, Subject};
use statefile::{Journal, lines};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Failures, kept.
#[derive(Debug)]
pub struct Memory {
    failures: Failures,
    journal: Journal,
}

impl Memory {
    /// What the folder holds of those before us.
    pub fn open(folder: &Path, limits: &Limits) -> Self {
        let mut failures = Failures::default();
        let journal = Journal::open(folder, "failures", Duration::ZERO, |clock, line| {
            let (subject, record) = parse(line)?;
            failures.restore(subject, record, limits, clock.now());
            Some(())
        });
        Self { failures, journal }
    }

    /// Is this client, or this user, locked out now?
    pub fn is_locked(&self, address: IpAddr, user: Option<&str>, now: Instant) -> bool {
        self.failures.is_locked(address, user, self.journal.clock().at(now))
    }

    /// Counts a failed login, and has it written.
    pub fn count(&mut self, address: IpAddr, user: Option<&str>, limits: &Limits, now: Instant) -> Consequence {
        let consequence = self.failures.count(address, user, limits, self.journal.clock().at(now));
        for (subject, record) in self.failures.of(address, user) {
            self.journal.note(format_args!("{}", Line(&subject, &record)), now);
        }
        self.work(limits, now);
        consequence
    }

    /// Writes what waits for the disk.
    pub fn work(&mut self, limits: &Limits, now: Instant) {
        let (failures, time) = (&self.failures, self.journal.clock().at(now));
        self.journal.work(now, |write| all(failures, limits, time, write));
    }

    pub fn wake(&self) -> Option<Instant> {
        self.journal.wake()
    }

    pub fn finish(&mut self, limits: &Limits) {
        let (failures, time) = (&self.failures, self.journal.clock().now());
        self.journal.finish(|write| all(failures, limits, time, write));
    }
}

fn all(failures: &Failures, limits: &Limits, time: Duration, write: &mut dyn FnMut(fmt::Arguments<'_>)) {
    failures.all(limits.window, time).for_each(|(subject, record)| write(format_args!("{}", Line(subject, record))));
}

struct Line<'a>(&'a Subject, &'a Record);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(subject, record) = self;
        match subject {
            Subject::Address(address) => write!(f, "a {address}")?,
            Subject::Network(network) => write!(f, "n {network}")?,
            Subject::User(name) => write!(f, "u {}", lines::escape(name))?,
        }
        write!(f, " {} {} ", record.since.as_millis(), record.count)?;
        match record.locked {
            Some(until) => write!(f, "{}", until.as_millis()),
            None => f.write_str("-"),
        }
    }
}

fn parse(line: &str) -> Option<(Subject, Record)> {
    let mut words = line.split(' ');
    let (kind, name) = (words.next()?, words.next()?);
    let subject = match kind {
        "a" => Subject::Address(name.parse().ok()?),
        "n" => Subject::Network(name.parse().ok()?),
        "u" => Subject::User(lines::unescape(name).filter(|name| name.len() <= MOST_NAME)?),
        _ => return None,
    };
    let mut number = || words.next()?.parse::<u64>().ok();
    let (since, count) = (Duration::from_millis(number()?), u32::try_from(number()?).ok()?);
    let locked = match words.next()? {
        "-" => None,
        until => Some(Duration::from_millis(until.parse().ok()?)),
    };
    words.next().is_none().then_some((subject, Record { since, count, locked }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::failures::tests::{self as failures, address};
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { per_network: None, per_user: Some(2), ..failures::LIMITS };

    fn settle(memory: &mut Memory) {
        while memory.wake().is_some() {
            memory.work(&LIMITS, Instant::now());
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_lock_outlives_the_process_however_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path(), &LIMITS);
        (0..2).for_each(|_| drop(memory.count(address(1), Some("tim o\u{7f}"), &LIMITS, Instant::now())));
        settle(&mut memory);
        // No end: the thread that writes takes what it was given, and that is all.
        drop(memory);
        let read = || Memory::open(folder.path(), &LIMITS);
        let now = Instant::now();
        while !read().is_locked(address(9), Some("TIM O\u{7f}"), now) {
            assert!(now.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        assert!(!read().is_locked(address(1), None, now));
        let mut next = read();
        assert_eq!(next.count(address(1), None, &LIMITS, now).locked, ["address"], "its third");
        next.finish(&LIMITS);
        assert!(read().is_locked(address(1), None, now));
    }

    proptest! {
        #[test]
        fn lines_are_read_as_they_are_written(name in ".{0,300}", since in 0u64..1 << 50, count: u32, until in proptest::option::of(0u64..1 << 50), last: u8) {
            let locked = until.map(Duration::from_millis);
            let record = Record { since: Duration::from_millis(since), count, locked };
            for subject in [Subject::user(&name), Subject::Address(address(last)), Subject::Network(address(last))] {
                prop_assert_eq!(parse(&Line(&subject, &record).to_string()), Some((subject, record.clone())));
            }
        }

        #[test]
        fn any_line_is_read(line in "[anux]( [a-z0-9:.%-]{0,20}){0,6}") {
            let _ = parse(&line);
        }
    }
}
