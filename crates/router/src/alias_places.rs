//! `[local] aliases`: files in Sendmail's form and declared tables, asked in the order in which they are written.

use crate::tables::Declared;
use lookup::{AliasEntry, AliasFiles, Keeper, TableError, parse_values};
use settings::{AliasSource, Settings};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

#[derive(Debug)]
enum Place {
    /// Some that stand one after the other.
    Files(AliasFiles),
    /// A declared table. `far`: another process answers for it.
    Table { name: Rc<str>, far: bool },
}

/// All of them.
#[derive(Debug)]
pub struct AliasPlaces(Vec<Place>);

impl AliasPlaces {
    pub fn new(settings: &Settings) -> Self {
        let mut places = Vec::new();
        let mut files: Vec<PathBuf> = Vec::new();
        for source in &settings.local.aliases {
            match source {
                AliasSource::File(path) => files.push(path.clone()),
                AliasSource::Declared(name) => {
                    places.extend(run(&mut files));
                    let far = settings.tables.iter().any(|table| table.name == *name && table.kind.process().is_some());
                    places.push(Place::Table { name: Rc::from(name.as_str()), far });
                }
            }
        }
        places.extend(run(&mut files));
        Self(places)
    }

    /// The first place that knows `key` answers; one that cannot say now stops the search, for it might know.
    pub fn find(&mut self, key: &str, now: Instant, declared: &mut Declared<'_>) -> Result<Option<AliasEntry>, TableError> {
        for place in &mut self.0 {
            let found = match place {
                Place::Files(files) => files.find(now, key)?,
                Place::Table { name, far } => of_table(declared, name, *far, key)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What is wrong in the files, for the log.
    pub fn faults(&mut self, now: Instant) -> Vec<String> {
        self.files().flat_map(|files| files.faults(now)).collect()
    }

    /// What is wrong in files that have changed since; once.
    pub fn news(&mut self) -> impl Iterator<Item = String> {
        self.files().flat_map(AliasFiles::news)
    }

    fn files(&mut self) -> impl Iterator<Item = &mut AliasFiles> {
        self.0.iter_mut().filter_map(|place| if let Place::Files(files) = place { Some(files) } else { None })
    }
}

fn run(files: &mut Vec<PathBuf>) -> Option<Place> {
    (!files.is_empty()).then(|| Place::Files(AliasFiles::new(&std::mem::take(files))))
}

/// What other processes say comes over a network or through a library in C: it names addresses, never programs or files.
fn of_table(declared: &mut Declared<'_>, name: &Rc<str>, far: bool, key: &str) -> Result<Option<AliasEntry>, TableError> {
    let Some(found) = declared.find(name, key)? else { return Ok(None) };
    let values =
        parse_values(&found.values.join(", ")).map_err(|reason| TableError::Temporary(format!("{}: {key}: {reason}", found.place)))?;
    let keeper = if far { Keeper::Nobody } else { found.keeper };
    Ok(Some(AliasEntry { values: Rc::from(values), file: Rc::from(found.place.as_str()), line: 0, keeper }))
}
