//! The texts of reports as the administrator writes them: a From and a Subject, an empty line, the text; `%{name}` stands
//! for one of a few values, `%%` for a percent sign. There is nothing else to it on purpose: what could compute could fail
//! or be abused when the report is due.

use crate::Action;
use crate::clean::clean;
use std::collections::BTreeMap;
use std::fmt;

/// Longest template, in bytes.
pub const MAX_TEMPLATE: usize = 64 * 1024;
/// Longest line of a template, in bytes; with one value in it, it stays under the 998 of RFC 5322 section 2.1.1.
const MAX_LINE: usize = 400;
/// Characters of a value in a text.
const MAX_VALUE: usize = 256;

/// Values, and where each may stand.
const NAMES: [(&str, bool); 8] = [
    ("hostname", true),
    ("id", true),
    ("count", true),
    ("sender", false),
    ("arrived", false),
    ("until", false),
    ("part", false),
    ("recipients", false),
];

/// What the names stand for in one report; every value is cleaned where it is filled in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    pub hostname: &'a str,
    pub id: &'a str,
    pub count: &'a str,
    pub sender: &'a str,
    pub arrived: &'a str,
    pub until: &'a str,
    pub part: &'a str,
    /// Composed here from cleaned texts: several lines.
    pub recipients: &'a str,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The file's name.
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: usize,
    pub reason: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}: {}", self.file, self.line, self.reason)
    }
}

impl std::error::Error for TemplateError {}

/// The texts of one kind of report.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    from: String,
    subject: String,
    text: String,
}

/// The texts of all kinds, each with its further languages.
#[derive(Debug, Clone)]
pub struct Templates {
    kinds: BTreeMap<&'static str, Template>,
    /// By kind, then by language: appended to the first text.
    languages: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl Default for Templates {
    fn default() -> Self {
        let built_in = |action: Action| (action.word(), Template::built_in(action));
        Self { kinds: Action::ALL.into_iter().map(built_in).collect(), languages: BTreeMap::new() }
    }
}

impl Templates {
    /// Takes files by name (`failed`, `failed.de`). A faulty one changes nothing: the built-in text stays, and the fault
    /// is returned. Names that are no template's (backups, README) are passed over.
    pub fn with(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> (Self, Vec<TemplateError>) {
        let (mut templates, mut faults) = (Self::default(), Vec::new());
        for (name, bytes) in files {
            if let Err((line, reason)) = templates.take(&name, &bytes) {
                faults.push(TemplateError { file: name, line, reason });
            }
        }
        (templates, faults)
    }

    /// Is it the name of a template?
    pub fn is_name(name: &str) -> bool {
        kind_of(name).is_some()
    }

    fn take(&mut self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let Some((action, language)) = kind_of(name) else { return Ok(()) };
        if bytes.len() > MAX_TEMPLATE {
            return Err((0, format!("longer than {MAX_TEMPLATE} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| (0, "not UTF-8".to_owned()))?.replace("\r\n", "\n");
        match language {
            None => {
                self.kinds.insert(action.word(), Template::parse(&text)?);
            }
            Some(language) => {
                check_text(&text, 1)?;
                self.languages.entry(action.word()).or_default().insert(language.to_owned(), text);
            }
        }
        Ok(())
    }

    fn of(&self, action: Action) -> Template {
        self.kinds.get(action.word()).cloned().unwrap_or_else(|| Template::built_in(action))
    }

    /// From and Subject: one line of ASCII each, whatever the values are.
    pub(crate) fn headers(&self, action: Action, values: &Values<'_>) -> (String, String) {
        let template = self.of(action);
        let line = |text: &str| clean(&fill(text, values, false), false);
        (line(&template.from), line(&template.subject))
    }

    /// The text for people in all languages.
    pub(crate) fn text(&self, action: Action, values: &Values<'_>, utf8: bool) -> String {
        let mut out = fill(&self.of(action).text, values, utf8);
        for text in self.languages.get(action.word()).into_iter().flat_map(BTreeMap::values) {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            out.push('\n');
            out.push_str(&fill(text, values, utf8));
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out
    }
}

/// `failed` or `failed.de`: the kind, and the language.
fn kind_of(name: &str) -> Option<(Action, Option<&str>)> {
    let (kind, language) = name.split_once('.').map_or((name, None), |(kind, language)| (kind, Some(language)));
    let action = Action::ALL.into_iter().find(|action| action.word() == kind)?;
    let word = |l: &str| (2..=12).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    language.is_none_or(word).then_some((action, language))
}

type Fault = (usize, String);

impl Template {
    fn built_in(action: Action) -> Self {
        let text = match action {
            Action::Failed => include_str!("../../../etc/reports/failed"),
            Action::Delayed => include_str!("../../../etc/reports/delayed"),
            Action::Delivered => include_str!("../../../etc/reports/delivered"),
            Action::Relayed => include_str!("../../../etc/reports/relayed"),
            Action::Expanded => include_str!("../../../etc/reports/expanded"),
        };
        // The tests parse each; a build with a faulty one has a report without text for people.
        Self::parse(text).unwrap_or_else(|_| Self {
            from: "MAILER-DAEMON@%{hostname}".to_owned(),
            subject: "Delivery Status Notification".to_owned(),
            text: "%{recipients}\n".to_owned(),
        })
    }

    fn parse(source: &str) -> Result<Self, Fault> {
        let (mut from, mut subject, mut rest, mut number) = (None, None, source, 0);
        let text = loop {
            number += 1;
            let Some((line, after)) = rest.split_once('\n') else {
                return Err((number, "no empty line ends the header part".to_owned()));
            };
            rest = after;
            if line.is_empty() {
                break rest;
            }
            let (name, value) = line.split_once(": ").ok_or((number, "neither \"Subject: ...\" nor \"From: ...\"".to_owned()))?;
            let place = match name {
                "From" => &mut from,
                "Subject" => &mut subject,
                _ => return Err((number, format!("\"{name:.40}\" cannot be set here: only From and Subject"))),
            };
            check_header(value).map_err(|reason| (number, reason))?;
            if place.replace(value.to_owned()).is_some() {
                return Err((number, format!("a second {name}")));
            }
        };
        check_text(text, number + 1)?;
        if !text.lines().any(|line| line == "%{recipients}") {
            return Err((0, "no line %{recipients}: nobody would learn whom the report is about".to_owned()));
        }
        let from = from.unwrap_or_else(|| "Mail Delivery System <MAILER-DAEMON@%{hostname}>".to_owned());
        check_from(&from)?;
        Ok(Self { from, subject: subject.ok_or((0, "no Subject".to_owned()))?, text: text.to_owned() })
    }
}

/// One line of a header: ASCII, and only values of our own.
fn check_header(value: &str) -> Result<(), String> {
    if !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err("only printable ASCII in a header; others as an encoded word (RFC 2047)".to_owned());
    }
    if value.trim().is_empty() {
        return Err("nothing behind the colon".to_owned());
    }
    check_line(value, true)
}

/// The address must be one once the host's name is in it.
fn check_from(from: &str) -> Result<(), Fault> {
    let sample = Values { hostname: "host.example.org", id: "0", count: "1", ..Values::default() };
    let filled = fill(from, &sample, false);
    let address = filled.rsplit_once('<').map_or(filled.as_str(), |(_, address)| address.trim_end().trim_end_matches('>'));
    let brackets = filled.matches('<').count() == filled.matches('>').count() && filled.matches('<').count() <= 1;
    match address::Address::parse(address.trim()) {
        Ok(address) if brackets && address.domain().is_some() => Ok(()),
        _ => Err((0, format!("From holds no address: \"{from:.80}\""))),
    }
}

fn check_text(text: &str, first: usize) -> Result<(), Fault> {
    for (number, line) in (first..).zip(text.lines()) {
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err((number, "a control character".to_owned()));
        }
        if line.contains("%{recipients}") && line != "%{recipients}" {
            return Err((number, "%{recipients} must stand alone on its line".to_owned()));
        }
        check_line(line, false).map_err(|reason| (number, reason))?;
    }
    Ok(())
}

fn check_line(line: &str, header: bool) -> Result<(), String> {
    if line.len() > MAX_LINE {
        return Err(format!("longer than {MAX_LINE} bytes"));
    }
    let (mut rest, mut values) = (line, 0);
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        let Some((name, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) else {
            return Err("a lone %: write %% for a percent sign, %{name} for a value".to_owned());
        };
        match NAMES.iter().find(|(known, _)| *known == name) {
            None => return Err(format!("no value is called %{{{name:.40}}}")),
            Some((_, false)) if header => return Err(format!("%{{{name}}} cannot stand in a header")),
            Some(_) => values += 1,
        }
        if values > 2 {
            return Err("more than two values on one line".to_owned());
        }
        rest = after;
    }
    Ok(())
}

/// A checked template with its values. What is unknown (it cannot be) is left as it stands.
fn fill(template: &str, values: &Values<'_>, utf8: bool) -> String {
    let mut out = String::with_capacity(template.len() + values.recipients.len() + 200);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|after| after.split_once('}')) {
            match name {
                // Its lines are clean already; the line it stands on has its own end.
                "recipients" => out.push_str(values.recipients.trim_matches('\n')),
                _ => out.extend(clean(values.value(name), utf8).chars().take(MAX_VALUE)),
            }
            rest = after;
        } else {
            out.push('%');
        }
    }
    out.push_str(rest);
    out
}

impl<'a> Values<'a> {
    fn value(&self, name: &str) -> &'a str {
        match name {
            "hostname" => self.hostname,
            "id" => self.id,
            "count" => self.count,
            "sender" => self.sender,
            "arrived" => self.arrived,
            "until" => self.until,
            "part" => self.part,
            _ => "",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "template_tests.rs"]
mod tests;
