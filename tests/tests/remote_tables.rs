//! Tables that processes of their own answer for, in a running suite: socketmap and tcp tables of real servers, SQLite and
//! LMDB files that their own programs made, records of DNS; and mail while a server is away.

use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::{LONG, ORDINARY, Suite, free_port, installed, wait_until};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, Uid};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A program that ends with the test, and what it has started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// A program run as the suite's user; starting it means that `port` takes connections.
fn running(mut command: Command, port: u16) -> Running {
    if Uid::effective().is_root() {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    command.process_group(0);
    let running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_until("the server to listen", LONG, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    running
}

/// A folder that the ordinary user may write.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    give(folder.path());
    folder
}

fn give(path: &Path) {
    if Uid::effective().is_root() {
        chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}

/// Exit code, and what was printed.
fn lookup(suite: &Suite, table: &str, key: &str) -> (i32, String) {
    let output = suite.zpost(&["lookup", table, key]);
    let text = if output.status.code() == Some(0) { &output.stdout } else { &output.stderr };
    (output.status.code().unwrap(), String::from_utf8_lossy(text).trim_end().to_owned())
}

fn found(value: &str) -> (i32, String) {
    (0, value.to_owned())
}

fn is_absent(answer: &(i32, String)) -> bool {
    answer.0 == 1 && answer.1.is_empty()
}

fn table(name: &str, kind: &str, more: &str) -> String {
    format!("[[table]]\nname = \"{name}\"\nkind = \"{kind}\"\n{more}\n")
}

/// postsrsd as Debian has it: two tcp tables.
#[test]
fn a_tcp_table_of_postsrsd() {
    let program = "/usr/sbin/postsrsd";
    if !installed(program) {
        return;
    }
    let (folder, forward, reverse) = (folder(), free_port(), free_port());
    let secret = folder.path().join("secret");
    fs::write(&secret, "a secret of this test\n").unwrap();
    give(&secret);
    let mut command = Command::new(program);
    command.arg(format!("-s{}", secret.display())).args(["-dsrs.example", "-4"]);
    command.arg(format!("-f{forward}")).arg(format!("-r{reverse}"));
    let server = running(command, forward);
    wait_until("its other port", LONG, || TcpStream::connect(("127.0.0.1", reverse)).is_ok());
    // A name of this host goes by the hosts file, which the process may read.
    let servers = |port| format!("servers = [\"localhost:{port}\"]\nfold = false\n");
    let suite = Suite::builder().with(&table("srs", "tcp", &servers(forward))).with(&table("back", "tcp", &servers(reverse))).start();
    let (code, rewritten) = lookup(&suite, "srs", "anna@far.example");
    assert!(code == 0 && rewritten.starts_with("SRS0=") && rewritten.ends_with("=far.example=anna@srs.example"), "{rewritten}");
    assert_eq!(lookup(&suite, "back", &rewritten), found("anna@far.example"));
    assert!(is_absent(&lookup(&suite, "back", "nobody@srs.example")));
    assert!(is_absent(&lookup(&suite, "back", "SRS0=xxxx=yy=far.example=anna@srs.example")));
    assert!(is_absent(&lookup(&suite, "srs", "nobody")));
    // Away, it is trouble and no absence; back, it is asked again.
    drop(server);
    let (code, text) = lookup(&suite, "back", "other@srs.example");
    assert!(code == 75 && text.contains("table back"), "{code} {text}");
    assert!(suite.counter("table-tcp", "found") >= 2 && suite.counter("table-tcp", "failures") >= 1);
}

/// postfix-mta-sts-resolver: a socketmap server, whose cache holds a policy, so that it need not ask the world.
#[test]
fn a_socketmap_of_postfix_mta_sts_resolver() {
    let program = "/usr/bin/mta-sts-daemon";
    if !installed(program) || !installed("sqlite3") {
        return;
    }
    let (folder, port) = (folder(), free_port());
    let (cache, config) = (folder.path().join("cache.db"), folder.path().join("config.yml"));
    let policy = r#"{"version": "STSv1", "mode": "enforce", "mx": ["mx.kept.example"], "max_age": 31557600}"#;
    let sql = format!(
        "create table sts_policy_cache (domain text, ts integer, pol_id text, pol_body text);
         create unique index sts_policy_domain on sts_policy_cache (domain);
         insert into sts_policy_cache values ('kept.example', strftime('%s', 'now'), '1', '{policy}');"
    );
    assert!(Command::new("sqlite3").arg(&cache).arg(sql).status().unwrap().success());
    give(&cache);
    fs::write(
        &config,
        format!(
            "host: 127.0.0.1\nport: {port}\ncache_grace: 100000\ncache:\n  type: sqlite\n  options:\n    filename: {}\n\
             default_zone:\n  strict_testing: false\n  timeout: 2\nzones:\n  strict:\n    strict_testing: true\n    timeout: 2\n",
            cache.display()
        ),
    )
    .unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&config).current_dir(folder.path()).env("HOME", folder.path());
    let _server = running(command, port);
    let gone = free_port();
    let servers = format!("servers = [\"127.0.0.1:{gone}\", \"127.0.0.1:{port}\"]\nmap = \"postfix\"\n");
    let suite = Suite::builder().with(&table("sts", "socketmap", &servers)).start();
    assert_eq!(lookup(&suite, "sts", "kept.example"), found("secure match=mx.kept.example servername=hostname"));
    for none in ["[127.0.0.1]", ".kept.example"] {
        assert!(is_absent(&lookup(&suite, "sts", none)), "{none}");
    }
    // What a stranger may write is a key, whatever it is; what no key can be is not asked.
    for hostile in ["kept.example,11:postfix x", "a\nb", &"k".repeat(10_000)] {
        let (code, text) = lookup(&suite, "sts", hostile);
        assert!(code == 1 || code == 75, "{hostile:?}: {code} {text}");
    }
    assert_eq!(lookup(&suite, "sts", "KEPT.example"), found("secure match=mx.kept.example servername=hostname"));
}

#[test]
fn files_of_sqlite_and_lmdb_in_their_sandboxes() {
    if !installed("sqlite3") || !installed("mdb_load") {
        return;
    }
    let folder = folder();
    let (people, map) = (folder.path().join("people.db"), folder.path().join("map.lmdb"));
    let sql = "create table people (user text, domain text, goes text);
        insert into people values ('anna', 'x.example', 'one@y.example'), ('anna', 'x.example', 'two@y.example');";
    assert!(Command::new("sqlite3").arg(&people).arg(sql).status().unwrap().success());
    let load = |text: &str| {
        let mut child = Command::new("mdb_load").args(["-n", "-T"]).arg(&map).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        let mut lock = map.clone().into_os_string();
        lock.push("-lock");
        for path in [map.as_path(), Path::new(&lock)] {
            give(path);
        }
    };
    load("anna@x.example\nkept@y.example\n");
    let query = "SELECT goes FROM people WHERE user = %u AND domain = %d ORDER BY goes";
    let suite = Suite::builder()
        .with(&table("people", "sqlite", &format!("file = \"{}\"\nquery = \"{query}\"\n", people.display())))
        .with(&table("map", "lmdb", &format!("file = \"{}\"\nnegative_ttl = \"0s\"\n", map.display())))
        .start();
    assert_eq!(lookup(&suite, "people", "Anna@X.example"), found("one@y.example\ntwo@y.example"));
    // Attack 36.
    assert!(is_absent(&lookup(&suite, "people", "\"x'/**/UNION/**/SELECT/**/1--\"@d")));
    assert_eq!(lookup(&suite, "map", "Anna@x.example"), found("kept@y.example"));
    assert!(is_absent(&lookup(&suite, "map", "otto@x.example")));
    load("otto@x.example\nlater@y.example\n");
    assert_eq!(lookup(&suite, "map", "otto@x.example"), found("later@y.example"));
    for (service, pid) in suite.pids() {
        if ["table-sqlite", "table-lmdb"].contains(&service.as_str()) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{service} is not confined");
        }
    }
    // A database elsewhere comes with a reload: the process that may not read there makes room for one that may.
    let other = self::folder();
    let moved = other.path().join("people.db");
    fs::rename(&people, &moved).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap().replace(people.to_str().unwrap(), moved.to_str().unwrap());
    fs::write(suite.config(), text).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    wait_until("the database at its new place", LONG, || lookup(&suite, "people", "anna@x.example").0 == 0);
}

/// In write-ahead mode even readers write beside a database; the process may not, and reads it nevertheless: with a writer
/// that has it open, and after that.
#[test]
fn a_database_in_write_ahead_mode() {
    if !installed("sqlite3") {
        return;
    }
    let folder = folder();
    let path = folder.path().join("people.db");
    let more = format!("file = \"{}\"\nquery = \"SELECT goes FROM people WHERE address = %k\"\n", path.display());
    let mut suite = Suite::builder().with(&table("people", "sqlite", &format!("{more}ttl = \"0s\"\nnegative_ttl = \"0s\"\n"))).start();
    let mut command = Command::new("sqlite3");
    if Uid::effective().is_root() {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    let mut writer = command.arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (writer.stdin.take().unwrap(), BufReader::new(writer.stdout.take().unwrap()).lines());
    let mut say = |sql: &str| {
        writeln!(input, "{sql} select 'done';").unwrap();
        while output.next().unwrap().unwrap() != "done" {}
    };
    say("pragma journal_mode = wal; create table people (address text, goes text); insert into people values ('a@x', 'one@y');");
    wait_until("the table, which was not there at the start", LONG, || lookup(&suite, "people", "a@x") == found("one@y"));
    say("update people set goes = 'two@y';");
    assert_eq!(lookup(&suite, "people", "a@x"), found("two@y"));
    drop(input);
    assert!(writer.wait().unwrap().success());
    assert_eq!(lookup(&suite, "people", "a@x"), found("two@y"));
    // The log stays, for the process had the database open; a successor finds nobody who has.
    assert!(folder.path().join("people.db-wal").exists());
    suite.stop();
    suite.start();
    assert_eq!(lookup(&suite, "people", "a@x"), found("two@y"));
    // Nor does it find a log, after somebody has tidied up.
    suite.stop();
    let mut tidy = Command::new("sqlite3");
    if Uid::effective().is_root() {
        tidy.uid(ORDINARY).gid(ORDINARY);
    }
    assert!(tidy.arg(&path).arg("update people set goes = 'three@y'").status().unwrap().success());
    assert!(!folder.path().join("people.db-wal").exists());
    suite.start();
    assert_eq!(lookup(&suite, "people", "a@x"), found("three@y"));
}

#[test]
fn records_of_dns() {
    let server = NameServer::start(|name| match name {
        "x.example" => Some(vec![Record::Mx(10, "mx.x.example".into()), Record::A("10.1.2.3".parse().unwrap())]),
        "t.example" => Some(vec![Record::Txt("v=anything at all".into())]),
        _ => None,
    });
    let suite = Suite::builder()
        .with(&server.section())
        .with(&table("mx", "dns", "record = \"mx\"\nkeys = [\"domain\"]\n"))
        .with(&table("txt", "dns", "record = \"txt\"\n"))
        .with(&table("a", "dns", "record = \"a\"\n"))
        .start();
    assert_eq!(lookup(&suite, "mx", "anna@X.example"), found("10 mx.x.example"));
    assert_eq!(lookup(&suite, "txt", "t.example"), found("v=anything at all"));
    assert_eq!(lookup(&suite, "a", "x.example"), found("10.1.2.3"));
    for none in ["none.example", "a b", "[10.0.0.1]"] {
        assert!(is_absent(&lookup(&suite, "txt", none)), "{none}");
    }
    assert!(server.questions() >= 3);
}

/// A tcp table that knows `anna` alone.
fn small_server(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    let known = line == "get anna" || line == "get anna%40local.example";
                    let reply: &[u8] = if known { b"200 otto@local.example\n" } else { b"500 none\n" };
                    if (&stream).write_all(reply).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Neither lost nor bounced: the mail waits, says why, and goes on.
#[test]
fn mail_waits_while_the_server_of_its_aliases_is_away() {
    let port = free_port();
    let folder = folder();
    let suite = Suite::builder()
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{}/%u\"\nusers = \"any\"\naliases = [\"people\"]\n",
            folder.path().display()
        ))
        .with("[queue]\nretry_first = \"1s\"\nretry_longest = \"2s\"\n")
        .with(&table("people", "tcp", &format!("servers = [\"127.0.0.1:{port}\"]\ntimeout = \"2s\"\nttl = \"1s\"\nnegative_ttl = \"1s\"\n")))
        .start();
    // A client in conversation is told to come again.
    let (mut session, _) = Session::open(suite.port).unwrap();
    assert_eq!(session.command("HELO client.example").unwrap().0, 250);
    assert_eq!(session.command("MAIL FROM:<a@far.example>").unwrap().0, 250);
    assert_eq!(session.command("RCPT TO:<anna@local.example>").unwrap().0, 451);
    // What is accepted without a question waits.
    let dropped = suite.postoffice("public/one");
    fs::write(&dropped, "from <a@far.example>\nto <anna@local.example>\nenv-end\nFrom: a@far.example\nSubject: kept\n\nbody\n").unwrap();
    give(&dropped);
    fs::rename(&dropped, suite.postoffice("router/one")).unwrap();
    let mut why = String::new();
    wait_until("the message on hold", LONG, || {
        let queue = suite.json(&["queue"]);
        let recipient = queue.as_array().unwrap().iter().find_map(|message| message["recipients"].as_array()?.first().cloned());
        why = recipient.map_or_else(String::new, |recipient| recipient.to_string());
        why.contains("\"hold\"") && why.contains("people")
    });
    assert!(!folder.path().join("otto").exists(), "{why}");
    small_server(port);
    wait_until("the message at its place", LONG, || {
        suite.zpost(&["retry", "--channel", "hold"]);
        end_to_end::files(&folder.path().join("otto/new")).len() == 1
    });
    assert!(!folder.path().join("anna").exists());
    suite.wait_drained(LONG);
    assert_eq!(session.command("RCPT TO:<anna@local.example>").unwrap().0, 250);
}
