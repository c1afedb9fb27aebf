//! The effective values with where each came from, for `zpost config show`.

use crate::sheet::Entry;
use crate::table::{SECTIONS, parameters};
use crate::units::{print_duration, print_size};
use crate::value::Value;
use crate::{Fault, Settings};
use std::fmt::Write as _;

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub section: &'static str,
    /// Which of a repeated section, from 0.
    pub index: usize,
    pub repeated: bool,
    pub key: &'static str,
    /// As it would be written in the file; empty text for "none".
    pub value: String,
    /// `None`: the default.
    pub line: Option<usize>,
    pub doc: &'static str,
}

/// Every effective value in the order of the table. Faults as for [`crate::parse`].
pub fn effective(text: &str) -> Result<Vec<Effective>, Vec<Fault>> {
    let sheet = crate::checked(text)?;
    let settings = crate::build::build(&sheet);
    let mut all = Vec::new();
    for section in SECTIONS {
        for (index, group) in sheet.groups(section.name).iter().enumerate() {
            for parameter in parameters().filter(|p| p.section == section.name) {
                let Some(Entry { value, line, .. }) = group.entry(parameter.key) else { continue };
                let line = Some(*line).filter(|l| *l > 0);
                let made = if line.is_none() { made_from_others(&settings, section.name, parameter.key) } else { None };
                let (section, repeated, doc) = (section.name, section.repeated, parameter.doc);
                all.push(Effective {
                    section,
                    index,
                    repeated,
                    key: parameter.key,
                    value: print(made.as_ref().unwrap_or(value)),
                    line,
                    doc,
                });
            }
        }
    }
    Ok(all)
}

/// Defaults that depend on other parameters or on the machine.
fn made_from_others(settings: &Settings, section: &str, key: &str) -> Option<Value> {
    let path = |p: &std::path::Path| Value::Text(p.to_string_lossy().into_owned());
    Some(match (section, key) {
        ("paths", "run") => path(&settings.paths.run),
        ("paths", "log") => path(&settings.paths.log),
        ("identity", "postmaster") => Value::Text(settings.identity.postmaster.clone()),
        ("local", "domains") => Value::Texts(settings.local.domains.clone()),
        ("processes", "smtpserver_max") => Value::Integer(settings.processes.smtpserver_max.into()),
        ("processes", "routers") => Value::Integer(settings.processes.routers.into()),
        ("client", "hello") => Value::Text(settings.client.hello.clone()),
        _ => return None,
    })
}

/// A value as TOML.
pub(crate) fn print(value: &Value) -> String {
    match value {
        Value::Text(text) => quote(text),
        Value::Duration(d) => quote(&print_duration(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))),
        Value::Size(bytes) => quote(&print_size(*bytes)),
        Value::Integer(n) => n.to_string(),
        Value::Number(n) => format!("{n:?}"),
        Value::Bool(b) => b.to_string(),
        Value::Bind(bind) => quote(&bind.to_string()),
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
