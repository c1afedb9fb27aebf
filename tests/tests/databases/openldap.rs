//! OpenLDAP.

use crate::{ATTACKS, comes_and_goes, proves_itself, with_secrets};
use end_to_end::servers::{self, Server};
use end_to_end::{LONG, wait_until};
use ldaptable::Ldap;

type Asked = end_to_end::tables::Asked<Ldap>;

const ENTRIES: &str = "dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n\
    dn: uid=tim,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: tim\ncn: Tim\nsn: Tim\nmail: tim@example.org\n\
    mail: second@example.org\no: x\nuserPassword: s3cret\n\n\
    dn: uid=star,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: star\ncn: a*b (c\\d)\nsn: S\nmail: star@example.org\n\n\
    dn: uid=bare,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: bare\ncn: Bare\nsn: B\n\n\
    dn: ou=far,dc=example,dc=org\nobjectClass: referral\nobjectClass: extensibleObject\nou: far\nref: ldap://127.0.0.1:1/ou=far,dc=example,dc=org\n\n";

fn prepared() -> Option<Server> {
    servers::slapd(ENTRIES).map(with_secrets)
}

fn toml(server: &str, more: &str) -> String {
    format!("kind = \"ldap\"\nservers = [\"{server}\"]\nbase = \"dc=example,dc=org\"\nreferrals = \"ignore\"\n{more}")
}

const MAIL: &str = "filter = \"(&(objectClass=inetOrgPerson)(|(mail=%k)(cn=%k)(&(uid=%u)(o=%d))))\"\nattributes = [\"mail\"]\n";

#[test]
fn answers_and_keys_are_no_filters() {
    let Some(server) = prepared() else { return };
    let url = format!("ldap://127.0.0.1:{}", server.port);
    let mut asked = Asked::open(&toml(&url, MAIL)).unwrap();
    assert_eq!(asked.found("second@example.org"), "tim@example.org second@example.org");
    assert_eq!(asked.found("tim@x"), "tim@example.org second@example.org", "%u and %d");
    assert_eq!(asked.found("a*b (c\\d)"), "star@example.org", "a key is a value to the letter");
    assert_eq!((asked.ask("bare"), asked.ask("ann@example.org")), (None, None));
    asked.finds_none_of(ATTACKS);
    assert_eq!(asked.found("second@example.org"), "tim@example.org second@example.org");
    // It answers first, and writes then.
    let results = |log: &str| log.matches("SEARCH RESULT").count();
    wait_until("all results are logged", LONG, || results(&server.log()) >= ATTACKS.len() + 6);
    let log = server.log();
    assert_eq!((results(&log), log.matches("SEARCH RESULT tag=101 err=0").count()), (ATTACKS.len() + 6, ATTACKS.len() + 6), "{log}");
    assert_eq!(log.matches(" ACCEPT from IP=127.0.0.1").count() - 1, 1, "one connection, and that which looked whether it listens");
    let several = "filter = \"(uid=%k)\"\nattributes = [\"sn\", \"MAIL\", \"cn\"]\n";
    assert_eq!(Asked::open(&toml(&url, several)).unwrap().found("tim"), "Tim tim@example.org second@example.org Tim");
    let one = "filter = \"(uid=%k)\"\nattributes = [\"mail\"]\nscope = \"one\"\n";
    assert_eq!(Asked::open(&toml(&url, one)).unwrap().ask("tim"), None, "two floors down");
    let substring = "filter = \"(mail=%k*)\"\nattributes = [\"uid\"]\n";
    let mut asked = Asked::open(&toml(&url, substring)).unwrap();
    assert_eq!((asked.found("secon"), asked.ask("s*d")), ("tim".into(), None));
}

#[test]
fn results_that_are_no_answers() {
    let Some(server) = prepared() else { return };
    let url = format!("ldap://127.0.0.1:{}", server.port);
    let nowhere = toml(&url, MAIL).replace("base = \"dc=example", "base = \"ou=none,dc=example");
    assert_eq!(Asked::open(&nowhere).unwrap().ask("tim@x"), None, "noSuchObject");
    for (base, says) in
        [("ou=far,dc=example,dc=org", "result 10 (referral; referrals are not followed)"), ("no dn", "result 34 (invalidDNSyntax)")]
    {
        let elsewhere = toml(&url, MAIL).replace("base = \"dc=example,dc=org\"", &format!("base = \"{base}\""));
        assert!(Asked::open(&elsewhere).unwrap().trouble("hidden-key@x").contains(says));
    }
}

/// A part of the tree is on another server: who is not found here may be there.
#[test]
fn what_is_on_another_server_is_not_absent() {
    let Some(server) = prepared() else { return };
    let url = format!("ldap://127.0.0.1:{}", server.port);
    let whole = toml(&url, MAIL);
    let strict = whole.replace("referrals = \"ignore\"\n", "");
    let mut asked = Asked::open(&strict).unwrap();
    let trouble = asked.trouble("hidden-key@x");
    assert!(trouble.contains("referral") && trouble.contains("zpost.toml(5)") && !trouble.contains("hidden-key"), "{trouble}");
    assert_eq!(asked.found("tim@x"), "tim@example.org second@example.org", "the same connection goes on, and who is here is found");
    assert_eq!(Asked::open(&whole).unwrap().ask("ann@x"), None, "the administrator says that nobody is there");
    let people = strict.replace("base = \"dc=example", "base = \"ou=people,dc=example");
    assert_eq!(Asked::open(&people).unwrap().ask("ann@x"), None, "no referral in what is searched");
}

#[test]
fn binds() {
    let Some(server) = prepared() else { return };
    let (clear, secure) = (format!("ldap://127.0.0.1:{}", server.port), format!("ldaps://127.0.0.1:{}", server.secure_port));
    let socket = format!("ldapi://{}", server.at("ldapi"));
    let user = |password: &str| format!("user = \"uid=tim,ou=people,dc=example,dc=org\"\npassword_file = \"{}\"\n", server.at(password));
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
        let mut asked = Asked::open(&toml).unwrap_or_else(|trouble| panic!("{toml}: {trouble:?}"));
        assert_eq!(asked.found("star@example.org"), "star@example.org", "{toml}");
    }
    let reason = Asked::refused(&toml(&clear, &format!("{MAIL}{}", user("wrong"))));
    let says = "it does not let us in as user = \"uid=tim,ou=people,dc=example,dc=org\": result 49 (invalidCredentials)";
    assert!(reason.contains(&format!("{clear}: {says}")) && !reason.contains("s3cret"), "{reason}");
    assert!(Asked::refused(&toml(&clear, &format!("{MAIL}password_file = \"{}\"\n", server.at("password")))).contains("need each other"));
}

#[test]
fn certificates() {
    let Some(server) = prepared() else { return };
    let ca = |name: &str| format!("ca = \"{}\"\n", server.at(name));
    let inside = |host: &str, name: &str| toml(&format!("ldaps://{host}:{}", server.secure_port), &format!("{MAIL}{}", ca(name)));
    let begun =
        |host: &str, name: &str| toml(&format!("ldap://{host}:{}", server.port), &format!("{MAIL}tls = \"starttls\"\n{}", ca(name)));
    proves_itself::<Ldap>(inside, ("star@example.org", "star@example.org"));
    proves_itself::<Ldap>(begun, ("star@example.org", "star@example.org"));
}

#[test]
fn a_server_that_went_away_and_came_back() {
    let Some(mut server) = prepared() else { return };
    let toml = toml(&format!("ldap://127.0.0.1:{}", server.port), MAIL);
    comes_and_goes::<Ldap>(&mut server, &toml, ("star@example.org", "star@example.org"));
}
