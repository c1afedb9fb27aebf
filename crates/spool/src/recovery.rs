//! What a start finds and mends in `public/` (S1), and left-over temporary names.

use crate::folder::{Folder, age_seconds, is_regular};
use crate::{Spool, is_safe_name};
use envelope::{LENGTH_FIELD, parse_envelope};
use nix::sys::stat::fstat;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Complete files renamed into router/.
    pub adopted: Vec<String>,
    /// Old incomplete files removed.
    pub removed: Vec<String>,
}
/// The envelope of a message to adopt is read up to this size; 10,000 recipients need less than a quarter of it.
const ENVELOPE_LIMIT: usize = 16 * 1024 * 1024;
/// First read: the envelope of nearly every message.
const FIRST_READ: usize = 16 * 1024;

impl Spool {
    /// Adopts complete files of `public/` and removes incomplete ones older than `age`. A file that is still being
    /// written by a living process is left alone.
    ///
    /// Complete: a regular file with one link, whose size is what its length line says and whose envelope is valid.
    /// Its writer may have got as far as saying 250, when the power cut took only the rename; so it must be adopted. Was
    /// nobody told, the client sends it again: a repeat, which is allowed, where a loss is not. A living writer holds a
    /// lock (`acceptance`). Files of others, without a length line, cannot show that they are complete: they stay
    /// until they are old.
    ///
    /// The process needs to read and list `public/` and to rename there: the routermux, at its start and now and then.
    pub fn recover_public(&self, age: Duration) -> io::Result<Recovered> {
        let mut names = Vec::new();
        self.names(Folder::Public, ".", |name| {
            if let Ok(text) = std::str::from_utf8(name) {
                names.push(text.to_owned());
            }
        })?;
        names.sort_unstable();
        let mut recovered = Recovered::default();
        for name in names {
            match self.recover_one(&name, age) {
                Ok(Some(Verdict::Adopted)) => recovered.adopted.push(name),
                Ok(Some(Verdict::Removed)) => recovered.removed.push(name),
                // Gone meanwhile, not ours to read, a clash in router/: one file must not keep the suite from starting.
                Ok(None) | Err(_) => {}
            }
        }
        Ok(recovered)
    }

    fn recover_one(&self, name: &str, age: Duration) -> io::Result<Option<Verdict>> {
        let status = self.status_of(Folder::Public, name)?;
        if !is_regular(&status) {
            return Ok(None);
        }
        let file = self.open_read(Folder::Public, name)?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        if is_safe_name(name.as_bytes()) && is_complete(&file)? {
            self.move_message(Folder::Public, name, Folder::Router, name)?;
            return Ok(Some(Verdict::Adopted));
        }
        if age_seconds(status.st_mtime) < age.as_secs() {
            return Ok(None);
        }
        self.remove_file(Folder::Public, name)?;
        Ok(Some(Verdict::Removed))
    }
}
enum Verdict {
    Adopted,
    Removed,
}

fn is_complete(file: &File) -> io::Result<bool> {
    let status = fstat(file)?;
    if !is_regular(&status) || status.st_nlink != 1 {
        return Ok(false);
    }
    let size = usize::try_from(status.st_size).unwrap_or(0);
    let mut wanted = FIRST_READ;
    loop {
        let mut head = vec![0; wanted.min(size)];
        file.read_exact_at(&mut head, 0)?;
        if !head.starts_with(LENGTH_FIELD.as_bytes()) {
            return Ok(false);
        }
        match parse_envelope(&head) {
            Ok((envelope, _)) => return Ok(envelope.length == Some(size as u64)),
            Err(_) if wanted < size && wanted < ENVELOPE_LIMIT => wanted = wanted.saturating_mul(4),
            Err(_) => return Ok(false),
        }
    }
}
