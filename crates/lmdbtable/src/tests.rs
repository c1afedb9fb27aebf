use super::*;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn table(file: &Path) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"t\"\nkind = \"lmdb\"\nfile = \"{}\"\n",
        file.display()
    );
    settings::parse(&text, "x").unwrap().tables.remove(0)
}

fn write(path: &Path, records: &[(&str, &[u8])]) {
    let new = path.with_extension("new");
    let mut maker = lmdb::Maker::new(File::create(&new).unwrap()).unwrap();
    for (key, value) in records {
        maker.add(key.as_bytes(), value).unwrap();
    }
    maker.finish().unwrap();
    fs::rename(new, path).unwrap();
}

fn found(value: &str) -> Result<Option<Vec<String>>, Trouble> {
    Ok(Some(vec![value.to_owned()]))
}

#[test]
fn values_and_what_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    write(&path, &[("a", b"one, two"), ("bad", b"\xff"), ("nul\0", b"with\0"), ("ü", "ö".as_bytes())]);
    let table = table(&path);
    let mut open = Lmdb.connect(&table).unwrap();
    for (key, value) in [("a", "one, two"), ("nul", "with"), ("ü", "ö")] {
        assert_eq!(Lmdb.ask(&mut open, &table, key), found(value));
    }
    assert_eq!(Lmdb.ask(&mut open, &table, "b"), Ok(None));
    assert_eq!(Lmdb.ask(&mut open, &table, &"k".repeat(1024)), Ok(None));
    assert!(!Lmdb.ask(&mut open, &table, "bad").unwrap_err().broken);
    // Another file in its place is seen at once; one that is none is trouble, and no absence.
    write(&path, &[("a", b"three")]);
    assert_eq!(Lmdb.ask(&mut open, &table, "a"), found("three"));
    fs::write(folder.path().join("junk"), "a: b\n".repeat(3000)).unwrap();
    fs::rename(folder.path().join("junk"), &path).unwrap();
    assert!(Lmdb.ask(&mut open, &table, "a").unwrap_err().broken);
    fs::remove_file(&path).unwrap();
    assert!(Lmdb.connect(&table).unwrap_err().reason.contains("No such file"));
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(Lmdb.connect(&table(&path)).unwrap_err().reason.contains("no file"));
    assert!(Lmdb.connect(&table(folder.path())).unwrap_err().reason.contains("No such file"));
}

fn postfix_has_lmdb() -> bool {
    let output = Command::new("/usr/sbin/postconf").arg("-m").output();
    let there = output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "lmdb"));
    if !there {
        eprintln!("SKIPPED: postmap with lmdb is not installed; scripts/test installs it");
    }
    there
}

/// A folder with a configuration of its own: the system's may be for anything.
fn postfix(folder: &Path) -> Command {
    fs::write(folder.join("main.cf"), "compatibility_level = 3.6\ndefault_database_type = lmdb\n").unwrap();
    let mut command = Command::new("/usr/sbin/postmap");
    command.arg("-c").arg(folder).stdin(Stdio::null());
    command
}

#[test]
fn what_postmap_made_is_read_and_postmap_reads_what_is_made_here() {
    if !postfix_has_lmdb() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("virtual");
    let lines: String = (0..5000).map(|n| format!("user{n}@x.example person{n}@y.example, other{n}\n")).collect();
    fs::write(&source, format!("{lines}@whole.example someone\nbig {}\n", "v".repeat(6000))).unwrap();
    let map = format!("lmdb:{}", source.display());
    let made = postfix(folder.path()).arg(&map).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = folder.path().join("virtual.lmdb");
    let table = table(&file);
    let mut open = Lmdb.connect(&table).unwrap();
    for n in (0..5000).step_by(13) {
        let value = found(&format!("person{n}@y.example, other{n}"));
        assert_eq!(Lmdb.ask(&mut open, &table, &format!("user{n}@x.example")), value);
    }
    assert_eq!(Lmdb.ask(&mut open, &table, "@whole.example"), found("someone"));
    assert_eq!(Lmdb.ask(&mut open, &table, "big"), found(&"v".repeat(6000)));
    assert_eq!(Lmdb.ask(&mut open, &table, "user5000@x.example"), Ok(None));
    // Made again in place, as an administrator does.
    fs::write(&source, "user1@x.example changed\n").unwrap();
    assert!(postfix(folder.path()).arg(&map).status().unwrap().success());
    assert_eq!(Lmdb.ask(&mut open, &table, "user1@x.example"), found("changed"));
    assert_eq!(Lmdb.ask(&mut open, &table, "user2@x.example"), Ok(None));
    // The other way.
    write(&file, &[("a@x.example", b"ours"), ("b@x.example", b"b")]);
    let asked = postfix(folder.path()).args(["-q", "a@x.example", &map]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "ours\n", "{}", String::from_utf8_lossy(&asked.stderr));
}
