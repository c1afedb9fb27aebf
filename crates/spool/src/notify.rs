//! Notification datagrams: `NEW <name>` or `NEW <directory> <name>`.
use std::io;
use std::path::Path;

/// A well-formed notice. The name is safe but may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice { pub directory: Option<String>, pub name: String }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyError;
/// Reads a datagram.
pub fn parse_notice(datagram: &[u8]) -> Result<Notice, NotifyError> { let _ = datagram; todo!() }
/// Sends notices to one of `<run>/notify/{router,scheduler}`; never blocks, loses silently: a hint.
#[derive(Debug)]
pub struct Notifier { _todo: () }
impl Notifier {
    /// `which`: "router" or "scheduler". A missing socket is no error (it is tried again at each notice).
    pub fn new(run: &Path, which: &str) -> io::Result<Self> { let _ = (run, which); todo!() }
    pub fn notice(&mut self, name: &str) { let _ = name; todo!() }
}
