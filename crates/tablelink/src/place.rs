//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

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

    /// A host that is named by its address.
    pub fn is_address(&self) -> bool {
        matches!(self, Self::Host { host, .. } if host.parse::<IpAddr>().is_ok())
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
