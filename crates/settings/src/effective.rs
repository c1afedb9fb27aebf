//! The effective values with where each came from, for `zpost config show`.

use crate::Fault;
use crate::sheet::Entry;
use crate::table::{SECTIONS, parameters};
use crate::units::{print_duration, print_size};
use crate::value::Value;
use std::fmt::Write as _;

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub section: &'static str,
    /// Which of a repeated section, from 0.
    pub index: usize,
    pub repeated: bool,
    pub key: &'static str,
    /// As it would be written in the file; empty text for "none" or "made from others".
    pub value: String,
    /// `None`: the default.
    pub line: Option<usize>,
    pub doc: &'static str,
}

/// Every effective value in the order of the table. Faults as for [`crate::parse`].
pub fn effective(text: &str) -> Result<Vec<Effective>, Vec<Fault>> {
    let sheet = crate::checked(text)?;
    let mut all = Vec::new();
    for section in SECTIONS {
        for (index, group) in sheet.groups(section.name).iter().enumerate() {
            for parameter in parameters().filter(|p| p.section == section.name) {
                let Some(Entry { value, line, .. }) = group.entry(parameter.key) else { continue };
                let line = Some(*line).filter(|l| *l > 0);
                let (section, repeated, doc) = (section.name, section.repeated, parameter.doc);
                all.push(Effective { section, index, repeated, key: parameter.key, value: print(value), line, doc });
            }
        }
    }
    Ok(all)
}

/// A value as TOML.
fn print(value: &Value) -> String {
    match value {
        Value::Text(text) => quote(text),
        Value::Duration(d) => quote(&print_duration(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))),
        Value::Size(bytes) => quote(&print_size(*bytes)),
        Value::Integer(n) => n.to_string(),
        Value::Number(n) => format!("{n:?}"),
        Value::Bool(b) => b.to_string(),
        Value::Bind(crate::Bind::Tcp(address)) => quote(&address.to_string()),
        Value::Bind(crate::Bind::Unix(path)) => quote(&format!("unix:{}", path.display())),
        Value::Texts(list) => join(list.iter().map(|t| quote(t))),
        Value::Networks(list) => join(list.iter().map(|n| quote(&n.to_string()))),
        Value::Servers(list) => join(list.iter().map(|s| quote(&s.to_string()))),
        Value::Map(map) if map.is_empty() => "{}".to_owned(),
        Value::Map(map) => {
            format!("{{ {} }}", map.iter().map(|(k, v)| format!("{} = {}", quote(k), quote(v))).collect::<Vec<_>>().join(", "))
        }
    }
}

fn join(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(", "))
}

/// A TOML basic string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
