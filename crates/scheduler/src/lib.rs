//! Knows every waiting recipient and feeds the transport agents.
//!
//! **What it does.** Loads control files as notices and scans tell of them, gathers recipients by destination
//! (channel and host) and destinations by site (those of the same mail exchangers), hands jobs with an open message file to transport agents, marks the results in place, removes
//! finished messages, retries, expires, and answers the queue commands. The decisions are in `model`, a state
//! machine without I/O; `io` makes the file calls on threads; `serve` is the loop between them.
//!
//! **What it trusts.** The master. The spool, whose formats are checked as they are read. Not notices: each may be
//! lost, repeated, forged or early, and costs at most one failed load, so many a second. Not agents beyond their jobs:
//! an agent can only speak about recipients it was given.
//!
//! **What it may touch.** `queue/` and `transport/` of the postoffice: it alone opens, marks and removes there, guarded by
//! a lock file. A message whose control file is broken goes back to `router/`. It has no network socket; it asks the resolver
//! which exchangers a domain has, and does not wait.
//!
//! **When it dies** nothing is lost: the master starts another, which reads the spool. Jobs in flight end undecided with
//! their agents' conversations; what was delivered but not yet marked is delivered again.
//!
//! RFC 5321 section 4.5.4 (retry strategies), RFC 3461 (reports), RFC 3463 (status codes), RFC 1985 (ETRN), RFC 2852 (DELIVERBY),
//! RFC 4865 (FUTURERELEASE), RFC 6710 (MT-PRIORITY), RFC 9422 (LIMITS).

mod copies;
mod io;
mod model;
mod serve;

/// The scheduler's whole life.
pub fn run() -> std::process::ExitCode {
    match daemon::start("scheduler") {
        Ok(started) => serve::run(started),
        Err(refusal) => refusal.say(),
    }
}
