//! The SMTP server, connection limits, the content filter.

use super::{Kind, Parameter, TIMEOUT, count, optional};

const MIB: u64 = 1 << 20;

pub const TABLE: &[Parameter] = &[
    optional(
        "server",
        "max_message_size",
        Kind::Size { min: 64 << 10, max: 1 << 40 },
        "50MiB",
        "Largest message accepted, announced with SIZE (RFC 1870).",
    ),
    optional("server", "max_recipients", count(100, 1_000_000), "10000", "Recipients of one message. RFC 5321 asks for at least 100."),
    optional("server", "max_hops", count(10, 1000), "50", "Received lines after which a message is taken for one that loops."),
    optional("server", "command_timeout", TIMEOUT, "5m", "Wait for the client's next command."),
    optional("server", "data_timeout", TIMEOUT, "10m", "Wait for the next piece of a message."),
    optional("server", "write_timeout", TIMEOUT, "5m", "Wait until the client takes a reply."),
    optional("server", "max_errors", count(1, 100_000), "20", "Wrong commands in a session before it is ended with 421."),
    optional(
        "server",
        "max_idle_commands",
        count(1, 1_000_000),
        "100",
        "Commands that move no transaction forward (NOOP, RSET, VRFY) before a session is ended with 421.",
    ),
    optional("server", "max_header_bytes", Kind::Size { min: 4 << 10, max: 64 * MIB }, "256KiB", "Largest header of a message."),
    optional("server", "max_line", Kind::Size { min: 1000, max: 1 << 30 }, "1MiB", "Longest line of a message."),
    optional(
        "server",
        "bare_newline",
        Kind::Choice(&["reject", "blank"]),
        "reject",
        "A CR or LF that is no line end: refuse the message, or put a blank in its place. Never passed on, since that lets mail be smuggled.",
    ),
    optional("server", "banner", Kind::Line, "ESMTP zpost", "Text after the host name in the greeting."),
    optional(
        "server",
        "min_free_bytes",
        Kind::Size { min: 0, max: 1 << 50 },
        "100MiB",
        "Free bytes of the spool's filesystem below which new mail is put off with 452.",
    ),
    optional(
        "server",
        "etrn",
        Kind::Networks,
        "",
        "Clients that may start the mail of a domain with ETRN (RFC 1985), beside those of relay.networks. Default: none.",
    ),
    optional(
        "server",
        "helper_timeout",
        TIMEOUT,
        "30s",
        "Longest wait for the router or the rate tracker; then the client gets 451 (or what [rates] failure says). For the filter: [filter] timeout and 10 seconds more.",
    ),
    optional("connections", "total", count(1, 1_000_000), "20000", "From everywhere."),
    optional("connections", "per_address", count(1, 1_000_000), "100", "From one address."),
    optional("connections", "per_network", count(1, 1_000_000), "1000", "From one network: IPv4 /24, IPv6 /64."),
    optional(
        "connections",
        "reserve",
        count(0, 1_000_000),
        "500",
        "Of the total, places that strangers cannot have: for submission, relay.networks and local sockets. At most a quarter of the total.",
    ),
    optional("filter", "program", Kind::Texts, "", "The program and its arguments. Default: no filter."),
    optional("filter", "processes", count(1, 1000), "2", "How many of it run."),
    optional("filter", "timeout", TIMEOUT, "2m", "For one message."),
    optional(
        "filter",
        "failure",
        Kind::Choice(&["defer", "accept", "reject"]),
        "defer",
        "What happens to mail while the filter does not answer.",
    ),
];
