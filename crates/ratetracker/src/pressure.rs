//! Memory pressure as the kernel tells it. Files that are not there tell nothing. They are opened once, and read from the
//! beginning each time: in its sandbox the process can open none.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// More bytes than any of them has.
const MOST: usize = 64 * 1024;

/// The kernel's files.
#[derive(Debug, Default)]
pub struct Gauges {
    pressure: Option<File>,
    machine: Option<File>,
    /// Of this process's control group (version 2).
    limit: Option<File>,
    current: Option<File>,
    stat: Option<File>,
}

impl Gauges {
    pub fn open() -> Self {
        Self {
            pressure: File::open("/proc/pressure/memory").ok(),
            machine: File::open("/proc/meminfo").ok(),
            ..Self::of(group().as_deref())
        }
    }

    fn of(group: Option<&Path>) -> Self {
        let open = |name: &str| File::open(group?.join(name)).ok();
        Self { limit: open("memory.max"), current: open("memory.current"), stat: open("memory.stat"), ..Self::default() }
    }

    /// Per cent of the last ten seconds in which some process waited for memory: of `/proc/pressure/memory`.
    pub fn waited(&self) -> Option<u64> {
        some_avg10(&text(self.pressure.as_ref())?)
    }

    /// Per cent of memory in use: of the control group's limit where it has one, else of the machine's.
    pub fn used(&self) -> Option<u64> {
        let limit = text(self.limit.as_ref()).and_then(|text| text.trim().parse::<u64>().ok());
        if let Some(limit) = limit {
            let current = text(self.current.as_ref())?.trim().parse::<u64>().ok()?;
            let cached = text(self.stat.as_ref()).and_then(|stat| field(&stat, "file ")).unwrap_or(0);
            return percent(current.saturating_sub(cached), limit);
        }
        of_machine(&text(self.machine.as_ref())?)
    }
}

/// What a file says now. A read gives a page or less of it.
fn text(file: Option<&File>) -> Option<String> {
    let (file, mut bytes) = (file?, Vec::new());
    let mut buffer = [0; 4096];
    while bytes.len() < MOST {
        match file.read_at(&mut buffer, u64::try_from(bytes.len()).ok()?) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(buffer.get(..length)?),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn some_avg10(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let value = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
    value.split('.').next()?.parse().ok()
}

fn group() -> Option<PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(path))
}

fn of_machine(text: &str) -> Option<u64> {
    let (total, available) = (field(text, "MemTotal:")?, field(text, "MemAvailable:")?);
    percent(total.saturating_sub(available), total)
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

pub fn percent(part: u64, whole: u64) -> Option<u64> {
    u64::try_from(u128::from(part) * 100 / u128::from(whole).max(1)).ok().filter(|_| whole > 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let text = "some avg10=12.34 avg60=0.00 avg300=0.00 total=0\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(12));
        assert_eq!(of_machine("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n"), Some(75));
        for text in ["", "some", "some avg10=", "some avg10=x", "MemTotal: 0 kB\nMemAvailable: 0 kB"] {
            assert_eq!((some_avg10(text), of_machine(text)), (None, None));
        }
    }

    #[test]
    fn a_group_with_a_limit_counts_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("memory.max", "1000\n");
        put("memory.current", "950\n");
        put("memory.stat", "anon 600\nfile 300\n");
        let gauges = Gauges::of(Some(folder.path()));
        assert_eq!(gauges.used(), Some(65));
        put("memory.current", "500\n");
        assert_eq!(gauges.used(), Some(20), "it is read anew");
        put("memory.max", "max\n");
        assert_eq!(gauges.used(), None, "of the machine");
        assert!(Gauges::open().used().is_some());
    }
}
