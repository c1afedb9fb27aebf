//! Lookup tables that another process answers for: the router and a `table-` process.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};

/// One key, looked up in one declared table, in the form in which it is tried: the process applies no forms of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    pub number: u64,
    /// `[[table]] name`
    pub table: String,
    /// At most [`LONGEST_KEY`] bytes, without control characters: the asker refuses others before they get here.
    pub key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedUp {
    pub number: u64,
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Its values, in the table's order: at most 64 KiB together.
    Found(Vec<String>),
    Absent,
    /// No answer now; the reason is for the log, and holds no text of the key's.
    Trouble(String),
}

/// Bytes of a key: what an address can have, with room.
pub const LONGEST_KEY: usize = 1024;
/// Bytes of all values of one answer.
pub const LONGEST_ANSWER: usize = 64 * 1024;

impl Frame for Lookup {
    const PROTOCOL: u8 = 0x64;
}
impl Frame for LookedUp {
    const PROTOCOL: u8 = 0x65;
}
