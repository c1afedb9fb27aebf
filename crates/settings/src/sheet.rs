//! The document against the table: every value checked, every fault noted with its place.

use crate::nearest::nearest;
use crate::table::{self, Kind, Parameter, SECTIONS};
use crate::value::{self, Value};
use crate::{Fault, place::Places};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and the line it came from (0: the default).
#[derive(Debug, Clone)]
pub struct Entry {
    pub value: Value,
    pub line: usize,
    pub column: usize,
}

/// The values of one section, or of one `[[...]]` of a repeated one.
#[derive(Debug, Clone, Default)]
pub struct Group {
    entries: BTreeMap<&'static str, Entry>,
    /// Where it begins.
    pub line: usize,
    pub column: usize,
}

/// All values of a configuration.
#[derive(Debug, Default)]
pub struct Sheet {
    groups: BTreeMap<&'static str, Vec<Group>>,
    pub faults: Vec<Fault>,
}

type Item<'a> = Spanned<DeValue<'a>>;

impl Sheet {
    /// Walks the document by the table.
    pub fn read(text: &str) -> Self {
        let places = Places::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { places, sheet: Self::default() };
        for error in &errors {
            reader.fault(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message().replace('\n', ", ")));
        }
        if errors.is_empty() {
            reader.document(document.get_ref());
        }
        reader.sheet
    }

    /// The groups of a section, in the order of the file. A section that is not repeated has exactly one.
    pub fn groups(&self, section: &str) -> &[Group] {
        self.groups.get(section).map_or(&[], Vec::as_slice)
    }

    /// Puts the default where a fault left no value; false when a value is missing that has none, or the paths are in
    /// doubt.
    pub fn fill_in(&mut self) -> bool {
        let mut whole = !self.groups.is_empty();
        for (section, groups) in &mut self.groups {
            for parameter in table::parameters().filter(|p| p.section == *section) {
                for group in groups.iter_mut().filter(|g| !g.entries.contains_key(parameter.key)) {
                    let default = parameter.default.filter(|_| *section != "paths");
                    match default.and_then(|d| value::from_default(parameter.kind, d).ok()) {
                        Some(value) => drop(group.entries.insert(parameter.key, Entry { value, line: 0, column: 0 })),
                        None => whole = false,
                    }
                }
            }
        }
        whole
    }
}

impl Group {
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }
}

struct Reader<'t> {
    places: Places<'t>,
    sheet: Sheet,
}

impl Reader<'_> {
    fn fault(&mut self, span: Range<usize>, text: String) {
        let (line, column) = self.places.at(span.start);
        self.sheet.faults.push(Fault { line, column, text });
    }

    fn document(&mut self, document: &DeTable<'_>) {
        for key in document.keys() {
            if !SECTIONS.iter().any(|s| s.name == key.get_ref()) {
                self.unknown_section(key);
            }
        }
        for section in SECTIONS {
            let found = document.iter().find(|(key, _)| key.get_ref() == section.name).map(|(_, item)| item);
            let groups = if section.repeated { self.repeated(section.name, found) } else { vec![self.single(section.name, found)] };
            self.sheet.groups.insert(section.name, groups);
        }
    }

    fn unknown_section(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>) {
        let name = key.get_ref();
        let home = table::parameters().find(|p| p.key == name).map(|p| format!("; `{name}` belongs into section [{}]", p.section));
        let hint = nearest(name, SECTIONS.iter().map(|s| s.name)).map(|n| format!("; did you mean [{n}]?"));
        self.fault(key.span(), format!("unknown section `{}`{}", name.escape_debug(), hint.or(home).unwrap_or_default()));
    }

    fn single(&mut self, section: &'static str, found: Option<&Item<'_>>) -> Group {
        match found.map(|item| (item.get_ref(), item.span())) {
            None => self.group(section, &DeTable::new(), 0..0),
            Some((DeValue::Table(table), span)) => self.group(section, table, span),
            Some((other, span)) => {
                self.fault(span, format!("[{section}] is a section, written [{section}] once; found {}", other.type_str()));
                Group::default()
            }
        }
    }

    fn repeated(&mut self, section: &'static str, found: Option<&Item<'_>>) -> Vec<Group> {
        let Some(item) = found else { return Vec::new() };
        let DeValue::Array(elements) = item.get_ref() else {
            self.fault(item.span(), format!("{section} is written with two brackets, [[{section}]], since there may be several"));
            return Vec::new();
        };
        let mut groups = Vec::new();
        for element in elements.iter() {
            match element.get_ref() {
                DeValue::Table(table) => groups.push(self.group(section, table, element.span())),
                _ => self.fault(element.span(), format!("expected a table, as in [[{section}]]")),
            }
        }
        groups
    }

    fn group(&mut self, section: &'static str, table: &DeTable<'_>, span: Range<usize>) -> Group {
        let (line, column) = if span.is_empty() { (0, 0) } else { self.places.at(span.start) };
        let mut group = Group { entries: BTreeMap::new(), line, column };
        for key in table.keys() {
            if table::parameter(section, key.get_ref()).is_none() {
                self.unknown_key(section, key);
            }
        }
        for parameter in table::parameters().filter(|p| p.section == section) {
            let found = table.iter().find(|(key, _)| key.get_ref() == parameter.key);
            if let Some(entry) = self.parameter(parameter, found.map(|(_, item)| item), line, column) {
                group.entries.insert(parameter.key, entry);
            }
        }
        group
    }

    fn unknown_key(&mut self, section: &str, key: &Spanned<std::borrow::Cow<'_, str>>) {
        let name = key.get_ref();
        let here = || table::parameters().filter(|p| p.section == section).map(|p| p.key);
        let hint = nearest(name, here()).map(|n| format!("; did you mean `{n}`?"));
        let home = table::parameters().find(|p| p.key == name).map(|p| format!("; `{name}` belongs into section [{}]", p.section));
        let all = || format!("; [{section}] knows {}", here().collect::<Vec<_>>().join(", "));
        let more = hint.or(home).unwrap_or_else(all);
        self.fault(key.span(), format!("unknown key `{}` in [{section}]{more}", name.escape_debug()));
    }

    fn parameter(&mut self, parameter: &Parameter, found: Option<&Item<'_>>, line: usize, column: usize) -> Option<Entry> {
        let Some(item) = found else { return self.absent(parameter, line, column) };
        let empty = parameter.default == Some("") && matches!(item.get_ref(), DeValue::String(text) if text.is_empty());
        let read = if empty { value::from_default(parameter.kind, "") } else { read(parameter.kind, item.get_ref()) };
        match read {
            Ok(value) => {
                let (line, column) = self.places.at(item.span().start);
                Some(Entry { value, line, column })
            }
            Err(reason) => {
                self.fault(item.span(), format!("{}.{}: {reason}", parameter.section, parameter.key));
                None
            }
        }
    }

    fn absent(&mut self, parameter: &Parameter, line: usize, column: usize) -> Option<Entry> {
        let Some(default) = parameter.default else {
            let text = format!("[{}] {} must be given: {}", parameter.section, parameter.key, parameter.doc);
            self.sheet.faults.push(Fault { line, column, text });
            return None;
        };
        value::from_default(parameter.kind, default).ok().map(|value| Entry { value, line: 0, column: 0 })
    }
}

/// A value of the document as one of `kind`.
fn read(kind: Kind, item: &DeValue<'_>) -> Result<Value, String> {
    let numeric = matches!(kind, Kind::Duration { .. } | Kind::Size { .. } | Kind::Integer { .. } | Kind::Number { .. });
    match item {
        DeValue::Array(elements) if value::is_list(kind) => {
            let texts: Option<Vec<&str>> = elements.iter().map(|e| e.get_ref().as_str()).collect();
            value::list(kind, texts.ok_or("every element is a text in quotes")?.into_iter())
        }
        DeValue::Table(table) if kind == Kind::Map => map(table),
        DeValue::String(text)
            if !value::is_list(kind) && !matches!(kind, Kind::Map | Kind::Bool | Kind::Integer { .. } | Kind::Number { .. }) =>
        {
            value::scalar(kind, text)
        }
        DeValue::Integer(number) if numeric || kind == Kind::Priority => {
            let text = number.as_str().replace('_', "");
            let parsed = i128::from_str_radix(&text, number.radix()).map_err(|_| format!("`{text}` is no number"))?;
            value::scalar(kind, &parsed.to_string())
        }
        DeValue::Float(number) if matches!(kind, Kind::Number { .. }) => value::scalar(kind, &number.as_str().replace('_', "")),
        DeValue::Boolean(yes) if kind == Kind::Bool => Ok(Value::Bool(*yes)),
        other => Err(format!("expected {}, found {}", crate::reference::kind_words(kind), other.type_str())),
    }
}

fn map(table: &DeTable<'_>) -> Result<Value, String> {
    let mut map = BTreeMap::new();
    for (key, item) in table {
        let text = item.get_ref().as_str().ok_or_else(|| format!("`{}` is a text in quotes", key.get_ref().escape_debug()))?;
        if key.get_ref().is_empty() || key.get_ref().contains(['=', '\0']) || text.contains('\0') {
            return Err("a name has no = and no NUL, and is not empty".to_owned());
        }
        map.insert(key.get_ref().to_string(), text.to_owned());
    }
    Ok(Value::Map(map))
}
