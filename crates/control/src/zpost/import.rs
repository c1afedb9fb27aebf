//! `zpost import`: files of other mail systems into a configuration and tables of ours.

use crate::output::{complain, print, print_json, shown};
use crate::trouble::{EX_IOERR, EX_NOINPUT, EX_USAGE, Trouble};
use import::{Imported, NewFile, Source, System};
use serde::Serialize;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes that are read of one file.
const LARGEST: u64 = 256 << 20;
const CONFIGURATION: &str = "zpost.toml";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum From {
    /// main.cf with what it names; aliases, virtual, transport, canonical, relay, localnames
    Postfix,
    /// aliases, virtusertable, virtuserdomains, mailertable, genericstable, relay-domains, local-host-names, access
    Sendmail,
    /// aliases, fqdnaliases, routes, localnames, userdb, smtp-policy.src
    Zmailer,
}

/// What is imported, and where to.
#[derive(Debug, clap::Args)]
pub struct Import {
    #[arg(value_enum)]
    system: From,
    /// Files, known by their names; KIND=FILE says what a file of another name is
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// A new folder for zpost.toml and the tables
    #[arg(long, default_value = "imported", value_name = "FOLDER")]
    into: PathBuf,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Import, json: bool) -> Result<u8, Trouble> {
    let folder = std::path::absolute(&arguments.into).map_err(|e| Trouble::io(arguments.into.display(), &e))?;
    let named = folder.to_str().filter(|path| !path.chars().any(char::is_control));
    let named = named.ok_or_else(|| Trouble::new(EX_USAGE, "the folder's name cannot stand in a configuration"))?;
    let system = match arguments.system {
        From::Postfix => System::Postfix,
        From::Sendmail => System::Sendmail,
        From::Zmailer => System::Zmailer,
    };
    let sources: Vec<Source> = arguments.files.iter().map(|file| Source::parse(file)).collect();
    // A slip of the pen is no remark among many.
    for source in &sources {
        read(&source.path).map_err(|reason| Trouble::new(EX_NOINPUT, format!("{}: {reason}", shown(&source.path))))?;
    }
    let imported = import::import(system, &sources, named, &read);
    if !imported.unknown.is_empty() {
        let lines: Vec<String> = imported.unknown.iter().map(|remark| shown(&remark.to_string())).collect();
        return Err(Trouble::new(EX_USAGE, lines.join("\n") + "\nnothing was written"));
    }
    if !arguments.dry_run {
        write(&folder, &imported)?;
    }
    report(&imported, &folder, arguments.dry_run, json)
}

fn read(path: &str) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("not a regular file; name files, such as main.cf in it where it is a folder".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("larger than 256 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "not text in UTF-8; of a compiled table (.db, .lmdb) give the text that it was made of".to_owned())
}

/// Into a folder that was not there before: nothing of anybody's is overwritten.
fn write(folder: &Path, imported: &Imported) -> Result<(), Trouble> {
    fs::DirBuilder::new().mode(0o755).create(folder).map_err(|e| {
        let advice = match e.kind() {
            std::io::ErrorKind::AlreadyExists => "; name a new one with --into",
            std::io::ErrorKind::PermissionDenied => "; name one where you may write with --into",
            _ => "",
        };
        Trouble::new(EX_IOERR, format!("{}: {e}{advice}", folder.display()))
    })?;
    let configuration = NewFile { name: CONFIGURATION.to_owned(), text: imported.configuration.clone(), secret: false };
    for file in imported.files.iter().chain([&configuration]) {
        let path = folder.join(&file.name);
        let mode = if file.secret { 0o600 } else { 0o644 };
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        made.and_then(|mut made| made.write_all(file.text.as_bytes())).map_err(|e| Trouble::io(path.display(), &e))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'i> {
    folder: String,
    configuration: &'i str,
    files: Vec<&'i str>,
    remarks: Vec<Remarked<'i>>,
}

#[derive(Serialize)]
struct Remarked<'i> {
    file: &'i str,
    line: usize,
    text: &'i str,
}

fn report(imported: &Imported, folder: &Path, dry_run: bool, json: bool) -> Result<u8, Trouble> {
    if json {
        let remarks = imported.remarks.iter().map(|r| Remarked { file: &r.file, line: r.line, text: &r.text }).collect();
        let files = imported.files.iter().map(|file| file.name.as_str()).collect();
        let report = Report { folder: folder.display().to_string(), configuration: &imported.configuration, files, remarks };
        return print_json(&report).map(|()| 0);
    }
    for remark in &imported.remarks {
        complain(&format!("{}\n", shown(&remark.to_string())));
    }
    if dry_run {
        print(&imported.configuration)?;
        return Ok(0);
    }
    let folder = folder.display();
    let (files, remarks) = (imported.files.len() + 1, imported.remarks.len());
    print(format!(
        "{folder}: {files} files; {remarks} remarks about what was not carried over or must be looked at\n\
         next: zpost --config {folder}/{CONFIGURATION} config check\n"
    ))?;
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn run_with(folder: &Path, files: &[&Path]) -> Result<u8, Trouble> {
        let files = files.iter().map(|path| path.display().to_string()).collect();
        run(&Import { system: From::Postfix, files, into: folder.join("new"), dry_run: false }, false)
    }

    #[test]
    fn a_file_that_nobody_knows_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let [main, strange] = ["main.cf", "strange"].map(|name| folder.path().join(name));
        fs::write(&main, "myhostname = a.example\n").unwrap();
        fs::write(&strange, "x\n").unwrap();
        let trouble = run_with(folder.path(), &[&main, &strange]).unwrap_err();
        assert_eq!(trouble.code, EX_USAGE);
        assert!(trouble.text.contains("strange: what this is") && trouble.text.ends_with("nothing was written"), "{trouble:?}");
        assert!(!folder.path().join("new").exists());
        fs::write(&strange, b"\xff\x00").unwrap();
        assert!(run_with(folder.path(), &[&strange]).unwrap_err().text.contains("compiled table"));
        assert!(run_with(folder.path(), &[folder.path()]).unwrap_err().text.contains("such as main.cf"));
    }

    #[test]
    fn files_go_into_a_folder_of_their_own_and_secrets_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [main, database] = ["main.cf", "db.cf"].map(|name| folder.path().join(name));
        fs::write(&main, format!("myhostname = a.example\nvirtual_alias_maps = mysql:{}\n", database.display())).unwrap();
        fs::write(&database, "hosts = db\ndbname = x\npassword = secret\nquery = SELECT a FROM b WHERE c = '%s'\n").unwrap();
        assert_eq!(run_with(folder.path(), &[&main]), Ok(0));
        let mode = |name: &str| fs::metadata(folder.path().join("new").join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("db.cf.password"), mode(CONFIGURATION)), (0o600, 0o644));
        assert_eq!(run_with(folder.path(), &[&main]).unwrap_err().code, EX_IOERR, "nothing is overwritten");
        assert_eq!(run_with(folder.path(), &[&folder.path().join("none")]).unwrap_err().code, EX_NOINPUT);
    }
}
