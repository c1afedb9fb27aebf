//! Mail by tables of real servers: aliases found; a server that is away defers, and never bounces.

use end_to_end::load::Session;
use end_to_end::servers::{self, Server};
use end_to_end::{LONG, Suite, files, programs, wait_until};
use std::fs;
use std::io::Write;
use std::process::Stdio;

const ATTACK: &str = "\"x'/**/UNION/**/SELECT/**/1--\"@local.example";

fn delivered(suite: &Suite, user: &str) -> usize {
    files(&suite.path(&format!("mail/{user}/new"))).len()
}

fn send(suite: &Suite, to: &str) {
    let mut command = suite.command(programs().join("sendmail"));
    let mut child = command.args(["-f", "anna@local.example", to]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Subject: x\n\nhello\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// The reply to RCPT.
fn recipient(suite: &Suite, address: &str) -> (u16, String) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO client.example").unwrap();
    session.command("MAIL FROM:<anna@local.example>").unwrap();
    session.command(&format!("RCPT TO:<{address}>")).unwrap()
}

/// The alias `team`, in a table that is declared so, stands for tim@local.example.
fn mail_by(mut server: Server, table: &str) {
    let folder = Suite::builder();
    let pattern = folder.folder().join("mail/%u").display().to_string();
    fs::copy(server.path("server.pem"), folder.folder().join("ca.pem")).unwrap();
    let ca = folder.folder().join("ca.pem").display().to_string();
    let mut suite = folder
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{pattern}\"\nusers = \"any\"\naliases = [\"people\"]\n\
             [queue]\nretry_first = \"2s\"\n[[table]]\nname = \"people\"\nttl = 0\nnegative_ttl = 0\nca = \"{ca}\"\n{table}"
        ))
        .prepare();
    suite.give_away();
    suite.start();
    send(&suite, "team@local.example");
    wait_until("tim has the team's message", LONG, || delivered(&suite, "tim") == 1);
    send(&suite, "bert@local.example");
    wait_until("who is no alias has his own", LONG, || delivered(&suite, "bert") == 1);
    // attacks.md 36: no such alias, and nobody hears of SQL.
    let asked = |key: &str| {
        let output = suite.zpost(&["lookup", "people", key]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    assert_eq!(asked("team"), (Some(0), "tim@local.example\n".to_owned()));
    for key in ["ann", ATTACK, "*", "team*", "' OR ''='", "te\\am"] {
        assert_eq!(asked(key), (Some(1), String::new()), "{key}");
    }
    let reply = recipient(&suite, ATTACK);
    assert_eq!((reply.0, reply.1.trim()), (550, "550 5.1.1 User unknown"), "{}", suite.log());
    assert!(!suite.log().contains("trouble"), "{}", suite.log());
    server.stop();
    assert_eq!(asked("team").0, Some(75));
    let (code, text) = recipient(&suite, "team@local.example");
    assert_eq!(code, 451, "{text}\n{}", suite.log());
    for secret in ["people", "refused", "127.0.0.1", "SELECT"] {
        assert!(!text.contains(secret), "a client hears of the table: {text}");
    }
    send(&suite, "team@local.example");
    wait_until("it is held", LONG, || {
        let queue = suite.json(&["queue"]);
        queue.as_array().is_some_and(|all| all.len() == 1 && all[0]["recipients"][0]["channel"] == "hold")
    });
    suite.logged("table people");
    server.start();
    wait_until("tim has the second one", LONG, || delivered(&suite, "tim") == 2);
    suite.wait_drained(LONG);
    assert_eq!((delivered(&suite, "anna"), delivered(&suite, "team"), delivered(&suite, "bert")), (0, 0, 1), "no report, no other way");
    assert!(!suite.log().contains("s3cret"));
}

/// A password file that the suite can read.
fn password(server: &Server) -> String {
    server.secret("password", "s3cret\n")
}

const PEOPLE: &str =
    "CREATE TABLE people (name varchar(100), target varchar(200)); INSERT INTO people VALUES ('team', 'tim@local.example');";

#[test]
fn postgresql() {
    let Some(server) = servers::postgresql() else { return };
    server.psql(&format!("{PEOPLE} CREATE ROLE mail LOGIN PASSWORD 's3cret'; GRANT SELECT ON people TO mail"));
    let (port, file) = (server.port, password(&server));
    let table = format!(
        "kind = \"postgresql\"\nservers = [\"localhost:{port}\"]\ndatabase = \"postgres\"\nuser = \"mail\"\npassword_file = \"{file}\"\n\
         tls = \"starttls\"\nquery = \"SELECT target FROM people WHERE name = %k\"\n"
    );
    mail_by(server, &table);
}

#[test]
fn mariadb() {
    let Some(server) = servers::mariadb() else { return };
    server.mariadb(&format!(
        "CREATE DATABASE mail; USE mail; {PEOPLE} CREATE USER mail@'%' IDENTIFIED BY 's3cret'; GRANT SELECT ON mail.* TO mail@'%'"
    ));
    let (port, file) = (server.port, password(&server));
    let table = format!(
        "kind = \"mysql\"\nservers = [\"127.0.0.1:{port}\"]\ndatabase = \"mail\"\nuser = \"mail\"\npassword_file = \"{file}\"\n\
         tls = \"starttls\"\nquery = \"SELECT target FROM people WHERE name = %k\"\n"
    );
    mail_by(server, &table);
}

#[test]
fn openldap() {
    let entries = "dn: cn=team,dc=example,dc=org\nobjectClass: inetOrgPerson\ncn: team\nsn: x\nmail: tim@local.example\n\n\
        dn: cn=zpost,dc=example,dc=org\nobjectClass: person\ncn: zpost\nsn: x\nuserPassword: s3cret\n\n";
    let Some(server) = servers::slapd(entries) else { return };
    let (port, file) = (server.secure_port, password(&server));
    let table = format!(
        "kind = \"ldap\"\nservers = [\"ldaps://127.0.0.1:{port}\"]\nbase = \"dc=example,dc=org\"\nuser = \"cn=zpost,dc=example,dc=org\"\n\
         password_file = \"{file}\"\nfilter = \"(&(objectClass=inetOrgPerson)(cn=%k))\"\nattributes = [\"mail\"]\n"
    );
    mail_by(server, &table);
}
