//! Extensions of SMTP that are told to clients, whom they are told to, and submission.

use super::{DAY, HOUR, Kind, Parameter, count, optional};

pub const TABLE: &[Parameter] = &[
    optional(
        "listener",
        "proxy",
        Kind::Bool,
        "false",
        "Clients come through a load balancer that puts a PROXY header (version 1 or 2) before their bytes: the address in it is the client's for everything but [connections] per_address and per_network, which do not hold there ([rates] does). A connection without such a header, or with a wrong one, is closed.",
    ),
    optional(
        "server",
        "proxies",
        Kind::Networks,
        "",
        "The load balancers that listeners with proxy = true take headers from; others are closed. Whoever is among them can speak for any client, also for one in [relay] networks. Default: this machine's loopback addresses only.",
    ),
    optional(
        "server",
        "xclient",
        Kind::Networks,
        "",
        "Clients that may say on whose behalf they speak, with XCLIENT (as Postfix does it): the address they name is the client's for everything that follows. Default: none.",
    ),
    optional(
        "server",
        "xclient_repeated",
        Kind::Bool,
        "false",
        "A peer may say XCLIENT more than once in a session, as at Postfix. Not for proxies that pass on what their clients say, as those of nginx and Dovecot do: behind them every client could be whoever it likes.",
    ),
    optional(
        "server",
        "xforward",
        Kind::Networks,
        "",
        "Clients that may say where a message came from, with XFORWARD (as Postfix does it): it goes into the log and nowhere else. Default: none.",
    ),
    optional(
        "server",
        "vrfy",
        Kind::Networks,
        "",
        "Clients whose VRFY the router answers; others get 252, which says nothing. Default: none.",
    ),
    optional(
        "server",
        "expn",
        Kind::Networks,
        "",
        "Clients that may see with EXPN whom an address stands for; others get 502. Default: none.",
    ),
    optional(
        "server",
        "max_messages",
        count(0, 1_000_000),
        "0",
        "Messages of one session, announced with LIMITS (RFC 9422); one more gets 452. 0: any number.",
    ),
    optional(
        "server",
        "max_future_release",
        Kind::Duration { min: 0, max: 400 * DAY },
        "30d",
        "How far ahead a message may be held (FUTURERELEASE, RFC 4865), for clients that may relay or are logged in. 0: not offered.",
    ),
    optional(
        "server",
        "max_priority",
        Kind::Priority,
        "0",
        "Highest MT-PRIORITY (RFC 6710) of a client that may not relay and is not logged in; it is told so.",
    ),
    optional(
        "server",
        "min_deliver_by",
        Kind::Duration { min: 0, max: HOUR },
        "0",
        "Least time that a message to be returned when late may ask for (DELIVERBY, RFC 2852).",
    ),
    optional("submission", "add_date", Kind::Bool, "true", "Add Date where it is missing."),
    optional("submission", "add_message_id", Kind::Bool, "true", "Add Message-ID where it is missing."),
    optional("submission", "add_from", Kind::Bool, "true", "Add From, with the envelope's sender, where it is missing."),
    optional(
        "submission",
        "add_sender",
        Kind::Bool,
        "false",
        "Where From is not the address of the logged-in user, say with Sender who it was (RFC 6409 section 8.1), in place of a Sender that the client gave.",
    ),
];
