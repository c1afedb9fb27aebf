//! `newaliases`: the routers read the alias files as text and take a changed one up within a second, so there is
//! nothing to compile but tables that are declared with a source; of the files it says what is wrong with them.

use crate::output::print;
use crate::site::Site;
use crate::trouble::{EX_DATAERR, Trouble};
use crate::zpost::newdb_tables::{compiled, place};
use settings::{AliasSource, Settings, Table, TableKind};
use std::path::Path;

pub fn main() -> Result<u8, Trouble> {
    let site = Site::load(None)?;
    rebuild(&site.settings)
}

/// Every source of `[local] aliases` in turn.
pub fn rebuild(settings: &Settings) -> Result<u8, Trouble> {
    let mut errors = Vec::new();
    if settings.local.aliases.is_empty() {
        print("no alias files: [local] aliases is empty\n")?;
    }
    for source in &settings.local.aliases {
        match source {
            AliasSource::File(path) => check(path, &mut errors)?,
            AliasSource::Declared(name) => declared(settings, name, &mut errors, 0)?,
        }
    }
    if errors.is_empty() { Ok(0) } else { Err(Trouble::new(EX_DATAERR, errors.join("\n"))) }
}

/// A table: compiled, read as text, or the business of others.
fn declared(settings: &Settings, name: &str, errors: &mut Vec<String>, depth: usize) -> Result<(), Trouble> {
    let Some(table) = settings.tables.iter().find(|table| table.name == name).filter(|_| depth < 8) else { return Ok(()) };
    if table.source.is_some() {
        return make(table, errors);
    }
    match (table.kind, &table.file) {
        (TableKind::Chain, _) => table.tables.iter().try_for_each(|other| declared(settings, other, errors, depth + 1)),
        (TableKind::Aliases, Some(path)) => check(path, errors),
        _ => Ok(()),
    }
}

fn make(table: &Table, errors: &mut Vec<String>) -> Result<(), Trouble> {
    let show = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    match compiled(table) {
        Ok(draft) => {
            let line = summary(&show(&table.source), draft.keys, draft.longest, draft.bytes);
            place(draft, &show(&table.file))?;
            print(line)
        }
        Err(mut faults) => {
            errors.append(&mut faults);
            Ok(())
        }
    }
}

/// What is wrong with the alias files that the routers read as text, as far as they can be read here.
pub fn faults(settings: &Settings) -> Vec<String> {
    let mut errors = Vec::new();
    let declared = settings.tables.iter().filter(|table| table.kind == TableKind::Aliases).filter_map(|table| table.file.as_ref());
    let named = settings.local.aliases.iter().filter_map(|source| match source {
        AliasSource::File(path) => Some(path),
        AliasSource::Declared(_) => None,
    });
    for path in named.chain(declared) {
        if let Ok(text) = std::fs::read_to_string(path) {
            read(path, &text, &mut errors);
        }
    }
    errors
}

/// Counts to standard output, errors into the list.
fn check(path: &Path, errors: &mut Vec<String>) -> Result<(), Trouble> {
    match std::fs::read_to_string(path) {
        Ok(text) => print(read(path, &text, errors)),
        Err(e) => {
            errors.push(format!("{}: {e}; mail to local users is put off until it can be read", path.display()));
            Ok(())
        }
    }
}

fn read(path: &Path, text: &str, errors: &mut Vec<String>) -> String {
    let name = path.display();
    let (lines, faults) = lookup::parse_aliases(text);
    errors.extend(faults.iter().map(|f| format!("{name}:{}: {}", f.line, f.reason)));
    let mut seen = std::collections::HashMap::new();
    for alias in &lines {
        if let Err(reason) = &alias.values {
            errors.push(format!("{name}:{}: {}: {reason}", alias.line, alias.name));
        }
        if let Some(first) = seen.insert(lookup::key(&alias.name), alias.line) {
            errors.push(format!("{name}:{}: {} is defined in line {first} already", alias.line, alias.name));
        }
    }
    let longest = text.lines().map(str::len).max().unwrap_or(0);
    summary(&name.to_string(), lines.len(), longest, text.len() as u64)
}

/// As Sendmail says it.
fn summary(name: &str, count: usize, longest: usize, bytes: u64) -> String {
    format!("{name}: {count} aliases, longest {longest} bytes, {bytes} bytes total\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Settings {
        settings::parse(&format!("paths.postoffice = \"/x\"\nidentity.hostname = \"mta.example\"\n{more}"), "t").unwrap()
    }

    #[test]
    fn counts_and_faults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        let missing = folder.path().join("missing");
        std::fs::write(&path, "# c\nroot: alice\nteam: bob,\n  carol\n").unwrap();
        assert_eq!(rebuild(&settings(&format!("local.aliases = [{path:?}]\n"))), Ok(0));
        std::fs::write(&path, "root: alice\nRoot: bob\nno colon\n").unwrap();
        let of_both = settings(&format!("local.aliases = [{path:?}, {missing:?}]\n"));
        assert_eq!(faults(&of_both).len(), 2);
        let trouble = rebuild(&of_both).unwrap_err();
        assert_eq!((trouble.code, trouble.text.lines().count()), (EX_DATAERR, 3), "{}", trouble.text);
    }

    #[test]
    fn declared_tables_are_compiled() {
        let folder = tempfile::tempdir().unwrap();
        let (source, file) = (folder.path().join("aliases"), folder.path().join("aliases.cdb"));
        let declared = format!(
            "local.aliases = [\"all\"]\n[[table]]\nname = \"all\"\nkind = \"chain\"\ntables = [\"people\"]\n\
             [[table]]\nname = \"people\"\nkind = \"cdb\"\nform = \"aliases\"\nsource = {source:?}\nfile = {file:?}\n"
        );
        std::fs::write(&source, "root: alice\n").unwrap();
        assert_eq!(rebuild(&settings(&declared)), Ok(0));
        assert!(file.exists());
        std::fs::write(&source, "root: alice\nbad\nroot: bob\n").unwrap();
        assert_eq!(rebuild(&settings(&declared)).unwrap_err().text.lines().count(), 2);
    }
}
