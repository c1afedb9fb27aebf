//! The checksum of a control file's fixed part: against torn and half-written files, not against forgers (who cannot
//! write there).

/// FNV-1a's recipe on eight bytes at a time, with the high half folded down after each step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in one line. Its length counts as well, so text cannot move from one line to the next.
    pub fn line(&mut self, line: &[u8]) {
        self.word(line.len() as u64);
        for chunk in line.chunks(8) {
            self.word(chunk.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
        }
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3 | 1 << 63 | 1 << 47);
        self.0 ^= self.0 >> 32;
    }

    pub const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(lines: &[&[u8]]) -> u64 {
        let mut sum = Checksum::new();
        lines.iter().for_each(|line| sum.line(line));
        sum.value()
    }

    /// Control files outlive an upgrade: the value for a text must never change.
    #[test]
    fn stays_what_it_is() {
        assert_eq!(of(&[b"i 0123456789abcdef", b"z 0"]), 0xdee6_0e0b_a68d_fb70);
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a\0"]), of(&[b"a"]));
    }

    proptest! {
        #[test]
        fn one_changed_byte_shows(mut line in proptest::collection::vec(any::<u8>(), 1..64), at: prop::sample::Index, bits in 1u8..) {
            let before = of(&[&line]);
            let at = at.index(line.len());
            line[at] ^= bits;
            prop_assert_ne!(of(&[&line]), before);
        }
    }
}
