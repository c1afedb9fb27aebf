//! The certificates that the master hands over: nothing else of the file system is seen here.

use daemon::Contacts;
use rustls::ServerConfig;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The configuration made from descriptor `certificates`; `None`: there is none, so TLS is not offered.
pub(crate) fn of(contacts: &mut Contacts) -> io::Result<Option<Arc<ServerConfig>>> {
    let Some(descriptor) = contacts.take("certificates") else { return Ok(None) };
    let file = File::from(descriptor);
    let mut text = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    // By position: the offset of a memory file is shared with every other worker.
    file.read_exact_at(&mut text, 0)?;
    let pairs = tls::server::pairs(&text).map_err(io::Error::other)?;
    tls::server::config(&pairs).map_err(io::Error::other)
}
