//! Servers as URIs (RFC 4516), as far as they say where.

use std::fmt;
use tablelink::Place;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub place: Place,
    /// TLS from the first byte.
    pub secure: bool,
}

impl Server {
    /// `ldap://host:port`, `ldaps://host:port`, `ldapi:///path` (or with %2F in the place of each slash).
    pub fn parse(uri: &str) -> Result<Self, String> {
        if let Some(path) = uri.strip_prefix("ldapi://") {
            let path = path.replace("%2F", "/").replace("%2f", "/");
            return Ok(Self { place: Place::parse(&format!("unix:{path}"), 0)?, secure: false });
        }
        let (rest, secure, port) = match (uri.strip_prefix("ldap://"), uri.strip_prefix("ldaps://")) {
            (Some(rest), _) => (rest, false, 389),
            (_, Some(rest)) => (rest, true, 636),
            _ => return Err(format!("`{uri}` begins with none of ldap://, ldaps://, ldapi://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.starts_with("unix:") {
            return Err(format!("`{uri}`: a socket is written ldapi:///path"));
        }
        Ok(Self { place: Place::parse(rest, port)?, secure })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.secure) {
            (Place::Unix(path), _) => write!(f, "ldapi://{}", path.display()),
            (place, true) => write!(f, "ldaps://{place}"),
            (place, false) => write!(f, "ldap://{place}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        for (uri, shown) in [
            ("ldap://ldap.example", "ldap://ldap.example:389"),
            ("ldaps://ldap.example/", "ldaps://ldap.example:636"),
            ("ldap://[::1]:3890", "ldap://[::1]:3890"),
            ("ldapi:///run/slapd/ldapi", "ldapi:///run/slapd/ldapi"),
            ("ldapi://%2Frun%2Fldapi", "ldapi:///run/ldapi"),
        ] {
            assert_eq!(Server::parse(uri).unwrap().to_string(), shown);
        }
        for wrong in ["ldap.example", "http://x", "ldap://", "ldap://h:x", "ldap://h/dc=x", "ldapi://relative", "ldap://unix:/x"] {
            assert!(Server::parse(wrong).is_err(), "{wrong}");
        }
    }
}
