//! Sources of large tables: `zpost newdb` makes tables of them.
//!
//! A line: a key, blanks, `attribute=text` with blanks between; a text with blanks stands in double quotes. `client:10.0.0.0/8`,
//! `name:.example.org`, `helo:`, `user:`, `sender:`, `recipient:` and the key; `tag:name` is a set of attributes for `tags=name`. `#` begins a
//! comment.

use crate::sheet::flatten;
use crate::table::{Record, Records};
use settings::{Attributes, Network, TAG_DEPTH};
use std::collections::HashMap;

/// Something wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFault {
    pub line: usize,
    /// The line is left out of the table; else it is there, and something about it should be known.
    pub fatal: bool,
    pub text: String,
}

/// Reads a source into `records`; `name` begins the places of its rules.
pub fn read_source(name: &str, text: &str, records: &mut Records) -> Vec<SourceFault> {
    let mut faults = Vec::new();
    let mut tags = HashMap::new();
    let mut rules = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        match parse_line(text) {
            Ok(None) => {}
            Ok(Some((key, attributes))) => match key.strip_prefix("tag:") {
                Some(tag) => drop(tags.entry(tag.to_owned()).or_insert(attributes)),
                None => rules.push((line, key, attributes)),
            },
            Err(text) => faults.push(SourceFault { line, fatal: true, text }),
        }
    }
    for (line, key, attributes) in rules {
        let unknown = attributes.tags.iter().flatten().find(|tag| !tags.contains_key(*tag));
        if let Some(tag) = unknown {
            faults.push(SourceFault { line, fatal: true, text: format!("no line tag:{tag}") });
        }
        let attributes = flatten(&attributes, &|tag| tags.get(tag), TAG_DEPTH);
        let record = Record { place: format!("{name}:{line}"), attributes };
        if let Err(fault) = file(records, &key, record) {
            faults.push(SourceFault { line, ..fault });
        }
    }
    faults
}

/// `kind:key` into the table.
pub fn file(records: &mut Records, key: &str, record: Record) -> Result<(), SourceFault> {
    let fatal = |text: String| SourceFault { line: 0, fatal: true, text };
    let (kind, key) =
        key.split_once(':').ok_or_else(|| fatal(format!("`{}` has no kind such as client: before it", key.escape_debug())))?;
    let given = record.attributes.relay == Some(true);
    let domain = |key: &str| {
        let (dot, name) = key.strip_prefix('.').map_or(("", key), |name| (".", name));
        let normal = address::normalise(name).map_err(|_| fatal(format!("`{}` is no domain", key.escape_debug())))?;
        Ok(format!("{dot}{normal}"))
    };
    let added = match kind {
        "client" => records.client(key.parse::<Network>().map_err(fatal)?, record),
        "name" => records.keyed(b'n', &domain(key)?, record),
        "helo" if !given => records.keyed(b'h', &domain(key)?, record),
        "user" => records.keyed(b'u', &key.to_lowercase(), record),
        "sender" if !given => records.keyed(b's', &settings::mailbox(key).map_err(fatal)?, record),
        "recipient" => records.keyed(b'r', &settings::mailbox(key).map_err(fatal)?, record),
        "helo" | "sender" => return Err(fatal("what anybody can write gives no right to relay".to_owned())),
        _ => {
            return Err(fatal(format!(
                "`{}` is no kind of key; they are client, name, helo, user, sender, recipient",
                kind.escape_debug()
            )));
        }
    };
    added.map_err(|place| SourceFault { line: 0, fatal: false, text: format!("this key stands in {place} already; that one counts") })
}

fn parse_line(line: &str) -> Result<Option<(String, Attributes)>, String> {
    let mut words = words(line)?.into_iter();
    let Some(key) = words.next() else { return Ok(None) };
    let mut attributes = Attributes::default();
    let mut said = false;
    for word in words {
        let (name, text) = word.split_once('=').ok_or_else(|| format!("`{}` is not attribute=text", word.escape_debug()))?;
        attributes.set_text(name, text)?;
        said = true;
    }
    if said { Ok(Some((key, attributes))) } else { Err(format!("nothing is said of `{}`", key.escape_debug())) }
}

/// Words between blanks; double quotes keep blanks in a word, backslash the character after it.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            '\\' if quoted => word.extend(characters.next()),
            '#' if !quoted && !begun => break,
            c if c.is_whitespace() && !quoted => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c if c.is_control() => return Err("control characters are not allowed here".to_owned()),
            c => {
                begun = true;
                word.push(c);
            }
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}
