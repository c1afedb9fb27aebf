//! `[[table]]`: lookup tables (ZMailer's relations), declared once and named wherever something is looked up.

use crate::checks::{at, text};
use crate::nearest::nearest;
use crate::search::Filter;
use crate::sheet::{Group, Sheet};
use crate::statement::Statement;
use crate::value::Value;
use crate::{Fault, programs};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableKind {
    Inline,
    Text,
    Sorted,
    Aliases,
    Cdb,
    Lmdb,
    Sqlite,
    Regexp,
    Cidr,
    Passwd,
    Group,
    Dns,
    Socketmap,
    Tcp,
    Ldap,
    Postgresql,
    Mysql,
    Chain,
}

/// Every kind by its word.
const KINDS: [(&str, TableKind); 18] = [
    ("inline", TableKind::Inline),
    ("text", TableKind::Text),
    ("sorted", TableKind::Sorted),
    ("aliases", TableKind::Aliases),
    ("cdb", TableKind::Cdb),
    ("lmdb", TableKind::Lmdb),
    ("sqlite", TableKind::Sqlite),
    ("regexp", TableKind::Regexp),
    ("cidr", TableKind::Cidr),
    ("passwd", TableKind::Passwd),
    ("group", TableKind::Group),
    ("dns", TableKind::Dns),
    ("socketmap", TableKind::Socketmap),
    ("tcp", TableKind::Tcp),
    ("ldap", TableKind::Ldap),
    ("postgresql", TableKind::Postgresql),
    ("mysql", TableKind::Mysql),
    ("chain", TableKind::Chain),
];

/// The words of [`KINDS`], for the table of parameters.
pub const KIND_WORDS: &[&str] = &[
    "inline",
    "text",
    "sorted",
    "aliases",
    "cdb",
    "lmdb",
    "sqlite",
    "regexp",
    "cidr",
    "passwd",
    "group",
    "dns",
    "socketmap",
    "tcp",
    "ldap",
    "postgresql",
    "mysql",
    "chain",
];

impl TableKind {
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// The process that answers for tables of this kind; `None`: the router itself (`dns`: the resolver).
    pub const fn process(self) -> Option<&'static str> {
        Some(match self {
            Self::Lmdb => "table-lmdb",
            Self::Sqlite => "table-sqlite",
            Self::Socketmap => "table-socketmap",
            Self::Tcp => "table-tcp",
            Self::Ldap => "table-ldap",
            Self::Postgresql => "table-postgresql",
            Self::Mysql => "table-mysql",
            Self::Dns => "resolver",
            _ => return None,
        })
    }
}

/// A form in which a key is tried (ZMailer's drivers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyForm {
    /// As it is.
    Exact,
    /// `user@domain` of `user+detail@domain`.
    WithoutDetail,
    /// `user`.
    User,
    /// `@domain`; of a bare domain too.
    AtDomain,
    /// `domain`, of an address or a domain.
    Domain,
    /// `.domain`, then `.parent`, and so on upwards.
    Suffixes,
    /// The longest key that the text begins with.
    Longest,
    /// `.`
    Default,
}

const FORMS: [(&str, KeyForm); 8] = [
    ("exact", KeyForm::Exact),
    ("without_detail", KeyForm::WithoutDetail),
    ("user", KeyForm::User),
    ("@domain", KeyForm::AtDomain),
    ("domain", KeyForm::Domain),
    ("suffixes", KeyForm::Suffixes),
    ("longest", KeyForm::Longest),
    ("default", KeyForm::Default),
];

impl KeyForm {
    pub fn word(self) -> &'static str {
        FORMS.iter().find(|(_, form)| *form == self).map_or("", |(word, _)| word)
    }
}

/// How the source of a compiled table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceForm {
    /// `key value` a line.
    Pairs,
    /// Sendmail's aliases(5).
    Aliases,
}

/// One declared table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub kind: TableKind,
    /// In the order in which they are tried.
    pub keys: Vec<KeyForm>,
    /// Keys are looked up in lower case.
    pub fold: bool,
    pub file: Option<PathBuf>,
    /// What `zpost newdb` makes `file` of.
    pub source: Option<PathBuf>,
    /// How `source` is written.
    pub form: SourceForm,
    /// `inline`
    pub entries: BTreeMap<String, String>,
    /// `chain`: asked in this order.
    pub tables: Vec<String>,
    /// `dns`: `mx`, `a`, `aaaa`, `txt`, `ptr`, `cname`.
    pub record: String,
    /// As the kind writes them; tried in this order.
    pub servers: Vec<String>,
    /// `socketmap`: the name of the map.
    pub map: String,
    pub database: String,
    pub user: String,
    pub password_file: Option<PathBuf>,
    /// `sqlite`, `postgresql`, `mysql`: one statement, with `%k`, `%u`, `%d` for what is bound.
    pub query: String,
    /// `ldap`
    pub base: String,
    pub filter: String,
    pub attributes: Vec<String>,
    /// `ldap`: `base`, `one`, `sub`.
    pub scope: String,
    /// `ldap`, `postgresql`, `mysql`: `no`, `starttls` (or what the protocol calls so), `yes`.
    pub tls: String,
    /// PEM file of authorities; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// For one question.
    pub timeout: Duration,
    /// At a time.
    pub connections: usize,
    pub ttl: Duration,
    pub negative_ttl: Duration,
    /// Answers remembered in each router.
    pub cache: usize,
    /// 1-based line in the file, for explanations.
    pub line: usize,
}

pub fn table(g: &Group) -> Table {
    let kind = KINDS.iter().find(|(word, _)| *word == g.text("kind")).map_or(TableKind::Inline, |(_, kind)| *kind);
    Table {
        name: g.text("name"),
        kind,
        keys: g.texts("keys").iter().filter_map(|word| form(word)).collect(),
        fold: g.is("fold"),
        file: g.path("file"),
        source: g.path("source"),
        form: if g.text("form") == "aliases" { SourceForm::Aliases } else { SourceForm::Pairs },
        entries: if let Some(Value::Map(map)) = g.value("entries") { map.clone() } else { BTreeMap::new() },
        tables: g.texts("tables"),
        record: g.text("record"),
        servers: g.texts("servers"),
        map: g.text("map"),
        database: g.text("database"),
        user: g.text("user"),
        password_file: g.path("password_file"),
        query: g.text("query"),
        base: g.text("base"),
        filter: g.text("filter"),
        attributes: g.texts("attributes"),
        scope: g.text("scope"),
        tls: g.text("tls"),
        ca: g.path("ca"),
        timeout: g.duration("timeout"),
        connections: g.usize("connections"),
        ttl: g.duration("ttl"),
        negative_ttl: g.duration("negative_ttl"),
        cache: g.usize("cache"),
        line: g.line,
    }
}

fn form(word: &str) -> Option<KeyForm> {
    FORMS.iter().find(|(known, _)| *known == word).map(|(_, form)| *form)
}

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

/// As `servers` of socketmap and tcp tables.
fn is_server(server: &str) -> bool {
    if let Some(path) = server.strip_prefix("unix:") {
        return path.starts_with('/');
    }
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let host = |host: &str| !host.is_empty() && !host.contains([':', '/', ' ']) || host.starts_with('[') && host.ends_with(']');
    server.rsplit_once(':').is_some_and(|(name, number)| port(number) && host(name))
}

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
    if ["socketmap", "tcp"].contains(&kind) {
        for server in list(group, "servers").iter().filter(|server| !is_server(server)) {
            faults.push(at(group, "servers", format!("table.servers: `{server}` is none of address:port, host:port, unix:/path")));
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
