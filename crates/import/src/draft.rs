//! The configuration as it grows, and its text.

use crate::{Imported, NewFile, Remark};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A declared table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub name: String,
    /// Key and value as TOML writes them, in order.
    pub words: Vec<(&'static str, String)>,
}

/// Sections of the configuration: repeated ones as they come, others key by key.
#[derive(Debug)]
pub struct Draft {
    pub(crate) folder: String,
    /// Of Sendmail: domains of its virtusertable beside the local ones.
    pub(crate) virtual_hosts: Vec<String>,
    /// Section, key: elements of a list.
    lists: BTreeMap<(&'static str, &'static str), Vec<String>>,
    /// Section, key: the value as TOML writes it.
    values: BTreeMap<(&'static str, &'static str), String>,
    repeated: Vec<(&'static str, Vec<(&'static str, String)>)>,
    tables: Vec<Table>,
    files: Vec<NewFile>,
    remarks: Vec<Remark>,
    unknown: Vec<Remark>,
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn quoted_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", texts.into_iter().map(quoted).collect::<Vec<_>>().join(", "))
}

impl Draft {
    pub(crate) fn new(folder: &str) -> Self {
        Self {
            folder: folder.trim_end_matches('/').to_owned(),
            virtual_hosts: Vec::new(),
            lists: BTreeMap::new(),
            values: BTreeMap::new(),
            repeated: Vec::new(),
            tables: Vec::new(),
            files: Vec::new(),
            remarks: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// A file of which nobody knows what it is.
    pub(crate) fn unknown(&mut self, file: &str, text: String) {
        self.unknown.push(Remark { file: file.to_owned(), line: 0, text });
    }

    /// Something that is not carried over, or must be looked at.
    pub(crate) fn remark(&mut self, file: &str, line: usize, text: impl Into<String>) {
        self.remarks.push(Remark { file: file.to_owned(), line, text: text.into() });
    }

    /// One more element of a list; each once.
    pub(crate) fn add(&mut self, section: &'static str, key: &'static str, element: impl Into<String>) {
        let (list, element) = (self.lists.entry((section, key)).or_default(), element.into());
        if !list.contains(&element) {
            list.push(element);
        }
    }

    /// What a list has by now.
    pub(crate) fn list(&self, section: &'static str, key: &'static str) -> &[String] {
        self.lists.get(&(section, key)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn text(&mut self, section: &'static str, key: &'static str, text: &str) {
        self.values.insert((section, key), quoted(text));
    }

    /// A value that TOML writes without quotes.
    pub(crate) fn bare(&mut self, section: &'static str, key: &'static str, value: impl ToString) {
        self.values.insert((section, key), value.to_string());
    }

    /// A section that may stand more than once; values as TOML writes them.
    pub(crate) fn section(&mut self, section: &'static str, words: Vec<(&'static str, String)>) {
        if !self.repeated.iter().any(|(other, same)| *other == section && *same == words) {
            self.repeated.push((section, words));
        }
    }

    /// Declares a table and gives its name, which is another one when that is taken.
    pub(crate) fn table(&mut self, name: &str, words: Vec<(&'static str, String)>) -> String {
        if let Some(same) = self.tables.iter().find(|table| table.words == words) {
            return same.name.clone();
        }
        let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(24).collect();
        let clean = clean.trim_matches('-');
        let clean = if clean.is_empty() || ["any", "passwd"].contains(&clean) { "table" } else { clean };
        let taken = |name: &str| self.tables.iter().any(|table| table.name == name);
        let name = (1..).map(|n| if n == 1 { clean.to_owned() } else { format!("{clean}-{n}") }).find(|name| !taken(name));
        let name = name.unwrap_or_default();
        self.tables.push(Table { name: name.clone(), words });
        name
    }

    /// A new file; its absolute path. One that is imported for a second use is the same file.
    pub(crate) fn file(&mut self, name: &str, text: String, secret: bool) -> String {
        let of_name = |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        if let Some(same) = self.files.iter().find(|file| file.text == text && file.secret == secret && of_name(&file.name)) {
            return format!("{}/{}", self.folder, same.name);
        }
        let taken = |name: &str| self.files.iter().any(|file| file.name == name);
        let name =
            (1..).map(|n| if n == 1 { name.to_owned() } else { format!("{name}-{n}") }).find(|name| !taken(name)).unwrap_or_default();
        let path = format!("{}/{name}", self.folder);
        self.files.push(NewFile { name, text, secret });
        path
    }

    /// A new file of keys and values, declared as a table, named in a list of the configuration.
    pub(crate) fn text_table(&mut self, file: &str, name: &str, text: String, keys: &[&str], named_in: (&'static str, &'static str)) {
        let file = self.file(file, text, false);
        let keys = quoted_list(keys.iter().copied());
        let table = self.table(name, vec![("kind", quoted("text")), ("file", quoted(&file)), ("keys", keys)]);
        self.add(named_in.0, named_in.1, table);
    }

    /// Postfix asks its virtual tables about addresses of every domain: where one is of a domain that is not virtual, they
    /// are asked so here too.
    fn widen_virtual(&mut self) {
        let Some(mentioned) = self.lists.remove(&("virtual", "mentioned")) else { return };
        let list = |key| self.lists.get(&("virtual", key)).map_or(&[][..], Vec::as_slice);
        let is_virtual = |domain: &String| list("alias_domains").contains(domain) || list("mailbox_domains").contains(domain);
        if !mentioned.iter().all(is_virtual) {
            for table in list("aliases").to_vec() {
                self.add("routing", "fqdn_aliases", table);
            }
        }
    }

    pub(crate) fn finish(mut self) -> Imported {
        self.widen_virtual();
        let mut sections: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        for ((section, key), list) in &self.lists {
            let list = quoted_list(list.iter().map(String::as_str));
            sections.entry(section).or_default().push(((*key).to_owned(), list));
        }
        for ((section, key), value) in &self.values {
            sections.entry(section).or_default().push(((*key).to_owned(), value.clone()));
        }
        let mut text = String::from("# What was found in another mail system's files. Read the remarks that came with it.\n");
        if !sections.contains_key("identity") {
            text.push_str("# This is a part of a configuration: [paths], [identity] and [[listener]] are to be written.\n");
        }
        for (section, keys) in sections {
            let _ = write!(text, "\n[{section}]\n");
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        let tables = self.tables.iter().map(|table| {
            let name = ("name", quoted(&table.name));
            ("table", std::iter::once(name).chain(table.words.iter().cloned()).collect::<Vec<_>>())
        });
        for (section, words) in self.repeated.iter().cloned().chain(tables) {
            let _ = write!(text, "\n[[{section}]]\n");
            for (key, value) in words {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        let configuration = crate::sieve::sieve(text, &mut self.remarks);
        // By file in the order they came, and by line.
        let mut files: Vec<String> = Vec::new();
        for remark in &self.remarks {
            if !files.contains(&remark.file) {
                files.push(remark.file.clone());
            }
        }
        self.remarks.sort_by_key(|remark| (files.iter().position(|file| *file == remark.file), remark.line));
        Imported { configuration, files: self.files, remarks: self.remarks, unknown: self.unknown }
    }
}
