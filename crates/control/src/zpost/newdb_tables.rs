//! Declared tables: those with a source are compiled, the texts of others are checked.

use crate::output::{complain, print};
use crate::site::Site;
use crate::trouble::{EX_CONFIG, EX_DATAERR, EX_IOERR, Trouble};
use lookup::compile::{Draft, check, compile};
use settings::{Table, TableKind};

/// Of all tables, or of those named. When anything is wrong every fault is told, and no file is replaced.
pub fn make(site: &Site, names: &[&str]) -> Result<u8, Trouble> {
    let tables = &site.settings.tables;
    let unknown: Vec<&str> = names.iter().copied().filter(|name| tables.iter().all(|table| table.name != *name)).collect();
    if !unknown.is_empty() {
        let text = format!("{} has no [[table]] {}; a file of policy is given as ./FILE", site.config.display(), unknown.join(", "));
        return Err(Trouble::new(EX_CONFIG, text));
    }
    let wanted: Vec<&Table> = tables.iter().filter(|table| names.is_empty() || names.contains(&table.name.as_str())).collect();
    if wanted.iter().all(|table| table.source.is_none() && !is_text(table)) {
        print("nothing to make: no [[table]] has a source\n")?;
        return Ok(0);
    }
    let (mut drafts, mut said, mut faults) = (Vec::new(), String::new(), Vec::new());
    for table in wanted {
        if table.source.is_some() {
            match compiled(table) {
                Ok(draft) => drafts.push((table, draft)),
                Err(mut some) => faults.append(&mut some),
            }
        } else {
            match check(table) {
                Ok(Some(count)) => said.push_str(&format!("{}: {count} keys, read as text\n", table.name)),
                Ok(None) => {}
                Err(mut some) => faults.append(&mut some),
            }
        }
    }
    if !faults.is_empty() {
        faults.push("no file was replaced".to_owned());
        return Err(Trouble::new(EX_DATAERR, faults.join("\n")));
    }
    for (table, draft) in drafts {
        let file = table.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        said.push_str(&format!("{}: {} keys in {file}\n", table.name, draft.keys));
        place(draft, &file)?;
    }
    print(said)?;
    Ok(0)
}

/// A new file for a table with a source.
pub fn compiled(table: &Table) -> Result<Draft, Vec<String>> {
    compile(table)?.ok_or_else(|| vec![format!("table {}: kind {} is not compiled by this program yet", table.name, table.kind.word())])
}

/// The routers take it within a second.
pub fn place(mut draft: Draft, file: &str) -> Result<(), Trouble> {
    if let Some(warning) = draft.warning.take() {
        complain(&format!("zpost: warning: {warning}\n"));
    }
    draft.publish().map_err(|e| Trouble::new(EX_IOERR, format!("{file}: {e}")))
}

fn is_text(table: &Table) -> bool {
    matches!(table.kind, TableKind::Text | TableKind::Aliases | TableKind::Regexp | TableKind::Cidr)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn site(folder: &Path) -> Site {
        let mut text = format!("paths.postoffice = {folder:?}\nidentity.hostname = \"mta.example\"\n");
        for (name, kind) in [("one", "cdb"), ("two", "sorted")] {
            let (file, source) = (folder.join(format!("{name}.db")), folder.join(name));
            text.push_str(&format!("[[table]]\nname = \"{name}\"\nkind = \"{kind}\"\nfile = {file:?}\nsource = {source:?}\n"));
        }
        text.push_str(&format!("[[table]]\nname = \"text\"\nkind = \"text\"\nfile = {:?}\n", folder.join("text")));
        let config = folder.join("zpost.toml");
        fs::write(&config, &text).unwrap();
        Site::load(Some(&config)).unwrap()
    }

    #[test]
    fn all_or_nothing_and_every_fault() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        let site = site(folder);
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("one", "a 1\n");
        write("two", ": x\nb 2\n");
        write("text", "a b\na c\n");
        let trouble = make(&site, &[]).unwrap_err();
        let said = trouble.text.replace(&format!("{}/", folder.display()), "");
        assert_eq!(said, "two:1: no key\ntext:2: a is defined in line 1 already\nno file was replaced");
        assert!(!folder.join("one.db").exists());
        assert_eq!(make(&site, &["one"]), Ok(0));
        assert!(folder.join("one.db").exists() && !folder.join("two.db").exists());
        write("two", "b 2\n");
        write("text", "a b\n");
        assert_eq!(make(&site, &[]), Ok(0));
        assert_eq!(fs::read_to_string(folder.join("two.db")).unwrap(), "b\t2\n");
        assert_eq!(make(&site, &["three"]).unwrap_err().code, EX_CONFIG);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 6);
    }
}
