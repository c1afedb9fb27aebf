//! Values: text of a parameter's kind to a checked value.

use crate::nearest::nearest;
use crate::table::Kind;
use crate::times::{Hours, Rate, factors};
use crate::{Bind, Network, units};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A checked value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Duration(Duration),
    /// Bytes.
    Size(u64),
    Integer(u64),
    Number(f64),
    Bool(bool),
    Bind(Bind),
    Texts(Vec<String>),
    Networks(Vec<Network>),
    Servers(Vec<SocketAddr>),
    Map(BTreeMap<String, String>),
}

/// The kind of a list's elements; `None` when `kind` is no list.
pub const fn is_list(kind: Kind) -> bool {
    matches!(kind, Kind::Texts | Kind::Paths | Kind::Domains | Kind::Mailboxes | Kind::Networks | Kind::Servers)
}

/// Reads one scalar.
pub fn scalar(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Duration { min, max } => duration(text, min, max),
        Kind::Size { min, max } => size(text, min, max),
        Kind::Integer { min, max } => integer(text, min, max),
        Kind::Number { min, max } => number(text, min, max),
        Kind::Bool => text.parse().map(Value::Bool).map_err(|_| "expected true or false".to_owned()),
        Kind::Bind => bind(text).map(Value::Bind),
        _ => worded(kind, text).map(Value::Text),
    }
}

/// Kinds whose checked value is still a text.
fn worded(kind: Kind, text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("control characters are not allowed here".to_owned());
    }
    match kind {
        Kind::Path if text.is_empty() || text.starts_with('/') => Ok(text.to_owned()),
        Kind::Path => Err(format!("`{text}` is no absolute path; daemons have no folder of their own to start from")),
        Kind::Pattern => pattern(text),
        Kind::Choice(words) if words.contains(&text) => Ok(text.to_owned()),
        Kind::Choice(words) => {
            let near = nearest(text, words.iter().copied()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            Err(format!("`{text}` is not one of {}{near}", words.join(", ")))
        }
        Kind::Host => host(text),
        Kind::Domain => domain(text, true),
        Kind::Sender => sender(text),
        Kind::Ip => text.parse::<IpAddr>().map(|ip| ip.to_string()).map_err(|_| format!("`{text}` is no IP address")),
        Kind::Proxy if text.is_empty() => Ok(String::new()),
        Kind::Proxy => text.parse::<crate::Proxy>().map(|_| text.to_owned()),
        Kind::Users if text.starts_with('/') || crate::programs::is_name(text) => Ok(text.to_owned()),
        Kind::Users => Err(format!("`{text}` is not `passwd`, `any`, the name of a table or the absolute path of one")),
        Kind::Rate if text.is_empty() || Rate::parse(text).is_some() => Ok(text.to_owned()),
        Kind::Rate => Err(format!("`{text}` is no rate such as 100/1m")),
        Kind::Hours if Hours::parse(text).is_some() => Ok(text.to_owned()),
        Kind::Hours => Err(format!("`{text}` are no hours such as 22:00-06:00 or Mon-Fri 08:00-18:00")),
        Kind::Priority if text.parse::<i8>().is_ok_and(|n| (-9..=9).contains(&n)) => Ok(text.to_owned()),
        Kind::Priority => Err(format!("`{text}` is no priority from -9 to 9")),
        Kind::Factors if factors(text).is_some() => Ok(text.to_owned()),
        Kind::Factors => Err(format!("`{text}` are no factors such as 1 1 2 3 5")),
        Kind::Steps if crate::rates::steps(text).is_some() => Ok(text.to_owned()),
        Kind::Steps => Err(format!("`{text}` are no three rising numbers such as 70 85 95")),
        Kind::Line if text.len() > 500 => Err("longer than 500 bytes".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Reads the elements of a list.
pub fn list<'a>(kind: Kind, elements: impl Iterator<Item = &'a str>) -> Result<Value, String> {
    match kind {
        Kind::Networks => elements.map(str::parse).collect::<Result<_, _>>().map(Value::Networks),
        Kind::Servers => elements.map(server).collect::<Result<_, _>>().map(Value::Servers),
        Kind::Domains => elements.map(|e| domain(e, false)).collect::<Result<_, _>>().map(Value::Texts),
        Kind::Mailboxes => elements.map(mailbox).collect::<Result<_, _>>().map(Value::Texts),
        Kind::Paths => elements.map(|e| worded(Kind::Path, e)).collect::<Result<_, _>>().map(Value::Texts),
        _ => elements.map(|e| worded(Kind::Text, e)).collect::<Result<_, _>>().map(Value::Texts),
    }
}

/// Reads a default of the table: a list has commas between its elements.
pub fn from_default(kind: Kind, text: &str) -> Result<Value, String> {
    if kind == Kind::Map {
        return Ok(Value::Map(BTreeMap::new()));
    }
    if is_list(kind) {
        return list(kind, text.split(',').map(str::trim).filter(|e| !e.is_empty()));
    }
    if text.is_empty() {
        return Ok(Value::Text(String::new()));
    }
    scalar(kind, text)
}

fn duration(text: &str, min: u64, max: u64) -> Result<Value, String> {
    let value = units::duration(text).ok_or_else(|| format!("`{text}` is no duration such as 30s, 5m, 2h or 5d"))?;
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    if (min..=max).contains(&millis) {
        return Ok(Value::Duration(value));
    }
    Err(format!("{text} is out of range: {} to {}", units::print_duration(min), units::print_duration(max)))
}

fn size(text: &str, min: u64, max: u64) -> Result<Value, String> {
    let value = units::size(text).ok_or_else(|| format!("`{text}` is no size such as 4096, 64KiB or 50MiB"))?;
    if (min..=max).contains(&value) {
        return Ok(Value::Size(value));
    }
    Err(format!("{text} is out of range: {} to {}", units::print_size(min), units::print_size(max)))
}

fn integer(text: &str, min: u64, max: u64) -> Result<Value, String> {
    let value: i128 = text.parse().map_err(|_| format!("`{text}` is no whole number"))?;
    match u64::try_from(value) {
        Ok(v) if (min..=max).contains(&v) => Ok(Value::Integer(v)),
        _ => Err(format!("{value} is out of range: {min} to {max}")),
    }
}

fn number(text: &str, min: f64, max: f64) -> Result<Value, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    // NaN is in no range.
    if (min..=max).contains(&value) { Ok(Value::Number(value)) } else { Err(format!("{text} is out of range: {min} to {max}")) }
}

fn bind(text: &str) -> Result<Bind, String> {
    match text.strip_prefix("unix:") {
        // sun_path holds 108 bytes with its NUL.
        Some(path) if path.starts_with('/') && path.len() <= 107 && !path.contains('\0') => Ok(Bind::Unix(PathBuf::from(path))),
        Some(path) if path.len() > 107 => Err("a socket path has at most 107 bytes".to_owned()),
        Some(_) => Err("unix: needs an absolute path".to_owned()),
        None => text.parse().map(Bind::Tcp).map_err(|_| format!("`{text}` is not address:port, [address]:port or unix:/path")),
    }
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|a| SocketAddr::new(a, 53));
    text.parse().or(bare).map_err(|_| format!("`{text}` is not the address of a name server, with or without a port"))
}

fn pattern(text: &str) -> Result<String, String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if !after.starts_with(['u', 'd', 'h', '%']) {
            return Err("after % comes u (user), d (domain), h (home folder) or %".to_owned());
        }
        rest = after.get(1..).unwrap_or_default();
    }
    if text.starts_with('/') || text.starts_with("%h") {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` begins neither with / nor with %h"))
    }
}

/// A sender with its domain in normal form; addresses compare without regard to case.
fn sender(text: &str) -> Result<String, String> {
    match text.rsplit_once('@') {
        None if text.is_empty() => Ok(String::new()),
        None => domain(text, false),
        Some((local, name)) if !local.is_empty() && !name.starts_with('.') => {
            Ok(format!("{}@{}", local.to_lowercase(), domain(name, false)?))
        }
        Some(_) => Err(format!("`{text}` is no address")),
    }
}

/// A sender or recipient as rules name them: as for `Sender`, or `user@` of any domain, or `<>`.
pub fn mailbox(text: &str) -> Result<String, String> {
    match text {
        "" => Err("an empty text is no address".to_owned()),
        "<>" => Ok(text.to_owned()),
        _ => match text.strip_suffix('@').filter(|local| !local.is_empty()) {
            Some(local) if !local.chars().any(|c| c.is_control() || c == ' ') => Ok(format!("{}@", local.to_lowercase())),
            Some(_) => Err(format!("`{}` is no address", text.escape_debug())),
            None if text.chars().any(char::is_control) => Err(format!("`{}` is no address", text.escape_debug())),
            None => sender(text),
        },
    }
}

fn host(text: &str) -> Result<String, String> {
    let name = domain(text, false)?;
    if name.starts_with(['.', '[']) {
        return Err(format!("`{text}` is no host name"));
    }
    Ok(name)
}

/// A domain in its normal form; `.suffix` always, `*` where `star`.
fn domain(text: &str, star: bool) -> Result<String, String> {
    if star && text == "*" {
        return Ok(text.to_owned());
    }
    let (dot, name) = text.strip_prefix('.').map_or(("", text), |name| (".", name));
    match address::normalise(name) {
        Ok(normal) => Ok(format!("{dot}{normal}")),
        Err(_) => Err(format!("`{text}` is no domain")),
    }
}
