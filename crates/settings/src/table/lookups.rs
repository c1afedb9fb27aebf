//! Lookup tables.

use super::{DAY, Kind, Parameter, TIMEOUT, count, optional, required};
use crate::lookups::KIND_WORDS;

const TTL: Kind = Kind::Duration { min: 0, max: 366 * DAY };

pub const TABLE: &[Parameter] = &[
    required("table", "name", Kind::Text, "What names it elsewhere and in zpost lookup. Made of a-z, 0-9 and -."),
    required(
        "table",
        "kind",
        Kind::Choice(KIND_WORDS),
        "What answers. In the routers themselves: inline, text (key and value a line), sorted (the same, sorted by zpost newdb, read in place), aliases (Sendmail's form), cdb, regexp, cidr, passwd and group (the system's), chain. By a process of their own: lmdb, sqlite, socketmap, tcp, ldap, postgresql, mysql; dns by the resolver.",
    ),
    optional(
        "table",
        "keys",
        Kind::Texts,
        "exact",
        "Forms in which a key is tried, in this order, until one is found: exact; without_detail (user@domain of user+detail@domain); user; @domain; domain; suffixes (.domain, then .parent upwards); longest (the longest key that the text begins with); default (a single dot).",
    ),
    optional("table", "fold", Kind::Bool, "true", "Whether keys are looked up in lower case. A file that newdb compiles is folded then."),
    optional(
        "table",
        "file",
        Kind::Path,
        "",
        "The file, of kinds that have one. It may be replaced at any time by renaming a new one over it.",
    ),
    optional("table", "source", Kind::Path, "", "Text that zpost newdb makes the file of."),
    optional(
        "table",
        "form",
        Kind::Choice(&["pairs", "aliases"]),
        "pairs",
        "How the source is written: pairs (a key and its value a line) or aliases (Sendmail's form, see zpost-aliases(5)). Values of aliases are no templates: % means nothing in them.",
    ),
    optional("table", "entries", Kind::Map, "", "Keys and values of kind inline."),
    optional("table", "tables", Kind::Texts, "", "Of kind chain: tables asked in this order; the first that knows the key answers."),
    optional("table", "record", Kind::Text, "", "Of kind dns: a, aaaa, cname, mx, ptr or txt."),
    optional(
        "table",
        "servers",
        Kind::Texts,
        "",
        "Where it is asked, tried in this order: address:port, host:port or unix:/path; of ldap URIs such as ldap://host or ldapi:///path.",
    ),
    optional("table", "map", Kind::Text, "", "Of kind socketmap: the map's name at the server."),
    optional("table", "database", Kind::Text, "", "Of SQL servers: the database."),
    optional("table", "user", Kind::Text, "", "Who asks: a user of the SQL server, or a DN to bind as."),
    optional(
        "table",
        "password_file",
        Kind::Path,
        "",
        "A file with the password in its first line, readable by the process that asks, and not by everybody. Read at each connection.",
    ),
    optional(
        "table",
        "query",
        Kind::Text,
        "",
        "Of SQL: one statement; its first column is the answer. %k stands for the key, %u for the part of it before the last @, %d for the part after, %% for a per cent sign. Each is bound as a parameter; none is ever put into the text, so none stands between quotes.",
    ),
    optional("table", "base", Kind::Text, "", "Of ldap: where the search begins."),
    optional("table", "filter", Kind::Text, "", "Of ldap: the filter, with %k, %u, %d as in query; what stands for them is escaped."),
    optional("table", "attributes", Kind::Texts, "", "Of ldap: attributes whose values are the answer."),
    optional("table", "scope", Kind::Choice(&["sub", "one", "base"]), "sub", "Of ldap: how deep the search goes."),
    optional(
        "table",
        "referrals",
        Kind::Choice(&["trouble", "ignore"]),
        "trouble",
        "Of ldap: what it means that a part of what is searched is on another server, as the server says (a referral), and that nothing was found here. trouble: the key may be there, so the lookup has failed for now; ignore: it is not there. Other servers are never asked: whoever writes to the directory would choose who hears our questions and our password. A search whose base is on another server has always failed.",
    ),
    optional(
        "table",
        "tls",
        Kind::Choice(&["no", "starttls", "yes"]),
        "no",
        "TLS with the server: none, begun on the plain connection, or from the first byte.",
    ),
    optional("table", "ca", Kind::Path, "", "PEM file of authorities that the server's certificate must come from. Default: the system's."),
    optional(
        "table",
        "timeout",
        TIMEOUT,
        "5s",
        "For one question, a connection included. Then the lookup has failed for now, and the mail waits.",
    ),
    optional("table", "connections", count(1, 100), "4", "Connections, or readers of the file, at a time."),
    optional("table", "ttl", TTL, "1m", "How long an answer of another process is believed; of dns no longer than the TTL of the records."),
    optional("table", "negative_ttl", TTL, "10s", "How long it is believed that a key is not there; of dns no longer than the zone says."),
    optional("table", "cache", count(0, 10_000_000), "10000", "Answers of other processes remembered in each router."),
];
