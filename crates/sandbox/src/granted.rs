//! Files and folders that a process goes on reading, and what was there when it entered its sandbox: of a file that is replaced
//! the walls let only the former one be read, so who finds another at a reload has to leave it to a successor.

use crate::Folder;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What names of hosts are found by.
pub const NAMES: &[&str] = &["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];
/// Where systems keep their authorities.
pub const AUTHORITIES: &[&str] =
    &["/etc/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/pki", "/etc/ca-certificates"];

/// A path and what was there at the start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Granted {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Granted {
    fn now(path: PathBuf) -> Self {
        let inode = path.metadata().ok().map(|data| (data.dev(), data.ino()));
        Self { path, inode }
    }

    /// These as they are now.
    pub fn all(paths: impl IntoIterator<Item = PathBuf>) -> Vec<Self> {
        let mut granted: Vec<Self> = paths.into_iter().map(Self::now).collect();
        granted.sort();
        granted.dedup();
        granted
    }

    /// For [`crate::Needs`]: those that are there.
    pub fn folders(granted: &[Self]) -> Vec<(PathBuf, Folder)> {
        granted.iter().filter(|granted| granted.inode.is_some()).map(|granted| (granted.path.clone(), Folder::Read)).collect()
    }

    /// Is all that is wanted now among what was granted?
    pub fn covers(granted: &[Self], wanted: &[Self]) -> bool {
        wanted.iter().all(|path| granted.contains(path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Of a file that is replaced by renaming, the folder.
pub fn folder(file: &Path) -> PathBuf {
    if file.is_dir() { file.to_owned() } else { file.parent().unwrap_or(Path::new("/")).to_owned() }
}
