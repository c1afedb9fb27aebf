//! Where a server is.

use crate::Fault;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Unix(PathBuf),
    Host { host: String, port: u16 },
}

impl Place {
    /// `host`, `host:port`, an address in the place of the host (in brackets before a port where it has colons), or
    /// `unix:/path`.
    pub fn parse(text: &str, port: u16) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(format!("`{text}`: no absolute path")) };
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() {
            return Ok(Self::Host { host: bare.to_owned(), port });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, number)) => (host, number.parse().map_err(|_| format!("`{text}`: no port behind the colon"))?),
            None => (text, port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let named = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if named || host.parse::<IpAddr>().is_ok() {
            return Ok(Self::Host { host: host.to_owned(), port });
        }
        Err(format!("`{text}` is neither host:port nor unix:/path"))
    }

    /// The addresses of a host. The system's resolver has no deadline: it is asked on a thread of its own, one for a name.
    pub(crate) fn addresses(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Fault> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![(address, port).into()]);
        }
        static ASKED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
        let asked = || ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        let late = || Fault::broken("the system has not found the host's address in time");
        if !asked().insert(host.to_owned()) {
            return Err(late());
        }
        let (tell, told) = sync_channel(1);
        let name = host.to_owned();
        let spawned = std::thread::Builder::new().name("names".to_owned()).spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
            ASKED.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            let _ = tell.send(found);
        });
        if let Err(e) = spawned {
            asked().remove(host);
            return Err(Fault::broken(format!("no thread to find the host's address: {e}")));
        }
        let found: Result<Vec<SocketAddr>, _> =
            told.recv_timeout(deadline.saturating_duration_since(Instant::now())).map_err(|_| late())?;
        found.map_err(|e| Fault::broken(format!("the system does not find the host's address: {e}")))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
        }
    }
}
