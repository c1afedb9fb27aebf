//! The counts on disk: one file a day, to which is appended what has come since the last time.

use crate::tally::{Day, Tally, clean, results};
use ipc::tlspolicy::TlsResult;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// A file beyond this is written anew, with its lines added up.
const LARGE: u64 = 64 * 1024 * 1024;
/// A line beyond this is none of ours.
const MAX_LINE: u64 = 128 * 1024;
/// Different results kept back before they are written.
pub const MOST_UNWRITTEN: usize = 1000;

#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Result {
        result: TlsResult,
        count: u64,
    },
    /// We sent a report to an address of this domain.
    Own {
        domain: String,
    },
    /// This domain's counts so far are reported.
    Done {
        domain: String,
    },
}

/// Counts, in memory and on disk.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    pub tally: Tally,
    unwritten: HashMap<(Day, TlsResult), u64>,
}

impl Journal {
    /// Reads the files back; what is no line of ours (the end of a torn one) is skipped.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut tally = Tally::default();
        for entry in fs::read_dir(folder)?.take(1000) {
            let entry = entry?;
            match entry.file_name().to_str().and_then(|name| name.parse::<Day>().ok()) {
                Some(day) => read(&entry.path(), day, &mut tally)?,
                None => fs::remove_file(entry.path())?,
            }
        }
        Ok(Self { folder: folder.to_owned(), tally, unwritten: HashMap::new() })
    }

    /// Counts a result; false: dropped, a bound is reached.
    pub fn add(&mut self, day: Day, result: TlsResult) -> bool {
        let counted = self.tally.add(day, &result, 1);
        if counted {
            let count = self.unwritten.entry((day, result)).or_default();
            *count = count.saturating_add(1);
        }
        counted
    }

    pub fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// Appends what is not written. Not synced: a power cut costs some counts, no mail.
    pub fn write(&mut self) -> io::Result<()> {
        let mut by_day: HashMap<Day, Vec<Line>> = HashMap::new();
        for ((day, result), count) in self.unwritten.drain() {
            by_day.entry(day).or_default().push(Line::Result { result, count });
        }
        by_day.into_iter().try_for_each(|(day, lines)| self.append(day, &lines))
    }

    pub fn own(&mut self, day: Day, domain: &str) -> io::Result<()> {
        self.tally.add_own(day, domain);
        self.append(day, &[Line::Own { domain: domain.to_owned() }])
    }

    /// A domain's counts are reported (they are taken out of the tally already).
    pub fn done(&mut self, day: Day, domain: &str) -> io::Result<()> {
        self.append(day, &[Line::Done { domain: domain.to_owned() }])
    }

    /// Forgets a day.
    pub fn remove(&mut self, day: Day) {
        self.tally.remove(day);
        self.unwritten.retain(|(of, _), _| *of != day);
        let _ = fs::remove_file(self.path(day));
    }

    fn path(&self, day: Day) -> PathBuf {
        self.folder.join(day.to_string())
    }

    fn append(&self, day: Day, lines: &[Line]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(day))?;
        file.write_all(&text(lines)?)?;
        if file.metadata()?.len() > LARGE { self.rewrite(day) } else { Ok(()) }
    }

    fn rewrite(&self, day: Day) -> io::Result<()> {
        let new = self.folder.join("new");
        let mut file = File::create(&new)?;
        for (domain, counted) in self.tally.days.get(&day).into_iter().flatten() {
            let mut lines: Vec<Line> = results(domain, counted).into_iter().map(|(result, count)| Line::Result { result, count }).collect();
            lines.extend((0..counted.own).map(|_| Line::Own { domain: domain.clone() }));
            file.write_all(&text(&lines)?)?;
        }
        fs::rename(new, self.path(day))
    }
}

fn text(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut out, line)?;
        out.push(b'\n');
    }
    Ok(out)
}

fn read(path: &Path, day: Day, tally: &mut Tally) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut whole) = (Vec::new(), true);
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            // What is appended next must not become part of a torn line.
            return if whole { Ok(()) } else { OpenOptions::new().append(true).open(path)?.write_all(b"\n") };
        }
        whole = line.ends_with(b"\n");
        match serde_json::from_slice(&line) {
            Ok(Line::Result { result, count }) => {
                if let Some(result) = clean(result) {
                    tally.add(day, &result, count);
                }
            }
            Ok(Line::Own { domain }) => tally.add_own(day, &domain),
            Ok(Line::Done { domain }) => drop(tally.take(day, &domain)),
            Err(_) => {}
        }
    }
}
