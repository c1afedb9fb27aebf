//! Writes the state files, on a thread of its own: a slow disk holds nobody up.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// A larger file is none of ours.
const MAX_FILE: u64 = 4 << 30;

/// Something to write, under the name of its file.
#[derive(Debug)]
pub enum Piece {
    /// The whole file.
    Whole(&'static str, Vec<u8>),
    /// What comes behind what the file has.
    More(&'static str, Vec<u8>),
}

#[derive(Debug)]
pub struct Saver {
    folder: PathBuf,
    thread: Option<(Sender<Vec<Piece>>, JoinHandle<()>)>,
    /// The thread has not written the last pieces yet.
    busy: Arc<AtomicBool>,
    /// Something could not be written.
    failed: Arc<AtomicBool>,
}

impl Saver {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), thread: None, busy: Arc::default(), failed: Arc::default() }
    }

    /// What a file holds; nothing when there is none.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match fs::File::open(self.folder.join(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(file) => drop(file.take(MAX_FILE).read_to_end(&mut bytes)?),
        }
        Ok(bytes)
    }

    /// The last pieces are not written yet.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Whether something could not be written since this was asked last.
    pub fn has_failed(&self) -> bool {
        self.failed.swap(false, Ordering::AcqRel)
    }

    /// Hands pieces over to be written.
    pub fn save(&mut self, pieces: Vec<Piece>) -> io::Result<()> {
        let sender = match &self.thread {
            Some((sender, _)) => sender,
            None => {
                let (sender, receiver) = channel();
                let (folder, busy, failed) = (self.folder.clone(), Arc::clone(&self.busy), Arc::clone(&self.failed));
                let thread = std::thread::Builder::new().name("save".into()).stack_size(256 * 1024);
                let thread = thread.spawn(move || work(&folder, &receiver, &busy, &failed))?;
                &self.thread.insert((sender, thread)).0
            }
        };
        self.busy.store(true, Ordering::Release);
        sender.send(pieces).map_err(|_| io::Error::other("the thread that writes has ended"))
    }

    /// Writes the last pieces, after all others.
    pub fn finish(&mut self, pieces: Vec<Piece>) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
        write(&self.folder, pieces);
    }
}

fn work(folder: &Path, receiver: &Receiver<Vec<Piece>>, busy: &AtomicBool, failed: &AtomicBool) {
    while let Ok(pieces) = receiver.recv() {
        if !write(folder, pieces) {
            failed.store(true, Ordering::Release);
        }
        busy.store(false, Ordering::Release);
    }
}

/// False: something is not written.
fn write(folder: &Path, pieces: Vec<Piece>) -> bool {
    let mut written = true;
    for piece in pieces {
        let (name, result) = match piece {
            Piece::Whole(name, bytes) => (name, put(folder, name, &bytes)),
            Piece::More(name, bytes) => (name, append(folder, name, &bytes)),
        };
        if let Err(e) = result {
            written = false;
            daemon::event!(Warning, "state_not_saved", file = folder.join(name).display(), reason = e);
            daemon::log::flush();
        }
    }
    written
}

/// No sync: what a power cut loses is no more than what was remembered last, and lines that are not whole are left out by
/// the reader.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, bytes)?;
    fs::rename(&new, folder.join(name))
}

fn append(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(folder.join(name))?.write_all(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_files_are_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut saver = Saver::new(folder.path());
        assert_eq!(saver.read("state").unwrap(), b"");
        for n in 0..100u8 {
            saver.save(vec![Piece::Whole("state", vec![n; 10])]).unwrap();
        }
        saver.save(vec![Piece::More("more", b"a".to_vec())]).unwrap();
        saver.finish(vec![
            Piece::Whole("state", b"last".to_vec()),
            Piece::Whole("grey", b"g".to_vec()),
            Piece::More("more", b"b".to_vec()),
        ]);
        assert_eq!(saver.read("state").unwrap(), b"last");
        assert_eq!(saver.read("grey").unwrap(), b"g");
        assert_eq!(saver.read("more").unwrap(), b"ab");
        assert!(!folder.path().join("state.new").exists() && !saver.has_failed());
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut saver = Saver::new(&folder.path().join("gone"));
        saver.save(vec![Piece::Whole("state", Vec::new())]).unwrap();
        saver.finish(vec![Piece::More("state", Vec::new())]);
        assert!(saver.has_failed() && !saver.has_failed());
    }
}
