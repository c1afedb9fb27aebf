//! ta-smtp: the SMTP and LMTP transport agent.
//!
//! Takes jobs (some recipients of one message for one destination, with the message file's descriptor) from the
//! scheduler, finds the servers through the resolver, and holds many sessions on one event loop. A session that is done
//! with a job takes the next one for the same destination, or for another at the same exchanger whose demands it meets. Every recipient of a job gets exactly one result:
//! delivered (the server has said 2xx after the final dot), deferred or failed.
//!
//! Trusts: the master, the scheduler (jobs), the resolver (answers are bounded there). Not: servers; each reply is
//! bounded in size and time and escaped before it goes into a report.
//! May touch: sockets, the read-only message descriptors passed to it. No file by name, no spool: once it has read the roots it
//! trusts it is in its sandbox.
//! When it dies: its jobs are counted as undecided by the scheduler and tried again; a message whose final dot was out may
//! arrive twice.
//! Standards: RFC 5321 (sections 4.2, 4.5.3.2, 5.1), 1870, 2033, 2034, 2852, 2920, 3030, 3461, 4954, 6152, 6531, 6710, 7504, 7505, 8305,
//! 9422; logins and proxies: crates sasl and proxy; TLS: 3207, 7672, 8461 (section 5), 8689.

mod content;
mod dialling;
mod egress;
mod ending;
mod fitting;
mod keeper;
mod lookups;
mod plan;
mod process;
mod racing;
mod reaching;
mod results;
mod secured;
mod security;
mod session;
mod sharing;
mod stream;
mod waiting;
mod work;
mod worker;

pub use process::run;

#[cfg(test)]
mod tests;
