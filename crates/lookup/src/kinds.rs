//! Tables that are answered for in this process.

use crate::accounts::Accounts;
use crate::aliases::{Aliases, load};
use crate::groups::Groups;
use crate::networks::Networks;
use crate::pairs::Pairs;
use crate::regexps::Patterns;
use crate::sorted::Sorted;
use crate::watched::FileFault;
use crate::{Keeper, TableError, Watched, folded};
use settings::{Table, TableKind};
use std::collections::HashMap;
use std::fs::File;
use std::time::Instant;

/// Bytes of a text that is kept in memory; what is larger belongs into a compiled file.
const MAX_TEXT: u64 = 256 * 1024 * 1024;
/// Of patterns.
const MAX_PATTERNS: u64 = 4 * 1024 * 1024;

/// One table.
#[derive(Debug)]
pub(crate) enum Kind {
    Inline(HashMap<String, String>),
    Text(Watched<Pairs>),
    Sorted(Watched<Sorted>),
    Aliases(Watched<Aliases>),
    Cdb(Watched<cdb::Reader<File>>),
    Regexp(Watched<Patterns>),
    Cidr(Watched<Networks>),
    Passwd(Accounts),
    Group(Groups),
    /// Other tables in their order.
    Chain,
    /// Another process.
    Remote,
}

/// What a table has under one text.
#[derive(Debug)]
pub(crate) struct Hit {
    pub values: Vec<String>,
    /// 1-based, of kinds that know.
    pub line: Option<usize>,
    /// Groups of a pattern, for `%1` and on.
    pub parts: Option<Vec<String>>,
    pub keeper: Keeper,
}

impl Hit {
    pub const fn new(values: Vec<String>, line: Option<usize>, keeper: Keeper) -> Self {
        Self { values, line, parts: None, keeper }
    }
}

impl Kind {
    pub fn new(table: &Table) -> Self {
        let path = table.file.clone().unwrap_or_default();
        match table.kind {
            TableKind::Inline => Self::Inline(
                table.entries.iter().map(|(key, value)| (if table.fold { folded(key) } else { key.clone() }, value.clone())).collect(),
            ),
            TableKind::Text => Self::Text(Watched::new(path, MAX_TEXT)),
            TableKind::Sorted => Self::Sorted(Watched::new(path, u64::MAX)),
            TableKind::Aliases => Self::Aliases(Watched::new(path, MAX_TEXT)),
            TableKind::Cdb => Self::Cdb(Watched::new(path, u64::MAX)),
            TableKind::Regexp => Self::Regexp(Watched::new(path, MAX_PATTERNS)),
            TableKind::Cidr => Self::Cidr(Watched::new(path, MAX_TEXT)),
            TableKind::Passwd => Self::Passwd(Accounts::default()),
            TableKind::Group => Self::Group(Groups::default()),
            TableKind::Chain => Self::Chain,
            _ => Self::Remote,
        }
    }

    /// What stands under this text, folded where the table folds.
    pub fn find(&mut self, now: Instant, table: &Table, text: &str) -> Result<Option<Hit>, TableError> {
        Ok(match self {
            Self::Inline(entries) => entries.get(text).map(|value| Hit::new(vec![value.clone()], None, Keeper::Administrator)),
            Self::Text(file) => {
                let pairs = file.read(now, |text| Pairs::read(text, table.fold))?;
                pairs.find(text).map(|(line, value)| Hit::new(vec![value.to_owned()], Some(line), file.keeper()))
            }
            Self::Sorted(file) => {
                let sorted = file.open(now, |file, metadata| Ok(Sorted::new(file, metadata.len())))?;
                let found = sorted.find(text).map_err(|e| trouble(file, &e))?;
                found.map(|value| Hit::new(vec![value], None, file.keeper()))
            }
            Self::Aliases(file) => aliases(file, now, text)?,
            Self::Cdb(file) => {
                let reader = file.open(now, |file, _| cdb::Reader::new(file).map_err(FileFault::from))?;
                let found = reader.find(text.as_bytes()).map_err(|e| trouble(file, &e))?;
                let found = found.map(String::from_utf8).transpose().map_err(|_| trouble(file, &"a value is not UTF-8"))?;
                found.map(|value| Hit::new(vec![value], None, file.keeper()))
            }
            Self::Regexp(file) => {
                let patterns = file.read(now, |text| Patterns::read(text, table.fold))?;
                let hit = |found: crate::regexps::Match<'_>| Hit {
                    parts: Some(found.parts),
                    ..Hit::new(vec![found.value.to_owned()], Some(found.line), file.keeper())
                };
                patterns.find(text).map(hit)
            }
            Self::Cidr(file) => {
                let networks = file.read(now, Networks::read)?;
                networks.find(text).map(|(line, value)| Hit::new(vec![value.to_owned()], Some(line), file.keeper()))
            }
            Self::Passwd(accounts) => accounts.by_name(now, text)?.map(|account| Hit::new(vec![account.home], None, Keeper::Administrator)),
            Self::Group(groups) => groups.members(now, text)?.map(|members| Hit::new(members, None, Keeper::Administrator)),
            Self::Chain | Self::Remote => None,
        })
    }
}

fn aliases(file: &mut Watched<Aliases>, now: Instant, text: &str) -> Result<Option<Hit>, TableError> {
    let aliases = file.read(now, load)?;
    match aliases.find(text) {
        Ok(Some((line, values))) => Ok(Some(Hit::new(values.iter().map(ToString::to_string).collect(), Some(line), file.keeper()))),
        Err((line, reason)) => Err(TableError::Temporary(format!("{}:{line}: {reason}", file.path().display()))),
        Ok(None) => Ok(None),
    }
}

fn trouble<T>(file: &Watched<T>, why: &dyn std::fmt::Display) -> TableError {
    TableError::Temporary(format!("{}: {why}", file.path().display()))
}
