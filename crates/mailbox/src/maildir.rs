//! Delivery into a Maildir: written and synced in `tmp`, then renamed into `new`, whose folder is synced.

use crate::delivery::Copy;
use crate::verdict::Verdict;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Delivers one copy. Nothing is in `new` before it is whole and on the disk; on any error `tmp` is cleaned.
pub fn deliver(maildir: &Path, copy: &Copy<'_>) -> Result<(), Verdict> {
    let name = unique_name(copy.hostname);
    let temporary = maildir.join("tmp").join(&name);
    let file = create(maildir, &temporary).map_err(|e| Verdict::of_error("the Maildir's tmp folder", &e))?;
    let result = fill(&file, copy).and_then(|()| {
        let new = maildir.join("new");
        match std::fs::rename(&temporary, new.join(&name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make(maildir)?;
                std::fs::rename(&temporary, new.join(&name))?;
            }
            other => other?,
        }
        // Without this the name could be lost with the power although the message was reported as delivered.
        File::open(new)?.sync_all()
    });
    result.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Verdict::of_error("the Maildir", &e)
    })
}

fn create(maildir: &Path, temporary: &Path) -> io::Result<File> {
    match create_new(temporary) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make(maildir)?;
            create_new(temporary)
        }
        other => other,
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes the folders that are missing, for the owner's eyes only.
fn make(maildir: &Path) -> io::Result<()> {
    for folder in ["tmp", "new", "cur"] {
        DirBuilder::new().recursive(true).mode(0o700).create(maildir.join(folder))?;
    }
    File::open(maildir)?.sync_all()?;
    maildir.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn fill(mut file: &File, copy: &Copy<'_>) -> io::Result<()> {
    // Header lines and content of a small message leave in one write.
    let mut lead = copy.trace_fields();
    copy.original.copy(&mut |piece| {
        if lead.is_empty() {
            return file.write_all(piece);
        }
        lead.extend_from_slice(piece);
        file.write_all(&std::mem::take(&mut lead))
    })?;
    file.sync_all()
}

/// `time.MmicrosPpidQcounter.host`, never the same twice on one machine.
fn unique_name(hostname: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let micros = daemon::clock::unix_micros();
    let host = hostname.replace('/', "\\057").replace(':', "\\072");
    let (counter, pid) = (COUNTER.fetch_add(1, Relaxed), std::process::id());
    format!("{}.M{:06}P{pid}Q{counter}.{host}", micros / 1_000_000, micros % 1_000_000)
}
