//! `router/`: what the router farm sees. Files here come from anybody who may write there.
use crate::Spool;
use envelope::MessageId;
use std::fs::File;
use std::io;

/// A checked file of `router/`.
#[derive(Debug)]
pub struct InputFile {
    pub file: File,
    pub name: String,
    pub size: u64,
    pub owner: u32,
    /// Modification time, Unix milliseconds.
    pub modified: u64,
}
/// Why a file of `router/` cannot be routed.
#[derive(Debug)]
pub enum InputFault {
    /// Somebody else took it.
    Gone,
    /// Not a regular file, has other links, empty, grows: text for the reason file.
    Unacceptable(String),
    Io(io::Error),
}
impl Spool {
    /// Names in `router/`, oldest first as far as ids tell, at most `limit`. Names with a leading dot, other than safe
    /// characters ([A-Za-z0-9._:+-]) or over 128 bytes are left out (and counted as unsafe).
    pub fn scan_input(&self, limit: usize) -> io::Result<Vec<String>> { let _ = limit; todo!() }
    /// Opens without following links or blocking on a FIFO and checks it.
    pub fn open_input(&self, name: &str) -> Result<InputFile, InputFault> { let _ = name; todo!() }
    /// Routing's end: control file under a temporary name, message to `queue/`, control file named (S2 to S3).
    pub fn enqueue(&self, name: &str, id: MessageId, control: &[u8]) -> io::Result<()> { let _ = (name, id, control); todo!() }
    /// Sets a file of `router/` aside in `deferred/` with `<name>.reason`.
    pub fn set_aside(&self, name: &str, reason: &str) -> io::Result<()> { let _ = (name, reason); todo!() }
}
