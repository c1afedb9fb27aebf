//! Declared tables in the running suite: compiled by newdb, replaced under it, away for a while; and one of ten million lines.

use end_to_end::load::Session;
use end_to_end::memory::pss_kib;
use end_to_end::{LONG, Suite, files, wait_until};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::io::{BufWriter, Write};

fn recipient(suite: &Suite, address: &str) -> u16 {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    session.command("MAIL FROM:<a@sender.example>").unwrap();
    session.command(&format!("RCPT TO:<{address}>")).unwrap().0
}

/// A local domain whose users and aliases are tables compiled from `users` and `aliases` of the scratch folder.
fn described() -> Suite {
    let builder = Suite::builder();
    let root = builder.folder().display().to_string();
    let table = |name: &str, kind: &str, form: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nkind = \"{kind}\"\nform = \"{form}\"\nsource = \"{root}/{name}\"\nfile = \"{root}/{name}.db\"\n"
        )
    };
    let local = format!(
        "[local]\ndomains = [\"local.example\"]\nmaildir = \"{root}/mail/%u\"\nusers = \"users\"\naliases = [\"aliases\"]\n{}{}",
        table("users", "sorted", "pairs"),
        table("aliases", "cdb", "aliases")
    );
    builder.with(&local).prepare()
}

fn write(suite: &Suite, name: &str, text: &str) {
    fs::write(suite.path(name), text).unwrap();
    suite.give_away();
}

fn newdb(suite: &Suite, names: &[&str]) -> (bool, String) {
    let output = suite.zpost(&[&["newdb"], names].concat());
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn tables_are_compiled_replaced_and_missed() {
    let mut suite = described();
    write(&suite, "users", "joe /home/joe\nmax\n");
    write(&suite, "aliases", "Info: joe, max\n");
    let (made, said) = newdb(&suite, &[]);
    assert!(made && said.contains("users: 2 keys in ") && said.contains("aliases: 1 keys in "), "{said}");
    suite.start();
    for (address, code) in [("joe@local.example", 250), ("INFO@local.example", 250), ("nobody@local.example", 550)] {
        assert_eq!(recipient(&suite, address), code, "{address}");
    }
    // A faulty source changes nothing; a good one is taken by the routers that run.
    write(&suite, "users", "joe\n: x\n");
    let (made, said) = newdb(&suite, &["users"]);
    assert!(!made && said.contains("users:2: no key") && said.contains("no file was replaced"), "{said}");
    write(&suite, "users", "joe\nnew\n");
    assert!(newdb(&suite, &["users"]).0);
    wait_until("the new table is taken", LONG, || recipient(&suite, "new@local.example") == 250);
    assert_eq!(recipient(&suite, "max@local.example"), 550);
    // A table that is away is no absence: 451 to clients, and mail that is there waits.
    fs::rename(suite.path("users.db"), suite.path("away")).unwrap();
    wait_until("its absence is seen", LONG, || recipient(&suite, "new@local.example") == 451);
    assert_eq!(recipient(&suite, "nobody@local.example"), 451);
    let dropped = suite.postoffice("public/m");
    fs::write(&dropped, "from <a@sender.example>\nto <new@local.example>\nenv-end\nSubject: x\n\nx\n").unwrap();
    suite.give_away();
    fs::rename(&dropped, suite.postoffice("router/m")).unwrap();
    let state = || suite.json(&["queue"]).to_string();
    wait_until("the message is held", LONG, || state().contains("\"hold\""));
    assert!(files(&suite.path("mail/new/new")).is_empty() && !suite.log().contains("report"));
    fs::rename(suite.path("away"), suite.path("users.db")).unwrap();
    wait_until("the table is back", LONG, || recipient(&suite, "new@local.example") == 250);
    assert!(suite.zpost(&["reroute", "--sender", "a@sender.example"]).status.success());
    wait_until("the message is delivered", LONG, || files(&suite.path("mail/new/new")).len() == 1);
}

/// `ZPOST_TEST_LONG=1`: ten million lines.
#[test]
fn a_large_alias_table_is_compiled_and_not_loaded() {
    let long = std::env::var_os("ZPOST_TEST_LONG").is_some();
    let count = if long { 10_000_000 } else { 300_000 };
    let mut suite = described();
    write(&suite, "users", "joe\n");
    let mut out = BufWriter::new(fs::File::create(suite.path("aliases")).unwrap());
    for number in 0..count {
        writeln!(out, "user{number}: joe, copy{number}@elsewhere.example").unwrap();
    }
    drop(out);
    suite.give_away();
    let (made, said) = newdb(&suite, &[]);
    assert!(made && said.contains(&format!("aliases: {count} keys")), "{said}");
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    // Eight bytes a record, doubled while it grows, and the program.
    assert!(peak < 40_000 + count * 24 / 1024, "newdb took {peak} KiB");
    let size = fs::metadata(suite.path("aliases.db")).unwrap().len();
    suite.start();
    for number in [0, 1, count / 2, count - 1] {
        assert_eq!(recipient(&suite, &format!("User{number}@local.example")), 250, "{number}");
    }
    assert_eq!(recipient(&suite, &format!("user{count}@local.example")), 550);
    for (service, pid) in suite.pids().iter().filter(|(service, _)| service == "router") {
        let memory = pss_kib(*pid);
        assert!(memory < 20_000, "{service} has {memory} KiB of a table of {size} bytes");
    }
}
