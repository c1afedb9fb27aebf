//! Sorted text, searched in place: a key, a blank and the value a line, in the order of the keys' bytes.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Bytes read at a time; what remains of the search when it is this small is read through.
const BLOCK: usize = 4096;
/// Bytes of a line: newdb writes none that are longer.
pub const LONGEST_LINE: usize = 72 * 1024;

/// A file of such lines.
#[derive(Debug)]
pub struct Sorted {
    file: File,
    size: u64,
}

impl Sorted {
    pub const fn new(file: File, size: u64) -> Self {
        Self { file, size }
    }

    /// The value of a key. Halves the file until a block is left; nothing of it is kept. The line, if there is one, begins
    /// at `low` (which is the beginning of a line) or later, and before `high`.
    pub fn find(&self, key: &str) -> io::Result<Option<String>> {
        let (mut low, mut high) = (0, self.size);
        let mut line = Vec::new();
        while high - low > BLOCK as u64 {
            let middle = low + (high - low) / 2;
            let mut input = self.from(middle);
            let start = middle + next(&mut input, &mut line)?;
            if start >= high {
                high = middle + 1;
                continue;
            }
            let length = next(&mut input, &mut line)?;
            match entry(&line).0.cmp(key.as_bytes()) {
                Ordering::Equal => return value(&line).map(Some),
                Ordering::Less => low = start + length,
                Ordering::Greater => high = start,
            }
        }
        let mut input = self.from(low);
        while low < high {
            low += next(&mut input, &mut line)?;
            match entry(&line).0.cmp(key.as_bytes()) {
                Ordering::Equal => return value(&line).map(Some),
                Ordering::Less => {}
                Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    fn from(&self, place: u64) -> BufReader<At<'_>> {
        BufReader::with_capacity(BLOCK, At { file: &self.file, place })
    }
}

/// A file from a place on.
struct At<'f> {
    file: &'f File,
    place: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}

/// Takes the rest of a line; how many bytes that are in the file, its end included.
fn next(input: &mut BufReader<At<'_>>, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let read = input.by_ref().take(LONGEST_LINE as u64 + 1).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read > LONGEST_LINE {
        return Err(long());
    }
    // The last line may lack its end: count one, so that every search goes on.
    Ok((line.len() + 1) as u64)
}

fn long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a line over {LONGEST_LINE} bytes"))
}

/// Key and value of a line.
fn entry(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    line.split_at_checked(end).unwrap_or((line, &[]))
}

fn value(line: &[u8]) -> io::Result<String> {
    let value = String::from_utf8(entry(line).1.trim_ascii().to_vec());
    value.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a value that is not UTF-8"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::io::Write;

    fn sorted(bytes: &[u8]) -> Sorted {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Sorted::new(file, bytes.len() as u64)
    }

    fn text(entries: &BTreeMap<String, String>) -> Vec<u8> {
        entries.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect::<String>().into_bytes()
    }

    #[test]
    fn long_lines_at_every_place() {
        let long = "x".repeat(60_000);
        for at in 0..5 {
            let entries: BTreeMap<String, String> =
                (0..5).map(|n| (format!("k{n}"), if n == at { long.clone() } else { n.to_string() })).collect();
            let table = sorted(&text(&entries));
            for (key, value) in &entries {
                assert_eq!(table.find(key).unwrap().as_ref(), Some(value), "{at} {key}");
            }
            assert_eq!(table.find("k").unwrap(), None);
            assert_eq!(table.find("z").unwrap(), None);
        }
        assert!(sorted("x".repeat(200_000).as_bytes()).find("y").is_err());
    }

    #[test]
    fn an_empty_file_and_one_without_its_last_line_end() {
        assert_eq!(sorted(b"").find("a").unwrap(), None);
        let table = sorted(b"a 1\nb 2");
        assert_eq!(
            (table.find("a").unwrap(), table.find("b").unwrap(), table.find("c").unwrap()),
            (Some("1".into()), Some("2".into()), None)
        );
    }

    proptest! {
        #[test]
        fn a_file_answers_as_a_map_would(
            entries in prop::collection::btree_map(0_u16..2000, 0_usize..400, 0..100),
            others in prop::collection::vec(0_u16..2000, 0..20),
        ) {
            let key = |number: &u16| format!("{number:b}");
            let entries: BTreeMap<String, String> = entries.iter().map(|(number, length)| (key(number), "v".repeat(*length))).collect();
            let others: Vec<String> = others.iter().map(key).collect();
            let table = sorted(&text(&entries));
            for key in entries.keys().chain(&others) {
                prop_assert_eq!(&table.find(key).unwrap(), &entries.get(key).cloned());
            }
        }

        #[test]
        fn any_bytes_end_with_an_answer(lines in prop::collection::vec("[a-z\u{e9} ]{0,9}\n?", 0..9), times in 0_usize..1000, key in "[a-z]{0,3}") {
            let _ = sorted(lines.concat().repeat(times).as_bytes()).find(&key);
        }
    }
}
