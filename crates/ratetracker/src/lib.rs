//! zpost ratetracker: what clients do is counted here, and what is remembered of them is kept.
//!
//! **What it does.** Counts connections, messages, recipients, failed authentications, aborted sessions and excesses of each
//! client address and network, authenticated user and sender domain in a sliding window, and tells the SMTP servers that ask
//! (`ipc::rates`) when one is over a limit of `[rates]` or of policy. Networks: IPv4 /24; of IPv6 both "address" and
//! "network" are the /64, which one customer owns. Greylists. Remembers who has passed first contact. Says how loaded the
//! host is, to all processes, in shared memory.
//!
//! **What it trusts.** Its callers, the SMTP servers. Addresses, users and domains are just keys: any number of them cannot
//! make the table grow beyond its setting; the least recently used leave it for a sketch, which never says less than was
//! counted.
//!
//! **What it may touch.** `ratetracker/` of the postoffice (its own); the counter table; the files of `/proc` and its control
//! group that say how much memory there is, opened at the start. Nothing else (Landlock, seccomp).
//!
//! **When it dies.** Callers wait a bounded time and then follow `[rates] failure`; its successor reads counts, triplets and
//! clients back. What came after the last writing (`[rates] save`, 30 s) is lost when it was killed, nothing when it was
//! drained.

mod bounded;
mod grey;
mod grey_state;
mod keys;
mod limits;
mod normal;
mod overload;
mod pressure;
mod rows;
mod serve;
mod sketch;
mod state;
mod table;
mod watch;

pub use serve::run;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod grey_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod serve_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod table_tests;
