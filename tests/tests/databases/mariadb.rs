//! MariaDB.

use crate::{PEOPLE, comes_and_goes, finds_people, proves_itself, sql, with_secrets};
use end_to_end::servers::{self, Server};
use end_to_end::{LONG, wait_until};
use mysqltable::Mysql;
use std::fs;

type Asked = end_to_end::tables::Asked<Mysql>;

const QUERY: &str = "SELECT target FROM people WHERE BINARY local = %u AND domain = %d AND %k LIKE '%%@%%' ORDER BY number";
const USERS: &str = "CREATE USER mail@'%' IDENTIFIED BY 's3cret'; GRANT SELECT, INSERT, DELETE ON mail.* TO mail@'%';\
    CREATE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('s3cret');\
    CREATE USER nobody@localhost IDENTIFIED VIA unix_socket; GRANT SELECT ON mail.* TO nobody@localhost;\
    CREATE USER strict@'%' IDENTIFIED BY 's3cret' REQUIRE SSL; GRANT SELECT ON mail.* TO strict@'%';";

fn prepared() -> Option<Server> {
    let server = servers::mariadb()?;
    server.mariadb(&format!("CREATE DATABASE mail CHARACTER SET utf8mb4; USE mail; {PEOPLE}{USERS}"));
    Some(with_secrets(server))
}

fn toml(server: &Server, user: &str, password: &str, more: &str) -> String {
    sql(server, ("mysql", "mail"), user, password, more)
}

#[test]
fn answers_and_keys_are_no_sql() {
    let Some(server) = prepared() else { return };
    let mut asked = Asked::open(&toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"))).unwrap();
    finds_people(&mut asked);
    let failed = fs::read_to_string(server.path("errors")).unwrap_or_default();
    assert!(!failed.contains("mail["), "statements that failed: {failed}");
    let status = server.mariadb("SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'");
    assert_eq!(status.split_whitespace().last(), Some("1"), "prepared once a session");
}

#[test]
fn columns_of_other_types_and_queries_that_fail() {
    let Some(server) = prepared() else { return };
    let with = |query: &str| Asked::open(&toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
    assert_eq!(with("SELECT number FROM people WHERE local = %u ORDER BY 1").unwrap().found("tim"), "1 2 3");
    assert_eq!(with("SELECT number FROM people WHERE local = %u").unwrap().found("o'hara"), "-4");
    for (expression, text) in [
        ("CAST(1.50 AS DECIMAL(5,2))", "1.50"),
        ("CAST(1.5 AS DOUBLE)", "1.5"),
        ("CAST(18446744073709551615 AS UNSIGNED)", "18446744073709551615"),
        ("REPEAT('x', 1000)", &"x".repeat(1000)),
        ("NULL", ""),
        ("'\u{fc}'", "\u{fc}"),
    ] {
        assert_eq!(with(&format!("SELECT {expression}, 1, 2, 3, 4, 5, 6, 7, 8 FROM DUAL WHERE %k = 'k'")).unwrap().found("k"), text);
    }
    let broken = |query: &str| Asked::refused(&toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
    assert!(broken("SELECT NOW() FROM people WHERE local = %u").contains("write CAST(... AS CHAR)"));
    assert!(broken("SELECT nothing FROM people WHERE local = %u").contains("Unknown column 'nothing'"));
    assert!(broken("SELECT target FROM people WHERE local = %u OR local = ?").contains("a `?` of its own"));
    assert!(broken("DO SLEEP(%k)").contains("has no column"));
    assert!(broken("SELECT 1 WHERE 1 = %k; DELETE FROM people").contains("error 1064"));
    // What a key makes fail is told without the key.
    let mut failing = with("SELECT target FROM people WHERE local = %u AND JSON_EXTRACT(%k, '$') = 1 / (CASE %k WHEN 'x' THEN 'y' END)");
    assert_eq!(failing.as_mut().unwrap().ask("ann@example.org"), None);
    let mut failing = with("SELECT target FROM people WHERE local = (SELECT local FROM people WHERE domain = %k)").unwrap();
    assert_eq!(failing.ask("none.example"), None);
    assert!(failing.trouble("example.org").contains("error 1242"));
    assert_eq!(failing.ask("none.example"), None, "the same session goes on");
    let mut long = with("SELECT seq FROM seq_1_to_20000 WHERE seq <= %k").unwrap();
    assert!(long.trouble("20000").contains("10000 values"));
    assert_eq!(long.found("3"), "1 2 3", "the same session goes on");
    // Written to by nobody.
    for writing in ["INSERT INTO people VALUES (%u, %d, 'x', 9) RETURNING target", "DELETE FROM people WHERE local = %u"] {
        assert!(broken(writing).contains("Cannot execute statement in a READ ONLY transaction (error 1792)"));
    }
    let query = "query = \"SELECT SLEEP(CASE %k WHEN 'slow' THEN 600 ELSE 0 END)\"\n";
    assert_eq!(Asked::open(&toml(&server, "mail", "password", query)).unwrap().found("fast"), "0");
    let mut slow = Asked::at_last(&toml(&server, "mail", "password", &format!("{query}timeout = \"1s\"\n")));
    let trouble = slow.try_ask("slow").unwrap_err();
    assert!(trouble.reason.contains("no answer in time") || trouble.reason.contains("error 1969"), "{trouble:?}");
    wait_until("the server gives up too", LONG, || {
        server.mariadb("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'").trim() == "0"
    });
}

#[test]
fn logins() {
    let Some(server) = prepared() else { return };
    let query = format!("query = \"{QUERY}\"\n");
    let secure =
        |user: &str| toml(&server, user, "password", &format!("{query}tls = \"starttls\"\nca = \"{}\"\n", server.at("server.pem")));
    let clear = toml(&server, "mail", "password", &query);
    let socket = clear.replace(&format!("127.0.0.1:{}", server.port), &format!("unix:{}", server.at("socket")));
    for toml in [&clear, &socket, &secure("mail"), &secure("strict")] {
        let mut asked = Asked::open(toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "{toml}");
    }
    let reason = Asked::refused(&toml(&server, "mail", "wrong", &query));
    let says = format!(
        "127.0.0.1:{}: it does not let us in: Access denied for user 'mail'@'127.0.0.1' (using password: YES) (error 1045)",
        server.port
    );
    assert!(reason.contains(&says) && !reason.contains("s3cret"), "{reason}");
    assert!(Asked::refused(&toml(&server, "strict", "password", &query)).contains("error 1045"), "without TLS");
    assert!(Asked::refused(&toml(&server, "modern", "password", &query)).contains("a login by `client_ed25519`"));
    let database = clear.replace("database = \"mail\"", "database = \"none\"");
    assert!(Asked::refused(&database).contains("error 1044") || Asked::refused(&database).contains("error 1049"));
    // By who we are on this host.
    let name = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
    server.mariadb(&format!(
        "CREATE OR REPLACE USER {name}@localhost IDENTIFIED VIA unix_socket; GRANT SELECT ON mail.* TO {name}@localhost"
    ));
    let ourselves = socket.replace("user = \"mail\"", &format!("user = \"{name}\""));
    let ourselves = ourselves.lines().filter(|line| !line.starts_with("password_file")).collect::<Vec<_>>().join("\n");
    assert_eq!(Asked::open(&ourselves).unwrap().found("o'hara@example.org"), "o@in.example");
}

#[test]
fn certificates() {
    let Some(server) = prepared() else { return };
    let with = |host: &str, ca: &str| {
        let more = format!("query = \"{QUERY}\"\ntls = \"starttls\"\nca = \"{}\"\n", server.at(ca));
        toml(&server, "mail", "password", &more).replace("127.0.0.1", host)
    };
    proves_itself::<Mysql>(with, ("o'hara@example.org", "o@in.example"));
}

#[test]
fn a_server_that_went_away_and_came_back() {
    let Some(mut server) = prepared() else { return };
    let toml = toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"));
    comes_and_goes::<Mysql>(&mut server, &toml, ("o'hara@example.org", "o@in.example"));
}

/// The server prepares the statement again, and its values come in another form than they were announced in.
#[test]
fn tables_that_change_under_a_prepared_statement() {
    let Some(server) = prepared() else { return };
    let query = |column: &str| format!("query = \"SELECT {column} FROM people WHERE local = %u AND domain = %d ORDER BY 1\"\n");
    let mut targets = Asked::open(&toml(&server, "mail", "password", &query("target"))).unwrap();
    let mut numbers = Asked::open(&toml(&server, "mail", "password", &query("number"))).unwrap();
    assert_eq!((targets.found("o'hara@example.org"), numbers.found("tim@example.org")), ("o@in.example".into(), "1 2 3".into()));
    for (target, number) in [("text", "varchar(20)"), ("varchar(300)", "bigint"), ("blob", "double"), ("text", "tinyint")] {
        server.mariadb(&format!("ALTER TABLE mail.people MODIFY target {target}, MODIFY number {number}"));
        assert_eq!(targets.found("o'hara@example.org"), "o@in.example", "{target}");
        assert_eq!(numbers.found("tim@example.org"), "1 2 3", "{number}");
    }
    server.mariadb("ALTER TABLE mail.people DROP number; ALTER TABLE mail.people ADD number datetime");
    let trouble = numbers.try_ask("tim@example.org").unwrap_err();
    assert!(trouble.reason.contains("write CAST(... AS CHAR)"), "{trouble:?}");
}
