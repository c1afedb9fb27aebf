//! Logins of clients.

use super::{DAY, Kind, Parameter, SECOND, TIMEOUT, count, optional};

const LIMIT: Kind = count(0, u32::MAX as u64);
/// A delay that may be none.
const DELAY: Kind = Kind::Duration { min: 0, max: 300 * SECOND };

pub const TABLE: &[Parameter] = &[
    optional(
        "auth",
        "backends",
        Kind::Texts,
        "",
        "Where logins are looked up, in this order: file, pam, dovecot, ldap, token. A user that the file knows is judged by the file alone; otherwise the first that accepts decides. Without any, AUTH is not offered.",
    ),
    optional(
        "auth",
        "mechanisms",
        Kind::Texts,
        "",
        "Mechanisms offered. Default: what the back-ends can do: PLAIN and LOGIN; with file also SCRAM-SHA-256 and SCRAM-SHA-256-PLUS; with token OAUTHBEARER and XOAUTH2. Dovecot is given any other that is named here (such as CRAM-MD5), and must know it.",
    ),
    optional(
        "auth",
        "on_smtp",
        Kind::Bool,
        "false",
        "Offer AUTH on listeners of kind smtp too. Otherwise only on submission and submissions, since port 25 is for other servers, and for those who guess passwords.",
    ),
    optional(
        "auth",
        "without_tls",
        Kind::Bool,
        "false",
        "Offer AUTH where the connection is not encrypted. Passwords can then be read on the way.",
    ),
    optional(
        "auth",
        "password_file",
        Kind::Path,
        "",
        "For file: users and their secrets, see zpost-passwd(5). Written by zpost passwd; read again when it has changed. Nobody but its owner and group may be able to read it.",
    ),
    optional("auth", "pam_service", Kind::Text, "zpost", "For pam: the name of the service, a file in /etc/pam.d."),
    optional(
        "auth",
        "dovecot_socket",
        Kind::Path,
        "",
        "For dovecot: the socket of its auth service for clients, as in service auth { unix_listener }.",
    ),
    optional(
        "auth",
        "ldap_server",
        Kind::Text,
        "",
        "For ldap: ldaps://host:port, or ldap://address:port, which is allowed on loopback only. Asked by a simple bind.",
    ),
    optional(
        "auth",
        "ldap_dn",
        Kind::Text,
        "",
        "For ldap: whom to bind as, such as uid=%u,ou=people,dc=example,dc=org. %u: the user name; %n: what is before its @; %d: what is behind. A pattern with %n alone judges no domain, so the user is what is before the @ to everything else, too.",
    ),
    optional(
        "auth",
        "token_url",
        Kind::Text,
        "",
        "For token: where tokens are shown to (RFC 7662), https://host/path. http is allowed to an address of loopback only.",
    ),
    optional(
        "auth",
        "token_credentials",
        Kind::Path,
        "",
        "For token: a file whose first line is what we show beside it: id:secret (Basic) or Bearer and a token. Default: nothing.",
    ),
    optional("auth", "token_user", Kind::Text, "username", "For token: the member of the answer that is the user's name."),
    optional("auth", "token_scope", Kind::Text, "", "For token: a scope that the token must have. Default: none."),
    optional(
        "auth",
        "roots",
        Kind::Path,
        "",
        "A PEM file of the certification authorities of ldap_server and token_url. Default: the system's.",
    ),
    optional("auth", "timeout", TIMEOUT, "10s", "Wait for a back-end; then the client is told to try again later."),
    optional(
        "auth",
        "threads",
        count(1, 256),
        "8",
        "Questions at a time to each of pam, ldap and token. The file has a thread for each core, 4 at most.",
    ),
    optional("auth", "refuse_users", Kind::Texts, "root", "Users that never log in, whatever a back-end says."),
    optional(
        "auth",
        "senders",
        Kind::Choice(&["any", "own", "listed"]),
        "any",
        "Senders that a user may give in MAIL. own: its login, where that is an address, else login@ any domain. listed: only those of the password file and of sender_logins. A user for whom senders are listed there may give these and no others. The empty sender is always allowed.",
    ),
    optional(
        "auth",
        "sender_logins",
        Kind::Path,
        "",
        "A file of lines `sender: user, user`: who may give this sender (user@domain, @domain or *). Added to what the password file lists.",
    ),
    optional("auth", "received_user", Kind::Bool, "false", "Write the user into the Received field, where every recipient sees it."),
    optional(
        "auth",
        "failure_delay",
        DELAY,
        "1s",
        "Wait before a failed login is answered; doubled with each failure of the same address or user in failure_window.",
    ),
    optional("auth", "failure_delay_most", DELAY, "15s", "The longest of these waits."),
    optional(
        "auth",
        "failures_per_address",
        LIMIT,
        "20",
        "Failed logins of one address in failure_window after which it is locked out: it is answered 421 without being asked. 0: never.",
    ),
    optional("auth", "failures_per_network", LIMIT, "100", "The same for a network, IPv4 /24 or IPv6 /64."),
    optional("auth", "failures_per_user", LIMIT, "0", "The same for a user name. Whoever wants to can lock a user out with it."),
    optional("auth", "failure_window", Kind::Duration { min: SECOND, max: DAY }, "1h", "How long a failure counts."),
    optional("auth", "lock_time", Kind::Duration { min: SECOND, max: 7 * DAY }, "15m", "How long somebody is locked out."),
];
