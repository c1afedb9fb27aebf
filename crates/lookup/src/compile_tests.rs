//! Sources into files, and the files asked.

use crate::compile::{check, compile};
use crate::relations_tests::configuration;
use crate::{Keeper, Relations, Value};
use settings::Table;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

struct Place {
    _scratch: tempfile::TempDir,
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        Self { folder: scratch.path().canonicalize().unwrap(), _scratch: scratch }
    }

    fn declared(&self, kind: &str, more: &str) -> String {
        format!(
            "[[table]]\nname = \"t\"\nkind = \"{kind}\"\nfile = {:?}\nsource = {:?}\n{more}",
            self.folder.join("f"),
            self.folder.join("s")
        )
    }

    fn compiled(&self, kind: &str, more: &str, source: &str) -> Relations {
        fs::write(self.folder.join("s"), source).unwrap();
        let settings = configuration(&self.declared(kind, more));
        compile(&settings.tables[0]).unwrap().unwrap().publish().unwrap();
        Relations::new(&settings, Vec::new())
    }

    fn faults(&self, kind: &str, more: &str, source: &str) -> String {
        fs::write(self.folder.join("s"), source).unwrap();
        let settings = configuration(&self.declared(kind, more));
        let faults = compile(&settings.tables[0]).unwrap_err().join("\n");
        faults.replace(&format!("{}/", self.folder.display()), "")
    }
}

fn value(tables: &mut Relations, key: &str) -> Option<String> {
    tables.find(Instant::now(), "t", key).unwrap().map(|found| found.values.join("|"))
}

#[test]
fn both_compiled_kinds_answer_what_their_source_says() {
    for kind in ["cdb", "sorted"] {
        let place = Place::new();
        let mut tables = place.compiled(kind, "", "# c\nJoe@M\u{fc}nchen.example  a@b,\n   c@d\n@x: %1@y\nempty\n");
        assert_eq!(value(&mut tables, "joe@xn--mnchen-3ya.example"), Some("a@b, c@d".into()), "{kind}");
        assert_eq!(value(&mut tables, "@x"), Some("@y".into()));
        assert_eq!((value(&mut tables, "EMPTY"), value(&mut tables, "other")), (Some(String::new()), None));
        assert_eq!(fs::read_dir(&place.folder).unwrap().count(), 2);
        let mut tables = place.compiled(kind, "form = \"aliases\"\n", "Team: Joe <joe@x>, \"|prog a, %0\", \\max\n");
        let found = tables.find(Instant::now(), "t", "TEAM").unwrap().unwrap();
        let wanted = [Value::Address("joe@x".into()), Value::Program("prog a, %0".into()), Value::Mailbox("max".into())];
        assert_eq!(found.recipients().unwrap(), wanted);
        assert_eq!(found.keeper, Keeper::of_uid(nix::unistd::geteuid().as_raw()));
    }
}

#[test]
fn faults_are_told_all_at_once_and_leave_the_file_alone() {
    for kind in ["cdb", "sorted"] {
        let place = Place::new();
        drop(place.compiled(kind, "", "a 1\n"));
        let before = fs::read(place.folder.join("f")).unwrap();
        let long = "x".repeat(2000);
        let source = format!("a 1\n: x\nb 2\nA 3\n{long} 4\n\u{1} x\na 5\n");
        let faults = place.faults(kind, "", &source);
        let wanted = "s:2: no key\ns:5: a key over 1024 bytes\ns:6: a control character\n\
                      s:4: a is defined in line 1 already\ns:7: a is defined in line 1 already";
        assert_eq!(faults, wanted, "{kind}");
        let faults = place.faults(kind, "form = \"aliases\"\n", "a: b\nc: \"d\nno colon\nA: e\n");
        assert_eq!(faults, "s:2: c: a quote does not end\ns:3: no colon after the name\ns:4: a is defined in line 1 already");
        assert_eq!(fs::read(place.folder.join("f")).unwrap(), before);
        assert_eq!(fs::read_dir(&place.folder).unwrap().count(), 2);
    }
    assert_eq!(Place::new().faults("sorted", "", "\"a b\" c\n"), "s:1: a key with blanks cannot be in a sorted table; kind cdb takes it");
}

#[test]
fn compiling_gives_nobody_more_rights() {
    let place = Place::new();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (source, file) = (place.folder.join("s"), place.folder.join("f"));
    fs::write(&source, "a b\n").unwrap();
    mode(&source, 0o666);
    let settings = configuration(&place.declared("cdb", ""));
    let draft = compile(&settings.tables[0]).unwrap().unwrap();
    assert!(draft.warning.as_ref().unwrap().contains("others"));
    draft.publish().unwrap();
    let keeper = || Relations::new(&settings, Vec::new()).find(Instant::now(), "t", "a").unwrap().unwrap().keeper;
    assert_eq!(keeper(), Keeper::Nobody);
    fs::remove_file(&file).unwrap();
    mode(&source, 0o644);
    compile(&settings.tables[0]).unwrap().unwrap().publish().unwrap();
    assert_eq!(keeper(), Keeper::of_uid(nix::unistd::geteuid().as_raw()));
    mode(&file, 0o640);
    compile(&settings.tables[0]).unwrap().unwrap().publish().unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&source, Some(65534), None).unwrap();
        compile(&settings.tables[0]).unwrap().unwrap().publish().unwrap();
        assert_eq!(keeper(), Keeper::User(65534));
    }
}

#[test]
fn texts_that_are_not_compiled_are_checked() {
    let place = Place::new();
    let file = place.folder.join("f");
    let checked = |kind: &str, text: &str| {
        fs::write(&file, text).unwrap();
        let declared = format!("[[table]]\nname = \"t\"\nkind = \"{kind}\"\nfile = {file:?}\n");
        let table: Table = configuration(&declared).tables[0].clone();
        check(&table).map_err(|faults| faults.len())
    };
    for (kind, good, bad) in [
        ("text", "a b\nc d\n", "a b\n: c\nA d\n"),
        ("aliases", "a: b\nc: d\n", "a: b\nc\nA: d\n"),
        ("cidr", "10.0.0.0/8 x\n::1 y\n", "10.0.0.1/8 x\n"),
        ("regexp", "/a/ b\n/c/ d\n", "/(/ b\n"),
    ] {
        assert_eq!(checked(kind, good), Ok(Some(2)), "{kind}");
        assert_eq!(checked(kind, bad), Err(if bad.contains('A') { 2 } else { 1 }), "{kind}");
    }
    assert_eq!(checked("cdb", ""), Ok(None));
}

/// Read by its own process; here by its own crate.
#[test]
fn a_file_of_lmdb() {
    let place = Place::new();
    let lines: String = (0..3000).rev().map(|n| format!("Name{n}@x.example value {n}\n")).collect();
    drop(place.compiled("lmdb", "", &lines));
    let file = fs::File::open(place.folder.join("f")).unwrap();
    for n in (0..3000).step_by(7) {
        let value = lmdb::find(&file, format!("name{n}@x.example").as_bytes()).unwrap();
        assert_eq!(value, Some(format!("value {n}").into_bytes()));
    }
    assert_eq!(lmdb::find(&file, b"name3000@x.example").unwrap(), None);
    assert_eq!(place.faults("lmdb", "", "a b\nA c\n"), "s:2: a is defined in line 1 already");
    let long = format!("{} b\n", "k".repeat(512));
    assert_eq!(place.faults("lmdb", "", &long), "s:1: a key over 511 bytes cannot be in a table of kind lmdb; kind cdb takes it");
}
