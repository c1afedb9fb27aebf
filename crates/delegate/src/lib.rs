//! # delegate: the client of policy services
//!
//! Asks policy services of others (`[[policy_service]]`; postgrey, policyd-spf and their kind) what they think of a client,
//! a sender, a recipient, by Postfix's policy delegation protocol: attributes as lines `name=value`, an empty line; the
//! answer is `action=...` and an empty line. What the attributes say and what actions mean is crate `policy`'s.
//!
//! A service gets up to `connections` connections, made when they are needed and kept while they are used; one question at
//! a time on each. A connection that ends while it has a question it was used before for counts as closed for idleness: the
//! question is put once more, on a new one. A service that cannot be reached, does not answer in time or talks nonsense is
//! left alone for a second, then two, up to a minute; in that time its questions fail at once.
//!
//! ## Trusts
//! The services to decide; their answers to be anything: bounded in size and read strictly. Attributes hold what strangers
//! said: what could end a line never leaves, and a question that would be another one without it is not asked.
//!
//! ## May touch
//! The sockets of the services. No file after the start.
//!
//! ## When it dies
//! Sessions that wait have no answer and follow the rule that asked (4xx by default).

mod connection;
mod pool;
mod protocol;
mod serve;

pub use serve::run;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
