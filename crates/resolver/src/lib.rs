//! zpost resolver: the DNS cache of the suite.
//!
//! **What it does.** Answers questions about names (`ipc::dns`) over its contact point: where mail for a domain goes
//! (RFC 5321 section 5.1, null MX of RFC 7505), addresses, names of addresses (and those that can be believed), TXT, TLSA,
//! DNS lists (RFC 5782), SPF (RFC 7208). One cache: positive by TTL,
//! negative (RFC 2308) and, shortly, failures (RFC 9520); while the servers are in trouble an answer up to an hour
//! past its time is better than none (RFC 8767). Identical questions in flight are asked once.
//!
//! **What it trusts.** The configured servers, and those only for what a mail route may depend on: every answer is
//! counted, cut to limits and checked name by name. What it calls secure DNSSEC proves, here or (`trust_ad`) at the
//! servers. Its callers it trusts to be of the suite; a malformed frame ends
//! that caller's conversation and nothing else, and a caller with a thousand open questions waits.
//!
//! **What it may touch.** UDP and TCP to the servers; no file (Landlock, seccomp): resolv.conf and the trust anchor come from
//! the master, open, at its start and at each reload.
//!
//! **When it dies.** Callers' conversations close; they ask its successor, wait a bounded time, and defer the mail.
//! Nothing is lost but a warm cache.
//!
//! The one process with an async runtime: hickory-resolver needs tokio, here a single thread of it.

mod answers;
mod cache;
mod conversation;
mod files;
mod lists;
mod lookups;
mod records;
mod sender_policy;
mod serve;
mod upstream;
mod validation;
mod verified;
mod watch;

pub use serve::run;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod test_server;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
