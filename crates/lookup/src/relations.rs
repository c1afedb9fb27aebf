//! All declared tables, behind one question: what does this table say of this key?

use crate::forms::{candidates, folded};
use crate::kinds::{Hit, Kind};
use crate::privilege::{self, Keeper};
use crate::remote::Remotes;
use crate::substitution::{LONGEST_VALUE, fill};
use crate::{TableError, Value, parse_values};
use ipc::Caller;
use ipc::tables::LONGEST_KEY;
use mio::{Registry, Token};
use settings::{KeyForm, Settings, SourceForm, Table, TableKind};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Chains of chains.
const MAX_DEPTH: usize = 8;
/// Suffixes of one domain that another process is asked for: one with more labels is nobody's.
const MAX_SUFFIXES: usize = 10;

/// What a table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the table's order, with `%0` to `%9` filled in; most kinds have one.
    pub values: Vec<String>,
    /// For explanations: `people (/etc/zpost/people:12)`.
    pub place: String,
    /// Whose word it is, so what its values may name. Nobody's where some of a value is the asker's own text, and where a
    /// server said it.
    pub keeper: Keeper,
}

impl Found {
    /// The values as right-hand sides of an alias; `Err`: what is wrong with one.
    pub fn recipients(&self) -> Result<Vec<Value>, String> {
        let mut all = Vec::new();
        for value in &self.values {
            all.append(&mut parse_values(value).map_err(|reason| format!("{}: {reason}", self.place))?);
        }
        Ok(all)
    }
}

/// The declared tables of a configuration, and what is remembered of those that other processes answer for.
#[derive(Debug)]
pub struct Relations {
    settings: Arc<Settings>,
    /// By name, the index in `settings.tables`.
    names: HashMap<String, usize>,
    /// As `settings.tables`.
    kinds: Vec<Kind>,
    details: Vec<char>,
    remotes: Remotes,
}

impl Relations {
    /// `callers`: contact points of the processes that answer, by their names. Nothing is opened or asked yet.
    pub fn new(settings: &Arc<Settings>, callers: Vec<(&'static str, Caller)>) -> Self {
        Self {
            names: settings.tables.iter().enumerate().map(|(index, table)| (table.name.clone(), index)).collect(),
            kinds: settings.tables.iter().map(Kind::new).collect(),
            details: settings.local.detail.chars().collect(),
            remotes: Remotes::new(settings, callers),
            settings: Arc::clone(settings),
        }
    }

    /// Another configuration: what is in memory of tables that are declared as before stays, and so do conversations.
    pub fn reload(&mut self, settings: &Arc<Settings>, callers: Vec<(&'static str, Caller)>) {
        let mut before = std::mem::replace(self, Self::new(settings, callers));
        let mut same = Vec::new();
        for (new, table) in settings.tables.iter().enumerate() {
            let Some(old) = before.names.get(&table.name).copied() else { continue };
            let unchanged = before.settings.tables.get(old).is_some_and(|old| *table == Table { line: table.line, ..old.clone() });
            if let (true, Some(kind), Some(was)) = (unchanged, self.kinds.get_mut(new), before.kinds.get_mut(old)) {
                std::mem::swap(kind, was);
                same.push((new, old));
            }
        }
        self.remotes.inherit(before.remotes, &same);
    }

    /// Looks a key up in a table, by the forms that the table is declared with. An answer that came after `began` is always
    /// young enough, whatever its TTL: a decision begun then can be made again until it has all that it needs.
    ///
    /// A key over [`LONGEST_KEY`] bytes or with control characters is in no table, and nobody is asked about it.
    pub fn find(&mut self, began: Instant, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        let index = self.names.get(table).copied().ok_or_else(|| TableError::Permanent(format!("there is no table {table}")))?;
        if key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
            return Ok(None);
        }
        self.find_in(began, index, key, 0)
    }

    fn find_in(&mut self, began: Instant, index: usize, key: &str, depth: usize) -> Result<Option<Found>, TableError> {
        let settings = Arc::clone(&self.settings);
        let Some(table) = settings.tables.get(index) else { return Ok(None) };
        if table.kind == TableKind::Chain {
            if depth >= MAX_DEPTH {
                return Err(TableError::Permanent(format!("table {}: its chain does not end", table.name)));
            }
            for name in &table.tables {
                let other = self.names.get(name).copied();
                let other = other.ok_or_else(|| TableError::Permanent(format!("table {}: there is no table {name}", table.name)))?;
                if let Some(found) = self.find_in(began, other, key, depth + 1)? {
                    return Ok(Some(found));
                }
            }
            return Ok(None);
        }
        let found = match table.kind.process() {
            None => self.find_here(began, index, table, key),
            Some(_) => self.find_elsewhere(began, index, table, key),
        };
        found.map_err(|error| error.of_table(&table.name))
    }

    fn find_here(&mut self, began: Instant, index: usize, table: &Table, key: &str) -> Result<Option<Found>, TableError> {
        let Some(kind) = self.kinds.get_mut(index) else { return Ok(None) };
        for form in &table.keys {
            for candidate in candidates(*form, key, &self.details) {
                let text = text(table, &candidate.text);
                if let Some(hit) = kind.find(began, table, &text)? {
                    return found(table, key, &candidate.left, hit).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Everything that the key could be found under is asked at once, so that all forms cost one wait. What is found counts
    /// once it is known that no form before it is.
    fn find_elsewhere(&mut self, began: Instant, index: usize, table: &Table, key: &str) -> Result<Option<Found>, TableError> {
        let mut pending = false;
        for form in &table.keys {
            let most = if *form == KeyForm::Suffixes { MAX_SUFFIXES } else { usize::MAX };
            for candidate in candidates(*form, key, &self.details).into_iter().take(most) {
                let text = text(table, &candidate.text);
                if text.len() > LONGEST_KEY {
                    continue;
                }
                match self.remotes.find(index, &text, began) {
                    Ok(None) => {}
                    Err(TableError::Pending) => pending = true,
                    _ if pending => return Err(TableError::Pending),
                    Ok(Some(values)) => return found(table, key, &candidate.left, Hit::new(values, None, keeper(table))).map(Some),
                    Err(error) => return Err(error),
                }
            }
        }
        if pending { Err(TableError::Pending) } else { Ok(None) }
    }

    /// Conversations become events of these tokens: `first` and so many after it as [`Relations::TOKENS`].
    pub fn register(&mut self, registry: &Registry, first: Token) -> std::io::Result<()> {
        self.remotes.register(registry, first)
    }

    /// Tokens that [`Relations::register`] takes.
    pub const TOKENS: usize = 8;

    /// Takes what has come, and gives up what is overdue; true: something did, so pending decisions may now be made. To be
    /// called at events of the tokens and when [`Relations::due`] says so.
    pub fn hear(&mut self, now: Instant) -> bool {
        self.remotes.hear(now)
    }

    /// When the next question is overdue; `None`: none is open.
    pub fn due(&self) -> Option<Instant> {
        self.remotes.due()
    }

    /// For threads without a loop: waits until something has come, or this moment.
    pub fn wait(&mut self, until: Instant) {
        self.remotes.wait(until);
    }
}

/// The text that is looked for. Patterns see case as it is written, and decide themselves.
fn text<'k>(table: &Table, candidate: &'k str) -> std::borrow::Cow<'k, str> {
    if table.kind == TableKind::Aliases {
        return crate::key(candidate).into();
    }
    if table.fold && table.kind != TableKind::Regexp { folded(candidate).into() } else { candidate.into() }
}

/// Whose word another process's answer is. A server's is nobody's; a local file's is its owner's.
fn keeper(table: &Table) -> Keeper {
    let file = table.file.as_deref().filter(|_| matches!(table.kind, TableKind::Lmdb | TableKind::Sqlite));
    file.and_then(|path| Some(privilege::of(&path.metadata().ok()?, path))).unwrap_or_default()
}

/// Aliases are no templates, nor is what others than the table's author wrote.
fn is_template(table: &Table) -> bool {
    !matches!(table.kind, TableKind::Aliases | TableKind::Passwd | TableKind::Group | TableKind::Dns) && table.form == SourceForm::Pairs
}

fn found(table: &Table, key: &str, left: &[&str], hit: Hit) -> Result<Found, TableError> {
    let path = table.file.as_ref().map(|path| path.display().to_string());
    let line = hit.line.map_or_else(String::new, |line| format!(":{line}"));
    let place = match path {
        Some(path) => format!("{} ({path}{line})", table.name),
        None => format!("{} ({})", table.name, table.kind.word()),
    };
    let mut found = Found { values: hit.values, place, keeper: hit.keeper };
    if is_template(table) && found.values.iter().any(|value| value.contains('%')) {
        let parts: Vec<&str> = hit.parts.as_ref().map_or_else(|| left.to_vec(), |parts| parts.iter().map(String::as_str).collect());
        for value in &mut found.values {
            let long = || TableError::Temporary(format!("{}: a value over {LONGEST_VALUE} bytes", found.place));
            let filled = fill(value, key, &parts).ok_or_else(long)?;
            if filled.foreign {
                found.keeper = Keeper::Nobody;
            }
            *value = filled.value.into_owned();
        }
    }
    Ok(found)
}
