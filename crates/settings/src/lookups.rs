//! `[[table]]`: lookup tables (ZMailer's relations), declared once and named wherever something is looked up.

mod checks;
mod servers;

use crate::sheet::Group;
use crate::value::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use checks::check;
pub(crate) use checks::{list, refers};

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
    /// Of ldap: nothing is missed where a part of the tree is on another server.
    pub ignore_referrals: bool,
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
        ignore_referrals: g.text("referrals") == "ignore",
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
