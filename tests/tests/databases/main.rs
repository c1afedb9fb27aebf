//! Lookup tables of LDAP, PostgreSQL and MySQL, asked of real servers: slapd, PostgreSQL, MariaDB.

mod mariadb;
mod openldap;
mod postgresql;

use end_to_end::servers::Server;
use end_to_end::tables::Asked;
use tableserver::Source;

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

const PEOPLE: &str = "CREATE TABLE people (local varchar(100) NOT NULL, domain varchar(100) NOT NULL, target varchar(200), number integer);\
    INSERT INTO people VALUES ('tim', 'example.org', 'tim@in.example', 1), ('tim', 'example.org', NULL, 2),\
    ('tim', 'example.org', 'second@in.example', 3), ('o''hara', 'example.org', 'o@in.example', -4), ('bad', 'example.org', 'a\nb', 5);";

/// With passwords, the right one and another.
fn with_secrets(server: Server) -> Server {
    server.secret("password", "s3cret\n");
    server.secret("wrong", "s3cret2\n");
    server
}

/// A table of SQL, of this kind and in this database, for a user with a password file.
fn sql(server: &Server, (kind, database): (&str, &str), user: &str, password: &str, more: &str) -> String {
    format!(
        "kind = \"{kind}\"\nservers = [\"127.0.0.1:{}\"]\ndatabase = \"{database}\"\nuser = \"{user}\"\npassword_file = \"{}\"\n{more}",
        server.port,
        server.at(password)
    )
}

/// What [`PEOPLE`] has of a whole address, and nothing of what is none.
fn finds_people<S: Source + Default>(asked: &mut Asked<S>) {
    assert_eq!(asked.found("tim@example.org"), "tim@in.example second@in.example");
    assert_eq!(asked.found("o'hara@example.org"), "o@in.example");
    assert_eq!((asked.ask("ann@example.org"), asked.ask("tim@example.com")), (None, None));
    asked.finds_none_of(ATTACKS);
    assert_eq!(asked.found("tim@example.org"), "tim@in.example second@in.example");
    assert!(asked.trouble("bad@example.org").contains("control characters"));
    assert_eq!(asked.found("o'hara@example.org"), "o@in.example", "the same session goes on");
}

/// A server that went away is told so at once, and serves again when it is back.
fn comes_and_goes<S: Source + Default>(server: &mut Server, toml: &str, (key, value): (&str, &str)) {
    let mut asked: Asked<S> = Asked::open(toml).unwrap();
    assert_eq!(asked.found(key), value);
    server.stop();
    assert!(asked.try_ask(key).unwrap_err().broken);
    assert!(Asked::<S>::refused(toml).contains("cannot connect: Connection refused"));
    server.start();
    assert_eq!(Asked::<S>::at_last(toml).found(key), value);
}

/// Inside TLS: that the server is whom it should be, of an authority that is trusted. `with` makes the table of a host and a file
/// of authorities.
fn proves_itself<S: Source + Default>(with: impl Fn(&str, &str) -> String, (key, value): (&str, &str)) {
    for host in ["127.0.0.1", "localhost"] {
        let toml = with(host, "server.pem");
        let mut asked: Asked<S> = Asked::open(&toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
        assert_eq!(asked.found(key), value, "{toml}");
    }
    let reason = Asked::<S>::refused(&with("127.0.0.1", "other.pem"));
    assert!(reason.contains("TLS: invalid peer certificate: UnknownIssuer"), "{reason}");
    // It listens there too, but its certificate is not of that host.
    let reason = Asked::<S>::refused(&with("127.0.0.2", "server.pem"));
    assert!(reason.contains("TLS: invalid peer certificate: certificate not valid for name \"127.0.0.2\""), "{reason}");
    let reason = Asked::<S>::refused(&with("127.0.0.1", "server.key"));
    assert!(reason.contains("no certificate of an authority"), "{reason}");
}
