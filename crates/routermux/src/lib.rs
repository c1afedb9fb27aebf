//! routermux: feeds the router farm.
//!
//! **Does.** Learns of files in `router/` by datagrams and by scan, takes the questions of SMTP sessions and of `zpost
//! route`, and hands both to the routers: at most two frames of files and 32 questions to one, the least loaded first,
//! callers in turn, questions first but never alone. Adopts what a power cut left in `public/`.
//!
//! **Trusts** nobody: datagrams are hints that can cost a failed open and nothing else; a caller or router that sends
//! a frame that makes no sense loses its conversation. Bounds: 100,000 names in memory (scans find the rest), 1,000
//! questions a caller, 30 seconds a question.
//!
//! **May touch** names in `router/`, `public/` and `deferred/`, never a message's content. No network.
//!
//! **Dies** without loss: everything here is found again by the scan at its start. When a router dies its questions are
//! asked once more and its files are fed one at a time; a file that kills two routers while alone in hand goes to
//! `deferred/` with the reason. Without routers everything waits; questions get 451 at their deadline.

mod callers;
mod farm;
mod feeding;
mod files;
mod keeper;
mod questions;
mod service;
mod shelf;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod service_tests;

/// The program.
pub fn run() -> std::process::ExitCode {
    match daemon::start("routermux") {
        Ok(started) => service::serve(started),
        Err(refusal) => refusal.say(),
    }
}
