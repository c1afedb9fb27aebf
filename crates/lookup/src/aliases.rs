//! The alias files of the configuration, searched in order.

use crate::alias_syntax::{Value, parse_alias};
use crate::lines::{Lines, SyntaxFault};
use crate::nameless::{self, Nameless};
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

/// Its line, and its values.
type Line<'a> = (usize, &'a Rc<[Value]>);

/// An alias file in memory, by [`key`].
#[derive(Debug)]
pub(crate) struct Aliases {
    names: HashMap<String, Definition>,
    nameless: Vec<Nameless>,
    faults: Vec<SyntaxFault>,
}

impl Aliases {
    fn faults_in(&self, file: &str) -> impl Iterator<Item = String> {
        self.faults.iter().map(move |fault| format!("{file}:{}: {}", fault.line, fault.reason))
    }

    /// What stands under a key, and in which line. `Err`: a line that may be about it, and what is wrong there.
    pub fn find(&self, key: &str) -> Result<Option<Line<'_>>, (usize, &str)> {
        match self.names.get(key) {
            Some((line, Ok(values))) => Ok(Some((*line, values))),
            Some((line, Err(reason))) => Err((*line, reason)),
            None => match self.nameless.iter().find_map(|line| line.doubt(key)) {
                Some(fault) => Err((fault.line, &fault.reason)),
                None => Ok(None),
            },
        }
    }
}

/// An alias file.
#[derive(Debug)]
struct AliasFile {
    name: Rc<str>,
    table: Watched<Aliases>,
    /// What was last looked through for faults.
    known: Option<Rc<Aliases>>,
}

/// All alias files.
#[derive(Debug)]
pub struct AliasFiles {
    files: Vec<AliasFile>,
    /// Faults that nobody was told of yet.
    news: Vec<String>,
}

impl AliasFiles {
    pub fn new(paths: &[PathBuf]) -> Self {
        let file = |path: &PathBuf| {
            let (name, table) = (Rc::from(path.to_string_lossy()), Watched::new(path, MAX_FILE));
            AliasFile { name, table, known: None }
        };
        Self { files: paths.iter().map(file).collect(), news: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The first file that knows `key` (made by [`key`]) answers; a file that cannot be read now stops the search,
    /// for it might know.
    pub fn find(&mut self, now: Instant, key: &str) -> Result<Option<AliasEntry>, TableError> {
        for AliasFile { name: file, table, known } in &mut self.files {
            let aliases = table.read(now, load)?;
            if !known.as_ref().is_some_and(|known| Rc::ptr_eq(known, &aliases)) {
                self.news.extend(aliases.faults_in(file));
                *known = Some(Rc::clone(&aliases));
            }
            match aliases.find(key) {
                Ok(Some((line, values))) => {
                    let values = Rc::clone(values);
                    return Ok(Some(AliasEntry { values, file: Rc::clone(file), line, keeper: table.keeper() }));
                }
                Err((line, reason)) => return Err(TableError::Temporary(format!("{file}:{line}: {reason}"))),
                Ok(None) => {}
            }
        }
        Ok(None)
    }

    /// Lines that have no usable name, for the log.
    pub fn faults(&mut self, now: Instant) -> Vec<String> {
        let mut all = Vec::new();
        for AliasFile { name, table, known } in &mut self.files {
            match table.read(now, load) {
                Ok(aliases) => {
                    all.extend(aliases.faults_in(name));
                    *known = Some(aliases);
                }
                Err(error) => all.push(error.to_string()),
            }
        }
        all
    }

    /// The same of files that have changed since, as far as [`AliasFiles::find`] has met them. Once.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }
}

pub(crate) fn load(text: &str) -> Result<Aliases, SyntaxFault> {
    let (mut names, mut nameless, mut faults) = (HashMap::<String, Definition>::new(), Vec::new(), Vec::new());
    // The definition before, where it ends with a comma.
    let mut before = None;
    for line in Lines::new(text.as_bytes()) {
        // Nothing is read behind a line that is too long: the names there are not unknown, so nobody is.
        let (line, text) = line?;
        let unended: Option<String> = before.take();
        match parse_alias(line, &text) {
            Ok(alias) => {
                before = text.ends_with(',').then(|| key(&alias.name));
                match names.entry(key(&alias.name)) {
                    Entry::Occupied(_) => {
                        faults.push(SyntaxFault { line, reason: format!("{} is defined above; this line is not used", alias.name) })
                    }
                    Entry::Vacant(place) => drop(place.insert((line, alias.values.map(Rc::from)))),
                }
            }
            Err(fault) => {
                match unended.and_then(|name| names.get_mut(&name)) {
                    Some((_, values)) => *values = Err(nameless::unended(line)),
                    None => nameless.extend(Nameless::new(&text, &fault)),
                }
                faults.push(fault);
            }
        }
    }
    Ok(Aliases { names, nameless, faults })
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
    fn a_line_without_its_colon_makes_nobody_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        std::fs::write(&path, "first: a\nTeam b, c\nmany: d,\ne, f\nlast: g\n").unwrap();
        let mut files = AliasFiles::new(&[path]);
        let mut said = |name: &str| match files.find(Instant::now(), name) {
            Ok(found) => found.map_or_else(|| "absent".to_owned(), |entry| entry.values[0].to_string()),
            Err(error) => error.to_string(),
        };
        assert_eq!((said("first").as_str(), said("last").as_str(), said("nobody").as_str()), ("a", "g", "absent"));
        assert!(said("team").contains("aliases:2: no colon after the name"), "{}", said("team"));
        assert!(said("many").contains("aliases:3: it ends with a comma; begin line 4 with a blank"), "{}", said("many"));
        assert_eq!((said("e"), said("b")), ("absent".to_owned(), "absent".to_owned()), "members have their own mail");
        assert_eq!((files.news().len(), files.news().len()), (2, 0), "as soon as the file is read, and once");
        assert_eq!(files.faults(Instant::now()).len(), 2);
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
