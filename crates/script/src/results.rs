//! What hooks say, read with care: a shape that is not known is the script's fault, never a guess.

use mlua::{Table, Value};
use status::{Class, Enhanced, Reply};

/// Addresses that `expand` may name.
const MOST: usize = 10_000;
/// Bytes of an address or a host.
const LONGEST: usize = 512;

/// What `route` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Decide about this address instead.
    Address(String),
    /// `host`: empty where the script names none. `user`: where it names one, instead of the address.
    Place {
        channel: String,
        host: String,
        user: Option<String>,
    },
    Refuse(Refusal),
    /// Try again later.
    Defer(String),
}

/// A refusal for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: Enhanced,
    pub text: String,
}

/// What `crossbar` says of a sender and a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crossing {
    /// The recipient gets nothing.
    Drop,
    /// This address gets it instead.
    To(String),
    Refuse(Refusal),
    Defer(String),
}

type Read<T> = Result<T, String>;

/// `nil`: no opinion.
pub fn route(value: &Value) -> Read<Option<Route>> {
    let table = match value {
        Value::Nil => return Ok(None),
        Value::String(_) => return Ok(Some(Route::Address(word(value, "route")?))),
        Value::Table(table) => table,
        other => return Err(shape("route", "an address or a table", other)),
    };
    known(table, "route", &["channel", "host", "user", "refuse", "defer"])?;
    if let Some(route) = turned_away(table)? {
        return Ok(Some(route));
    }
    let channel = field(table, "channel")?.ok_or("route: the table has no channel, refuse or defer")?;
    if channel.is_empty() || !channel.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(format!("route: {channel:?} is no name of a channel"));
    }
    Ok(Some(Route::Place { channel, host: field(table, "host")?.unwrap_or_default(), user: field(table, "user")? }))
}

fn turned_away(table: &Table) -> Read<Option<Route>> {
    if let Some(text) = text_field(table, "refuse")? {
        return Ok(Some(Route::Refuse(refusal(&text))));
    }
    Ok(text_field(table, "defer")?.map(Route::Defer))
}

/// A text that may begin with its own status: `5.1.1 No such user`.
fn refusal(text: &str) -> Refusal {
    match Enhanced::split(text) {
        Some((status, rest)) if status.class == Class::Permanent => Refusal { status, text: rest.to_owned() },
        _ => Refusal { status: Enhanced::permanent(7, 1), text: text.to_owned() },
    }
}

pub fn rewrite(value: &Value) -> Read<Option<String>> {
    match value {
        Value::Nil => Ok(None),
        Value::String(_) => word(value, "rewrite").map(Some),
        other => Err(shape("rewrite", "an address", other)),
    }
}

pub fn expand(value: &Value) -> Read<Option<Vec<String>>> {
    let table = match value {
        Value::Nil => return Ok(None),
        Value::String(_) => return Ok(Some(vec![word(value, "expand")?])),
        Value::Table(table) => table,
        other => return Err(shape("expand", "a list of addresses", other)),
    };
    let count = table.raw_len();
    if count == 0 {
        return Err("expand: an empty list of addresses; nil where there is nothing to say".to_owned());
    }
    if count > MOST {
        return Err(format!("expand: more than {MOST} addresses"));
    }
    let member = |at| match table.raw_get::<Value>(at).map_err(|e| e.to_string())? {
        value @ Value::String(_) => word(&value, "expand"),
        other => Err(shape("expand", "addresses in the list", &other)),
    };
    (1..=count).map(member).collect::<Read<Vec<String>>>().map(Some)
}

pub fn crossbar(value: &Value) -> Read<Option<Crossing>> {
    let table = match value {
        Value::Nil | Value::Boolean(true) => return Ok(None),
        Value::Boolean(false) => return Ok(Some(Crossing::Drop)),
        Value::Table(table) => table,
        other => return Err(shape("crossbar", "true, false or a table", other)),
    };
    known(table, "crossbar", &["to", "refuse", "defer"])?;
    match turned_away(table)? {
        Some(Route::Refuse(refusal)) => return Ok(Some(Crossing::Refuse(refusal))),
        Some(Route::Defer(text)) => return Ok(Some(Crossing::Defer(text))),
        _ => {}
    }
    let to = field(table, "to")?.ok_or("crossbar: the table has no to, refuse or defer")?;
    Ok(Some(Crossing::To(to)))
}

/// The reply to RCPT; `nil` and `true`: none of the script's.
pub fn policy(value: &Value) -> Read<Option<Reply>> {
    let table = match value {
        Value::Nil | Value::Boolean(true) => return Ok(None),
        Value::Table(table) => table,
        other => return Err(shape("policy", "true or a table", other)),
    };
    known(table, "policy", &["code", "text", "refuse", "defer"])?;
    match turned_away(table)? {
        Some(Route::Refuse(refusal)) => return Ok(Some(Reply::new(550, refusal.status, refusal.text))),
        Some(Route::Defer(text)) => return Ok(Some(Reply::new(450, Enhanced::transient(7, 1), text))),
        _ => {}
    }
    let code = match table.raw_get::<Value>("code").map_err(|e| e.to_string())? {
        Value::Integer(code @ 400..=599) => u16::try_from(code).unwrap_or(450),
        _ => return Err("policy: code is no number from 400 to 599".to_owned()),
    };
    let text = text_field(table, "text")?.unwrap_or_else(|| "Refused by the administrator".to_owned());
    let class = if code >= 500 { Class::Permanent } else { Class::Transient };
    let (status, text) = match Enhanced::split(&text) {
        Some((status, rest)) if status.class == class => (status, rest.to_owned()),
        _ if code >= 500 => (Enhanced::permanent(7, 1), text),
        _ => (Enhanced::transient(7, 1), text),
    };
    Ok(Some(Reply::new(code, status, text)))
}

fn shape(hook: &str, wanted: &str, found: &Value) -> String {
    format!("{hook}: the result is a {}; wanted: {wanted}, or nil", found.type_name())
}

/// A field that nobody reads is a mistake that nobody sees.
fn known(table: &Table, hook: &str, fields: &[&str]) -> Read<()> {
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair.map_err(|e| e.to_string())?;
        let name = key.as_string().map(mlua::LuaString::to_string_lossy).unwrap_or_else(|| key.type_name().to_owned());
        if !fields.contains(&name.as_str()) {
            return Err(format!("{hook}: the result has a field `{}`; known: {}", crate::fault::shortened(&name), fields.join(", ")));
        }
    }
    Ok(())
}

/// A text for people: one line.
fn text_field(table: &Table, name: &str) -> Read<Option<String>> {
    match table.raw_get::<Value>(name).map_err(|e| e.to_string())? {
        Value::Nil => Ok(None),
        Value::String(text) => Ok(Some(crate::fault::shortened(&text.to_string_lossy()))),
        other => Err(format!("{name} is a {}; wanted: a text", other.type_name())),
    }
}

fn field(table: &Table, name: &str) -> Read<Option<String>> {
    match table.raw_get::<Value>(name).map_err(|e| e.to_string())? {
        Value::Nil => Ok(None),
        value @ Value::String(_) => word(&value, name).map(Some),
        other => Err(format!("{name} is a {}; wanted: a text", other.type_name())),
    }
}

/// A text for machines: UTF-8 of bounded length without control characters.
fn word(value: &Value, what: &str) -> Read<String> {
    let text = value.as_string().and_then(|text| text.to_str().ok().map(|text| text.to_owned()));
    let text = text.ok_or_else(|| format!("{what}: not UTF-8"))?;
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!("{what}: longer than {LONGEST} bytes, or with control characters"));
    }
    Ok(text)
}
