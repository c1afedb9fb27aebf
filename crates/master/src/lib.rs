//! # zpost-master: supervises the suite
//!
//! Binds every listener and keeps it for life; accepts; decides the cheap limits (total, per address, per network);
//! passes each client's socket to the least loaded ready smtpserver worker over that worker's SOCK_SEQPACKET conversation. Makes
//! the contact points, the notification, control and agent sockets and the counter table. Spawns and supervises every
//! other process, restarts what ends (with back-off), spawns agents when the scheduler asks. Drains on SIGTERM, reloads on
//! SIGHUP, re-executes itself on SIGUSR2 keeping every socket.
//!
//! ## Trusts
//! Its configuration, the programs in the libexec folder, the kernel. Of its children only what the conversation
//! `ipc::master` can say: a malformed frame ends that child. Of commands only peer credentials.
//!
//! ## May touch
//! Everything its user may (root where it must become others); but it parses no byte from the network: it never reads a
//! client's socket, it passes it on.
//!
//! ## When it dies
//! Every child sees its conversation end and exits; the spool is complete without it. Whoever supervises it starts a new one.
//!
//! ## Standards
//! sd_notify (systemd readiness), sysexits.

mod accept;
mod agents;
mod arguments;
mod backoff;
mod certificates;
mod children;
mod clients;
mod configuration;
mod crowd;
mod doubts;
mod foreign;
mod frames;
mod handover;
mod launch;
mod limits;
mod listeners;
mod pool;
mod readiness;
mod reap;
mod reload;
mod report;
mod script;
mod services;
mod shadow;
mod site;
mod sockets;
mod start;
mod stop;
mod supervise;
mod tables;

use std::process::ExitCode;

/// Why the master does not run: a sysexits code, and a text that says whose fault it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: u8,
    pub text: String,
}

impl Failure {
    /// EX_CONFIG.
    fn config(text: impl Into<String>) -> Self {
        Self { code: daemon::EX_CONFIG, text: text.into() }
    }
    /// EX_OSERR.
    fn system(text: impl Into<String>) -> Self {
        Self { code: daemon::EX_OSERR, text: text.into() }
    }
    /// EX_TEMPFAIL.
    fn busy(text: impl Into<String>) -> Self {
        Self { code: daemon::EX_TEMPFAIL, text: text.into() }
    }
}

/// Runs the master until it is told to stop.
pub fn run() -> ExitCode {
    // Where the kernel refuses, only speed is lost.
    let _ = sys::prefer_throughput();
    match start::begin() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

#[cfg(test)]
mod tests {
    /// A configuration that every check takes.
    pub const SMALLEST: &str = "[paths]\npostoffice = \"/tmp/zpost\"\n[identity]\nhostname = \"mta.example.org\"\n";
}
