//! Writes the state files, on a thread of its own: a slow disk holds nobody up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Files by name.
type Files = Vec<(&'static str, Vec<u8>)>;

#[derive(Debug)]
pub struct Saver {
    folder: PathBuf,
    thread: Option<(Sender<Files>, JoinHandle<()>)>,
    /// The thread has not written the last files yet.
    busy: Arc<AtomicBool>,
}

impl Saver {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), thread: None, busy: Arc::default() }
    }

    /// What a file holds; nothing when there is none.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match fs::read(self.folder.join(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// The last files are not written yet.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Hands files over to be written.
    pub fn save(&mut self, files: Files) -> io::Result<()> {
        let sender = match &self.thread {
            Some((sender, _)) => sender,
            None => {
                let (sender, receiver) = channel();
                let (folder, busy) = (self.folder.clone(), Arc::clone(&self.busy));
                let thread = std::thread::Builder::new().name("save".into()).stack_size(256 * 1024);
                let thread = thread.spawn(move || work(&folder, &receiver, &busy))?;
                &self.thread.insert((sender, thread)).0
            }
        };
        self.busy.store(true, Ordering::Release);
        sender.send(files).map_err(|_| io::Error::other("the thread that writes has ended"))
    }

    /// Writes the last files, after all others.
    pub fn finish(&mut self, files: Files) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
        write(&self.folder, files);
    }
}

fn work(folder: &Path, receiver: &Receiver<Files>, busy: &AtomicBool) {
    while let Ok(files) = receiver.recv() {
        write(folder, files);
        busy.store(false, Ordering::Release);
    }
}

fn write(folder: &Path, files: Files) {
    for (name, bytes) in files {
        if let Err(e) = put(folder, name, &bytes) {
            daemon::event!(Warning, "state_not_saved", file = folder.join(name).display(), reason = e);
            daemon::log::flush();
        }
    }
}

/// No sync: what a power cut loses is no more than counts, and lines that are not whole are left out by the reader.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, bytes)?;
    fs::rename(&new, folder.join(name))
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
            saver.save(vec![("state", vec![n; 10])]).unwrap();
        }
        saver.finish(vec![("state", b"last".to_vec()), ("grey", b"g".to_vec())]);
        assert_eq!(saver.read("state").unwrap(), b"last");
        assert_eq!(saver.read("grey").unwrap(), b"g");
        assert!(!folder.path().join("state.new").exists());
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut saver = Saver::new(&folder.path().join("gone"));
        saver.save(vec![("state", Vec::new())]).unwrap();
        saver.finish(vec![("state", Vec::new())]);
    }
}
