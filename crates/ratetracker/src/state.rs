//! The counts as a file, and back. Lines as in `lines`:
//!
//! ```text
//! zpost-rates 1 TIME WALL SLOT SLOTS SEED SEED CHECK WIDTH     milliseconds, Unix seconds, milliseconds; see `sketch`
//! e KIND SUBJECT LAST SLOT:COLUMN:COUNT ...                    a key; estimated counts end in ~
//! s SLOT PLACE:COUNT ...                                       cells of a sketch
//! ```
//! Counts of other windows are not taken over, nor are sketches of another seed, width or hash.

use crate::keys::Key;
use crate::sketch::Seed;
use crate::table::{Cell, Entry, Table};
use statefile::Stamp;
use statefile::lines;
use std::cell::Cell as Counter;
use std::fmt::Write as _;
use std::time::Duration;

/// Cells of a sketch in a line.
const PER_LINE: usize = 500;
/// Longest list of words that is read of a line.
const MOST_WORDS: usize = 2000;

/// What a file gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub stamp: Option<Stamp>,
    /// Keys, triplets or clients.
    pub entries: usize,
    /// Lines that were not whole.
    pub damaged: u64,
}

pub fn write(table: &Table, stamp: Stamp) -> Vec<u8> {
    let mut out = Vec::new();
    let (Seed([a, b]), check) = (table.seed, table.seed.check());
    let (slot, slots, width) = (table.slot.as_millis(), table.slots, table.width);
    lines::write(
        &mut out,
        format_args!("zpost-rates 1 {} {} {slot} {slots} {a:016x} {b:016x} {check:016x} {width}", stamp.time.as_millis(), stamp.wall),
    );
    let (entries, sketches, current) = table.parts();
    let mut cells = String::new();
    for (key, entry) in entries {
        cells.clear();
        for cell in &entry.cells {
            let number = current.saturating_sub(u64::from(crate::table::age_of(cell, current)));
            let mark = if cell.estimated { "~" } else { "" };
            let _ = write!(cells, " {number}:{}:{}{mark}", cell.kind, cell.count);
        }
        lines::write(&mut out, format_args!("e {} {} {}{cells}", key.kind(), lines::escape(&key.to_string()), entry.last));
    }
    for (number, sketch) in sketches {
        let filled: Vec<(usize, u32)> = sketch.filled().collect();
        for part in filled.chunks(PER_LINE) {
            cells.clear();
            for (place, count) in part {
                let _ = write!(cells, " {place}:{count}");
            }
            lines::write(&mut out, format_args!("s {number}{cells}"));
        }
    }
    out
}

/// Puts what a file says into an empty table. Anything may be in the file.
pub fn read(bytes: &[u8], table: &mut Table) -> Loaded {
    let mut loaded = Loaded::default();
    let damaged = Counter::new(0);
    let mut lines = lines::read(bytes, &damaged);
    if let Some(head) = lines.next().and_then(Head::read) {
        loaded.stamp = Some(head.stamp);
        if (head.slot, head.slots) == (table.slot, table.slots) {
            table.advance(head.stamp.time);
            let sketches = head.width == table.width && head.seed.check() == head.check;
            if sketches {
                table.seed = head.seed;
            }
            loaded.entries = lines.filter(|line| take(line, table, sketches) == Some(true)).count();
        }
    }
    loaded.damaged = damaged.get();
    loaded
}

struct Head {
    stamp: Stamp,
    slot: Duration,
    slots: u32,
    seed: Seed,
    check: u64,
    width: usize,
}

impl Head {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("zpost-rates 1 ")?.split(' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let stamp = Stamp { time: Duration::from_millis(number()?), wall: number()? };
        let (slot, slots) = (Duration::from_millis(number()?), u32::try_from(number()?).ok()?);
        let mut hex = || u64::from_str_radix(words.next()?, 16).ok();
        let (seed, check) = (Seed([hex()?, hex()?]), hex()?);
        Some(Self { stamp, slot, slots, seed, check, width: words.next()?.parse().ok()? })
    }
}

/// `Some(true)`: it was a key.
fn take(line: &str, table: &mut Table, sketches: bool) -> Option<bool> {
    let mut words = line.split(' ').take(MOST_WORDS);
    match words.next()? {
        "e" => {
            let key = Key::parse(words.next()?, &lines::unescape(words.next()?)?)?;
            let last = words.next()?.parse().ok()?;
            let cells = words.map(|word| cell(word, sketches)).collect::<Option<Vec<Cell>>>()?;
            table.restore(key, Entry { cells, last });
            Some(true)
        }
        "s" if sketches => {
            let number = words.next()?.parse().ok()?;
            for word in words {
                let (place, count) = word.split_once(':')?;
                table.restore_sketch(number, place.parse().ok()?, count.parse().ok()?);
            }
            Some(false)
        }
        _ => None,
    }
}

/// What was credited by sketches that we do not have counts as counted.
fn cell(word: &str, sketches: bool) -> Option<Cell> {
    let (word, estimated) = word.strip_suffix('~').map_or((word, false), |word| (word, true));
    let mut parts = word.splitn(3, ':');
    let number: u64 = parts.next()?.parse().ok()?;
    let (kind, count) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Cell { slot: crate::table::low(number), count, kind, estimated: estimated && sketches })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use ipc::rates::Kind;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn table(most: usize) -> Table {
        Table::new(Duration::from_secs(80), 8, most, 64)
    }

    fn key(n: u32) -> Key {
        match n % 3 {
            0 => Key::user(&format!("user {n}%\n")),
            1 => Key::domain(&format!("d{n}.example")),
            _ => Key::Address(IpAddr::V4(Ipv4Addr::from(n))),
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const KINDS: [Kind; 3] = [Kind::Message, Kind::Recipient, Kind::Excess];

    fn filled(most: usize, steps: &[(u32, usize, u32, u64)]) -> (Table, Duration) {
        let (mut table, mut now) = (table(most), 1_000);
        for (who, kind, count, later) in steps {
            now += later;
            table.add(&key(*who), KINDS[kind % 3], *count, at(now));
        }
        (table, at(now))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            most in 1usize..30,
            steps in proptest::collection::vec((0u32..40, 0usize..3, 0u32..1000, 0u64..20), 0..100),
        ) {
            let (mut before, now) = filled(most, &steps);
            let bytes = write(&before, Stamp { time: now, wall: 5 });
            let mut after = table(most);
            let loaded = read(&bytes, &mut after);
            prop_assert_eq!(loaded.damaged, 0);
            prop_assert_eq!(loaded.stamp, Some(Stamp { time: now, wall: 5 }));
            for who in 0..40 {
                for kind in KINDS {
                    prop_assert_eq!(before.sum(&key(who), kind, now), after.sum(&key(who), kind, now));
                    prop_assert_eq!(before.sum(&key(who), kind, now + at(30)), after.sum(&key(who), kind, now + at(30)));
                }
            }
        }

        #[test]
        fn a_file_cut_short_gives_no_more_than_was_counted(
            steps in proptest::collection::vec((0u32..40, 0usize..3, 0u32..1000, 0u64..20), 1..100),
            cut in 0usize..4000,
        ) {
            let (mut before, now) = filled(1000, &steps);
            let mut bytes = write(&before, Stamp { time: now, wall: 5 });
            bytes.truncate(cut);
            let mut after = table(1000);
            let loaded = read(&bytes, &mut after);
            prop_assert!(loaded.damaged <= 1);
            for who in 0..40 {
                prop_assert!(after.sum(&key(who), Kind::Message, now) <= before.sum(&key(who), Kind::Message, now));
            }
        }

        #[test]
        fn any_whole_lines_are_read(texts in proptest::collection::vec("(e|s|zpost-rates 1)( [a-z0-9:~%@./-]{0,12}){0,12}", 0..20), raw: Vec<u8>) {
            let head = format!("zpost-rates 1 1000000 5 10000 8 {:016x} {:016x} {:016x} 64", 1, 2, Seed([1, 2]).check());
            let mut bytes = Vec::new();
            lines::write(&mut bytes, format_args!("{head}"));
            texts.iter().for_each(|text| lines::write(&mut bytes, format_args!("{text}")));
            bytes.extend(raw);
            let mut table = table(5);
            read(&bytes, &mut table);
            prop_assert!(table.len() <= 5 && table.sketched() <= 8 * 64 * 16);
        }
    }

    #[test]
    fn counts_of_another_window_are_left_out() {
        let (before, now) = filled(10, &[(1, 0, 5, 0)]);
        let bytes = write(&before, Stamp { time: now, wall: 5 });
        let mut other = Table::new(Duration::from_secs(90), 8, 10, 64);
        let loaded = read(&bytes, &mut other);
        assert_eq!((loaded.entries, loaded.damaged), (0, 0));
        assert!(loaded.stamp.is_some());
    }

    #[test]
    fn without_its_sketches_a_key_keeps_its_credit() {
        let (mut before, now) = filled(1, &[(1, 0, 5, 0), (2, 0, 5, 0), (1, 0, 1, 0)]);
        let sum = before.sum(&key(1), Kind::Message, now);
        assert!(sum >= 6);
        let bytes = write(&before, Stamp { time: now, wall: 5 });
        let mut other = Table::new(Duration::from_secs(80), 8, 1, 128);
        read(&bytes, &mut other);
        assert_eq!(other.sum(&key(1), Kind::Message, now), sum);
    }
}
