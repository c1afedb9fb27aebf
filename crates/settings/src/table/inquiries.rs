//! Whom the SMTP server asks about mail before it takes it.

use super::{DAY, HOUR, Kind, MINUTE, Parameter, SECOND, TIMEOUT, count, optional, required};

/// How long an answer may be believed.
const TTL: Kind = Kind::Duration { min: SECOND, max: 366 * DAY };

pub const TABLE: &[Parameter] = &[
    required("policy_service", "name", Kind::Text, "Its name, for [[access]]."),
    required("policy_service", "server", Kind::Bind, "Where it listens: unix:/path or address:port."),
    optional("policy_service", "timeout", Kind::Duration { min: 100, max: HOUR }, "10s", "For one question, a connection included."),
    optional(
        "policy_service",
        "connections",
        count(1, 1000),
        "10",
        "Connections at a time. Each is made when it is needed, has one question at a time, and is closed after 5 minutes without any.",
    ),
    optional(
        "policy_service",
        "states",
        Kind::Texts,
        "rcpt",
        "Where in a session it is asked: connect (before the greeting), helo, mail, rcpt (about each recipient), data, end-of-message (with the message's size). What it refuses is refused there and then, so that connect, helo and mail keep a client from postmaster too. At connect and helo [[access]] rules by client and name say which services are asked, from data on all but those by recipient.",
    ),
    optional("call_ahead", "domains", Kind::Domains, "", "Recipients' domains whose next hop is asked before the recipient is accepted."),
    optional(
        "call_ahead",
        "timeout",
        Kind::Duration { min: SECOND, max: 5 * MINUTE },
        "20s",
        "For one question, look-up and connection included. Then the recipient counts as unknown, and the next hop is asked on.",
    ),
    optional(
        "call_ahead",
        "taken_ttl",
        TTL,
        "7d",
        "How long it is remembered that the next hop takes a recipient. After half of it the next hop is asked again, while the answer still holds.",
    ),
    optional("call_ahead", "refused_ttl", TTL, "3h", "How long it is remembered that the next hop refuses a recipient."),
    optional("call_ahead", "unknown_ttl", TIMEOUT, "1m", "How long a next hop that did not say is not asked about the recipient again."),
    optional("call_ahead", "entries", count(100, 10_000_000), "100000", "Answers remembered; about 200 bytes each."),
    optional("call_ahead", "sessions", count(1, 100), "2", "Sessions with one next hop at a time. Others wait for them."),
];
