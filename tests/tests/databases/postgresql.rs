//! PostgreSQL.

use crate::{PEOPLE, comes_and_goes, finds_people, proves_itself, sql, with_secrets};
use end_to_end::servers::{self, Server};
use end_to_end::{LONG, wait_until};
use postgrestable::Postgresql;

type Asked = end_to_end::tables::Asked<Postgresql>;

const QUERY: &str = "SELECT target FROM people WHERE local = %u AND domain = %d AND %k LIKE '%%@%%' ORDER BY number";
const USERS: &str = "CREATE ROLE mail LOGIN PASSWORD 's3cret'; GRANT pg_read_all_data TO mail; GRANT INSERT ON people TO mail;\
    SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 's3cret'; CREATE ROLE open LOGIN PASSWORD 's3cret';\
    GRANT pg_read_all_data TO old, open;";

fn prepared() -> Option<Server> {
    let server = servers::postgresql()?;
    server.psql(&format!("{PEOPLE}{USERS}"));
    Some(with_secrets(server))
}

fn toml(server: &Server, user: &str, password: &str, more: &str) -> String {
    sql(server, ("postgresql", "postgres"), user, password, more)
}

#[test]
fn answers_and_keys_are_no_sql() {
    let Some(server) = prepared() else { return };
    let mut asked = Asked::open(&toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"))).unwrap();
    finds_people(&mut asked);
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn columns_of_other_types_and_queries_that_fail() {
    let Some(server) = prepared() else { return };
    let with = |query: &str| Asked::open(&toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
    let mut numbers = with("SELECT number FROM people WHERE local = %u ORDER BY 1").unwrap();
    assert_eq!(numbers.found("tim@x"), "1 2 3");
    let mut types = with("SELECT x FROM (VALUES (1, true::text), (2, 1.50::numeric::text)) AS t (n, x) WHERE %k = 'k'").unwrap();
    assert_eq!(types.found("k"), "true 1.50");
    // What a key makes fail is told without the key.
    let mut failing = with("SELECT 1 / (length(%k) - 3)").unwrap();
    assert_eq!(failing.found("abcd"), "1");
    assert!(failing.trouble("abc").contains("SQLSTATE 22012"));
    let mut casting = with("SELECT target FROM people WHERE number = %u::integer").unwrap();
    assert_eq!(casting.found("1@x"), "tim@in.example");
    assert!(casting.trouble("hidden-key@x").contains("SQLSTATE 22P02"));
    assert_eq!(casting.found("3@x"), "second@in.example", "the same session goes on");
    let mut long = with("SELECT n::text FROM generate_series(1, %k::integer) AS n").unwrap();
    assert!(long.trouble("20000").contains("too many rows"));
    assert_eq!(long.found("3"), "1 2 3", "the same session goes on");
    // Written to by nobody.
    let mut writing = with("INSERT INTO people VALUES (%u, %d, 'x', 9) RETURNING target").unwrap();
    assert!(writing.trouble("eve@example.org").contains("SQLSTATE 25006 (the query writes, and may not)"));
    assert_eq!(server.psql("SELECT count(*) FROM people WHERE local = 'eve'").trim(), "0");
    let broken = |query: &str| Asked::refused(&toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
    assert!(broken("SELECT nothing FROM people WHERE local = %u").contains("column \"nothing\" does not exist (SQLSTATE 42703)"));
    assert!(broken("SELECT target FROM people WHERE number = %k").contains("operator does not exist: integer = text"));
    assert!(broken("DELETE FROM people WHERE local = %u").contains("has no column"));
    // The server itself ends what lasts too long, and the session with it is good.
    let query = "query = \"SELECT pg_sleep(CASE %k WHEN 'slow' THEN 600 ELSE 0 END)::text || 'x'\"\ntimeout = \"1s\"\n";
    let mut slow = Asked::at_last(&toml(&server, "mail", "password", query));
    let trouble = slow.try_ask("slow").unwrap_err();
    assert!(trouble.reason.contains("no answer in time") || trouble.reason.contains("the server's time for it was over"), "{trouble:?}");
    wait_until("the server gives up too", LONG, || {
        server
            .psql(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(CASE%' AND state = 'active' AND pid <> pg_backend_pid()",
            )
            .trim()
            == "0"
    });
}

#[test]
fn logins() {
    let Some(server) = prepared() else { return };
    let query = format!("query = \"{QUERY}\"\n");
    let secure =
        |user: &str| toml(&server, user, "password", &format!("{query}tls = \"starttls\"\nca = \"{}\"\n", server.at("server.pem")));
    let inside = ["mail", "old", "open"].map(secure);
    let loopback = ["mail", "old", "open"].map(|user| toml(&server, user, "password", &query));
    let socket = format!(
        "kind = \"postgresql\"\nservers = [\"unix:{}/.s.PGSQL.{}\"]\ndatabase = \"postgres\"\nuser = \"mail\"\n{query}tls = \"starttls\"\n",
        server.folder.path().display(),
        server.port
    );
    for toml in inside.iter().chain(&loopback).chain([&socket]) {
        let mut asked = Asked::open(toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "{toml}");
    }
    for user in ["mail", "old", "open"] {
        let reason = Asked::refused(&toml(&server, user, "wrong", &query));
        let says = format!(
            "127.0.0.1:{}: it does not let us in: password authentication failed for user \"{user}\" (SQLSTATE 28P01)",
            server.port
        );
        assert!(reason.contains(&says) && !reason.contains("s3cret"), "{reason}");
    }
    let no_password = loopback[0].lines().filter(|line| !line.starts_with("password_file")).collect::<Vec<_>>().join("\n");
    assert!(Asked::refused(&no_password).contains("there is no password_file"));
    let database = loopback[0].replace("database = \"postgres\"", "database = \"none\"");
    assert!(Asked::refused(&database).contains("database \"none\" does not exist (SQLSTATE 3D000)"));
    // Two servers: the first is not there.
    let two = loopback[0].replace("servers = [", "servers = [\"127.0.0.1:1\", ");
    assert_eq!(Asked::open(&two).unwrap().found("o'hara@example.org"), "o@in.example");
}

/// By SSLRequest, which is all that PostgreSQL 15 knows.
#[test]
fn certificates() {
    let Some(server) = prepared() else { return };
    let with = |host: &str, ca: &str| {
        let more = format!("query = \"{QUERY}\"\ntls = \"starttls\"\nca = \"{}\"\n", server.at(ca));
        toml(&server, "mail", "password", &more).replace("127.0.0.1", host)
    };
    proves_itself::<Postgresql>(with, ("o'hara@example.org", "o@in.example"));
    let direct = with("127.0.0.1", "server.pem").replace("\"starttls\"", "\"yes\"");
    let reason = Asked::refused(&direct);
    assert!(reason.contains("TLS: ") && reason.contains("write tls = \"starttls\""), "{reason}");
    server.psql("ALTER SYSTEM SET ssl = off; ");
    server.psql("SELECT pg_reload_conf()");
    wait_until("TLS is off", LONG, || server.psql("SHOW ssl").trim() == "off");
    assert!(Asked::refused(&with("127.0.0.1", "server.pem")).contains("the server has no TLS"));
}

#[test]
fn a_server_that_went_away_and_came_back() {
    let Some(mut server) = prepared() else { return };
    let toml = toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"));
    comes_and_goes::<Postgresql>(&mut server, &toml, ("o'hara@example.org", "o@in.example"));
    server.psql("ALTER TABLE people ALTER COLUMN target TYPE text");
    let mut asked = Asked::open(&toml).unwrap();
    assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
    // A plan that no longer fits: the session is of no use, the next one is.
    server.psql("ALTER TABLE people ALTER COLUMN target TYPE varchar(300)");
    let trouble = asked.try_ask("o'hara@example.org").unwrap_err();
    assert!(trouble.broken && trouble.reason.contains("0A000"), "{trouble:?}");
}
