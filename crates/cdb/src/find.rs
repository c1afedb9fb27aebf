//! Finding a record: the header's entry, slots of one hash table, the record.

use crate::{Bytes, HEADER, LONGEST, hash, pair};
use std::fmt;
use std::io;

/// Slots read at a time: a table is half full, so nearly every search ends within them.
const SLOTS: usize = 8;
/// Bytes of a value that come with its key in one read.
const VALUE: usize = 192;

/// A file whose header is in memory: a look-up reads twice, of a key that is not there mostly once.
pub struct Reader<B> {
    pub(crate) file: B,
    header: Box<[u8; HEADER]>,
}

impl<B> fmt::Debug for Reader<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl<B: Bytes> Reader<B> {
    pub fn new(file: B) -> io::Result<Self> {
        let mut header = Box::new([0; HEADER]);
        file.read_at(0, &mut *header)?;
        Ok(Self { file, header })
    }

    /// The value of the first record of a key.
    pub fn find(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let hash = hash(key);
        let (table, slots) = pair(&*self.header, (hash & 0xff) as usize * 8).unwrap_or_default();
        search(&self.file, hash, table, slots, key)
    }
}

/// The value of the first record of a key, with nothing of the file in memory.
pub fn find(file: &dyn Bytes, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let hash = hash(key);
    let mut entry = [0; 8];
    file.read_at(u64::from(hash & 0xff) * 8, &mut entry)?;
    let (table, slots) = pair(&entry, 0).unwrap_or_default();
    search(file, hash, table, slots, key)
}

fn search(file: &dyn Bytes, hash: u32, table: u32, slots: u32, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    if slots == 0 {
        return Ok(None);
    }
    let (mut slot, mut seen) = ((hash >> 8) % slots, 0_u32);
    while seen < slots {
        let count = (slots - slot).min(slots - seen).min(SLOTS as u32);
        let mut buffer = [0; SLOTS * 8];
        let wanted = buffer.get_mut(..count as usize * 8).unwrap_or_default();
        file.read_at(u64::from(table) + u64::from(slot) * 8, wanted)?;
        for at in 0..count as usize {
            let (found, place) = pair(&buffer, at * 8).unwrap_or_default();
            if place == 0 {
                return Ok(None);
            }
            if found == hash
                && let Some(value) = record(file, u64::from(place), key)?
            {
                return Ok(Some(value));
            }
        }
        seen += count;
        slot = if slots - slot == count { 0 } else { slot + count };
    }
    Ok(None)
}

/// The value of the record at a place, if it is this key's.
fn record(file: &dyn Bytes, place: u64, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; key.len().saturating_add(8 + VALUE)];
    let read = file.read_some_at(place, &mut buffer)?;
    buffer.truncate(read);
    if read < 8 {
        buffer.resize(8, 0);
        file.read_at(place, &mut buffer)?;
    }
    let (key_length, length) = pair(&buffer, 0).unwrap_or_default();
    if key_length as usize != key.len() {
        return Ok(None);
    }
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
    }
    let start = 8 + key.len();
    match buffer.get(8..start) {
        Some(found) if found == key => {}
        Some(_) => return Ok(None),
        // A short read: the system may give less than is there.
        None => return slowly(file, place + 8, key, length),
    }
    let mut value = vec![0; length as usize];
    let had = buffer.get(start..).unwrap_or_default();
    let had = had.get(..value.len().min(had.len())).unwrap_or_default();
    let (first, rest) = value.split_at_mut(had.len());
    first.copy_from_slice(had);
    if !rest.is_empty() {
        file.read_at(place + (start + had.len()) as u64, rest)?;
    }
    Ok(Some(value))
}

fn slowly(file: &dyn Bytes, place: u64, key: &[u8], length: u32) -> io::Result<Option<Vec<u8>>> {
    let mut found = vec![0; key.len()];
    file.read_at(place, &mut found)?;
    if found != key {
        return Ok(None);
    }
    let mut value = vec![0; length as usize];
    file.read_at(place + key.len() as u64, &mut value)?;
    Ok(Some(value))
}
