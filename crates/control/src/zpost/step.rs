//! Log lines read back: both forms, as `daemon::log` writes them.

use serde::Serialize;
use std::collections::BTreeMap;

/// One event of a message's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub time: String,
    pub service: String,
    pub pid: u32,
    pub event: String,
    /// In the order of the line for text, by name for JSON lines.
    pub fields: Vec<(String, String)>,
}

/// Reads a line; `None` when it is no event.
pub fn parse(line: &str) -> Option<Step> {
    if line.starts_with('{') { parse_json(line) } else { parse_text(line) }
}

/// `2026-11-21T03:00:00.000Z service[pid]: event key=value key="quoted"`
fn parse_text(line: &str) -> Option<Step> {
    let (time, rest) = line.split_once(' ')?;
    let (service, rest) = rest.split_once('[')?;
    let (pid, rest) = rest.split_once("]: ")?;
    let (event, fields) = rest.split_once(' ').unwrap_or((rest, ""));
    let own = |text: &str| text.to_owned();
    Some(Step { time: own(time), service: own(service), pid: pid.parse().ok()?, event: own(event), fields: pairs(fields)? })
}

fn pairs(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, next) = after.split_once(' ').unwrap_or((after, ""));
                (value.to_owned(), next)
            }
        };
        all.push((key.to_owned(), value));
        rest = next.trim_start();
    }
    Some(all)
}

/// The text up to the closing quote, escapes resolved, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                'r' => out.push('\r'),
                't' => out.push('\t'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    out.push(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32)?);
                }
                c => out.push(c),
            },
            c => out.push(c),
        }
    }
    None
}

fn parse_json(line: &str) -> Option<Step> {
    let mut map: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    let word = |v: serde_json::Value| if let serde_json::Value::String(s) = v { s } else { v.to_string() };
    let mut take = |key: &str| map.remove(key).map(word);
    let (time, service, event) = (take("time")?, take("service")?, take("event")?);
    let pid = take("pid")?.parse().ok()?;
    take("level");
    Some(Step { time, service, pid, event, fields: map.into_iter().map(|(k, v)| (k, word(v))).collect() })
}

impl Step {
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Is it about this message, or does it name it as the report of another?
    pub fn is_about(&self, id: &str) -> bool {
        self.field("id") == Some(id) || self.field("new") == Some(id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_a_line_say_the_same() {
        let text = r#"2026-11-21T03:00:00.123Z scheduler[42]: delivered id=0abc text="250 \"ok\"\u0007 \\" to=a@b"#;
        let json = r#"{"time":"2026-11-21T03:00:00.123Z","service":"scheduler","pid":42,"level":"info","event":"delivered","id":"0abc","text":"250 \"ok\"\u0007 \\","to":"a@b"}"#;
        let (a, b) = (parse(text).unwrap(), parse(json).unwrap());
        assert_eq!(a, b);
        assert_eq!(a.field("text"), Some("250 \"ok\"\u{7} \\"));
        assert!(a.is_about("0abc") && !a.is_about("a@b"));
    }

    #[test]
    fn other_lines_are_no_steps() {
        for line in ["", "panic: x", "{\"time\":1}", "2026 x[1]: e a=\"open", "2026 x[y]: e"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC*", tail in "[a-z =\"\\\\u0-9]{0,40}") {
            let _ = parse(&line);
            let _ = parse(&format!("t s[1]: e {tail}"));
        }
    }
}
