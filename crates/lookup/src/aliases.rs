//! The alias files of the configuration, searched in order.

use crate::alias_syntax::{Value, parse_alias};
use crate::lines::{Lines, SyntaxFault};
use crate::{Keeper, TableError, Watched};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

/// Bytes of one alias file.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// What an alias stands for, and where that is written.
#[derive(Debug, Clone)]
pub struct AliasEntry {
    pub values: Rc<[Value]>,
    pub file: Rc<str>,
    pub line: usize,
    /// Whose word it is.
    pub keeper: Keeper,
}

/// Line, and the values or why they do not parse.
type Definition = (usize, Result<Rc<[Value]>, String>);

/// An alias file in memory, by [`key`].
#[derive(Debug)]
pub(crate) struct Aliases {
    pub names: HashMap<String, Definition>,
    faults: Vec<SyntaxFault>,
}

/// All alias files.
#[derive(Debug)]
pub struct AliasFiles(Vec<(Rc<str>, Watched<Aliases>)>);

impl AliasFiles {
    pub fn new(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| (Rc::from(path.to_string_lossy()), Watched::new(path, MAX_FILE))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first file that knows `key` (made by [`key`]) answers; a file that cannot be read now stops the search,
    /// for it might know.
    pub fn find(&mut self, now: Instant, key: &str) -> Result<Option<AliasEntry>, TableError> {
        for (file, table) in &mut self.0 {
            let aliases = table.read(now, load)?;
            match aliases.names.get(key) {
                Some((line, Ok(values))) => {
                    let (values, line) = (Rc::clone(values), *line);
                    return Ok(Some(AliasEntry { values, file: Rc::clone(file), line, keeper: table.keeper() }));
                }
                Some((line, Err(reason))) => return Err(TableError::Temporary(format!("{file}:{line}: {reason}"))),
                None => {}
            }
        }
        Ok(None)
    }

    /// Lines that have no usable name, for the log.
    pub fn faults(&mut self, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        for (file, table) in &mut self.0 {
            match table.read(now, load) {
                Ok(aliases) => all.extend(aliases.faults.iter().map(|f| format!("{file}:{}: {}", f.line, f.reason))),
                Err(error) => all.push(error.to_string()),
            }
        }
        all
    }
}

pub(crate) fn load(text: &str) -> Result<Aliases, SyntaxFault> {
    let (mut names, mut faults) = (HashMap::new(), Vec::new());
    for line in Lines::new(text.as_bytes()) {
        // Nothing is read behind a line that is too long: the names there are not unknown, so nobody is.
        let (line, text) = line?;
        match parse_alias(line, &text) {
            Ok(alias) => match names.entry(key(&alias.name)) {
                Entry::Occupied(_) => {
                    faults.push(SyntaxFault { line, reason: format!("{} is defined above; this line is not used", alias.name) })
                }
                Entry::Vacant(place) => drop(place.insert((line, alias.values.map(Rc::from)))),
            },
            Err(fault) => faults.push(fault),
        }
    }
    Ok(Aliases { names, faults })
}

/// The form under which names are kept: lower case, the domain (if any) normalised.
pub fn key(name: &str) -> String {
    match name.rsplit_once('@') {
        Some((local, domain)) => {
            let domain = address::normalise(domain).unwrap_or_else(|_| domain.to_lowercase());
            format!("{}@{domain}", local.to_lowercase())
        }
        None => name.to_lowercase(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_the_first_definition_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        std::fs::write(&path, "Root: a\nroot: b\nInfo@Example.ORG: c\nbad: \"x\n").unwrap();
        let mut files = AliasFiles::new(&[path]);
        let now = Instant::now();
        let root = files.find(now, &key("ROOT")).unwrap().unwrap();
        assert_eq!((root.line, root.values[0].clone()), (1, Value::Address("a".into())));
        assert!(files.find(now, &key("info@example.org")).unwrap().is_some());
        assert!(files.find(now, "nobody").unwrap().is_none());
        assert!(matches!(files.find(now, "bad"), Err(TableError::Temporary(_))));
        assert_eq!(files.faults(now).len(), 1);
    }

    #[test]
    fn a_line_that_is_too_long_hides_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        std::fs::write(&path, format!("first: a\nlong: {}\nlast: b\n", "member@example.org, ".repeat(60_000))).unwrap();
        let mut files = AliasFiles::new(&[path]);
        for name in ["first", "long", "last", "nobody"] {
            let trouble = files.find(Instant::now(), name).unwrap_err();
            assert!(matches!(&trouble, TableError::Temporary(reason) if reason.contains("aliases:2: longer than")), "{name}: {trouble:?}");
        }
    }

    #[test]
    fn a_missing_file_is_temporary() {
        let mut files = AliasFiles::new(&["/nonexistent/aliases".into()]);
        assert!(matches!(files.find(Instant::now(), "a"), Err(TableError::Temporary(_))));
    }
}
