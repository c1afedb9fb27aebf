//! A simple mutator: what a fuzzer without feedback does.

use super::model::{CUT, WORD};

pub struct Mutator<'c> {
    state: u64,
    corpus: &'c [Vec<u8>],
}

impl<'c> Mutator<'c> {
    pub fn new(seed: u64, corpus: &'c [Vec<u8>]) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, corpus }
    }

    /// xorshift64*
    fn random(&mut self, below: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % below.max(1)
    }

    pub fn next(&mut self) -> Vec<u8> {
        let at = self.random(self.corpus.len());
        let mut input = self.corpus[at].clone();
        for _ in 0..=self.random(6) {
            self.change(&mut input);
        }
        input.truncate(4096);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random(input.len() + 1);
        let length = self.random(24).min(input.len() - at);
        match self.random(9) {
            0 => drop(input.drain(at..at + length)),
            1 => {
                let copy = input[at..at + length].to_vec();
                input.splice(at..at, copy);
            }
            2 => {
                let byte = u8::try_from(self.random(256)).unwrap();
                input.insert(at, byte);
            }
            3 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random(8);
                }
            }
            4 => {
                let byte = [b'\r', b'\n', b'.', 0, b' ', b':'][self.random(6)];
                input.insert(at, byte);
            }
            5 => input.insert(at, CUT),
            6 | 7 => {
                let word = u8::try_from(self.random(256)).unwrap();
                input.splice(at..at, [WORD, word]);
            }
            _ => {
                let other = &self.corpus[self.random(self.corpus.len())];
                let from = self.random(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
}
