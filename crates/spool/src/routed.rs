//! `queue/` and `transport/`: what the scheduler alone opens, marks and removes.
use crate::Spool;
use envelope::{Diagnostic, MessageId, Parsed, RecipientState};
use std::fs::File;
use std::io;

#[derive(Debug)]
pub struct Loaded {
    pub parsed: Parsed,
    /// The message, read-only.
    pub message: File,
}
#[derive(Debug)]
pub enum LoadError {
    /// Neither file: removed meanwhile, or a forged notice.
    Gone,
    /// S5: the control file had no message; it was removed.
    NoMessage,
    /// S4: no valid control file; the message went back to `router/` (reason).
    Returned(String),
    Io(io::Error),
}
/// An incremental scan: one hash folder a step.
#[derive(Debug, Default)]
pub struct TransportScan { pub next: u8 }
impl Spool {
    /// Reads the control file and opens the message of an id; repairs S4 and S5 as it meets them.
    pub fn load(&self, id: MessageId) -> Result<Loaded, LoadError> { let _ = id; todo!() }
    /// Only opens the message (for a later job of it).
    pub fn open_message(&self, id: MessageId) -> io::Result<File> { let _ = id; todo!() }
    /// In-place state byte of one recipient (by line offset), and diagnostics appended with one write. Checks that the
    /// byte before is `r`.
    pub fn mark(&self, id: MessageId, states: &[(u32, RecipientState)], diagnostics: &[Diagnostic]) -> io::Result<()> { let _ = (id, states, diagnostics); todo!() }
    /// queue/ first, then transport/. Missing files are no error.
    pub fn remove(&self, id: MessageId) -> io::Result<()> { let _ = id; todo!() }
    /// Ids in the next hash folder of transport/ and queue/ (an id only in queue/ is S4); `None` after the last folder.
    pub fn scan_step(&self, scan: &mut TransportScan) -> io::Result<Option<Vec<MessageId>>> { let _ = scan; todo!() }
}
