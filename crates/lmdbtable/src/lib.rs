//! LMDB files as lookup tables, those that Postfix makes among them.
//!
//! A file is read in place (crate `lmdb`), so a commit of others is seen by the next question, and so is a new file renamed
//! over the old one. Postfix may end keys and values with a NUL: a key is tried without one, then with one.

use lmdb::Fault;
use settings::Table;
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use tableserver::{Source, Trouble};

/// Of open(2): a pipe in the file's place must not make us wait.
const NOT_BLOCKING: i32 = 0o4000;

/// The kind.
#[derive(Debug, Default)]
pub struct Lmdb;

/// An open file, and which one it is.
#[derive(Debug)]
pub struct Open {
    file: File,
    path: PathBuf,
    inode: (u64, u64),
}

impl Source for Lmdb {
    type Connection = Open;

    fn connect(&self, table: &Table) -> Result<Open, Trouble> {
        let mut path = table.file.clone().unwrap_or_default();
        if path.is_dir() {
            path.push("data.mdb");
        }
        open(path).map_err(|e| Trouble::broken(format!("the file cannot be opened: {e}")))
    }

    fn ask(&self, open: &mut Open, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        if open.path.metadata().ok().is_some_and(|data| (data.dev(), data.ino()) != open.inode) {
            *open = self.connect(table)?;
        }
        let find = |key: &[u8]| lmdb::find(&open.file, key).map_err(trouble);
        let mut value = find(key.as_bytes())?;
        if value.is_none() {
            value = find(&[key.as_bytes(), b"\0"].concat())?;
        }
        value.map(|value| text(value).map(|value| vec![value])).transpose()
    }
}

fn open(path: PathBuf) -> io::Result<Open> {
    let file = File::options().read(true).custom_flags(NOT_BLOCKING).open(&path)?;
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok(Open { inode: (data.dev(), data.ino()), file, path })
}

fn trouble(fault: Fault) -> Trouble {
    match fault {
        Fault::Busy | Fault::Unsupported(_) => Trouble::passing(fault.to_string()),
        Fault::Io(_) | Fault::Damaged(_) => Trouble::broken(fault.to_string()),
    }
}

fn text(mut value: Vec<u8>) -> Result<String, Trouble> {
    if value.last() == Some(&0) {
        value.pop();
    }
    String::from_utf8(value).map_err(|_| Trouble::passing("a value is not UTF-8"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
