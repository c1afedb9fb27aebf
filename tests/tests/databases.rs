//! Lookup tables of LDAP, PostgreSQL and MySQL, asked of real servers: slapd, PostgreSQL, MariaDB.

use end_to_end::servers::{self, Server};
use settings::Table;
use std::fs;
use tableserver::{Source, Trouble};

/// Keys that would be more than a value if they were put into a query or a filter (attacks.md 36).
const ATTACKS: &[&str] = &[
    "\"x'/**/UNION/**/SELECT/**/1--\"@example.org",
    "' OR '1'='1",
    "' OR '1'='1'@example.org",
    "tim@example.org' -- ",
    "tim@example.org\" OR \"\"=\"",
    "\\' OR 1=1 -- ",
    "x'; DROP TABLE people; --@example.org",
    "$1",
    "?",
    "%",
    "%k",
    "_______________",
    "*",
    "*)(mail=*",
    "*)(|(mail=*))",
    "tim*",
    "\\2a",
    "\\00",
    "(",
    ")",
    "\\",
    "'",
    "''",
    "`",
    "\u{2019} OR 1=1",
    "0",
    "0x74696d",
    "NULL",
    "@",
    "@example.org",
];

fn table(toml: &str) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"people\"\ntimeout = \"60s\"\n{toml}"
    );
    settings::parse(&text, "x").unwrap_or_else(|faults| panic!("{faults:?}")).tables.remove(0)
}

/// A table with a connection.
struct Asked<S: Source> {
    source: S,
    table: Table,
    connection: S::Connection,
}

impl<S: Source> Asked<S> {
    fn open(source: S, toml: &str) -> Result<Self, Trouble> {
        let table = table(toml);
        let connection = source.connect(&table)?;
        Ok(Self { source, table, connection })
    }

    fn try_ask(&mut self, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        self.source.ask(&mut self.connection, &self.table, key)
    }

    fn ask(&mut self, key: &str) -> Option<Vec<String>> {
        self.try_ask(key).unwrap_or_else(|trouble| panic!("{key}: {trouble:?}"))
    }

    fn found(&mut self, key: &str) -> String {
        self.ask(key).unwrap_or_default().join(" ")
    }
}

/// The reason why there is no connection.
fn refused<S: Source>(source: S, toml: &str) -> String {
    let trouble = Asked::open(source, toml).err().unwrap_or_else(|| panic!("let in with {toml}"));
    assert!(trouble.broken && trouble.reason.starts_with("table people: "), "{trouble:?}");
    trouble.reason
}

const PEOPLE: &str = "CREATE TABLE people (local varchar(100) NOT NULL, domain varchar(100) NOT NULL, target varchar(200), number integer);\
    INSERT INTO people VALUES ('tim', 'example.org', 'tim@in.example', 1), ('tim', 'example.org', NULL, 2),\
    ('tim', 'example.org', 'second@in.example', 3), ('o''hara', 'example.org', 'o@in.example', -4), ('bad', 'example.org', 'a\nb', 5);";

mod postgresql {
    use super::*;
    use postgrestable::Postgresql;

    const QUERY: &str = "SELECT target FROM people WHERE local = %u AND domain = %d AND %k LIKE '%%@%%' ORDER BY number";
    const USERS: &str = "CREATE ROLE mail LOGIN PASSWORD 's3cret'; GRANT pg_read_all_data TO mail; GRANT INSERT ON people TO mail;\
        SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 's3cret'; CREATE ROLE open LOGIN PASSWORD 's3cret';\
        GRANT pg_read_all_data TO old, open;";

    fn prepared() -> Option<Server> {
        let server = servers::postgresql()?;
        server.psql(&format!("{PEOPLE}{USERS}"));
        server.secret("password", "s3cret\n");
        server.secret("wrong", "s3cret2\n");
        Some(server)
    }

    fn toml(server: &Server, user: &str, password: &str, more: &str) -> String {
        format!(
            "kind = \"postgresql\"\nservers = [\"127.0.0.1:{}\"]\ndatabase = \"postgres\"\nuser = \"{user}\"\npassword_file = \"{}\"\n{more}",
            server.port,
            server.at(password)
        )
    }

    #[test]
    fn answers_and_keys_are_no_sql() {
        let Some(server) = prepared() else { return };
        let mut asked = Asked::open(Postgresql, &toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"))).unwrap();
        assert_eq!(asked.found("tim@example.org"), "tim@in.example second@in.example");
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
        assert_eq!(asked.ask("ann@example.org"), None);
        assert_eq!(asked.ask("tim@example.com"), None);
        for attack in ATTACKS {
            assert_eq!(asked.ask(attack), None, "{attack}");
        }
        assert_eq!(asked.found("tim@example.org"), "tim@in.example second@in.example");
        assert!(!server.log().contains("ERROR"), "{}", server.log());
        let trouble = asked.try_ask("bad@example.org").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("control characters"), "{trouble:?}");
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "the same session goes on");
    }

    #[test]
    fn columns_of_other_types_and_queries_that_fail() {
        let Some(server) = prepared() else { return };
        let with = |query: &str| Asked::open(Postgresql, &toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
        let mut numbers = with("SELECT number FROM people WHERE local = %u ORDER BY 1").unwrap();
        assert_eq!(numbers.found("tim@x"), "1 2 3");
        let mut types = with("SELECT x FROM (VALUES (1, true::text), (2, 1.50::numeric::text)) AS t (n, x) WHERE %k = 'k'").unwrap();
        assert_eq!(types.found("k"), "true 1.50");
        // What a key makes fail is told without the key.
        let mut failing = with("SELECT 1 / (length(%k) - 3)").unwrap();
        assert_eq!(failing.found("abcd"), "1");
        let trouble = failing.try_ask("abc").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("SQLSTATE 22012") && !trouble.reason.contains("abc"), "{trouble:?}");
        let mut casting = with("SELECT target FROM people WHERE number = %u::integer").unwrap();
        assert_eq!(casting.found("1@x"), "tim@in.example");
        let trouble = casting.try_ask("hidden-key@x").unwrap_err();
        assert!(trouble.reason.contains("SQLSTATE 22P02") && !trouble.reason.contains("hidden-key"), "{trouble:?}");
        assert_eq!(casting.found("3@x"), "second@in.example", "the same session goes on");
        let mut long = with("SELECT n::text FROM generate_series(1, %k::integer) AS n").unwrap();
        let trouble = long.try_ask("20000").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("too many rows"), "{trouble:?}");
        assert_eq!(long.found("3"), "1 2 3", "the same session goes on");
        // Written to by nobody.
        let mut writing = with("INSERT INTO people VALUES (%u, %d, 'x', 9) RETURNING target").unwrap();
        let trouble = writing.try_ask("eve@example.org").unwrap_err();
        assert!(trouble.reason.contains("SQLSTATE 25006 (the query writes, and may not)"), "{trouble:?}");
        assert_eq!(server.psql("SELECT count(*) FROM people WHERE local = 'eve'").trim(), "0");
        let broken = |query: &str| refused(Postgresql, &toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
        assert!(broken("SELECT nothing FROM people WHERE local = %u").contains("column \"nothing\" does not exist (SQLSTATE 42703)"));
        assert!(broken("SELECT target FROM people WHERE number = %k").contains("operator does not exist: integer = text"));
        assert!(broken("DELETE FROM people WHERE local = %u").contains("has no column"));
        // The server itself ends what lasts too long, and the session with it is good.
        let mut slow = with("SELECT pg_sleep(CASE %k WHEN 'slow' THEN 600 ELSE 0 END)::text || 'x'").unwrap();
        slow.table.timeout = std::time::Duration::from_millis(500);
        slow.connection = Postgresql.connect(&slow.table).unwrap();
        let trouble = slow.try_ask("slow").unwrap_err();
        assert!(
            trouble.reason.contains("no answer in time") || trouble.reason.contains("the server's time for it was over"),
            "{trouble:?}"
        );
        end_to_end::wait_until("the server gives up too", end_to_end::LONG, || {
            server.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(CASE%' AND state = 'active' AND pid <> pg_backend_pid()").trim()
                == "0"
        });
    }

    #[test]
    fn logins_and_certificates() {
        let Some(server) = prepared() else { return };
        let query = format!("query = \"{QUERY}\"\n");
        let secure =
            |user: &str, ca: &str| toml(&server, user, "password", &format!("{query}tls = \"starttls\"\nca = \"{}\"\n", server.at(ca)));
        let inside = [secure("mail", "server.pem"), secure("old", "server.pem"), secure("open", "server.pem")];
        let loopback = ["mail", "old", "open"].map(|user| toml(&server, user, "password", &query));
        let socket = format!(
            "kind = \"postgresql\"\nservers = [\"unix:{}/.s.PGSQL.{}\"]\ndatabase = \"postgres\"\nuser = \"mail\"\n{query}tls = \"starttls\"\n",
            server.folder.path().display(),
            server.port
        );
        for toml in inside.iter().chain(&loopback).chain([&socket]) {
            let mut asked = Asked::open(Postgresql, toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
            assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "{toml}");
        }
        for user in ["mail", "old", "open"] {
            let reason = refused(Postgresql, &toml(&server, user, "wrong", &query));
            let says = format!(
                "127.0.0.1:{}: it does not let us in: password authentication failed for user \"{user}\" (SQLSTATE 28P01)",
                server.port
            );
            assert!(reason.contains(&says) && !reason.contains("s3cret"), "{reason}");
        }
        let reason = refused(Postgresql, &secure("mail", "other.pem"));
        assert!(reason.contains("TLS: invalid peer certificate: UnknownIssuer"), "{reason}");
        let no_password = loopback[0].lines().filter(|line| !line.starts_with("password_file")).collect::<Vec<_>>().join("\n");
        assert!(refused(Postgresql, &no_password).contains("there is no password_file"));
        let database = loopback[0].replace("database = \"postgres\"", "database = \"none\"");
        assert!(refused(Postgresql, &database).contains("database \"none\" does not exist (SQLSTATE 3D000)"));
        // Two servers: the first is not there.
        let two = loopback[0].replace("servers = [", "servers = [\"127.0.0.1:1\", ");
        assert_eq!(Asked::open(Postgresql, &two).unwrap().found("o'hara@example.org"), "o@in.example");
        server.psql("ALTER SYSTEM SET ssl = off; ");
        server.psql("SELECT pg_reload_conf()");
        end_to_end::wait_until("TLS is off", end_to_end::LONG, || server.psql("SHOW ssl").trim() == "off");
        assert!(refused(Postgresql, &secure("mail", "server.pem")).contains("the server has no TLS"));
    }

    #[test]
    fn a_server_that_went_away_and_came_back() {
        let Some(mut server) = prepared() else { return };
        let toml = toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"));
        let mut asked = Asked::open(Postgresql, &toml).unwrap();
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
        server.stop();
        assert!(asked.try_ask("o'hara@example.org").unwrap_err().broken);
        assert!(refused(Postgresql, &toml).contains("cannot connect: Connection refused"));
        server.start();
        server.psql("ALTER TABLE people ALTER COLUMN target TYPE text");
        let mut asked = Asked::open(Postgresql, &toml).unwrap();
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
        // A plan that no longer fits: the session is of no use, the next one is.
        server.psql("ALTER TABLE people ALTER COLUMN target TYPE varchar(300)");
        let trouble = asked.try_ask("o'hara@example.org").unwrap_err();
        assert!(trouble.broken && trouble.reason.contains("0A000"), "{trouble:?}");
    }
}

mod mariadb {
    use super::*;
    use mysqltable::Mysql;

    const QUERY: &str = "SELECT target FROM people WHERE BINARY local = %u AND domain = %d AND %k LIKE '%%@%%' ORDER BY number";
    const USERS: &str = "CREATE USER mail@'%' IDENTIFIED BY 's3cret'; GRANT SELECT, INSERT, DELETE ON mail.* TO mail@'%';\
        CREATE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('s3cret');\
        CREATE USER nobody@localhost IDENTIFIED VIA unix_socket; GRANT SELECT ON mail.* TO nobody@localhost;\
        CREATE USER strict@'%' IDENTIFIED BY 's3cret' REQUIRE SSL; GRANT SELECT ON mail.* TO strict@'%';";

    fn prepared() -> Option<Server> {
        let server = servers::mariadb()?;
        server.mariadb(&format!("CREATE DATABASE mail CHARACTER SET utf8mb4; USE mail; {PEOPLE}{USERS}"));
        server.secret("password", "s3cret\n");
        server.secret("wrong", "s3cret2\n");
        Some(server)
    }

    fn toml(server: &Server, user: &str, password: &str, more: &str) -> String {
        format!(
            "kind = \"mysql\"\nservers = [\"127.0.0.1:{}\"]\ndatabase = \"mail\"\nuser = \"{user}\"\npassword_file = \"{}\"\n{more}",
            server.port,
            server.at(password)
        )
    }

    #[test]
    fn answers_and_keys_are_no_sql() {
        let Some(server) = prepared() else { return };
        let mut asked = Asked::open(Mysql, &toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"))).unwrap();
        assert_eq!(asked.found("tim@example.org"), "tim@in.example second@in.example");
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
        assert_eq!(asked.ask("ann@example.org"), None);
        for attack in ATTACKS {
            assert_eq!(asked.ask(attack), None, "{attack}");
        }
        assert_eq!(asked.found("tim@example.org"), "tim@in.example second@in.example");
        let failed = fs::read_to_string(server.path("errors")).unwrap_or_default();
        assert!(!failed.contains("mail["), "statements that failed: {failed}");
        let status = server.mariadb("SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'");
        assert_eq!(status.split_whitespace().last(), Some("1"), "prepared once a session");
        let trouble = asked.try_ask("bad@example.org").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("control characters"), "{trouble:?}");
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "the same session goes on");
    }

    #[test]
    fn columns_of_other_types_and_queries_that_fail() {
        let Some(server) = prepared() else { return };
        let with = |query: &str| Asked::open(Mysql, &toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
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
        let broken = |query: &str| refused(Mysql, &toml(&server, "mail", "password", &format!("query = \"{query}\"\n")));
        assert!(broken("SELECT NOW() FROM people WHERE local = %u").contains("write CAST(... AS CHAR)"));
        assert!(broken("SELECT nothing FROM people WHERE local = %u").contains("Unknown column 'nothing'"));
        assert!(broken("SELECT target FROM people WHERE local = %u OR local = ?").contains("a `?` of its own"));
        assert!(broken("DO SLEEP(%k)").contains("has no column"));
        assert!(broken("SELECT 1 WHERE 1 = %k; DELETE FROM people").contains("error 1064"));
        // What a key makes fail is told without the key.
        let mut failing =
            with("SELECT target FROM people WHERE local = %u AND JSON_EXTRACT(%k, '$') = 1 / (CASE %k WHEN 'x' THEN 'y' END)");
        assert_eq!(failing.as_mut().unwrap().ask("ann@example.org"), None);
        let mut failing = with("SELECT target FROM people WHERE local = (SELECT local FROM people WHERE domain = %k)").unwrap();
        assert_eq!(failing.ask("none.example"), None);
        let trouble = failing.try_ask("example.org").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("error 1242") && !trouble.reason.contains("example.org"), "{trouble:?}");
        assert_eq!(failing.ask("none.example"), None, "the same session goes on");
        let mut long = with("SELECT seq FROM seq_1_to_20000 WHERE seq <= %k").unwrap();
        let trouble = long.try_ask("20000").unwrap_err();
        assert!(!trouble.broken && trouble.reason.contains("10000 values"), "{trouble:?}");
        assert_eq!(long.found("3"), "1 2 3", "the same session goes on");
        // Written to by nobody.
        for writing in ["INSERT INTO people VALUES (%u, %d, 'x', 9) RETURNING target", "DELETE FROM people WHERE local = %u"] {
            assert!(broken(writing).contains("Cannot execute statement in a READ ONLY transaction (error 1792)"));
        }
        let mut slow = with("SELECT SLEEP(CASE %k WHEN 'slow' THEN 600 ELSE 0 END)").unwrap();
        assert_eq!(slow.found("fast"), "0");
        slow.table.timeout = std::time::Duration::from_millis(500);
        slow.connection = Mysql.connect(&slow.table).unwrap();
        let trouble = slow.try_ask("slow").unwrap_err();
        assert!(trouble.reason.contains("no answer in time") || trouble.reason.contains("error 1969"), "{trouble:?}");
        end_to_end::wait_until("the server gives up too", end_to_end::LONG, || {
            server.mariadb("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'").trim() == "0"
        });
    }

    #[test]
    fn logins_and_certificates() {
        let Some(server) = prepared() else { return };
        let query = format!("query = \"{QUERY}\"\n");
        let secure =
            |user: &str, ca: &str| toml(&server, user, "password", &format!("{query}tls = \"starttls\"\nca = \"{}\"\n", server.at(ca)));
        let clear = toml(&server, "mail", "password", &query);
        let socket = clear.replace(&format!("127.0.0.1:{}", server.port), &format!("unix:{}", server.at("socket")));
        for toml in [&clear, &socket, &secure("mail", "server.pem"), &secure("strict", "server.pem")] {
            let mut asked = Asked::open(Mysql, toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
            assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "{toml}");
        }
        let reason = refused(Mysql, &toml(&server, "mail", "wrong", &query));
        let says = format!(
            "127.0.0.1:{}: it does not let us in: Access denied for user 'mail'@'127.0.0.1' (using password: YES) (error 1045)",
            server.port
        );
        assert!(reason.contains(&says) && !reason.contains("s3cret"), "{reason}");
        assert!(refused(Mysql, &toml(&server, "strict", "password", &query)).contains("error 1045"), "without TLS");
        assert!(refused(Mysql, &toml(&server, "modern", "password", &query)).contains("a login by `client_ed25519`"));
        let reason = refused(Mysql, &secure("mail", "other.pem"));
        assert!(reason.contains("TLS: invalid peer certificate: UnknownIssuer"), "{reason}");
        let database = clear.replace("database = \"mail\"", "database = \"none\"");
        assert!(refused(Mysql, &database).contains("error 1044") || refused(Mysql, &database).contains("error 1049"));
        // By who we are on this host.
        let name = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).unwrap().unwrap().name;
        server.mariadb(&format!(
            "CREATE OR REPLACE USER {name}@localhost IDENTIFIED VIA unix_socket; GRANT SELECT ON mail.* TO {name}@localhost"
        ));
        let ourselves = socket.replace("user = \"mail\"", &format!("user = \"{name}\""));
        let ourselves = ourselves.lines().filter(|line| !line.starts_with("password_file")).collect::<Vec<_>>().join("\n");
        assert_eq!(Asked::open(Mysql, &ourselves).unwrap().found("o'hara@example.org"), "o@in.example");
    }

    #[test]
    fn a_server_that_went_away_and_came_back() {
        let Some(mut server) = prepared() else { return };
        let toml = toml(&server, "mail", "password", &format!("query = \"{QUERY}\"\n"));
        let mut asked = Asked::open(Mysql, &toml).unwrap();
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
        // A table that changes under a prepared statement.
        server.mariadb("ALTER TABLE mail.people MODIFY target text");
        assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
        server.stop();
        assert!(asked.try_ask("o'hara@example.org").unwrap_err().broken);
        assert!(refused(Mysql, &toml).contains("cannot connect: Connection refused"));
        server.start();
        assert_eq!(Asked::open(Mysql, &toml).unwrap().found("o'hara@example.org"), "o@in.example");
    }
}

mod openldap {
    use super::*;
    use ldaptable::Ldap;

    const ENTRIES: &str = "dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n\
        dn: uid=tim,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: tim\ncn: Tim\nsn: Tim\nmail: tim@example.org\n\
        mail: second@example.org\no: x\nuserPassword: s3cret\n\n\
        dn: uid=star,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: star\ncn: a*b (c\\d)\nsn: S\nmail: star@example.org\n\n\
        dn: uid=bare,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: bare\ncn: Bare\nsn: B\n\n\
        dn: ou=far,dc=example,dc=org\nobjectClass: referral\nobjectClass: extensibleObject\nou: far\nref: ldap://127.0.0.1:1/ou=far,dc=example,dc=org\n\n";

    fn prepared() -> Option<Server> {
        let server = servers::slapd(ENTRIES)?;
        server.secret("password", "s3cret\n");
        server.secret("wrong", "s3cret2\n");
        Some(server)
    }

    fn toml(server: &str, more: &str) -> String {
        format!("kind = \"ldap\"\nservers = [\"{server}\"]\nbase = \"dc=example,dc=org\"\n{more}")
    }

    const MAIL: &str = "filter = \"(&(objectClass=inetOrgPerson)(|(mail=%k)(cn=%k)(&(uid=%u)(o=%d))))\"\nattributes = [\"mail\"]\n";

    #[test]
    fn answers_and_keys_are_no_filters() {
        let Some(server) = prepared() else { return };
        let url = format!("ldap://127.0.0.1:{}", server.port);
        let mut asked = Asked::open(Ldap, &toml(&url, MAIL)).unwrap();
        assert_eq!(asked.found("second@example.org"), "tim@example.org second@example.org");
        assert_eq!(asked.found("tim@x"), "tim@example.org second@example.org", "%u and %d");
        assert_eq!(asked.found("a*b (c\\d)"), "star@example.org", "a key is a value to the letter");
        assert_eq!((asked.ask("bare"), asked.ask("ann@example.org")), (None, None));
        for attack in ATTACKS {
            assert_eq!(asked.ask(attack), None, "{attack}");
        }
        assert_eq!(asked.found("second@example.org"), "tim@example.org second@example.org");
        let log = server.log();
        let results = log.lines().filter(|line| line.contains("SEARCH RESULT")).count();
        assert_eq!(results, ATTACKS.len() + 6, "{log}");
        assert_eq!(log.matches("SEARCH RESULT tag=101 err=0").count(), results, "{log}");
        assert_eq!(log.matches(" ACCEPT from IP=127.0.0.1").count() - 1, 1, "one connection, and that which looked whether it listens");
        let several = "filter = \"(uid=%k)\"\nattributes = [\"sn\", \"MAIL\", \"cn\"]\n";
        assert_eq!(Asked::open(Ldap, &toml(&url, several)).unwrap().found("tim"), "Tim tim@example.org second@example.org Tim");
        let one = "filter = \"(uid=%k)\"\nattributes = [\"mail\"]\nscope = \"one\"\n";
        assert_eq!(Asked::open(Ldap, &toml(&url, one)).unwrap().ask("tim"), None, "two floors down");
        let substring = "filter = \"(mail=%k*)\"\nattributes = [\"uid\"]\n";
        let mut asked = Asked::open(Ldap, &toml(&url, substring)).unwrap();
        assert_eq!((asked.found("secon"), asked.ask("s*d")), ("tim".into(), None));
    }

    #[test]
    fn results_that_are_no_answers() {
        let Some(server) = prepared() else { return };
        let url = format!("ldap://127.0.0.1:{}", server.port);
        let nowhere = toml(&url, MAIL).replace("base = \"dc=example", "base = \"ou=none,dc=example");
        assert_eq!(Asked::open(Ldap, &nowhere).unwrap().ask("tim@x"), None, "noSuchObject");
        for (base, says) in
            [("ou=far,dc=example,dc=org", "result 10 (referral; referrals are not followed)"), ("no dn", "result 34 (invalidDNSyntax)")]
        {
            let elsewhere = toml(&url, MAIL).replace("base = \"dc=example,dc=org\"", &format!("base = \"{base}\""));
            let trouble = Asked::open(Ldap, &elsewhere).unwrap().try_ask("hidden-key@x").unwrap_err();
            assert!(!trouble.broken && trouble.reason.contains(says) && !trouble.reason.contains("hidden-key"), "{trouble:?}");
        }
    }

    #[test]
    fn binds_and_certificates() {
        let Some(server) = prepared() else { return };
        let (clear, secure) = (format!("ldap://127.0.0.1:{}", server.port), format!("ldaps://127.0.0.1:{}", server.secure_port));
        let socket = format!("ldapi://{}", server.at("ldapi"));
        let user =
            |password: &str| format!("user = \"uid=tim,ou=people,dc=example,dc=org\"\npassword_file = \"{}\"\n", server.at(password));
        let ca = |name: &str| format!("ca = \"{}\"\n", server.at(name));
        let starttls = "tls = \"starttls\"\n";
        for (url, more) in [
            (&clear, user("password")),
            (&socket, user("password")),
            (&socket, starttls.to_owned()),
            (&secure, ca("server.pem")),
            (&secure, user("password") + &ca("server.pem")),
            (&clear, user("password") + starttls + &ca("server.pem")),
        ] {
            let toml = toml(url, &format!("{MAIL}{more}"));
            let mut asked = Asked::open(Ldap, &toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
            assert_eq!(asked.found("star@example.org"), "star@example.org", "{toml}");
        }
        let reason = refused(Ldap, &toml(&clear, &format!("{MAIL}{}", user("wrong"))));
        let says = "it does not let us in as user = \"uid=tim,ou=people,dc=example,dc=org\": result 49 (invalidCredentials)";
        assert!(reason.contains(&format!("{clear}: {says}")) && !reason.contains("s3cret"), "{reason}");
        for (url, more) in [(&secure, String::new()), (&clear, starttls.to_owned())] {
            let reason = refused(Ldap, &toml(url, &format!("{MAIL}{more}{}", ca("other.pem"))));
            assert!(reason.contains("TLS: invalid peer certificate: UnknownIssuer"), "{reason}");
        }
        assert!(
            refused(Ldap, &toml(&clear, &format!("{MAIL}password_file = \"{}\"\n", server.at("password")))).contains("need each other")
        );
    }

    #[test]
    fn a_server_that_went_away_and_came_back() {
        let Some(mut server) = prepared() else { return };
        let toml = toml(&format!("ldap://127.0.0.1:{}", server.port), MAIL);
        let mut asked = Asked::open(Ldap, &toml).unwrap();
        assert_eq!(asked.found("star@example.org"), "star@example.org");
        server.stop();
        assert!(asked.try_ask("star@example.org").unwrap_err().broken);
        assert!(refused(Ldap, &toml).contains("cannot connect: Connection refused"));
        server.start();
        assert_eq!(Asked::open(Ldap, &toml).unwrap().found("star@example.org"), "star@example.org");
    }
}
