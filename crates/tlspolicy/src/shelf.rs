//! Policies on disk: one small file each, written whole and renamed, named by the domain.

use crate::policy;
use ipc::tlspolicy::StsPolicy;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Policies kept at most. As many are read at a start: none that holds may be forgotten by one.
pub const MOST: usize = 20_000;
const HEAD: &str = "zpost sts policy 1";
/// The head beside the policy's own text.
const MAX_FILE: u64 = policy::MAX_TEXT as u64 + 200;
/// No domain's name begins so.
const TEMPORARY: &str = ".new";

/// A policy with the moment it was fetched, Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub policy: StsPolicy,
    pub fetched: u64,
}

impl Kept {
    pub const fn expires(&self) -> u64 {
        self.fetched.saturating_add(self.policy.max_age)
    }
}

/// The folder.
#[derive(Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self(folder.to_owned()))
    }

    /// All that hold at `now`; others are removed.
    pub fn read_all(&self, now: u64) -> io::Result<Vec<(String, Kept)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(MOST) {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let kept = Some(&name).filter(|name| is_name(name)).and_then(|_| read(&entry.path())).filter(|kept| kept.expires() > now);
            match kept {
                Some(kept) => all.push((name, kept)),
                // What cannot be removed (a folder) is in nobody's way.
                None => drop(fs::remove_file(entry.path())),
            }
        }
        Ok(all)
    }

    /// Not synced: what a power cut takes is fetched again.
    pub fn put(&self, domain: &str, kept: &Kept) -> io::Result<()> {
        if !is_name(domain) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let text = format!("{HEAD}\nid: {}\nfetched: {}\n\n{}\n", kept.policy.id, kept.fetched, policy::lines(&kept.policy).join("\n"));
        let new = self.0.join(TEMPORARY);
        File::create(&new)?.write_all(text.as_bytes())?;
        fs::rename(new, self.0.join(domain))
    }

    pub fn remove(&self, domain: &str) {
        if is_name(domain) {
            let _ = fs::remove_file(self.0.join(domain));
        }
    }
}

/// A normalised domain as the name of a file: nothing that leads elsewhere.
pub fn is_name(domain: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    (1..=253).contains(&domain.len()) && !domain.starts_with('.') && domain.bytes().all(plain)
}

fn read(path: &Path) -> Option<Kept> {
    let mut text = String::new();
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\n\n")?;
    let mut head = head.lines();
    let (HEAD, id, fetched) = (head.next()?, head.next()?.strip_prefix("id: ")?, head.next()?.strip_prefix("fetched: ")?) else {
        return None;
    };
    Some(Kept { policy: policy::parse(body.as_bytes(), id).ok()?, fetched: fetched.parse().ok()? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn kept(fetched: u64) -> Kept {
        Kept { policy: policy::parse(b"version: STSv1\nmode: enforce\nmx: *.a.example\nmax_age: 100\n", "id1").unwrap(), fetched }
    }

    #[test]
    fn what_is_put_is_read_and_old_or_foreign_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        shelf.put("a.example", &kept(1000)).unwrap();
        shelf.put("old.example", &kept(10)).unwrap();
        for (name, text) in [
            ("torn.example", "zpost sts pol"),
            ("Bad Name", ""),
            ("none.example", "zpost sts policy 1\nid: x\nfetched: 1000\n\nversion: STSv1"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(shelf.read_all(1050).unwrap(), [("a.example".to_owned(), kept(1000))]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::create_dir(folder.path().join("folder.example")).unwrap();
        assert_eq!(shelf.read_all(1050).unwrap().len(), 1);
        for hostile in ["", ".", "..", "../x", "a/b", "A.example", ".new", "a\nb", &"a".repeat(254)] {
            assert!(shelf.put(hostile, &kept(1000)).is_err(), "{hostile:?}");
        }
    }

    /// It is not synced: a power cut may leave the beginning, or a hole where the rest was to be.
    #[test]
    fn a_file_torn_anywhere_is_none_or_holds_no_longer_than_the_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        let path = folder.path().join("a.example");
        shelf.put("a.example", &kept(1000)).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            for filled in [0, whole.len() - cut] {
                let torn = [&whole[..cut], &vec![0; filled]].concat();
                fs::write(&path, &torn).unwrap();
                for (_, found) in shelf.read_all(1001).unwrap() {
                    assert!((found.policy.mode, &found.policy.hosts) == (kept(0).policy.mode, &kept(0).policy.hosts), "{torn:?}");
                    assert!(found.expires() <= kept(1000).expires(), "{torn:?}");
                }
            }
        }
    }
}
