//! ta-line: the bridge between the scheduler and a transport agent of somebody else's (zpost-agent(7)).
//!
//! **What it does.** Starts the program of an `[[agent]]`, gives it one job after another as a line on its standard input,
//! with the message as descriptor 3, and takes its results from its standard output.
//!
//! **What it trusts.** The master, the scheduler. Not the program: each of its lines is sized and checked
//! ([`jobline::Dialogue`]); one that talks rubbish, answers for what it was not given, or does not answer in time is ended,
//! and what it owed is tried again.
//!
//! **May touch.** Its conversations, the message descriptors it is passed, a file without a name in `/var/tmp`. It runs as the agent's own user, and the program
//! with it; it is not dumpable, so the program cannot look into it.
//!
//! **If it dies.** The kernel kills the program; jobs are undecided and tried again.

mod partner;
mod service;

use std::process::ExitCode;

/// The whole process.
pub fn run() -> ExitCode {
    let started = match daemon::start("ta-line") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    // The program runs as the same user: without this it could read and change our memory.
    if let Err(e) = nix::sys::prctl::set_dumpable(false) {
        daemon::event!(Warning, "dumpable", error = e);
    }
    match service::serve(started) {
        Ok(code) => code,
        Err(e) => {
            daemon::event!(Error, "agent_failed", reason = e);
            daemon::log::flush();
            ExitCode::from(daemon::EX_SOFTWARE)
        }
    }
}
