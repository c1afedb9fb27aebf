//! Writing a file: records as they come, then the hash tables, then the header.

use crate::{HEADER, LONGEST, hash};
use std::fmt;
use std::io::{self, Seek, SeekFrom, Write};

/// Records with one hash, so most likely with one key: putting each into its place takes as many steps.
const MOST_ALIKE: usize = 1000;

/// What does not fit: a file of 4 GiB, a value of 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much for one file of 4 GiB, or a value over 64 KiB")
    }
}

impl std::error::Error for TooLarge {}

impl From<TooLarge> for io::Error {
    fn from(error: TooLarge) -> Self {
        Self::new(io::ErrorKind::FileTooLarge, error)
    }
}

/// A file in the making. Of records with one key, the first is found.
#[derive(Debug)]
pub struct Maker<W> {
    out: W,
    /// Where the next record goes.
    end: u32,
    /// Hash and place, in the order in which they came.
    tables: Vec<Vec<(u32, u32)>>,
}

impl<W: Write + Seek> Maker<W> {
    /// `out`: empty, and best buffered.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; HEADER])?;
        Ok(Self { out, end: HEADER as u32, tables: vec![Vec::new(); 256] })
    }

    /// The place of the record, by which [`Maker::finish`] speaks of it.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<u32> {
        let key_length = u32::try_from(key.len()).map_err(|_| TooLarge)?;
        let length = u32::try_from(value.len()).ok().filter(|length| *length <= LONGEST).ok_or(TooLarge)?;
        let place = self.end;
        let size = key_length.checked_add(length).and_then(|size| size.checked_add(8));
        self.end = size.and_then(|size| place.checked_add(size)).ok_or(TooLarge)?;
        self.out.write_all(&key_length.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(key)?;
        self.out.write_all(value)?;
        let hash = hash(key);
        self.tables.get_mut((hash & 0xff) as usize).ok_or(TooLarge)?.push((hash, place));
        Ok(place)
    }

    /// Writes the index. Each pair is two places (of the first and of a later record) whose keys may be the same, for they
    /// have one hash; there are few others.
    pub fn finish(mut self) -> io::Result<(W, Vec<(u32, u32)>)> {
        let (mut header, mut alike) = (Vec::with_capacity(HEADER), Vec::new());
        for table in std::mem::take(&mut self.tables) {
            let many = || io::Error::new(io::ErrorKind::InvalidInput, format!("more than {MOST_ALIKE} records with one key"));
            let slots = place(&table, &mut alike).ok_or_else(many)?;
            let count = u32::try_from(slots.len()).map_err(|_| TooLarge)?;
            header.extend_from_slice(&self.end.to_le_bytes());
            header.extend_from_slice(&count.to_le_bytes());
            self.end = count.checked_mul(8).and_then(|size| self.end.checked_add(size)).ok_or(TooLarge)?;
            for (hash, place) in slots {
                self.out.write_all(&hash.to_le_bytes())?;
                self.out.write_all(&place.to_le_bytes())?;
            }
        }
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()?;
        Ok((self.out, alike))
    }
}

/// The slots of one hash table; `None`: too many records with one hash.
fn place(table: &[(u32, u32)], alike: &mut Vec<(u32, u32)>) -> Option<Vec<(u32, u32)>> {
    let count = table.len().saturating_mul(2);
    let mut slots = vec![(0, 0); count];
    for (hash, place) in table {
        let mut at = (*hash >> 8) as usize % count;
        let before = alike.len();
        while let Some((there, first)) = slots.get(at).filter(|(_, place)| *place != 0) {
            if there == hash {
                alike.push((*first, *place));
            }
            at = (at + 1) % count;
        }
        if alike.len() - before > MOST_ALIKE {
            return None;
        }
        if let Some(slot) = slots.get_mut(at) {
            *slot = (*hash, *place);
        }
    }
    Some(slots)
}

/// A whole file in memory.
pub fn make<'a>(records: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Vec<u8>, TooLarge> {
    let mut maker = Maker::new(io::Cursor::new(Vec::new())).map_err(|_| TooLarge)?;
    for (key, value) in records {
        maker.add(key, value).map_err(|_| TooLarge)?;
    }
    maker.finish().map(|(out, _)| out.into_inner()).map_err(|_| TooLarge)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{Bytes, Reader, find};
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Gives a byte at a time, as a system may.
    struct Slow(Vec<u8>);

    impl Bytes for Slow {
        fn read_some_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read_some_at(place, &mut buffer[..length])
        }
    }

    /// Counts reads.
    struct Counted(Vec<u8>, std::sync::atomic::AtomicUsize);

    impl Bytes for Counted {
        fn read_some_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.0.read_some_at(place, buffer)
        }
    }

    #[test]
    fn a_look_up_reads_twice_and_of_an_absent_key_mostly_once() {
        let keys: Vec<String> = (0..20_000).map(|n| format!("user{n}@example.org")).collect();
        let file = make(keys.iter().map(|key| (key.as_bytes(), &b"someone@example.com"[..]))).unwrap();
        let reader = Reader::new(Counted(file, 0.into())).unwrap();
        let reads = |suffix: &str| {
            let before = reader.file.1.load(std::sync::atomic::Ordering::Relaxed);
            for key in &keys {
                assert_eq!(reader.find(format!("{key}{suffix}").as_bytes()).unwrap().is_some(), suffix.is_empty());
            }
            (reader.file.1.load(std::sync::atomic::Ordering::Relaxed) - before) as f64 / keys.len() as f64
        };
        let (found, absent) = (reads(""), reads("x"));
        assert!(found < 2.1 && absent < 1.1, "{found} {absent}");
    }

    type Records = HashMap<Vec<u8>, Vec<u8>>;

    fn file(records: &Records) -> Vec<u8> {
        make(records.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))).unwrap()
    }

    #[test]
    fn the_first_of_two_is_found_and_both_are_told() {
        let mut maker = Maker::new(io::Cursor::new(Vec::new())).unwrap();
        let first = maker.add(b"joe", b"one").unwrap();
        maker.add(b"jane", b"x").unwrap();
        let second = maker.add(b"joe", b"two").unwrap();
        assert!(maker.add(b"long", &vec![b'x'; LONGEST as usize + 1]).is_err());
        let (out, alike) = maker.finish().unwrap();
        assert_eq!(alike, [(first, second)]);
        assert_eq!(find(&out.into_inner(), b"joe").unwrap(), Some(b"one".to_vec()));
    }

    #[test]
    fn one_key_again_and_again_is_an_error_and_not_a_long_wait() {
        let mut maker = Maker::new(io::Cursor::new(Vec::new())).unwrap();
        for _ in 0..100_000 {
            maker.add(b"joe", b"").unwrap();
        }
        assert!(maker.finish().unwrap_err().to_string().contains("one key"));
    }

    #[test]
    fn what_is_no_such_file_is_an_error() {
        assert!(Reader::new(b"joe jane\n".to_vec()).is_err());
        let text = Reader::new(b"joe jane\n".repeat(1000)).unwrap();
        assert!((0..100).any(|n: u8| text.find(&[n]).is_err()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_file_answers_as_a_map_would(
            records in prop::collection::hash_map(prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..500), 0..200),
            other in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let file = file(&records);
            let slow = Slow(file.clone());
            let reader = Reader::new(file.clone()).unwrap();
            for key in records.keys().chain([&other]) {
                let wanted = records.get(key).cloned();
                prop_assert_eq!(&reader.find(key).unwrap(), &wanted);
                prop_assert_eq!(&find(&file, key).unwrap(), &wanted);
                prop_assert_eq!(&find(&slow, key).unwrap(), &wanted);
            }
        }

        #[test]
        fn any_bytes_harm_nobody(mut file in prop::collection::vec(any::<u8>(), 2048..4096), key in "[a-z]{0,5}", small in any::<bool>()) {
            if small {
                // Places within the file, so that more than the header is looked at.
                for at in (0..2048).step_by(8) {
                    file[at..at + 8].copy_from_slice(&[0, (at % 16) as u8, 0, 0, 3, 0, 0, 0]);
                }
            }
            let _ = find(&file, key.as_bytes());
            let _ = Reader::new(file).unwrap().find(key.as_bytes());
        }
    }
}
