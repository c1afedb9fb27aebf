//! Text dialogues: what a client sends and what a server must answer, byte for byte, run against a real server.
//!
//! The format is in `tests/dialogues/README.md`. A [`Script`] is run over a `Wire` with its bytes cut in several
//! ways ([`Cut`]): whatever the pieces, the answers are the same. [`run::play`] plays one script at any server and gives
//! what differed; [`crew`] plays a folder of them at a suite and looks at what was delivered.

pub mod crew;
mod pattern;
pub mod run;
mod script;
mod wire;

pub use run::{Difference, Played};
pub use script::Script;

/// How the client's bytes are cut into writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Each group in one piece.
    Whole,
    /// Byte by byte.
    Bytes,
    /// At random places, the same ones for the same seed.
    Random(u64),
}

impl Cut {
    /// The ways every dialogue is run.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Bytes, Self::Random(7), Self::Random(20_261)];

    /// Distinguishes runs of one dialogue: part of the names of its recipients.
    pub const fn letter(self) -> char {
        match self {
            Self::Whole => 'w',
            Self::Bytes => 'b',
            Self::Random(seed) if seed < 100 => 'q',
            Self::Random(_) => 'r',
        }
    }

    /// The pieces of one group of bytes.
    pub fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::Bytes => bytes.chunks(1).collect(),
            Self::Random(seed) => {
                // xorshift64: all that is wanted is the same cuts every time.
                let (mut state, mut rest, mut pieces) = (seed | 1, bytes, Vec::new());
                let most = (bytes.len() / 200).max(24);
                while !rest.is_empty() {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let length = 1 + usize::try_from(state >> 33).unwrap_or(0) % most;
                    let (piece, after) = rest.split_at(length.min(rest.len()));
                    pieces.push(piece);
                    rest = after;
                }
                pieces
            }
        }
    }
}
