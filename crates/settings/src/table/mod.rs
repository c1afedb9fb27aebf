//! The one table of parameters: section, key, type, default, documentation.

pub mod access;
mod auth;
mod clients;
mod contact;
mod egress;
mod extensions;
mod headers;
mod inquiries;
mod lanes;
mod lists;
mod lookups;
mod places;
pub mod policy;
mod programs;
mod rates;
mod routing;
mod running;
mod security;
mod serving;

/// What a parameter's value looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    /// One line of printable text that may go on the wire.
    Line,
    /// An absolute path, or empty where the default is.
    Path,
    /// A path pattern with `%u %d %h %%`.
    Pattern,
    /// `5m`, `10 s`, `1h30m`, or seconds as an integer; the bounds are milliseconds.
    Duration {
        min: u64,
        max: u64,
    },
    /// `50MiB`, `64k`, or bytes as an integer.
    Size {
        min: u64,
        max: u64,
    },
    Integer {
        min: u64,
        max: u64,
    },
    /// A decimal number.
    Number {
        min: f64,
        max: f64,
    },
    Bool,
    Choice(&'static [&'static str]),
    /// A fully qualified host name.
    Host,
    /// `example.org`, `.suffix` or `*`.
    Domain,
    /// `user@example.org`, `example.org` or `.suffix`; empty: all.
    Sender,
    /// An IP address.
    Ip,
    /// `socks5://address:port`, `haproxy://address:port`; empty: none.
    Proxy,
    /// `127.0.0.1:25`, `[::1]:25` or `unix:/path`.
    Bind,
    /// `passwd`, `any`, the path of a table or the name of a declared one.
    Users,
    Texts,
    Paths,
    /// Domains or `.suffix`.
    Domains,
    /// `user@domain`, a domain, `.suffix`, `user@` or `<>`.
    Mailboxes,
    Networks,
    /// `address:port`; a bare address means port 53.
    Servers,
    /// A table of texts.
    Map,
    /// `100/1m`.
    Rate,
    /// `Mon-Fri 08:00-18:00, Sat 10:00-12:00`.
    Hours,
    /// -9 to 9.
    Priority,
    /// `1 1 2 3 5`.
    Factors,
    /// Three rising whole numbers, or nothing.
    Steps,
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub section: &'static str,
    pub key: &'static str,
    pub kind: Kind,
    /// As an administrator would write it (lists with commas between); `None`: must be given.
    pub default: Option<&'static str>,
    pub doc: &'static str,
}

/// One section.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub name: &'static str,
    /// Written `[[name]]` and allowed more than once.
    pub repeated: bool,
    pub doc: &'static str,
}

const fn section(name: &'static str, repeated: bool, doc: &'static str) -> Section {
    Section { name, repeated, doc }
}

/// All sections in the order of the manual page.
pub const SECTIONS: &[Section] = &[
    section("paths", false, "Where the suite keeps its files."),
    section(
        "volume",
        true,
        "A further root of the spool, on another disk. New mail is spread over the postoffice and all volumes; a slow or full disk stops only its own messages. Volumes are added and taken away while the suite is stopped; a new weight needs only a reload. To take one away, give it weight 0, reload, wait until zpost queue and the folders router and deferred of that volume are empty, stop, and remove the section.",
    ),
    section("identity", false, "Who this host is on the network."),
    section("listener", true, "A socket that clients connect to. Give one section for each."),
    section(
        "certificate",
        true,
        "A certificate for TLS with clients. Give one section for each; the first is for clients that name no host. Without any, STARTTLS is not offered. Read at start and at zpost reload.",
    ),
    section("client_certificate", true, "A client that is known by its certificate, on listeners with client_certificates."),
    section("relay", false, "Who may send mail through this host to other hosts. Nobody by default."),
    section("route", true, "Where mail for a domain goes. The first match wins; what no route names goes by MX through channel smtp."),
    section("local", false, "Mail that is delivered on this host."),
    section(
        "table",
        true,
        "A lookup table. Declared once, it is named wherever something is looked up; zpost-table(5) has the whole of it. A table that gives no answer now makes mail wait; it never makes it fail.",
    ),
    section("routing", false, "In which order an address is looked at, and what with."),
    section("virtual", false, "Domains of this host whose addresses are no names of the system."),
    section("lists", false, "Mailing lists, each a file of addresses."),
    section("srs", false, "Senders of mail that is forwarded to other hosts."),
    section(
        "headers",
        false,
        "Addresses in headers and envelopes of mail on its way out. The message in the spool stays as it came; what is different is noted beside it, for each recipient.",
    ),
    section(
        "lane",
        true,
        "Messages that wait apart from the others while there are more than the routers can see to. A message takes the first lane whose conditions all hold; without any it takes none.",
    ),
    section("dns", false, "Name resolution."),
    section("server", false, "The SMTP server."),
    section("first_contact", false, "How clients that have not been here before are met."),
    section(
        "connections",
        false,
        "Connections at a time. When strangers have taken all places, those of them that have been idle longest have to go; only when none is idle, one more is greeted with 421.",
    ),
    section(
        "overload",
        false,
        "When the host counts as overloaded: for each sign of it, where levels 1, 2 and 3 begin. And what changes then for clients that are not exempt from first_contact. From level 2 clients that have not been here before are refused with 421 4.3.2; at level 3 idle ones that have, too.",
    ),
    section("rates", false, "Limits in a sliding window of time. 0 counts without limiting."),
    section(
        "greylist",
        false,
        "Greylisting, for the clients that [[access]] wants it for: a triplet of client network, sender and recipient that was never seen waits.",
    ),
    section(
        "auth",
        false,
        "Logins of clients (RFC 4954). Who has logged in may send to any domain. The process authserver judges them; those that speak with clients never see what a password is compared with.",
    ),
    section(
        "access",
        true,
        "A rule about clients, senders or recipients; zpost-policy(5) has the whole of it. Of each list of keys that is given one must match; without keys the rule is about everybody. The longest key wins: a network by its prefix, user@domain before domain before .suffix before user@; of equal keys the first whose other keys match. What a later one says (client, name, helo, user, sender, recipient) holds instead of what an earlier one says, attribute by attribute.",
    ),
    section("policy", false, "Tables of rules."),
    section(
        "dns_list",
        true,
        "A DNS list (RFC 5782) of bad or good clients or domains. Clients of [relay] networks, of this host, and those that have logged in are not looked up.",
    ),
    section("dns_lists", false, "What follows from the sum of the weights."),
    section(
        "submission",
        false,
        "What is mended in messages of users (RFC 6409 section 8): those of submission and submissions listeners and of the local socket. Messages of smtp and lmtp listeners are never touched.",
    ),
    section("policy_service", true, "A policy service of somebody else's that speaks Postfix's policy delegation protocol."),
    section("call_ahead", false, "Next hops that are asked about recipients."),
    section("filter", false, "A program that judges the content of every message before it is accepted."),
    section("processes", false, "How many processes there are and how long they live."),
    section("queue", false, "Retry, expiry and concurrency."),
    section("client", false, "The SMTP and LMTP client."),
    section(
        "tls",
        false,
        "TLS with the servers that mail goes to; which of them need it, and how much, say [[channel]] and [[destination]].",
    ),
    section(
        "channel",
        true,
        "What is different for a channel. Of all clauses that match a destination, [[channel]] before [[destination]] and then in the order of the file, a later one wins, key by key; zpost destination HOST --explain shows what came of it.",
    ),
    section(
        "destination",
        true,
        "What is different for some next hops. Conditions that are left out hold for all; those given must all hold.",
    ),
    section("credentials", true, "A login at next hops that want one. Named by credentials of [[channel]] and [[destination]]."),
    section(
        "source",
        true,
        "An address that connections to next hops come from. Named, pool by pool, by source of [[channel]] and [[destination]].",
    ),
    section("sts", false, "MTA-STS policies of other domains (RFC 8461)."),
    section("tls_report", false, "Reports about TLS to other domains (RFC 8460)."),
    section("pipe", true, "A program that mail is piped into: channel pipe, with its name as the host."),
    section("agent", true, "A transport agent of somebody else's for a channel of your own; see zpost-agent(7)."),
    section("script", true, "A program that tells when held mail may go on; see ta-hold(8)."),
    section("bounce", false, "Reports to senders: of failure, delay and success."),
    section("log", false, "What is logged, how and where to."),
    section("users", false, "Who each process runs as when the suite is started as root; ignored otherwise."),
];

/// Every parameter, section by section.
pub fn parameters() -> impl Iterator<Item = &'static Parameter> {
    places::TABLE
        .iter()
        .chain(clients::TABLE)
        .chain(serving::TABLE)
        .chain(rates::TABLE)
        .chain(inquiries::TABLE)
        .chain(contact::TABLE)
        .chain(auth::TABLE)
        .chain(access::KEYS)
        .chain(access::ATTRIBUTES)
        .chain(access::TABLE)
        .chain(extensions::TABLE)
        .chain(running::TABLE)
        .chain(egress::TABLE)
        .chain(policy::SCOPE)
        .chain(policy::CHANNEL)
        .chain(policy::DESTINATION)
        .chain(security::TABLE)
        .chain(programs::TABLE)
        .chain(lookups::TABLE)
        .chain(routing::TABLE)
        .chain(lists::TABLE)
        .chain(headers::TABLE)
        .chain(lanes::TABLE)
}

pub fn parameter(section: &str, key: &str) -> Option<&'static Parameter> {
    parameters().find(|p| p.section == section && p.key == key)
}

const fn required(section: &'static str, key: &'static str, kind: Kind, doc: &'static str) -> Parameter {
    Parameter { section, key, kind, default: None, doc }
}

const fn optional(section: &'static str, key: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Parameter {
    Parameter { section, key, kind, default: Some(default), doc }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Integer { min, max }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A timeout: never 0, which would fail every session, and never longer than a day.
const TIMEOUT: Kind = Kind::Duration { min: 100, max: DAY };
