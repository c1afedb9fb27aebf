//! The message id: one name for a message from the 250 reply to the last log line.

use std::fmt;

/// `0-9a-z` without i, l, o, u, in ASCII order: so ids sort as text as their numbers do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TIME_DIGITS: usize = 11;
const LENGTH: usize = 16;
/// 55 bits of microseconds: until the year 3111.
const MAX_TIME: u64 = (1 << 55) - 1;
const SOURCE_MASK: u32 = (1 << 25) - 1;

/// 16 characters of `0-9a-z` without i, l, o, u: 11 of microseconds since 1970, 5 that are the source's own
/// (a random start, so ids stay unique across processes, restarts and clock jumps). Sorts by time as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; LENGTH]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a message id")
    }
}

impl std::error::Error for IdError {}

/// Makes ids: never the same twice, never smaller than the last one of this source.
///
/// The source's part stays the same for life: two sources with different parts can then never make the same id, where
/// a part that changed with each id would meet the other's sooner or later.
#[derive(Debug)]
pub struct IdSource {
    source: u32,
    last: u64,
}

impl IdSource {
    /// `seed` is random for each process or thread.
    pub fn new(seed: u32) -> Self {
        // Both halves of the seed count, should only some of its bits be random.
        Self { source: (seed ^ (seed >> 25)) & SOURCE_MASK, last: 0 }
    }

    /// `unix_micros`: the wall clock now. A clock that went back yields last + 1.
    pub fn next(&mut self, unix_micros: u64) -> MessageId {
        self.last = unix_micros.max(self.last.saturating_add(1)).min(MAX_TIME);
        MessageId::new(self.last, self.source)
    }
}

impl MessageId {
    fn new(time: u64, source: u32) -> Self {
        let mut text = [0; LENGTH];
        let mut number = (u128::from(time) << 25) | u128::from(source);
        for place in text.iter_mut().rev() {
            *place = ALPHABET.get((number & 31) as usize).copied().unwrap_or(b'0');
            number >>= 5;
        }
        Self(text)
    }

    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| IdError)?;
        if bytes.iter().all(|b| ALPHABET.contains(b)) { Ok(Self(bytes)) } else { Err(IdError) }
    }

    pub fn as_str(&self) -> &str {
        // Only characters of the alphabet ever get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The wall clock that the id was made at.
    pub fn unix_micros(&self) -> u64 {
        let digit = |b: &u8| ALPHABET.iter().position(|a| a == b).unwrap_or(0) as u64;
        self.0.iter().take(TIME_DIGITS).fold(0, |time, b| (time << 5) | digit(b))
    }

    /// 0..=63: the hash folder of this message, from the low bits of the time.
    pub fn hash(&self) -> u8 {
        (self.unix_micros() & 63) as u8
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_ids_are_ids() {
        for bad in
            ["", "0123456789abcde", "0123456789abcdefg", "0123456789abcdEf", "0123456789abcdei", "../456789abcdefg", "０123456789abc"]
        {
            assert_eq!(MessageId::parse(bad), Err(IdError), "{bad}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_double() {
        let mut source = IdSource::new(7);
        let ids: Vec<MessageId> = [100, 100, 5, 0, 101, 102, 200, u64::MAX, 3].iter().map(|t| source.next(*t)).collect();
        assert!(ids.windows(2).take(7).all(|w| w[0] < w[1]), "{ids:?}");
    }

    proptest! {
        #[test]
        fn round_trip(time in 0..=MAX_TIME, seed: u32) {
            let id = IdSource::new(seed).next(time);
            prop_assert_eq!(id.unix_micros(), time.max(1));
            prop_assert_eq!(MessageId::parse(id.as_str()), Ok(id));
            prop_assert!(id.hash() < 64);
        }

        #[test]
        fn sorts_by_time(a in 1..MAX_TIME, b in 1..MAX_TIME, seeds: (u32, u32)) {
            prop_assume!(a != b);
            let (x, y) = (IdSource::new(seeds.0).next(a), IdSource::new(seeds.1).next(b));
            prop_assert_eq!(x.as_str() < y.as_str(), a < b);
        }
    }
}
