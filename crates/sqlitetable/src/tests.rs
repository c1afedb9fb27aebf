use super::*;
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn table(file: &Path, query: &str) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"t\"\nkind = \"sqlite\"\ntimeout = \"1s\"\nfile = \"{}\"\nquery = \"{query}\"\n",
        file.display()
    );
    settings::parse(&text, "x").unwrap().tables.remove(0)
}

fn make(path: &Path, more: &str) -> Connection {
    let database = Connection::open(path).unwrap();
    let people = "CREATE TABLE people (address TEXT, goes INTEGER, value); CREATE TABLE secrets (s TEXT);
        INSERT INTO secrets VALUES ('secret');
        INSERT INTO people VALUES ('a@x', 1, 'one@y'), ('a@x', 2, 'two@y'), ('n@x', 1, 42), ('f@x', 1, 1.5),
        ('null@x', 1, NULL), ('blob@x', 1, x'62'), ('bad@x', 1, x'ff'), ('b@x', 1, 'only');";
    database.execute_batch(&format!("{people}{more}")).unwrap();
    database
}

const QUERY: &str = "SELECT value FROM people WHERE address = %k ORDER BY goes";

fn ask(table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
    Sqlite.connect(table).and_then(|mut open| Sqlite.ask(&mut open, table, key))
}

fn found(values: &[&str]) -> Result<Option<Vec<String>>, Trouble> {
    Ok(Some(values.iter().map(|value| (*value).to_owned()).collect()))
}

#[test]
fn the_first_column_of_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people");
    make(&path, "");
    let table = table(&path, QUERY);
    let mut open = Sqlite.connect(&table).unwrap();
    for _ in 0..2 {
        assert_eq!(Sqlite.ask(&mut open, &table, "a@x"), found(&["one@y", "two@y"]));
        assert_eq!(Sqlite.ask(&mut open, &table, "n@x"), found(&["42"]));
        assert_eq!(Sqlite.ask(&mut open, &table, "f@x"), found(&["1.5"]));
        assert_eq!(Sqlite.ask(&mut open, &table, "blob@x"), found(&["b"]));
        for absent in ["null@x", "none@x", "", "%", "_@x"] {
            assert_eq!(Sqlite.ask(&mut open, &table, absent), Ok(None));
        }
        assert!(Sqlite.ask(&mut open, &table, "bad@x").unwrap_err().reason.contains("UTF-8"));
    }
    let parts = super::tests::table(&path, "SELECT %u || ' at ' || %d || ' is ' || %k || '%%'");
    assert_eq!(ask(&parts, "q@w@x"), found(&["q@w at x is q@w@x%"]));
}

/// Attack 36: what a stranger writes is bound, never read as SQL.
#[test]
fn a_key_is_never_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people");
    make(&path, "");
    let table = table(&path, QUERY);
    for key in [
        "\"x'/**/UNION/**/SELECT/**/1--\"@d",
        "' OR '1'='1",
        "x' UNION SELECT s FROM secrets --",
        "a@x'; DROP TABLE people; --",
        "a@x\0' OR 1",
        "?1",
        "%k",
        "a@x --",
    ] {
        assert_eq!(ask(&table, key), Ok(None), "{key}");
    }
    assert_eq!(ask(&table, "b@x"), found(&["only"]));
}

#[test]
fn a_statement_that_is_wrong_writes_or_never_ends_is_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people");
    make(&path, "");
    for (query, says) in [
        ("SELECT value FROM nobody WHERE address = %k", "no such table"),
        ("DELETE FROM people WHERE address = %k", "would write"),
        ("SELEKT %k", "wrong"),
        ("SELECT %k FROM people; DROP TABLE people", ""),
        ("ATTACH %k AS other", ""),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i = %k", "longer than"),
        ("SELECT replace(hex(zeroblob(100000000)), '0', %k)", ""),
    ] {
        let trouble = ask(&table(&path, query), "the-key").unwrap_err();
        assert!(trouble.reason.contains(says) && !trouble.reason.contains("the-key"), "{query}: {trouble:?}");
    }
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i > -length(%k)";
    assert!(ask(&table(&path, many), "0").unwrap_err().reason.contains("more than 65536 bytes"));
    assert_eq!(ask(&table(&path, QUERY), "b@x"), found(&["only"]));
}

#[test]
fn a_locked_database_is_trouble_for_as_long_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people");
    let writer = make(&path, "");
    let table = table(&path, QUERY);
    let mut open = Sqlite.connect(&table).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let trouble = Sqlite.ask(&mut open, &table, "b@x").unwrap_err();
    assert_eq!(trouble, Trouble::passing("the database is locked"));
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(Sqlite.ask(&mut open, &table, "b@x"), found(&["only"]));
    writer.execute_batch("UPDATE people SET value = 'new' WHERE address = 'b@x'").unwrap();
    assert_eq!(Sqlite.ask(&mut open, &table, "b@x"), found(&["new"]));
}

#[test]
fn another_file_in_its_place_is_seen_and_none_is_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people");
    make(&path, "");
    let table = table(&path, QUERY);
    let mut open = Sqlite.connect(&table).unwrap();
    assert_eq!(Sqlite.ask(&mut open, &table, "b@x"), found(&["only"]));
    let other = folder.path().join("other");
    make(&other, "UPDATE people SET value = 'other';");
    fs::rename(&other, &path).unwrap();
    assert_eq!(Sqlite.ask(&mut open, &table, "b@x"), found(&["other"]));
    fs::write(&other, "no database at all, but long enough to be looked at".repeat(100)).unwrap();
    fs::rename(&other, &path).unwrap();
    let trouble = Sqlite.ask(&mut open, &table, "b@x").unwrap_err();
    assert!(trouble.broken && trouble.reason.contains("not a database"), "{trouble:?}");
    fs::remove_file(&path).unwrap();
    let trouble = Sqlite.ask(&mut open, &table, "b@x").unwrap_err();
    assert!(trouble.broken, "{trouble:?}");
}

/// Write-ahead mode: with a writer, without one, and one that comes while the file is read as it is.
#[test]
fn a_database_in_write_ahead_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people");
    drop(make(&path, "PRAGMA journal_mode = WAL;"));
    let table = table(&path, QUERY);
    // As a reader that may not write beside the file has it.
    let statement = settings::Statement::parse(QUERY, |number| format!("?{number}")).unwrap();
    let mut open = Open::with(&path, &statement, Duration::from_secs(1), true).unwrap();
    assert_eq!(Sqlite.ask(&mut open, &table, "b@x"), found(&["only"]));
    assert!(open.without_locks());
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("UPDATE people SET value = 'new' WHERE address = 'b@x'").unwrap();
    assert_eq!(Sqlite.ask(&mut open, &table, "b@x"), found(&["new"]));
    assert!(!open.without_locks());
    drop(writer);
    assert_eq!(ask(&table, "b@x"), found(&["new"]));
}
