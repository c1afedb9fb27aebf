//! # callahead: asks next hops whether they take a recipient
//!
//! For recipients of the domains in `[call_ahead] domains` it opens an SMTP or LMTP session with the next hop and gets as
//! far as RCPT, with the null sender (so that an answer is never about a sender, and the question is none of a loop of
//! questions); then RSET, never DATA. Answers are remembered: that a recipient is taken for days, that it is refused for
//! hours, that nobody said for a minute. In the second half of its time an answer is given and asked for anew at the same
//! time, so sessions wait only for recipients nobody has written to for long. Equal questions are asked once; a session
//! serves one question after the other; a next hop that cannot be reached is left alone for a while.
//!
//! The sessions are not encrypted: they carry no mail and no password, a next hop that takes mail for our own domains is
//! near, and one that wants TLS before MAIL refuses it, which counts as unknown.
//!
//! ## Trusts
//! The next hop to know its recipients, and its replies to be anything: bounded, escaped, in order. Callers to be of the
//! suite, but not to ask only what they should: a recipient outside the domains is not asked about, and nothing is
//! remembered of it.
//!
//! ## May touch
//! Sockets of next hops, the resolver, `callahead/` of the postoffice (its own). It never connects to a listener of this
//! suite.
//!
//! ## When it dies
//! Sessions that wait have no answer, and the recipient counts as unknown. Its successor reads back what next hops have
//! said; what came in the last second is asked again when it was killed, nothing when it was drained.

mod cache;
mod dialogue;
mod domains;
mod hop;
mod locating;
mod lookups;
mod memory;
mod prober;
mod serve;
mod session;
mod sessions;

pub use serve::run;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
