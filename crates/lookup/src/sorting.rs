//! Sorting more records than memory should hold: runs that are sorted in memory, spilled, and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of a run in memory.
const RUN: usize = 64 * 1024 * 1024;

/// Key and value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Records on their way to be sorted by key; equal keys stay in the order in which they came.
#[derive(Debug)]
pub struct Sorter {
    /// Runs lie beside this file.
    beside: PathBuf,
    limit: usize,
    records: Vec<Record>,
    bytes: usize,
    runs: Vec<File>,
}

impl Sorter {
    pub fn new(beside: &Path) -> Self {
        Self { beside: beside.to_owned(), limit: RUN, records: Vec::new(), bytes: 0, runs: Vec::new() }
    }

    pub fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        // Two vectors of 24 bytes, and what the allocator adds.
        self.bytes = self.bytes.saturating_add(key.len() + value.len() + 80);
        self.records.push((key.to_vec(), value.to_vec()));
        if self.bytes > self.limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(256 * 1024, nameless(&self.beside, self.runs.len())?);
        self.records.sort_by(|one, other| one.0.cmp(&other.0));
        for (key, value) in self.records.drain(..) {
            for part in [key, value] {
                out.write_all(&u32::try_from(part.len()).map_err(io::Error::other)?.to_le_bytes())?;
                out.write_all(&part)?;
            }
        }
        self.bytes = 0;
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.runs.push(file);
        Ok(())
    }

    /// All of them in their order.
    pub fn finish(mut self) -> io::Result<Merged> {
        self.records.sort_by(|one, other| one.0.cmp(&other.0));
        let mut runs: Vec<Run> = self.runs.into_iter().map(|file| Run::Spilled(BufReader::with_capacity(256 * 1024, file))).collect();
        runs.push(Run::Memory(self.records.into_iter()));
        let mut merged = Merged { runs, heads: BinaryHeap::new() };
        for number in 0..merged.runs.len() {
            merged.pull(number)?;
        }
        Ok(merged)
    }
}

/// A file that is gone when nobody has it open any more.
fn nameless(beside: &Path, number: usize) -> io::Result<File> {
    let mut name = beside.file_name().unwrap_or_default().to_owned();
    name.push(format!(".run{number}"));
    let path = beside.with_file_name(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[derive(Debug)]
enum Run {
    Spilled(BufReader<File>),
    Memory(std::vec::IntoIter<Record>),
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Record>> {
        match self {
            Self::Memory(records) => Ok(records.next()),
            Self::Spilled(file) => {
                let Some(key) = part(file)? else { return Ok(None) };
                let value = part(file)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                Ok(Some((key, value)))
            }
        }
    }
}

fn part(file: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if let Err(e) = file.read_exact(&mut length) {
        return if e.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(e) };
    }
    let mut part = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut part)?;
    Ok(Some(part))
}

/// The next record of one run: its key, the run, its value.
type Head = (Vec<u8>, usize, Vec<u8>);

/// The records in their order.
#[derive(Debug)]
pub struct Merged {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<Head>>,
}

impl Merged {
    fn pull(&mut self, number: usize) -> io::Result<()> {
        let record = self.runs.get_mut(number).map(Run::next).transpose()?.flatten();
        self.heads.extend(record.map(|(key, value)| Reverse((key, number, value))));
        Ok(())
    }
}

impl Iterator for Merged {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((key, number, value)) = self.heads.pop()?;
        Some(self.pull(number).map(|()| (key, value)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn sorted_as_in_memory(records in prop::collection::vec(("[a-c]{0,3}", 0_u8..9), 0..100), limit in 0_usize..4000) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter { limit, ..Sorter::new(&folder.path().join("t")) };
            for (key, value) in &records {
                sorter.add(key.as_bytes(), &[*value]).unwrap();
            }
            let got: Vec<Record> = sorter.finish().unwrap().map(Result::unwrap).collect();
            let mut wanted: Vec<Record> = records.into_iter().map(|(key, value)| (key.into_bytes(), vec![value])).collect();
            wanted.sort_by(|one, other| one.0.cmp(&other.0));
            prop_assert_eq!(got, wanted);
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
