//! Constant databases (D. J. Bernstein's cdb): a file of records with an index, read in place and never changed.
//!
//! **Invariant:** nothing but the header of a file is kept in memory; whatever bytes a file holds, a look-up ends with a
//! record, with none, or with an error. Files are made record by record, with 8 bytes of memory for each.
//!
//! The form: 256 places and sizes of hash tables (2048 bytes), the records (lengths of key and value, key, value), the hash
//! tables (hash and place of a record, twice as many slots as records). All numbers are 32 bits, little-endian, so a file
//! ends below 4 GiB.

mod find;
mod make;

pub use find::{Reader, find};
pub use make::{Maker, TooLarge, make};

use std::io;

/// A file that can be read anywhere.
pub trait Bytes: Send + Sync {
    /// Reads from this place of the file on, at most as much as fits; 0: the file ends there or before.
    fn read_some_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Fills the buffer from this place of the file on.
    fn read_at(&self, mut place: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_some_at(place, buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = buffer.get_mut(read..).unwrap_or_default();
                    place = place.saturating_add(read as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Bytes for std::fs::File {
    fn read_some_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, place)
    }
}

impl Bytes for Vec<u8> {
    fn read_some_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(place).ok().and_then(|from| self.get(from..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
}

/// 256 places and sizes of hash tables.
const HEADER: usize = 2048;
/// A value beyond this is damage: nothing here writes one.
pub const LONGEST: u32 = 64 * 1024;

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
}

/// Two numbers at a place of the bytes.
fn pair(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    let (one, other) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*one), u32::from_le_bytes(other.try_into().ok()?)))
}
