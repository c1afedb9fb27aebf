//! What a server offers in its answer to EHLO or LHLO.

use super::Limits;
use crate::reply_reader::WireReply;

/// The extensions that the client makes use of; others are not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870.
    pub size: bool,
    /// The limit that came with SIZE; 0: none said.
    pub size_limit: u64,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3030: BDAT.
    pub chunking: bool,
    /// RFC 3030: content that is octets. Counts only with `chunking`.
    pub binary_mime: bool,
    /// RFC 4954.
    pub mechanisms: sasl::Mechanisms,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 8689; counts only where it is offered inside TLS.
    pub requiretls: bool,
    /// RFC 9422.
    pub limits: Limits,
    /// RFC 6710.
    pub mt_priority: bool,
    /// RFC 2852, with the shortest time it takes for by-mode R, in seconds; 0: none said.
    pub deliver_by: Option<u32>,
}

impl Extensions {
    /// Reads the lines after the first. A word that is not understood is not there.
    pub fn parse(reply: &WireReply) -> Self {
        let mut found = Self::default();
        for line in reply.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            if keyword.eq_ignore_ascii_case("PIPELINING") {
                found.pipelining = true;
            } else if keyword.eq_ignore_ascii_case("SIZE") {
                found.size = true;
                found.size_limit = words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0);
            } else if keyword.eq_ignore_ascii_case("8BITMIME") {
                found.eight_bit_mime = true;
            } else if keyword.eq_ignore_ascii_case("SMTPUTF8") {
                found.smtputf8 = true;
            } else if keyword.eq_ignore_ascii_case("DSN") {
                found.dsn = true;
            } else if keyword.eq_ignore_ascii_case("CHUNKING") {
                found.chunking = true;
            } else if keyword.eq_ignore_ascii_case("BINARYMIME") {
                found.binary_mime = true;
            } else if keyword.eq_ignore_ascii_case("AUTH") {
                words.for_each(|name| found.mechanisms.add(name));
            } else if keyword.eq_ignore_ascii_case("STARTTLS") {
                found.starttls = true;
            } else if keyword.eq_ignore_ascii_case("REQUIRETLS") {
                found.requiretls = true;
            } else if keyword.eq_ignore_ascii_case("LIMITS") {
                found.limits = Limits::parse(words);
            } else if keyword.eq_ignore_ascii_case("MT-PRIORITY") {
                found.mt_priority = true;
            } else if keyword.eq_ignore_ascii_case("DELIVERBY") {
                found.deliver_by = Some(words.next().and_then(|least| least.parse().ok()).unwrap_or(0));
            }
        }
        found
    }
}
