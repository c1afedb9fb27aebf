//! Clients that are known by a certificate.

use super::{Kind, Parameter, optional, required};

pub const TABLE: &[Parameter] = &[
    optional(
        "listener",
        "require_tls",
        Kind::Bool,
        "false",
        "Outside TLS nothing but EHLO, NOOP, STARTTLS and QUIT is taken (530 5.7.0). Not for a listener that other hosts send mail to: RFC 3207 section 4 forbids it there.",
    ),
    optional(
        "listener",
        "client_certificates",
        Kind::Choice(&["no", "ask", "require"]),
        "no",
        "Certificates of clients, inside TLS. ask: a client that shows one which is known (client_ca, [[client_certificate]]) may do what a login allows; the others are served like anybody. require: TLS with any other client fails. On a listener where TLS is not from the first byte, a client without TLS is still served.",
    ),
    optional(
        "listener",
        "client_ca",
        Kind::Path,
        "",
        "PEM file of certification authorities whose certificates make a client known, by the first DNS name in its certificate. Give one of your own: whoever has a certificate of it may send to any domain. Read at start and at zpost reload.",
    ),
    required(
        "client_certificate",
        "fingerprint",
        Kind::Text,
        "SHA-256 of the client's certificate, as openssl x509 -noout -fingerprint -sha256 prints it. The certificate may be of any issuer, and its dates are not looked at.",
    ),
    required("client_certificate", "user", Kind::Text, "The user that the client then is, as if it had logged in."),
];
