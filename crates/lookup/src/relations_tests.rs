//! Tables of every local kind, by their declarations.

use crate::{Keeper, Relations, TableError, Value};
use proptest::prelude::*;
use settings::Settings;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn configuration(tables: &str) -> Arc<Settings> {
    let text = format!("paths.postoffice = \"/x\"\nidentity.hostname = \"m.example\"\n{tables}");
    Arc::new(settings::parse(&text, "test.toml").unwrap())
}

fn relations(tables: &str) -> Relations {
    Relations::new(&configuration(tables), Vec::new())
}

/// A scratch folder that nobody else can write, so that files in it have a keeper.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn declared(kind: &str, file: &Path, more: &str) -> String {
    format!("[[table]]\nname = \"t\"\nkind = \"{kind}\"\nfile = {file:?}\n{more}")
}

fn said(relations: &mut Relations, now: Instant, key: &str) -> Option<String> {
    relations.find(now, "t", key).unwrap().map(|found| found.values.join("|"))
}

fn trouble(relations: &mut Relations, now: Instant) -> String {
    match relations.find(now, "t", "k") {
        Err(TableError::Temporary(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn us() -> Keeper {
    Keeper::of_uid(nix::unistd::geteuid().as_raw())
}

#[test]
fn inline_tables_and_their_forms() {
    let mut tables = relations(
        "[[table]]\nname = \"t\"\nkind = \"inline\"\nkeys = [\"exact\", \"without_detail\", \"@domain\", \"suffixes\", \"default\"]\n\
         entries = { \"Joe@Example.org\" = \"joe\", \"@example.org\" = \"%1@other.example\", \".example.org\" = \"smtp!%1.inner!%2\", \".\" = \"any %0\" }\n",
    );
    let now = Instant::now();
    for (key, value, keeper) in [
        ("joe@EXAMPLE.org", "joe", Keeper::Administrator),
        ("joe+x@example.org", "joe", Keeper::Administrator),
        ("jane+x@example.org", "jane+x@other.example", Keeper::Nobody),
        ("u@a.b.example.org", "smtp!a.b.inner!u", Keeper::Nobody),
        ("else@where.example", "any else@where.example", Keeper::Nobody),
    ] {
        let found = tables.find(now, "t", key).unwrap().unwrap();
        assert_eq!((found.values.as_slice(), found.keeper, found.place.as_str()), (&[value.to_owned()][..], keeper, "t (inline)"));
    }
    assert!(matches!(tables.find(now, "other", "k"), Err(TableError::Permanent(_))));
    assert_eq!(tables.find(now, "t", "a\nb"), Ok(None));
    assert_eq!(tables.find(now, "t", &"x".repeat(2000)), Ok(None));
}

#[test]
fn text_is_read_again_when_it_is_replaced_and_trouble_is_not_absence() {
    let (_scratch, folder) = folder();
    let file = folder.join("people");
    std::fs::write(&file, "joe: jane\n").unwrap();
    let mut tables = relations(&declared("text", &file, "keys = [\"exact\", \"longest\"]\n"));
    let start = Instant::now();
    let found = tables.find(start, "t", "JOE").unwrap().unwrap();
    assert_eq!((found.values, found.place, found.keeper), (vec!["jane".to_owned()], format!("t ({}:1)", file.display()), us()));
    assert_eq!(said(&mut tables, start, "joeseph"), Some("jane".into()));
    assert_eq!(said(&mut tables, start, "max"), None);
    std::fs::write(folder.join("new"), "max 1\njoe 2\n").unwrap();
    std::fs::rename(folder.join("new"), &file).unwrap();
    assert_eq!(said(&mut tables, start, "max"), None, "looked at once a second");
    let mut later = start + Duration::from_secs(1);
    assert_eq!(said(&mut tables, later, "max"), Some("1".into()));
    for (content, wanted) in [("max 1\n: 2\n", "people:2: no key"), ("max \u{1}\n", "people:1: a control character")] {
        std::fs::write(&file, content).unwrap();
        later += Duration::from_secs(1);
        let reason = trouble(&mut tables, later);
        assert!(reason.starts_with("table t: /") && reason.ends_with(wanted), "{reason}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(trouble(&mut tables, later + Duration::from_secs(1)).contains("No such file"));
}

#[test]
fn aliases_patterns_and_networks() {
    let (_scratch, folder) = folder();
    let file = folder.join("f");
    let now = Instant::now();
    std::fs::write(&file, "Info@Example.org: Joe <joe@x>, \"|prog a, %0\"\nbad: \"x\n").unwrap();
    let mut tables = relations(&declared("aliases", &file, ""));
    let found = tables.find(now, "t", "info@EXAMPLE.ORG").unwrap().unwrap();
    assert_eq!(found.recipients(), Ok(vec![Value::Address("joe@x".into()), Value::Program("prog a, %0".into())]));
    assert_eq!(found.keeper, us(), "nothing of it is the asker's");
    assert!(matches!(tables.find(now, "t", "bad"), Err(TableError::Temporary(reason)) if reason.contains("f:2: a quote")));
    std::fs::write(&file, "/^(.+)-(.+)@x$/ %2@%1\n").unwrap();
    let mut tables = relations(&declared("regexp", &file, ""));
    assert_eq!(said(&mut tables, now, "Ab-Cd@X"), Some("Cd@Ab".into()));
    std::fs::write(&file, "10.0.0.0/8 net\n").unwrap();
    let mut tables = relations(&declared("cidr", &file, ""));
    assert_eq!((said(&mut tables, now, "10.1.1.1"), said(&mut tables, now, "11.1.1.1")), (Some("net".into()), None));
    std::fs::write(&file, "10.0.0.0/8 net\n10/8 x\n").unwrap();
    assert!(trouble(&mut relations(&declared("cidr", &file, "")), now).contains("f:2: "));
}

#[test]
fn accounts_groups_and_chains() {
    let mut tables = relations(
        "[[table]]\nname = \"p\"\nkind = \"passwd\"\nkeys = [\"user\", \"exact\"]\n[[table]]\nname = \"g\"\nkind = \"group\"\n\
         [[table]]\nname = \"i\"\nkind = \"inline\"\nentries = { joe = \"1\", root = \"2\" }\n\
         [[table]]\nname = \"t\"\nkind = \"chain\"\ntables = [\"p\", \"i\"]\n\
         [[table]]\nname = \"a\"\nkind = \"chain\"\ntables = [\"b\"]\n[[table]]\nname = \"b\"\nkind = \"chain\"\ntables = [\"a\"]\n",
    );
    let now = Instant::now();
    assert_eq!(said(&mut tables, now, "root@example.org"), Some("/root".into()));
    assert_eq!(said(&mut tables, now, "joe"), Some("1".into()));
    assert_eq!(said(&mut tables, now, "nobody there"), None);
    assert!(tables.find(now, "g", "root").unwrap().is_some());
    assert!(matches!(tables.find(now, "a", "x"), Err(TableError::Permanent(_))));
}

#[test]
fn compiled_tables_are_read_in_place() {
    let (_scratch, folder) = folder();
    let now = Instant::now();
    let file = folder.join("f.cdb");
    std::fs::write(&file, cdb::make([(&b"joe"[..], &b"jane"[..]), (b"bad", b"\xff")].into_iter()).unwrap()).unwrap();
    let mut tables = relations(&declared("cdb", &file, ""));
    assert_eq!((said(&mut tables, now, "Joe"), said(&mut tables, now, "max")), (Some("jane".into()), None));
    assert!(matches!(tables.find(now, "t", "bad"), Err(TableError::Temporary(_))));
    std::fs::write(&file, "joe jane\n").unwrap();
    assert!(trouble(&mut relations(&declared("cdb", &file, "")), now).contains("f.cdb: "));
    let file = folder.join("f.sorted");
    std::fs::write(&file, "jane max\njoe\tjane\n").unwrap();
    let mut tables = relations(&declared("sorted", &file, ""));
    assert_eq!((said(&mut tables, now, "Joe"), said(&mut tables, now, "max")), (Some("jane".into()), None));
}

#[test]
fn a_reload_keeps_what_is_declared_as_before() {
    let (_scratch, folder) = folder();
    let file = folder.join("f");
    std::fs::write(&file, "joe 1\n").unwrap();
    let declaration = declared("text", &file, "");
    let mut tables = relations(&declaration);
    let now = Instant::now();
    assert_eq!(said(&mut tables, now, "joe"), Some("1".into()));
    std::fs::write(&file, "joe 2\n").unwrap();
    let more = format!("[[table]]\nname = \"first\"\nkind = \"group\"\n{declaration}");
    tables.reload(&configuration(&more), Vec::new());
    assert_eq!(said(&mut tables, now, "joe"), Some("1".into()), "not looked at again within the second");
    tables.reload(&configuration(&format!("{more}keys = [\"user\", \"exact\"]\n")), Vec::new());
    assert_eq!(said(&mut tables, now, "joe"), Some("2".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn longest_is_the_longest(entries in prop::collection::hash_map("[0-3+]{1,4}", "[a-z]{1,3}", 0..12), key in "[0-3+]{0,6}") {
        let text: Vec<String> = entries.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
        let mut tables = relations(&format!("[[table]]\nname = \"t\"\nkind = \"inline\"\nkeys = [\"longest\"]\nentries = {{ {} }}\n", text.join(", ")));
        let wanted = entries.iter().filter(|(entry, _)| key.starts_with(entry.as_str())).max_by_key(|(entry, _)| entry.len());
        prop_assert_eq!(said(&mut tables, Instant::now(), &key), wanted.map(|(_, value)| value.clone()));
    }

    #[test]
    fn every_kind_answers_as_a_map_would(entries in prop::collection::hash_map("[a-c.@]{1,5}", "[a-z]{1,5}", 0..12), others in prop::collection::vec("[a-c.@]{1,5}", 0..5)) {
        let folded: HashMap<String, &String> = entries.iter().map(|(key, value)| (crate::folded(key), value)).collect();
        let (_scratch, folder) = folder();
        let mut lines: Vec<String> = folded.iter().map(|(key, value)| format!("{key}\t{value}\n")).collect();
        lines.sort();
        std::fs::write(folder.join("text"), lines.concat()).unwrap();
        std::fs::write(folder.join("cdb"), cdb::make(folded.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes()))).unwrap()).unwrap();
        for (kind, file) in [("text", "text"), ("sorted", "text"), ("cdb", "cdb")] {
            let mut tables = relations(&declared(kind, &folder.join(file), ""));
            for key in entries.keys().chain(&others) {
                prop_assert_eq!(said(&mut tables, Instant::now(), key), folded.get(&crate::folded(key)).map(|value| (*value).clone()), "{} {}", kind, key);
            }
        }
    }
}
