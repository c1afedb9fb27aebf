//! `[auth]`: logins of clients.

use crate::Fault;
use crate::checks::at;
use crate::nearest::nearest;
use crate::sheet::Group;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[auth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Where logins are looked up, in this order; empty: AUTH is not offered.
    pub backends: Vec<Backend>,
    /// What is offered, the better ones first.
    pub mechanisms: Vec<String>,
    /// On listeners of kind smtp too.
    pub on_smtp: bool,
    /// On connections that are not encrypted too.
    pub without_tls: bool,
    pub password_file: PathBuf,
    pub pam_service: String,
    pub dovecot_socket: PathBuf,
    pub ldap: LdapBind,
    pub token: Introspection,
    /// Authorities of the servers of `ldap` and `token`; `None`: the system's.
    pub roots: Option<PathBuf>,
    /// For one answer of a back-end.
    pub timeout: Duration,
    pub threads: usize,
    /// Lower case.
    pub refuse_users: Vec<String>,
    pub senders: SenderRule,
    pub sender_logins: Option<PathBuf>,
    pub received_user: bool,
    pub failure_delay: Duration,
    pub failure_delay_most: Duration,
    pub failures_per_address: Option<u32>,
    pub failures_per_network: Option<u32>,
    pub failures_per_user: Option<u32>,
    pub failure_window: Duration,
    pub lock_time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    File,
    Pam,
    Dovecot,
    Ldap,
    Token,
}

/// An LDAP server that is asked by a simple bind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LdapBind {
    pub server: String,
    pub dn: String,
}

/// A server that tokens are shown to (RFC 7662).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introspection {
    pub url: String,
    pub credentials: Option<PathBuf>,
    /// The member of the answer that names the user.
    pub user: String,
    /// Empty: none is asked for.
    pub scope: String,
}

/// Senders that a user may give for whom none are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderRule {
    Any,
    Own,
    Listed,
}

const BACKENDS: [(&str, Backend, &[&str]); 5] = [
    ("file", Backend::File, &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"]),
    ("pam", Backend::Pam, &["PLAIN", "LOGIN"]),
    ("dovecot", Backend::Dovecot, &["PLAIN", "LOGIN"]),
    ("ldap", Backend::Ldap, &["PLAIN", "LOGIN"]),
    ("token", Backend::Token, &["OAUTHBEARER", "XOAUTH2"]),
];

/// In the order in which they are offered.
const MECHANISMS: [&str; 6] = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"];

pub fn auth(g: &Group) -> Auth {
    let backends = g.texts("backends");
    Auth {
        mechanisms: mechanisms(&g.texts("mechanisms"), &backends),
        backends: backends.iter().filter_map(|name| BACKENDS.iter().find(|(n, ..)| n == name).map(|(_, backend, _)| *backend)).collect(),
        on_smtp: g.is("on_smtp"),
        without_tls: g.is("without_tls"),
        password_file: g.path("password_file").unwrap_or_default(),
        pam_service: g.text("pam_service"),
        dovecot_socket: g.path("dovecot_socket").unwrap_or_default(),
        ldap: LdapBind { server: g.text("ldap_server"), dn: g.text("ldap_dn") },
        token: Introspection {
            url: g.text("token_url"),
            credentials: g.path("token_credentials"),
            user: g.text("token_user"),
            scope: g.text("token_scope"),
        },
        roots: g.path("roots"),
        timeout: g.duration("timeout"),
        threads: g.usize("threads"),
        refuse_users: g.texts("refuse_users").iter().map(|user| user.to_lowercase()).collect(),
        senders: match g.text("senders").as_str() {
            "own" => SenderRule::Own,
            "listed" => SenderRule::Listed,
            _ => SenderRule::Any,
        },
        sender_logins: g.path("sender_logins"),
        received_user: g.is("received_user"),
        failure_delay: g.duration("failure_delay"),
        failure_delay_most: g.duration("failure_delay_most"),
        failures_per_address: g.limit("failures_per_address"),
        failures_per_network: g.limit("failures_per_network"),
        failures_per_user: g.limit("failures_per_user"),
        failure_window: g.duration("failure_window"),
        lock_time: g.duration("lock_time"),
    }
}

/// Those named, or those that the back-ends can do.
fn mechanisms(named: &[String], backends: &[String]) -> Vec<String> {
    if named.is_empty() {
        return MECHANISMS.iter().filter(|name| able(backends, name)).map(|name| (*name).to_owned()).collect();
    }
    let mut list: Vec<String> = named.iter().map(|name| name.to_ascii_uppercase()).collect();
    list.sort_by_key(|name| MECHANISMS.iter().position(|known| known == name));
    list.dedup();
    list
}

fn able(backends: &[String], mechanism: &str) -> bool {
    BACKENDS.iter().any(|(name, _, can)| can.contains(&mechanism) && backends.iter().any(|backend| backend == name))
}

pub fn check(group: &Group, faults: &mut Vec<Fault>) {
    // A value of the wrong kind is a fault already, and has no entry.
    let mut here = crate::table::parameters().filter(|p| p.section == "auth");
    if here.any(|p| group.entry(p.key).is_none()) {
        return;
    }
    let backends = group.texts("backends");
    for name in &backends {
        if !BACKENDS.iter().any(|(known, ..)| known == name) {
            let hint = nearest(name, BACKENDS.iter().map(|(known, ..)| *known)).map(|n| format!("; did you mean {n}?"));
            let text = format!("auth.backends: no back-end `{}`{}", name.escape_debug(), hint.unwrap_or_default());
            faults.push(at(group, "backends", text));
        }
    }
    for (backend, key) in [
        ("file", "password_file"),
        ("pam", "pam_service"),
        ("dovecot", "dovecot_socket"),
        ("ldap", "ldap_server"),
        ("ldap", "ldap_dn"),
        ("token", "token_url"),
        ("token", "token_user"),
    ] {
        if backends.iter().any(|name| name == backend) && group.filled(key).is_none() {
            faults.push(at(group, "backends", format!("auth.backends: {backend} needs {key}")));
        }
    }
    if group.text("pam_service").contains('/') {
        faults.push(at(group, "pam_service", "auth.pam_service: a name in /etc/pam.d, without slashes".to_owned()));
    }
    for (key, secure, clear) in [("ldap_server", "ldaps://", "ldap://"), ("token_url", "https://", "http://")] {
        if let Some(url) = group.filled(key)
            && !url.starts_with(secure)
            && !url.strip_prefix(clear).is_some_and(is_loopback)
        {
            faults.push(at(group, key, format!("auth.{key}: must begin with {secure}; {clear} is for an address of loopback")));
        }
    }
    for name in &group.texts("mechanisms") {
        let known = !backends.is_empty() && !backends.iter().any(|b| b == "dovecot") && !able(&backends, &name.to_ascii_uppercase());
        let token = !name.is_empty() && name.len() <= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if known || !token {
            let text = format!("auth.mechanisms: no back-end in auth.backends can do `{}`", name.escape_debug());
            faults.push(at(group, "mechanisms", text));
        }
    }
}

/// `127.0.0.1:389/path`, `[::1]:80`.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let address = match authority.strip_prefix('[') {
        Some(inside) => inside.split(']').next(),
        None => authority.split(':').next(),
    };
    address.and_then(|text| text.parse::<IpAddr>().ok()).is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(auth: &str) -> Result<Auth, Vec<String>> {
        let text = format!("paths.postoffice = \"/p\"\nidentity.hostname = \"mta.example\"\n[auth]\n{auth}");
        crate::parse(&text, "f").map(|s| s.auth).map_err(|faults| faults.into_iter().map(|f| f.text).collect())
    }

    #[test]
    fn what_is_offered_is_what_back_ends_can_do() {
        let offered = |text: &str| parse(text).unwrap().mechanisms.join(" ");
        assert_eq!(offered(""), "");
        assert_eq!(offered("backends = [\"pam\"]"), "PLAIN LOGIN");
        let file = "backends = [\"file\", \"token\"]\npassword_file = \"/f\"\ntoken_url = \"https://t.example/\"\n";
        assert_eq!(offered(file), "SCRAM-SHA-256-PLUS SCRAM-SHA-256 OAUTHBEARER XOAUTH2 PLAIN LOGIN");
        assert_eq!(offered(&format!("{file}mechanisms = [\"plain\", \"scram-sha-256\"]")), "SCRAM-SHA-256 PLAIN");
        let dovecot = "backends = [\"dovecot\"]\ndovecot_socket = \"/s\"\n";
        assert_eq!(offered(dovecot), "PLAIN LOGIN");
        assert!(offered(&format!("{dovecot}mechanisms = [\"CRAM-MD5\"]")).contains("CRAM-MD5"));
    }

    #[test]
    fn faults_say_what_is_missing() {
        for (text, fault) in [
            ("backends = [\"fil\"]", "no back-end `fil`; did you mean file?"),
            ("backends = [\"file\"]", "file needs password_file"),
            ("backends = [\"ldap\"]\nldap_server = \"ldaps://l\"", "ldap needs ldap_dn"),
            ("backends = [\"pam\"]\nmechanisms = [\"CRAM-MD5\"]", "no back-end in auth.backends can do `CRAM-MD5`"),
            ("token_url = \"http://192.0.2.1/\"", "must begin with https://"),
            ("ldap_server = \"ldap://127.0.0.1.example:389\"", "must begin with ldaps://"),
            ("pam_service = \"../x\"", "without slashes"),
        ] {
            let faults = parse(text).unwrap_err();
            assert!(faults.iter().any(|f| f.contains(fault)), "{text}: {faults:?}");
        }
        assert!(parse("token_url = \"http://127.0.0.1:8080/x\"\nldap_server = \"ldap://[::1]:389\"").is_ok());
    }
}
