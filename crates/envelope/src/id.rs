//! The message id: one name for a message from the 250 reply to the last log line.

use std::fmt;

/// 16 characters of `0-9a-z` without i, l, o, u: 11 of microseconds since 1970, 5 that are the source's own
/// (a random start, so ids stay unique across processes, restarts and clock jumps). Sorts by time as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId([u8; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

/// Makes ids: never the same twice, never smaller than the last one of this source.
#[derive(Debug)]
pub struct IdSource {
    _todo: (),
}
impl IdSource {
    /// `seed` is random for each process or thread.
    pub fn new(seed: u32) -> Self { let _ = seed; todo!() }
    /// `unix_micros`: the wall clock now. A clock that went back yields last + 1.
    pub fn next(&mut self, unix_micros: u64) -> MessageId { let _ = unix_micros; todo!() }
}
impl MessageId {
    pub fn parse(text: &str) -> Result<Self, IdError> { let _ = text; todo!() }
    pub fn as_str(&self) -> &str { todo!() }
    /// The wall clock that the id was made at.
    pub fn unix_micros(&self) -> u64 { todo!() }
    /// 0..=63: the hash folder of this message, from the low bits of the time.
    pub fn hash(&self) -> u8 { todo!() }
}
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
}
impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
}
