//! Ways by tables that servers answer for: virtual domains and their aliases, other forms of addresses, routes, domains that
//! are ours or relayed for. With the server away nothing is refused for good, nothing is relayed that should not be, and
//! mail waits.

use end_to_end::maps::MapServer;
use end_to_end::servers::{self, Server};
use end_to_end::wire::Wire;
use end_to_end::{LONG, ORDINARY, Sink, Suite, files, installed, wait_until};
use nix::unistd::Uid;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What answers for the tables.
trait Answering {
    /// The rest of the declaration of the table with this name.
    fn declared(&self, name: &str) -> String;
    fn go_away(&mut self);
    fn come_back(&mut self);
}

/// Table, key, value; `WAY` is the next hop.
const ENTRIES: &[(&str, &str, &str)] = &[
    ("vdomains", "v.example", "yes"),
    ("vboxdomains", "boxes.example", "yes"),
    ("valiases", "info@v.example", "joe@local.example"),
    ("vboxes", "one@boxes.example", ""),
    ("canon", "j.doe@old.example", "joe@local.example"),
    ("scanon", "joe@local.example", "joe.doe@public.example"),
    ("locals", "second.example", "yes"),
    ("relays", "far.example", "yes"),
    ("ways", "far.example", "WAY"),
];

fn entries(sink: &Sink) -> Vec<(&'static str, &'static str, String)> {
    let way = format!("smtp!127.0.0.1:{}", sink.port);
    ENTRIES.iter().map(|(table, key, value)| (*table, *key, value.replace("WAY", &way))).collect()
}

/// Whose clients may relay nothing. `senders`: their other forms are in a table too.
fn suite(tables: &dyn Answering, senders: bool) -> Suite {
    let builder = Suite::builder();
    let mail = builder.folder().join("mail").display().to_string();
    let mut names: Vec<&str> = ENTRIES.iter().map(|(name, _, _)| *name).collect();
    names.dedup();
    let sender_canonical = if senders { "[\"scanon\"]" } else { "[]" };
    let declared: String =
        names.iter().map(|name| format!("[[table]]\nname = \"{name}\"\nttl = 0\nnegative_ttl = 0\n{}\n", tables.declared(name))).collect();
    let suite = builder
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{mail}/%d/%u\"\nusers = \"any\"\n\
             [queue]\nretry_first = \"1s\"\nretry_longest = \"2s\"\n\
             [routing]\nanswer_ttl = 0\ncanonical = [\"canon\"]\nsender_canonical = {sender_canonical}\nroutes = [\"ways\"]\nlocal_domains = [\"locals\"]\n\
             relay_domains = [\"relays\"]\n[virtual]\nalias_domain_tables = [\"vdomains\"]\naliases = [\"valiases\"]\n\
             mailbox_domain_tables = [\"vboxdomains\"]\nmailboxes = [\"vboxes\"]\n{declared}"
        ))
        .prepare();
    let text = fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "\"10.9.9.9\"");
    fs::write(suite.config(), text).unwrap();
    let mut suite = suite;
    suite.give_away();
    suite.start();
    suite
}

/// The first four characters of the reply to RCPT, and its enhanced code.
fn recipient(suite: &Suite, to: &str) -> String {
    let mut wire = Wire::hello(suite.port);
    wire.say("MAIL FROM:<s@abroad.example>", "250");
    wire.send(format!("RCPT TO:<{to}>\r\n"));
    wire.reply().split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// A message of this host's.
fn submit(suite: &Suite, name: &str, from: &str, to: &str) {
    let text = format!("from <{from}>\nto <{to}>\nenv-end\nFrom: {from}\nSubject: {name}\n\nbody\n");
    let path = suite.postoffice("public").join(name);
    fs::write(&path, text).unwrap();
    give(&path);
    fs::rename(&path, suite.postoffice("router").join(name)).unwrap();
}

fn give(path: &Path) {
    if Uid::effective().is_root() {
        chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}

fn delivered(suite: &Suite, mailbox: &str) -> usize {
    files(&suite.path("mail").join(mailbox).join("new")).len()
}

const OURS: &[&str] = &["info@v.example", "one@boxes.example", "joe@second.example", "x@far.example"];
const UNKNOWN: &[&str] = &["nobody@v.example", "nobody@boxes.example"];
const FOREIGN: &[&str] = &["x@elsewhere.example", "x@sub.far.example", "x%elsewhere.example@far.example.evil.example", "x@[203.0.113.1]"];

fn ways_by(tables: &mut dyn Answering, sink: &Sink, senders: bool) {
    let suite = suite(tables, senders);
    let sender = if senders { "<joe.doe@public.example>" } else { "<joe@local.example>" };
    for to in OURS {
        assert!(recipient(&suite, to).starts_with("250"), "{to}: {}", recipient(&suite, to));
    }
    for to in UNKNOWN {
        assert_eq!(recipient(&suite, to), "550 5.1.1", "{to}");
    }
    for to in FOREIGN {
        assert_eq!(recipient(&suite, to), "550 5.7.1", "{to}");
    }
    Wire::hello(suite.port).message("<s@abroad.example>", "<info@v.example>", "Subject: one\r\n\r\nbody");
    Wire::hello(suite.port).message("<s@abroad.example>", "<one@boxes.example>", "Subject: two\r\n\r\nbody");
    submit(&suite, "three", "s@abroad.example", "j.doe@old.example");
    submit(&suite, "four", "joe@local.example", "x@far.example");
    suite.wait_drained(LONG);
    assert_eq!((delivered(&suite, "local.example/joe"), delivered(&suite, "boxes.example/one")), (2, 1));
    wait_until("the next hop has one", LONG, || sink.messages().len() == 1);
    assert_eq!(sink.headers("X-Mail-Args"), [sender]);

    tables.go_away();
    for to in OURS.iter().chain(UNKNOWN) {
        assert!(recipient(&suite, to).starts_with("451"), "{to}: {}", recipient(&suite, to));
    }
    // It may be anybody's now: neither taken nor refused for good. What no table could change stays refused.
    for to in FOREIGN {
        let reply = recipient(&suite, to);
        assert!(reply.starts_with("451") || reply == "550 5.7.1" && to.contains('['), "{to}: {reply}");
    }
    let waiting = [("five", "info@v.example"), ("six", "one@boxes.example"), ("seven", "j.doe@old.example"), ("eight", "x@far.example")];
    for (name, to) in waiting {
        submit(&suite, name, "joe@local.example", to);
    }
    let held = || suite.json(&["queue", "--channel", "hold"]).as_array().is_some_and(|list| list.len() == 4);
    wait_until("all are held", LONG, held);
    assert_eq!((delivered(&suite, "local.example/joe"), delivered(&suite, "boxes.example/one"), sink.messages().len()), (2, 1, 1));

    tables.come_back();
    suite.wait_drained(LONG);
    wait_until("the next hop has the second", LONG, || sink.messages().len() == 2);
    // Each where it belongs, once, and no report.
    assert_eq!((delivered(&suite, "local.example/joe"), delivered(&suite, "boxes.example/one")), (4, 2));
    assert_eq!(sink.headers("X-Mail-Args"), [sender; 2]);
    assert_eq!(files(&suite.path("mail")).len(), 2, "no other domain has a mailbox: {:?}", files(&suite.path("mail")));
    wait_until("a stranger is refused again", LONG, || recipient(&suite, "x@elsewhere.example") == "550 5.7.1");
    wait_until("and let in again", LONG, || recipient(&suite, "info@v.example").starts_with("250"));
}

impl Answering for MapServer {
    fn declared(&self, name: &str) -> String {
        format!("kind = \"socketmap\"\nservers = [\"127.0.0.1:{}\"]\nmap = \"{name}\"", self.port)
    }
    fn go_away(&mut self) {
        Self::go_away(self);
    }
    fn come_back(&mut self) {
        Self::come_back(self);
    }
}

#[test]
fn of_a_socketmap_server() {
    let sink = Sink::start();
    let entries = entries(&sink);
    let entries: Vec<(&str, &str, &str)> = entries.iter().map(|(table, key, value)| (*table, *key, value.as_str())).collect();
    ways_by(&mut MapServer::start(&entries), &sink, true);
}

const TABLE: &str = "CREATE TABLE maps (map varchar(30), name varchar(100), value varchar(200));";

fn statements(sink: &Sink) -> String {
    let rows: Vec<String> = entries(sink).iter().map(|(table, key, value)| format!("('{table}', '{key}', '{value}')")).collect();
    format!("{TABLE} INSERT INTO maps VALUES {};", rows.join(", "))
}

fn query(name: &str) -> String {
    format!("query = \"SELECT value FROM maps WHERE map = '{name}' AND name = %k\"")
}

impl Answering for Server {
    fn declared(&self, name: &str) -> String {
        format!(
            "kind = \"postgresql\"\nservers = [\"127.0.0.1:{}\"]\ndatabase = \"postgres\"\nuser = \"mail\"\npassword_file = \"{}\"\nconnections = 1\n{}",
            self.port,
            self.at("password"),
            query(name)
        )
    }
    fn go_away(&mut self) {
        self.stop();
    }
    fn come_back(&mut self) {
        self.start();
    }
}

#[test]
fn of_postgresql() {
    let Some(mut server) = servers::postgresql() else { return };
    let sink = Sink::start();
    server.psql(&format!("{} CREATE ROLE mail LOGIN PASSWORD 's3cret'; GRANT SELECT ON maps TO mail", statements(&sink)));
    server.secret("password", "s3cret\n");
    ways_by(&mut server, &sink, false);
}

/// A file that is renamed away and back.
struct File(TempDir);

impl File {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Answering for File {
    fn declared(&self, name: &str) -> String {
        format!("kind = \"sqlite\"\nfile = \"{}\"\n{}", self.path("maps.db").display(), query(name))
    }
    fn go_away(&mut self) {
        fs::rename(self.path("maps.db"), self.path("away.db")).unwrap();
    }
    fn come_back(&mut self) {
        fs::rename(self.path("away.db"), self.path("maps.db")).unwrap();
    }
}

#[test]
fn of_a_database_in_a_file() {
    if !installed("sqlite3") {
        return;
    }
    let (sink, mut file) = (Sink::start(), File(tempfile::tempdir().unwrap()));
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("sqlite3").arg(file.path("maps.db")).arg(statements(&sink)).status().unwrap().success());
    for path in [file.0.path().to_owned(), file.path("maps.db")] {
        give(&path);
    }
    ways_by(&mut file, &sink, false);
}
