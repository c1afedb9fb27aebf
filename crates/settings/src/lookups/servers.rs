//! How `servers` of a table may be written.

use std::net::IpAddr;

/// What they are, of a kind that has some.
pub fn forms(kind: &str) -> Option<&'static str> {
    match kind {
        "socketmap" | "tcp" => Some("address:port, host:port, unix:/path"),
        "postgresql" | "mysql" => Some("host, host:port, unix:/path"),
        "ldap" => Some("ldap://host, ldaps://host, ldapi:///path"),
        _ => None,
    }
}

pub fn is_server(kind: &str, server: &str) -> bool {
    match (kind, server.split_once("://"), server.strip_prefix("unix:")) {
        ("ldap", Some(("ldapi", path)), _) => path.starts_with(['/', '%']),
        ("ldap", Some(("ldap" | "ldaps", place)), _) => is_place(place.strip_suffix('/').unwrap_or(place), false),
        ("ldap", ..) => false,
        (_, _, Some(path)) => path.starts_with('/'),
        _ => is_place(server, matches!(kind, "socketmap" | "tcp")),
    }
}

/// `host:port`; only `host` where the kind has a port of its own.
fn is_place(text: &str, with_port: bool) -> bool {
    let named = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let bracketed = |host: &str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(is_address);
    if !with_port && (named(text) || is_address(text) || bracketed(text)) {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    port.parse::<u16>().is_ok_and(|port| port > 0) && (named(host) || bracketed(host))
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}
