//! `[[credentials]]`, `[[source]]` and what mail needs on its way out.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What becomes of eight-bit content for a server without 8BITMIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convert {
    /// To quoted-printable or base64, but a message whose signature would break goes back.
    Auto,
    /// It goes back.
    Never,
    /// It is sent as it is.
    SendAnyway,
}

/// `[[credentials]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub name: String,
    pub user: String,
    pub password_file: PathBuf,
    /// The password may go over a connection without TLS as it is.
    pub without_tls: bool,
}

/// `[[source]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub pool: String,
    pub address: IpAddr,
    /// Share of connections; 0: none.
    pub weight: u32,
    pub hello: Option<String>,
    pub interface: Option<String>,
    pub proxy: Option<Proxy>,
    pub proxy_password_file: Option<PathBuf>,
    /// 1-based, of the section.
    pub line: usize,
}

/// What connections go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// RFC 1928; with a user, RFC 1929.
    Socks5 { address: SocketAddr, user: Option<String> },
    /// The PROXY protocol of HAProxy, version 1 or 2.
    HaProxy { address: SocketAddr, version: u8 },
}

impl Proxy {
    /// Where to connect to.
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::Socks5 { address, .. } | Self::HaProxy { address, .. } => *address,
        }
    }
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no proxy such as socks5://192.0.2.1:1080 or haproxy://192.0.2.1:2525; its address is a number");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let address: SocketAddr = place.parse().map_err(|_| wrong())?;
        let user = match user {
            Some(user) if user.is_empty() || user.len() > 255 || scheme != "socks5" => return Err(wrong()),
            user => user.map(str::to_owned),
        };
        match scheme {
            _ if address.port() == 0 => Err(wrong()),
            "socks5" => Ok(Self::Socks5 { address, user }),
            "haproxy" => Ok(Self::HaProxy { address, version: 2 }),
            "haproxy1" => Ok(Self::HaProxy { address, version: 1 }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies() {
        for text in ["socks5://192.0.2.1:1080", "socks5://me@[2001:db8::1]:1080", "haproxy://192.0.2.1:2525", "haproxy1://192.0.2.1:2525"] {
            assert!(text.parse::<Proxy>().is_ok(), "{text}");
        }
        for text in [
            "",
            "socks5://",
            "socks5://host:1080",
            "socks5://192.0.2.1",
            "http://192.0.2.1:1",
            "haproxy://a@192.0.2.1:1",
            "socks5://@192.0.2.1:1",
            "socks5://192.0.2.1:0",
        ] {
            assert!(text.parse::<Proxy>().is_err(), "{text}");
        }
    }
}
