//! Counts in a sliding window: exact for those seen lately and often, estimated for the rest. Time is passed in.
//!
//! **Invariant:** what is said of a key is never below what was counted of it in the window. Who leaves the exact table
//! leaves its counts in the sketches, one for each slot of time; who comes back is credited with what they say, once: those
//! credits are marked and not put into the sketches again.

use crate::bounded::Bounded;
use crate::keys::Key;
use crate::sketch::{Seed, Sketch};
use ipc::rates::Kind;
use std::collections::VecDeque;
use std::time::Duration;

/// All kinds, in the order of columns.
pub const KINDS: [Kind; 6] = [Kind::Connection, Kind::Message, Kind::Recipient, Kind::FailedAuthentication, Kind::Abort, Kind::Excess];

/// What was counted of a kind in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Number of the slot, its low bits.
    pub slot: u32,
    pub count: u32,
    /// Column of the kind.
    pub kind: u8,
    /// From the sketch, where it still is.
    pub estimated: bool,
}

/// Of one key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub cells: Vec<Cell>,
    /// Seconds of the tracker's time.
    pub last: u32,
}

/// Counts of everybody; bounded.
#[derive(Debug)]
pub struct Table {
    entries: Bounded<Key, Entry>,
    /// Of slots in the window that somebody's counts were left in, the oldest first.
    sketches: VecDeque<(u64, Sketch)>,
    pub seed: Seed,
    pub width: usize,
    pub slots: u32,
    pub slot: Duration,
    /// The newest slot so far: time does not go back here.
    current: u64,
    pub evicted: u64,
}

pub const fn column(kind: Kind) -> u8 {
    match kind {
        Kind::Connection => 0,
        Kind::Message => 1,
        Kind::Recipient => 2,
        Kind::FailedAuthentication => 3,
        Kind::Abort => 4,
        Kind::Excess => 5,
    }
}

impl Table {
    /// `most`: keys; the window is cut into `slots`; `width`: cells in a row of a sketch.
    pub fn new(window: Duration, slots: u32, most: usize, width: usize) -> Self {
        let slots = slots.clamp(1, 1024);
        let slot = (window / slots).max(Duration::from_millis(1));
        Self { entries: Bounded::new(most), sketches: VecDeque::new(), seed: Seed::random(), width, slots, slot, current: 0, evicted: 0 }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the sketches.
    pub fn sketched(&self) -> usize {
        self.sketches.iter().map(|(_, sketch)| sketch.bytes()).sum()
    }

    /// Adds to a key's count and gives its sum over the window. `now`: since any fixed moment.
    pub fn add(&mut self, key: &Key, kind: Kind, count: u32, now: Duration) -> u64 {
        self.advance(now);
        if !self.entries.contains(key) {
            let entry = self.returning(key);
            if let Some((key, entry)) = self.entries.insert(key.clone(), entry) {
                self.leave(&key, &entry);
            }
            // A newcomer has no second chance before it is seen again.
        } else {
            self.entries.used(key);
        }
        let (slot, slots, kind) = (low(self.current), self.slots, column(kind));
        let Some(entry) = self.entries.get_mut(key) else { return u64::from(count) };
        entry.last = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        entry.cells.retain(|cell| age(cell, slot) < slots);
        match entry.cells.iter_mut().find(|cell| cell.slot == slot && cell.kind == kind && !cell.estimated) {
            Some(cell) => cell.count = cell.count.saturating_add(count),
            None if count > 0 => entry.cells.push(Cell { slot, count, kind, estimated: false }),
            None => {}
        }
        entry.sum(kind, slot, slots)
    }

    /// A key's sum over the window.
    pub fn sum(&mut self, key: &Key, kind: Kind, now: Duration) -> u64 {
        self.advance(now);
        let (slot, slots) = (low(self.current), self.slots);
        match self.entries.get(key) {
            Some(entry) => entry.sum(column(kind), slot, slots),
            None => self.returning(key).sum(column(kind), slot, slots),
        }
    }

    /// Sums of every kind, and when it was counted last, of each key counted exactly.
    pub fn rows(&mut self, now: Duration) -> impl Iterator<Item = (&Key, [u64; KINDS.len()], u32)> {
        self.advance(now);
        let (slot, slots) = (low(self.current), self.slots);
        self.entries.iter().map(move |(key, entry)| (key, sums(entry, slot, slots), entry.last))
    }

    /// What the sketches say of a key that is not counted exactly now.
    pub fn estimates(&mut self, key: &Key, now: Duration) -> Option<[u64; KINDS.len()]> {
        self.advance(now);
        if self.entries.contains(key) {
            return None;
        }
        Some(sums(&self.returning(key), low(self.current), self.slots))
    }

    /// Forgets what was counted of a key. It stays in the table, empty: coming back would bring its estimates back.
    pub fn forget(&mut self, key: &Key) {
        if let Some((key, entry)) = self.entries.insert(key.clone(), Entry::default()) {
            self.leave(&key, &entry);
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.sketches.clear();
    }

    /// Other bounds from now on. Sketches of another width are of no use.
    pub fn resize(&mut self, most: usize, width: usize) {
        if width != self.width {
            self.sketches.clear();
            self.width = width;
        }
        for (key, entry) in self.entries.resize(most) {
            self.leave(&key, &entry);
        }
    }

    /// Everything, for the state file. Keys with nothing in the window are left out.
    pub fn parts(&self) -> (impl Iterator<Item = (&Key, &Entry)>, impl Iterator<Item = &(u64, Sketch)>, u64) {
        let (slot, slots) = (low(self.current), self.slots);
        let entries = self.entries.iter().filter(move |(_, entry)| entry.cells.iter().any(|cell| age(cell, slot) < slots));
        (entries, self.sketches.iter(), self.current)
    }

    /// Puts back what a state file says of a key; the time must have been advanced to that of the file. Cells that are not
    /// in the window or of no kind are left out.
    pub fn restore(&mut self, key: Key, mut entry: Entry) {
        let (slot, slots) = (low(self.current), self.slots);
        entry.cells.retain(|cell| age(cell, slot) < slots && usize::from(cell.kind) < KINDS.len());
        entry.cells.truncate(KINDS.len().saturating_mul(slots as usize).saturating_mul(2));
        if let Some((key, entry)) = self.entries.insert(key, entry) {
            self.leave(&key, &entry);
        }
    }

    /// Puts a cell of a sketch back.
    pub fn restore_sketch(&mut self, number: u64, place: usize, count: u32) {
        if let Some(sketch) = self.sketch(number) {
            sketch.fill(place, count);
        }
    }

    /// Moves the window on.
    pub fn advance(&mut self, now: Duration) {
        let number = u64::try_from(now.as_millis() / self.slot.as_millis().max(1)).unwrap_or(u64::MAX);
        if number > self.current {
            self.current = number;
            let slots = u64::from(self.slots);
            while self.sketches.front().is_some_and(|(old, _)| number - old >= slots) {
                self.sketches.pop_front();
            }
        }
    }

    /// An entry for a key that is not in the table: what the sketches say of it.
    fn returning(&self, key: &Key) -> Entry {
        let mut entry = Entry::default();
        for (number, sketch) in &self.sketches {
            for kind in 0..KINDS.len() as u8 {
                let count = sketch.estimate(self.seed, &(key, kind));
                if count > 0 {
                    entry.cells.push(Cell { slot: low(*number), count, kind, estimated: true });
                }
            }
        }
        entry
    }

    /// The counts of one who has left go into the sketches.
    fn leave(&mut self, key: &Key, entry: &Entry) {
        self.evicted += 1;
        let (seed, current, slots) = (self.seed, self.current, self.slots);
        for cell in entry.cells.iter().filter(|cell| !cell.estimated) {
            let age = age(cell, low(current));
            if age < slots
                && let Some(sketch) = self.sketch(current.saturating_sub(u64::from(age)))
            {
                sketch.add(seed, &(key, cell.kind), cell.count);
            }
        }
    }

    /// The sketch of a slot; `None`: it is not in the window.
    fn sketch(&mut self, number: u64) -> Option<&mut Sketch> {
        if number > self.current || self.current - number >= u64::from(self.slots) {
            return None;
        }
        let at = self.sketches.partition_point(|(slot, _)| *slot < number);
        if self.sketches.get(at).is_none_or(|(slot, _)| *slot != number) {
            self.sketches.insert(at, (number, Sketch::new(self.width)));
        }
        self.sketches.get_mut(at).map(|(_, sketch)| sketch)
    }
}

impl Entry {
    fn sum(&self, kind: u8, slot: u32, slots: u32) -> u64 {
        self.cells.iter().filter(|cell| cell.kind == kind && age(cell, slot) < slots).map(|cell| u64::from(cell.count)).sum()
    }
}

fn sums(entry: &Entry, slot: u32, slots: u32) -> [u64; KINDS.len()] {
    let mut sums = [0; KINDS.len()];
    for (kind, sum) in (0..).zip(&mut sums) {
        *sum = entry.sum(kind, slot, slots);
    }
    sums
}

/// Slots since then, for one whose newest slot is `current`.
pub const fn age_of(cell: &Cell, current: u64) -> u32 {
    age(cell, low(current))
}

const fn age(cell: &Cell, slot: u32) -> u32 {
    slot.wrapping_sub(cell.slot)
}

#[allow(clippy::cast_possible_truncation, reason = "the low bits are meant")]
pub const fn low(number: u64) -> u32 {
    number as u32
}
