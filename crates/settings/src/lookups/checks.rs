//! What is wrong with the tables of a configuration, and with names of tables elsewhere in it.

use super::{FORMS, KINDS, form, servers};
use crate::checks::{at, text};
use crate::nearest::nearest;
use crate::search::Filter;
use crate::sheet::{Group, Sheet};
use crate::statement::Statement;
use crate::value::Value;
use crate::{Fault, programs};

/// Keys of a section, by the kinds that they mean something to and those that need them.
const FOR: &[(&str, &[&str], bool)] = &[
    ("file", &["text", "sorted", "aliases", "cdb", "lmdb", "sqlite", "regexp", "cidr"], true),
    ("source", &["cdb", "lmdb", "sorted"], false),
    ("form", &["cdb", "lmdb", "sorted"], false),
    ("entries", &["inline"], false),
    ("tables", &["chain"], true),
    ("record", &["dns"], true),
    ("servers", &["socketmap", "tcp", "ldap", "postgresql", "mysql"], true),
    ("map", &["socketmap"], true),
    ("database", &["postgresql", "mysql"], true),
    ("user", &["ldap", "postgresql", "mysql"], false),
    ("password_file", &["ldap", "postgresql", "mysql"], false),
    ("query", &["sqlite", "postgresql", "mysql"], true),
    ("base", &["ldap"], true),
    ("filter", &["ldap"], true),
    ("attributes", &["ldap"], true),
    ("tls", &["ldap", "postgresql", "mysql"], false),
    ("ca", &["ldap", "postgresql", "mysql"], false),
];

/// Names, and what each kind needs.
pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let names: Vec<&str> = sheet.groups("table").iter().filter_map(|group| text(group, "name")).collect();
    let mut seen: Vec<&str> = Vec::new();
    for group in sheet.groups("table") {
        let name = text(group, "name").unwrap_or_default();
        if !programs::is_name(name) || ["any", "passwd"].contains(&name) {
            faults.push(at(group, "name", format!("table.name: `{name}` is not made of a-z, 0-9 and -, or means something else")));
        } else if seen.contains(&name) {
            faults.push(at(group, "name", format!("table.name: there is a [[table]] with name `{name}` already")));
        }
        seen.push(name);
        let kind = text(group, "kind").unwrap_or_default();
        for (key, kinds, needed) in FOR {
            let given = group.entry(key).is_some_and(|entry| entry.line > 0);
            if given && !kinds.contains(&kind) {
                faults.push(at(group, key, format!("table.{key}: means nothing to kind = \"{kind}\"; it is for {}", kinds.join(", "))));
            } else if *needed && !given && kinds.contains(&kind) {
                faults.push(at(group, "kind", format!("table.{key}: kind = \"{kind}\" needs it")));
            }
        }
        spelled(group, kind, faults);
        for word in list(group, "keys").iter().filter(|word| form(word).is_none()) {
            let near =
                nearest(word, FORMS.iter().map(|(word, _)| *word)).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            let known: Vec<&str> = FORMS.iter().map(|(word, _)| *word).collect();
            faults.push(at(group, "keys", format!("table.keys: `{word}` is none of {}{near}", known.join(", "))));
        }
        if list(group, "keys").iter().any(|word| word == "longest") && KINDS.iter().any(|(word, k)| *word == kind && k.process().is_some())
        {
            let text = format!("table.keys: longest would ask a process for every beginning of a key; kind = \"{kind}\" cannot have it");
            faults.push(at(group, "keys", text));
        }
        for other in list(group, "tables").iter().filter(|other| !names.contains(&other.as_str()) || *other == name) {
            faults.push(at(group, "tables", format!("table.tables: there is no other [[table]] with name `{other}`")));
        }
    }
}

/// Kinds of DNS records that a table may be of.
const RECORDS: &[&str] = &["a", "aaaa", "cname", "mx", "ptr", "txt"];

/// Queries and filters that no server would understand, or that would not ask for the key.
fn spelled(group: &Group, kind: &str, faults: &mut Vec<Fault>) {
    let query = text(group, "query").filter(|_| ["sqlite", "postgresql", "mysql"].contains(&kind));
    if let Some(Err(why)) = query.map(|query| Statement::parse(query, |_| "?".to_owned())) {
        faults.push(at(group, "query", format!("table.query: {why}")));
    }
    let record = text(group, "record").filter(|record| kind == "dns" && !record.is_empty() && !RECORDS.contains(record));
    if let Some(record) = record {
        let near = nearest(record, RECORDS.iter().copied()).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
        faults.push(at(group, "record", format!("table.record: `{record}` is none of {}{near}", RECORDS.join(", "))));
    }
    let map = text(group, "map").filter(|map| kind == "socketmap" && map.contains(char::is_whitespace));
    if map.is_some() {
        faults.push(at(group, "map", "table.map: the name of a map has no spaces: what is behind one is the key".to_owned()));
    }
    if let Some(forms) = servers::forms(kind) {
        for server in list(group, "servers").iter().filter(|server| !servers::is_server(kind, server)) {
            faults.push(at(group, "servers", format!("table.servers: `{server}` is none of {forms}")));
        }
    }
    let filter = text(group, "filter").filter(|_| kind == "ldap");
    if let Some(Err(why)) = filter.map(Filter::parse) {
        faults.push(at(group, "filter", format!("table.filter: {why}")));
    }
}

pub(crate) fn list<'g>(group: &'g Group, key: &str) -> &'g [String] {
    match group.entry(key).map(|entry| &entry.value) {
        Some(Value::Texts(list)) => list,
        _ => &[],
    }
}

/// Every element of `section.key` must be the name of a declared table, or an absolute path where `paths`.
pub(crate) fn refers(sheet: &Sheet, section: &str, key: &str, paths: bool, faults: &mut Vec<Fault>) {
    let names: Vec<&str> = sheet.groups("table").iter().filter_map(|group| text(group, "name")).collect();
    for group in sheet.groups(section) {
        for name in list(group, key).iter().filter(|name| !(names.contains(&name.as_str()) || paths && name.starts_with('/'))) {
            let near = nearest(name, names.iter().copied()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            faults.push(at(group, key, format!("{section}.{key}: there is no [[table]] with name `{name}`{near}")));
        }
    }
}
