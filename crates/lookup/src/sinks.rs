//! Compiled files in the making, by kind.

use crate::sorting::Sorter;
use cdb::{Bytes, Maker};
use settings::TableKind;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Takes records as they come, and makes a file of them.
pub trait Sink {
    fn add(&mut self, key: &str, value: &str) -> io::Result<()>;

    /// Writes what is left; the keys that came more than once.
    fn finish(self: Box<Self>) -> io::Result<BTreeSet<String>>;
}

/// What makes a file of this kind out of `file`, which is empty, can be read and written, and lies at `path`. `None`: this
/// kind is not compiled.
pub fn sink(kind: TableKind, file: File, path: &Path) -> io::Result<Option<Box<dyn Sink>>> {
    Ok(match kind {
        TableKind::Cdb => Some(Box::new(Constant(Maker::new(BufWriter::with_capacity(256 * 1024, file))?))),
        TableKind::Lmdb => Some(Box::new(Lightning { out: file, sorter: Sorter::new(path) })),
        TableKind::Sorted => Some(Box::new(SortedText { out: file, sorter: Sorter::new(path) })),
        _ => None,
    })
}

/// A constant database.
struct Constant(Maker<BufWriter<File>>);

impl Sink for Constant {
    fn add(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.0.add(key.as_bytes(), value.as_bytes()).map(|_| ())
    }

    fn finish(self: Box<Self>) -> io::Result<BTreeSet<String>> {
        let (out, alike) = self.0.finish()?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut twice = BTreeSet::new();
        for (first, second) in alike {
            let key = key_at(&file, first)?;
            if key == key_at(&file, second)? {
                twice.insert(String::from_utf8_lossy(&key).into_owned());
            }
        }
        Ok(twice)
    }
}

fn key_at(file: &File, place: u32) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    Bytes::read_at(file, u64::from(place), &mut length)?;
    let mut key = vec![0; u32::from_le_bytes(length) as usize];
    Bytes::read_at(file, u64::from(place) + 8, &mut key)?;
    Ok(key)
}

/// Text that [`crate::Sorted`] reads.
struct SortedText {
    out: File,
    sorter: Sorter,
}

impl Sink for SortedText {
    fn add(&mut self, key: &str, value: &str) -> io::Result<()> {
        if key.contains([' ', '\t']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a key with blanks cannot be in a sorted table; kind cdb takes it"));
        }
        self.sorter.add(key.as_bytes(), value.as_bytes())
    }

    fn finish(self: Box<Self>) -> io::Result<BTreeSet<String>> {
        let mut out = BufWriter::with_capacity(256 * 1024, self.out);
        let twice = in_order(self.sorter, |key, value| {
            out.write_all(key)?;
            out.write_all(b"\t")?;
            out.write_all(value)?;
            out.write_all(b"\n")
        })?;
        out.flush()?;
        Ok(twice)
    }
}

/// A file of LMDB.
struct Lightning {
    out: File,
    sorter: Sorter,
}

impl Sink for Lightning {
    fn add(&mut self, key: &str, value: &str) -> io::Result<()> {
        if key.len() > lmdb::LONGEST_KEY {
            let text = format!("a key over {} bytes cannot be in a table of kind lmdb; kind cdb takes it", lmdb::LONGEST_KEY);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.sorter.add(key.as_bytes(), value.as_bytes())
    }

    fn finish(self: Box<Self>) -> io::Result<BTreeSet<String>> {
        let mut maker = lmdb::Maker::new(BufWriter::with_capacity(256 * 1024, self.out))?;
        let twice = in_order(self.sorter, |key, value| maker.add(key, value))?;
        maker.finish()?;
        Ok(twice)
    }
}

/// Gives the records in the order of their keys, the first of those with one key; the keys that came more than once.
fn in_order(sorter: Sorter, mut take: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<BTreeSet<String>> {
    let (mut twice, mut last) = (BTreeSet::new(), None);
    for record in sorter.finish()? {
        let (key, value) = record?;
        if last.as_ref() == Some(&key) {
            twice.insert(String::from_utf8_lossy(&key).into_owned());
            continue;
        }
        take(&key, &value)?;
        last = Some(key);
    }
    Ok(twice)
}
