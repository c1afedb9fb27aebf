//! smtpserver: a worker that speaks SMTP, LMTP and submission with the clients the master hands to it.
//!
//! **Does.** Many sessions on one event loop; the dialogue itself is the machine in `smtp::server`. Asks routermux
//! whether local recipients exist, tells or asks ratetracker, and has contentfilter judge messages where one is
//! configured, and tells the scheduler of ETRN. TLS with clients is rustls on the same loop. Threads write each message into `public/`, sync it, and rename it into `router/`; only then does the
//! client get its 250 (one sync a message; threads that wait together share a journal commit).
//!
//! **Trusts** the master's frames, the configuration, and the verdicts of its helpers; nothing a client sends.
//! Peers of a Unix socket are users of this machine by their credentials: they may relay like a client in
//! `relay.networks`, and the envelope says which uid it was (`rcvdfrom`, `identinfo`). At `<run>/submit` it says so in
//! `submitter` too, and the router treats the message as a file of that user; a client of another socket speaks for others.
//!
//! **May touch** the sockets passed to it; it makes files in `public/` of every volume and moves them to `router/` (and `freezer/` for
//! the filter), and cannot read or change what it has moved. A sandbox keeps it from everything else: from other files, from connecting
//! to anybody, from programs. Private keys are the keyholder's, which signs for it.
//!
//! **When it dies** its sessions drop; every acknowledged message is in the spool, and what it had not acknowledged the
//! clients send again. A helper that dies is asked again once; without an answer within `server.helper_timeout`
//! (the filter: `filter.timeout` and 10 seconds) the client gets 451, or what `rates.failure`, `filter.failure` say.
//!
//! **Standards.** RFC 5321, 5322 (trace fields), 1870, 1985, 2033, 2034, 2920, 3207, 3461, 3848, 6152, 6409, 6531, 8314.

mod accept;
mod answers;
mod attributes;
mod authentication;
mod behalf;
mod certificates;
mod conduct;
mod confinement;
mod connection;
mod context;
mod crowd;
mod disks;
mod drive;
mod ending;
mod envelopes;
mod foreign;
mod gone;
mod greeting;
mod helper;
mod identified;
mod inquiries;
mod kinships;
mod logins;
mod messages;
mod patience;
mod policy;
mod rates;
mod secure;
mod submission;
mod sync;
mod tables;
mod trials;
mod vrfy;
mod worker;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::process::ExitCode;

/// The whole program.
pub fn run() -> ExitCode {
    let started = match daemon::start("smtpserver") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    let code = worker::Worker::new(started).and_then(confinement::enter).and_then(worker::Worker::run).unwrap_or_else(|e| {
        daemon::event!(Error, "stopped", reason = e);
        i32::from(daemon::EX_OSERR)
    });
    daemon::log::flush();
    ExitCode::from(u8::try_from(code).unwrap_or(daemon::EX_SOFTWARE))
}
