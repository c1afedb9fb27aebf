//! The certificates that the master hands over: nothing else of the file system is seen here.

use daemon::Contacts;
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;

/// The configuration made from descriptor `certificates`; `None`: there is none, so TLS is not offered.
pub(crate) fn of(contacts: &mut Contacts) -> io::Result<Option<Arc<ServerConfig>>> {
    let Some(memory) = contacts.take("certificates") else { return Ok(None) };
    let pairs = tls::server::pairs(&daemon::read_memory(memory)?).map_err(io::Error::other)?;
    tls::server::config(&pairs).map_err(io::Error::other)
}
