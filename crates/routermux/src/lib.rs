//! routermux: feeds the router farm.
//!
//! **Does.** Learns of files in `router/` by datagrams and by scan, takes the questions of SMTP sessions and of `zpost
//! route`, and hands both to the routers: at most two frames of files and 32 questions to one, the least loaded first,
//! callers in turn, questions first but never alone. Answers to RCPT are given again for some seconds. While more files
//! wait than the routers can take, they are sorted into the lanes of `[[lane]]`. Adopts what a power cut left in `public/`.
//!
//! **Trusts** nobody: datagrams are hints that can cost a failed open and nothing else; a caller or router that sends
//! a frame that makes no sense loses its conversation. Bounds: 100,000 names in memory (scans find the rest), 1,000
//! questions a caller, `[routing] answer_timeout` a question.
//!
//! **May touch** names in `router/`, `public/` and `deferred/`; of a message's content the first 8 KiB, read for its lane.
//! No network.
//!
//! **Dies** without loss: everything here is found again by the scan at its start. When a router dies its questions are
//! asked once more and its files are fed one at a time; a file that kills two routers while alone in hand goes to
//! `deferred/` with the reason. A router that has work and says nothing for `[processes] router_silence` is killed by the
//! master, on our word. Without routers everything waits; questions get 451 at their deadline.

mod answers;
mod callers;
mod farm;
mod feeding;
mod files;
mod keeper;
mod lanes;
mod news;
mod questions;
mod service;
mod shelf;
mod sorting;
mod watch;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod bench;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]
mod measure;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod saturation_tests;
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
