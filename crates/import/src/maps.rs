//! What Postfix calls maps: `type:name`, as declared tables.

use crate::draft::{Draft, quoted, quoted_list};
use crate::lines::{elements, logical};
use crate::{Reader, regexps};
use std::collections::HashMap;

/// What the values of a map are, which decides how they must be rewritten.
#[derive(Clone, Copy)]
pub(crate) struct Rewrite {
    /// A whole file of keys and values.
    pub text: fn(file: &str, text: &str, draft: &mut Draft) -> String,
    /// One value, `%1` already in the place of `$1`.
    pub value: fn(&str) -> Result<String, String>,
}

/// Values stay.
pub(crate) const PLAIN: Rewrite = Rewrite { text: crate::tables::plain, value: |value| Ok(value.to_owned()) };

/// Where a reference stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub file: &'a str,
    pub line: usize,
}

/// Declares a map; its name. `keys`: forms in which a key is tried; `name`: for the table.
pub(crate) fn declare(
    reference: &str,
    name: &str,
    keys: &[&str],
    rewrite: Rewrite,
    at: At<'_>,
    draft: &mut Draft,
    reader: &Reader<'_>,
) -> Option<String> {
    let reference = reference.strip_prefix("proxy:").unwrap_or(reference);
    let Some((kind, path)) = reference.split_once(':').filter(|(kind, _)| !kind.is_empty() && !kind.starts_with('/')) else {
        draft.remark(at.file, at.line, format!("{reference}: this kind of map is not known"));
        return None;
    };
    let keys = ("keys", quoted_list(keys.iter().copied()));
    let words = match kind {
        "hash" | "btree" | "lmdb" | "dbm" | "sdbm" | "cdb" | "texthash" => {
            let text = read(path, at, draft, reader)?;
            let text = (rewrite.text)(path, &text, draft);
            let file = draft.file(&file_name(path), text, false);
            vec![("kind", quoted("text")), ("file", quoted(&file)), keys]
        }
        "regexp" | "pcre" => {
            let text = read(path, at, draft, reader)?;
            let text = regexps::convert(path, &text, rewrite.value, draft);
            vec![("kind", quoted("regexp")), ("file", quoted(&draft.file(&file_name(path), text, false)))]
        }
        "cidr" => {
            let text = read(path, at, draft, reader)?;
            vec![("kind", quoted("cidr")), ("file", quoted(&draft.file(&file_name(path), text, false)))]
        }
        "ldap" | "mysql" | "pgsql" | "sqlite" => database(kind, path, keys, at, draft, reader)?,
        "socketmap" => socketmap(path, keys, at, draft)?,
        "tcp" => vec![("kind", quoted("tcp")), ("servers", quoted_list([path])), keys],
        "unix" if path == "passwd.byname" => vec![("kind", quoted("passwd"))],
        "inline" => inline(path, keys, at, draft)?,
        _ => {
            draft.remark(at.file, at.line, format!("{reference}: maps of kind {kind} are not carried over"));
            return None;
        }
    };
    Some(draft.table(name, words))
}

fn read(path: &str, at: At<'_>, draft: &mut Draft, reader: &Reader<'_>) -> Option<String> {
    reader(path).map_err(|reason| draft.remark(at.file, at.line, format!("{path}: {reason}"))).ok()
}

pub(crate) fn file_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
}

/// `inet:host:port:name`, `unix:path:name`
fn socketmap(path: &str, keys: (&'static str, String), at: At<'_>, draft: &mut Draft) -> Option<Vec<(&'static str, String)>> {
    let (server, map) = match path.split_once(':') {
        Some(("inet", rest)) => rest.rsplit_once(':')?,
        Some(("unix", rest)) => rest.rsplit_once(':')?,
        _ => {
            draft.remark(at.file, at.line, format!("socketmap:{path} is neither inet:HOST:PORT:NAME nor unix:PATH:NAME"));
            return None;
        }
    };
    let server = if path.starts_with("unix:") { format!("unix:{server}") } else { server.to_owned() };
    Some(vec![("kind", quoted("socketmap")), ("servers", quoted_list([server.as_str()])), ("map", quoted(map)), keys])
}

/// `{ { key = value }, ... }`
fn inline(text: &str, keys: (&'static str, String), at: At<'_>, draft: &mut Draft) -> Option<Vec<(&'static str, String)>> {
    let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let Some(inner) = inner else {
        draft.remark(at.file, at.line, "an inline map that is not in braces");
        return None;
    };
    let mut entries = Vec::new();
    for entry in inner.split(['{', '}', ',']).map(str::trim).filter(|entry| !entry.is_empty()) {
        match entry.split_once('=') {
            Some((key, value)) => entries.push(format!("{} = {}", quoted(key.trim()), quoted(value.trim()))),
            None => draft.remark(at.file, at.line, format!("inline: `{entry}` is not key = value")),
        }
    }
    Some(vec![("kind", quoted("inline")), ("entries", format!("{{ {} }}", entries.join(", "))), keys])
}

/// The file that says where a database is: ldap_table(5), mysql_table(5), pgsql_table(5), sqlite_table(5).
fn database(
    kind: &str,
    path: &str,
    keys: (&'static str, String),
    at: At<'_>,
    draft: &mut Draft,
    reader: &Reader<'_>,
) -> Option<Vec<(&'static str, String)>> {
    let text = read(path, at, draft, reader)?;
    let mut said: HashMap<String, (usize, String)> = HashMap::new();
    for (line, text) in logical(&text) {
        if let Some((key, value)) = text.split_once('=') {
            said.insert(key.trim().to_owned(), (line, value.trim().to_owned()));
        }
    }
    let mut take = |key: &str| said.remove(key).map(|(_, value)| value).filter(|value| !value.is_empty());
    let mut words = Vec::new();
    if kind == "ldap" {
        let hosts = take("server_host").unwrap_or_else(|| "localhost".to_owned());
        let uris: Vec<String> =
            elements(&hosts).map(|host| if host.contains("://") { host.to_owned() } else { format!("ldap://{host}") }).collect();
        words.push(("kind", quoted("ldap")));
        words.push(("servers", quoted_list(uris.iter().map(String::as_str))));
        words.push(("base", quoted(&take("search_base").unwrap_or_default())));
        words.push(("filter", quoted(&parameters(&take("query_filter").unwrap_or_else(|| "(mailacceptinggeneralid=%s)".to_owned())))));
        words.push(("attributes", quoted_list(elements(&take("result_attribute").unwrap_or_else(|| "maildrop".to_owned())))));
        words.extend(take("scope").map(|scope| ("scope", quoted(&scope))));
        words.extend(take("start_tls").filter(|yes| yes == "yes").map(|_| ("tls", quoted("starttls"))));
    } else {
        let ours = [("mysql", "mysql"), ("pgsql", "postgresql"), ("sqlite", "sqlite")];
        words.push(("kind", quoted(ours.iter().find(|(theirs, _)| *theirs == kind).map_or("", |(_, ours)| ours))));
        if kind == "sqlite" {
            words.push(("file", quoted(&take("dbpath").unwrap_or_default())));
        } else {
            let hosts = take("hosts").unwrap_or_else(|| "localhost".to_owned());
            words.push(("servers", quoted_list(elements(&hosts))));
            words.push(("database", quoted(&take("dbname").unwrap_or_default())));
        }
        let query = take("query").or_else(|| {
            let (table, select, r#where) = (take("table")?, take("select_field")?, take("where_field")?);
            Some(format!("SELECT {select} FROM {table} WHERE {where} = '%s'"))
        });
        words.push(("query", quoted(&parameters(&query.unwrap_or_default()))));
    }
    words.extend(take(if kind == "ldap" { "bind_dn" } else { "user" }).map(|user| ("user", quoted(&user))));
    let password = take(if kind == "ldap" { "bind_pw" } else { "password" });
    let mut left: Vec<(usize, String)> = said.into_iter().map(|(key, (line, _))| (line, key)).collect();
    left.sort();
    if let Some(password) = password {
        let file = draft.file(&format!("{}.password", file_name(path)), format!("{password}\n"), true);
        words.push(("password_file", quoted(&file)));
    }
    for (line, key) in left.into_iter().filter(|(_, key)| !["version", "bind", "domain", "timeout", "option_group"].contains(&key.as_str()))
    {
        draft.remark(path, line, format!("{key} is not carried over"));
    }
    words.push(keys);
    Some(words)
}

/// `%s` is our `%k`; quotes around it go, since it is a parameter and no text.
fn parameters(query: &str) -> String {
    let query = query.replace("'%s'", "%k").replace("'%u'", "%u").replace("'%d'", "%d");
    query.replace("\"%s\"", "%k").replace("%s", "%k")
}
