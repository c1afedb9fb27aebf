//! The file format of constant databases (D. J. Bernstein's cdb): what makes one, and what finds a record in one.

use std::io;

/// A file that can be read anywhere.
pub trait Bytes: Send + Sync {
    /// Fills the buffer from this place of the file on.
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Bytes for std::fs::File {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, place)
    }
}

impl Bytes for Vec<u8> {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(place).unwrap_or(usize::MAX);
        let end = from.checked_add(buffer.len());
        let part = end.and_then(|end| self.get(from..end)).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

/// 256 places and sizes of hash tables.
const HEADER: u64 = 2048;
/// A record beyond this is damage: nothing here writes one.
const LONGEST: u32 = 64 * 1024;

fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381_u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
}

/// The whole file; `None`: more than such a file can hold (4 GiB).
pub fn make<'a>(records: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Vec<u8>> {
    let mut out = vec![0; HEADER as usize];
    let mut tables: Vec<Vec<(u32, u32)>> = vec![Vec::new(); 256];
    for (key, value) in records {
        let place = u32::try_from(out.len()).ok()?;
        out.extend_from_slice(&u32::try_from(key.len()).ok()?.to_le_bytes());
        out.extend_from_slice(&u32::try_from(value.len()).ok().filter(|length| *length <= LONGEST)?.to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
        let hash = hash(key);
        tables.get_mut((hash & 0xff) as usize)?.push((hash, place));
    }
    let mut header = Vec::new();
    for table in &tables {
        let slots = table.len().checked_mul(2)?;
        header.extend_from_slice(&u32::try_from(out.len()).ok()?.to_le_bytes());
        header.extend_from_slice(&u32::try_from(slots).ok()?.to_le_bytes());
        let mut placed = vec![(0, 0); slots];
        for (hash, place) in table {
            let mut slot = (*hash >> 8) as usize % slots;
            while placed.get(slot).is_some_and(|(_, place)| *place != 0) {
                slot = (slot + 1) % slots;
            }
            *placed.get_mut(slot)? = (*hash, *place);
        }
        for (hash, place) in placed {
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&place.to_le_bytes());
        }
    }
    out.get_mut(..HEADER as usize)?.copy_from_slice(&header);
    u32::try_from(out.len()).ok().map(|_| out)
}

/// The first record of a key.
pub fn find(file: &dyn Bytes, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let hash = hash(key);
    let (table, slots) = pair(file, u64::from(hash & 0xff) * 8)?;
    if slots == 0 {
        return Ok(None);
    }
    let first = (hash >> 8) % slots;
    for step in 0..slots {
        let slot = first.checked_add(step).map_or(0, |slot| slot % slots);
        let (found, place) = pair(file, u64::from(table) + u64::from(slot) * 8)?;
        if place == 0 {
            return Ok(None);
        }
        if found == hash
            && let Some(value) = record(file, u64::from(place), key)?
        {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The value of the record at a place, if it is this key's.
fn record(file: &dyn Bytes, place: u64, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let (key_length, length) = pair(file, place)?;
    if key_length as usize != key.len() {
        return Ok(None);
    }
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is too long"));
    }
    let mut found = vec![0; key.len()];
    file.read_at(place + 8, &mut found)?;
    if found != key {
        return Ok(None);
    }
    let mut value = vec![0; length as usize];
    file.read_at(place + 8 + u64::from(key_length), &mut value)?;
    Ok(Some(value))
}

fn pair(file: &dyn Bytes, place: u64) -> io::Result<(u32, u32)> {
    let mut bytes = [0; 8];
    file.read_at(place, &mut bytes)?;
    let [a, b, c, d, e, f, g, h] = bytes;
    Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
}
