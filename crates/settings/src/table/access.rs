//! Access rules, DNS lists and the tables of policy.

use super::{Kind, Parameter, count, optional, required};

/// What `[[access]]` is filed under.
pub const KEYS: &[Parameter] = &[
    optional("access", "client", Kind::Networks, "", "Clients with these addresses."),
    optional(
        "access",
        "name",
        Kind::Domains,
        "",
        "Clients with these names: what the address is called where that name has the address too.",
    ),
    optional("access", "helo", Kind::Domains, "", "Clients that give themselves these names with EHLO or HELO."),
    optional("access", "user", Kind::Texts, "", "Users that have logged in; * is all of them."),
    optional(
        "access",
        "sender",
        Kind::Mailboxes,
        "",
        "Senders: user@example.org, example.org, .suffix, user@ (of any domain) or <> (the null sender).",
    ),
    optional("access", "recipient", Kind::Mailboxes, "", "Recipients, written as senders are."),
    optional("access", "listener", Kind::Texts, "", "Only on listeners of these kinds: smtp, submission, submissions, lmtp."),
    optional("access", "tag", Kind::Text, "", "A name for this set of attributes, which others take in by tags. Such a rule has no keys."),
];

/// What holds for whom `[[access]]` matches. Left out: as if this rule were not there.
pub const ATTRIBUTES: &[Parameter] = &[
    optional("access", "tags", Kind::Texts, "", "Attributes of these tags hold too where this rule says nothing of its own."),
    optional(
        "access",
        "refuse",
        Kind::Line,
        "",
        "Refused for good with this text; a reply code and an enhanced code may stand before it. By client or name before the greeting, by anything else at RCPT, so that postmaster can be reached.",
    ),
    optional("access", "defer", Kind::Line, "", "Refused for now with this text, at the same places."),
    optional("access", "warn", Kind::Line, "", "Only a line in the log, with this text."),
    optional("access", "message", Kind::Line, "", "Text for the client where another attribute of this rule refuses."),
    optional("access", "freeze", Kind::Bool, "false", "Accepted, and set aside in freezer/."),
    optional(
        "access",
        "relay",
        Kind::Bool,
        "false",
        "By client, name or user: may send to any domain, or may not although [relay] networks says so. By recipient: everybody may send there, or nobody may. A sender or a HELO name alone gives no such right, since anybody can write it.",
    ),
    optional(
        "access",
        "relay_if_mx",
        Kind::Choice(&["no", "defer", "refuse"]),
        "no",
        "Mail is relayed to every domain that has this host as a mail exchanger. The word says what becomes of other domains.",
    ),
    optional(
        "access",
        "trust",
        Kind::Bool,
        "false",
        "Nothing is refused and nothing is asked. By client, name or user with the right to relay.",
    ),
    optional("access", "trust_recipients", Kind::Bool, "false", "Recipients are taken without asking whether they exist."),
    optional("access", "check_sender_domain", Kind::Bool, "false", "The sender's domain must exist and take mail."),
    optional(
        "access",
        "dns_lists",
        Kind::Texts,
        "",
        "Zones of [[dns_list]] that are asked; all is each of them, none is none. By recipient: none lets that recipient have mail of listed clients. Left out everywhere: all.",
    ),
    optional(
        "access",
        "max_size",
        Kind::Size { min: 0, max: 1 << 40 },
        "0",
        "Largest message in bytes; of several that hold the latest in the order client, name, helo, user, sender, recipient.",
    ),
    optional(
        "access",
        "max_messages",
        count(0, 1 << 31),
        "0",
        "Most messages in the window of [rates]: of a user by user, of a domain by sender, else of an address.",
    ),
    optional("access", "max_recipients", count(0, 1 << 31), "0", "Most recipients in the window of [rates]."),
    optional(
        "access",
        "hard_limits",
        Kind::Bool,
        "false",
        "What is over max_messages or max_recipients is refused for good instead of for now.",
    ),
    optional(
        "access",
        "greylist",
        Kind::Bool,
        "false",
        "Mail of a client, sender and recipient that are new to each other is put off; see [greylist].",
    ),
    optional(
        "access",
        "spf",
        Kind::Map,
        "",
        "What follows from SPF (RFC 7208), result by result: { fail = \"refuse\", softfail = \"greylist\" }. Results: none, neutral, pass, fail, softfail, temperror, permerror. What follows: accept, warn, greylist, freeze, defer, refuse.",
    ),
    optional(
        "access",
        "verify_recipient",
        Kind::Bool,
        "false",
        "The routers are asked whether the recipient is taken. Left out: for local domains only.",
    ),
    optional(
        "access",
        "call_ahead",
        Kind::Bool,
        "false",
        "The next hop is asked whether it takes the recipient. Left out: as [call_ahead] domains says.",
    ),
    optional("access", "policy_services", Kind::Texts, "", "Names of [[policy_service]] that are asked, each at its states."),
    optional(
        "access",
        "filter",
        Kind::Bool,
        "true",
        "false: the message is taken whatever the content filter says, as abuse@ and postmaster@ should take it. By recipient it holds for that one: where others of the message are filtered, each gets its own reply by LMTP or PRDR; other clients are told to send the recipient in a transaction of its own (452), but users (logged in, of submission or of this host), whose mail is filtered then. [filter] refusals and freezes are for the others only.",
    ),
];

pub const TABLE: &[Parameter] = &[
    optional(
        "policy",
        "tables",
        Kind::Paths,
        "",
        "Tables made by zpost newdb from sources of their own, for many rules; zpost-policy(5). Rules of this file come first. Read at start and at zpost reload.",
    ),
    optional(
        "policy",
        "received_spf",
        Kind::Bool,
        "true",
        "Where a rule's spf had SPF evaluated, its result goes into the message, as a Received-SPF field above our Received (RFC 7208 section 9.1).",
    ),
    required("dns_list", "zone", Kind::Host, "Where the list is asked, such as bl.example.org."),
    optional(
        "dns_list",
        "weight",
        Kind::Number { min: -1000.0, max: 1000.0 },
        "1",
        "A whole number that is added to the score of what is listed; negative for a list of good ones.",
    ),
    optional(
        "dns_list",
        "answers",
        Kind::Texts,
        "",
        "Only these answers count: addresses such as 127.0.0.2, where each part may be a range 2-11 or *. Default: all.",
    ),
    optional(
        "dns_list",
        "about",
        Kind::Choice(&["client", "name", "helo", "sender"]),
        "client",
        "What is looked up: the client's address or verified name, or the domain of HELO or of the sender.",
    ),
    optional("dns_lists", "refuse_at", count(0, 100_000), "1", "Score from which mail is refused for good; 0: never."),
    optional("dns_lists", "defer_at", count(0, 100_000), "0", "Score from which mail is refused for now; 0: never."),
    optional(
        "dns_lists",
        "at",
        Kind::Choice(&["rcpt", "connect"]),
        "rcpt",
        "Where. rcpt: postmaster can be reached, rules of recipients count, and the log has sender and recipient. connect: instead of the greeting; lists about anything but the client still at RCPT.",
    ),
];
