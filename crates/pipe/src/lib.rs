//! ta-pipe: the transport agent that pipes mail into programs (ZMailer's sm).
//!
//! **What it does.** Takes jobs of channel `pipe` (and of the channels that a `[[pipe]]` names), runs the program of the
//! pipe for every recipient, or once for all of a job with flag `m`, and makes the exit code the result. Several programs
//! run at a time, on one event loop.
//!
//! **What it trusts.** The master, the configuration. Not: addresses (each stays inside the one argument that names it, and
//! none is ever given to a shell), the message, what programs say.
//!
//! **May touch.** Its conversations, the message descriptors it is passed, the programs of the configuration. Started as root
//! it is a stub that becomes the pipe's user between fork and exec, for good; it never runs anything as root. It reads the
//! message's header for its Message-ID only.
//!
//! **If it dies.** The kernel kills the programs it runs; its jobs are undecided and tried again, so a program may get a
//! message twice.
//!
//! Standards: sysexits.h; RFC 5321 section 4.4 (Return-Path).

mod accounts;
mod content;
mod service;
mod task;
mod words;

use std::process::ExitCode;

/// The whole process.
pub fn run() -> ExitCode {
    let started = match daemon::start("ta-pipe") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    match service::serve(started) {
        Ok(code) => code,
        Err(e) => {
            daemon::event!(Error, "agent_failed", reason = e);
            daemon::log::flush();
            ExitCode::from(daemon::EX_SOFTWARE)
        }
    }
}
