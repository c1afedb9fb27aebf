//! TLS: whom it trusts, MTA-STS, reports.

use super::{DAY, Kind, Parameter, SECOND, count, optional};

pub const TABLE: &[Parameter] = &[
    optional(
        "tls",
        "roots",
        Kind::Path,
        "",
        "A PEM file of the certification authorities trusted in the certificates of mail servers (verify, sts) and of the servers of MTA-STS policies. Default: the system's.",
    ),
    optional(
        "tls",
        "certificate",
        Kind::Path,
        "",
        "PEM file with a certificate of this host, and those between it and its root, for servers that ask for one. Default: none.",
    ),
    optional(
        "tls",
        "key",
        Kind::Path,
        "",
        "PEM file with its private key. Only the user who starts the suite needs to be able to read it.",
    ),
    optional("tls", "handshake_timeout", Kind::Duration { min: SECOND, max: DAY }, "1m", "For the reply to STARTTLS and the handshake."),
    optional("sts", "port", count(1, 65_535), "443", "The port that MTA-STS policies are fetched from. RFC 8461 knows no other than 443."),
    optional("tls_report", "enabled", Kind::Bool, "true", "Domains that ask for it get a report a day about TLS with their servers."),
    optional(
        "tls_report",
        "contact",
        Kind::Line,
        "",
        "Whom the report names for questions, an address such as tls@example.org. Default: the postmaster.",
    ),
    optional("tls_report", "sender", Kind::Line, "", "The address that reports come from. Default: tls-reports@ this host's name."),
];
