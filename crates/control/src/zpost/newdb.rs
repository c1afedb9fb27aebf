//! `zpost newdb`: sources of declared tables into their files; sources of policy into a table.

use super::newdb_tables as tables;
use crate::output::{complain, print};
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_IOERR, EX_USAGE, Trouble};
use policy::{Records, SourceFault, read_source, read_zmailer};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What is to be made, and of what.
#[derive(Debug, clap::Args)]
pub struct What {
    /// Names of [[table]]s, by default all that have a source; or a policy table and the text files that it is made of
    what: Vec<PathBuf>,
    /// The sources are ZMailer's (smtp-policy.src and its like)
    #[arg(long)]
    zmailer: bool,
    /// Attributes of every key, for ZMailer's lists of keys, such as "= _full_rights"
    #[arg(long, requires = "zmailer", default_value = "", value_name = "PAIRS")]
    each: String,
}

/// A policy table, and its sources; the first word about a key counts.
struct Sources<'a> {
    table: &'a Path,
    sources: &'a [PathBuf],
    zmailer: bool,
    each: &'a str,
}

/// Names of declared tables have no dot and no slash; files of policy that have neither are given as `./file`.
pub fn run(config: Option<&Path>, what: &What) -> Result<u8, Trouble> {
    let is_name = |word: &PathBuf| word.to_str().is_some_and(|word| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    match what.what.as_slice() {
        words if !what.zmailer && words.iter().all(is_name) => {
            let names: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
            tables::make(&Site::load(config)?, &names)
        }
        [table, sources @ ..] if !sources.is_empty() => policy_table(&Sources { table, sources, zmailer: what.zmailer, each: &what.each }),
        _ => Err(Trouble::new(
            EX_USAGE,
            "a policy table and its sources, or names of [[table]]s: zpost newdb [--zmailer] TABLE SOURCE... or zpost newdb [NAME...]",
        )),
    }
}

fn policy_table(sources: &Sources<'_>) -> Result<u8, Trouble> {
    let mut records = Records::default();
    let mut fatal = Vec::new();
    for path in sources.sources {
        let name = path.display().to_string();
        let bytes = fs::read(path).map_err(|e| Trouble::io(&name, &e))?;
        let text = String::from_utf8(bytes).map_err(|_| Trouble::new(EX_DATAERR, format!("{name}: not UTF-8")))?;
        let short = path.file_name().map_or_else(|| name.clone(), |file| file.to_string_lossy().into_owned());
        let faults = match sources.zmailer {
            true => read_zmailer(&short, &text, sources.each, &mut records),
            false => read_source(&short, &text, &mut records),
        };
        for SourceFault { line, fatal: whole, text } in faults {
            if whole {
                fatal.push(format!("{name}:{line}: {text}"));
            } else {
                complain(&format!("zpost: {name}:{line}: {text}\n"));
            }
        }
    }
    if !fatal.is_empty() {
        fatal.push(format!("{} is as it was", sources.table.display()));
        return Err(Trouble::new(EX_DATAERR, fatal.join("\n")));
    }
    let table = records.compile().ok_or_else(|| Trouble::new(EX_DATAERR, "too much for one table of 4 GiB"))?;
    replace(sources.table, &table).map_err(|e| Trouble::new(EX_IOERR, format!("{}: {e}", sources.table.display())))?;
    print(format!("{}: {} keys; zpost reload takes it\n", sources.table.display(), records.len()))?;
    Ok(0)
}

/// A new file in the place of the old one: who has that open goes on with it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = path.with_file_name(name);
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if made.is_err() {
        let _ = fs::remove_file(&beside);
    }
    made
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_source_leaves_the_table_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (source, table) = (folder.path().join("s"), folder.path().join("t.db"));
        let made = |text: &str, zmailer: bool| {
            fs::write(&source, text).unwrap();
            run(None, &What { what: vec![table.clone(), source.clone()], zmailer, each: String::new() })
        };
        assert_eq!(made("sender:spam.example refuse=no\n", false), Ok(0));
        let before = fs::read(&table).unwrap();
        let trouble = made("sender:spam.example refus=no\n", false).unwrap_err();
        assert!(trouble.code == EX_DATAERR && trouble.text.contains("s:1: unknown attribute"), "{}", trouble.text);
        assert_eq!(fs::read(&table).unwrap(), before);
        assert_eq!(made("spam.example rejectsource +\n", true), Ok(0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
