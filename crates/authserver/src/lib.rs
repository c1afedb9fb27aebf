//! zpost authserver: the judge of logins.
//!
//! **Does.** Leads SASL exchanges (crate `sasl`) for the SMTP workers, and asks the back-ends of `[auth]`, in their order,
//! what only they know: a password file of our own, PAM, a Dovecot, an LDAP server, a server that tokens are shown to.
//! Delays, counts and locks out those who fail.
//!
//! **Trusts** the master's frames and the configuration; neither what clients say nor, beyond one login, what back-ends
//! answer: an answer that is none is a temporary failure.
//!
//! **May touch** `authserver/` of the postoffice (its own), the password file, the credentials for the token server, the
//! sockets of the back-ends; nothing else (Landlock, seccomp), unless PAM is among the back-ends. Whatever blocks (hashes,
//! PAM, LDAP, HTTPS) is on threads, never on the loop; PAM, code of others, is in a process of its own for each question:
//! this program again, as `authserver --pam`, without walls.
//!
//! **When it dies** exchanges end with 454, and the clients come again. Failures and locks are read back by its successor
//! from `authserver/` of the postoffice: a failure is with the thread that writes before the client hears of it.
//!
//! **Standards.** RFC 4422, 4616, 4954, 5802, 7677, 7628, 7662, 9266, 4511 (simple bind).

mod backends;
mod confinement;
mod dovecot;
mod exchange;
mod failures;
mod file;
mod inquiry;
mod ldap;
mod memory;
mod outcome;
mod pam;
mod pool;
mod roots;
mod server;
mod teller;
mod token;

use std::process::ExitCode;

/// The whole program.
pub fn run() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == pam::ARGUMENT) {
        return pam::child();
    }
    subdaemon::run("authserver", server::Server::new)
}

/// What a back-end says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Accepted(Found),
    /// Keys of a user, for SCRAM.
    Keys(Box<sasl::ScramSecret>, Found),
    /// Does not know the user, or does not know it so: others may.
    Unknown,
    /// Knows the user, and this is not it: nobody else is asked.
    Wrong,
    /// Cannot say now, for this reason.
    Temporary(String),
}

/// A user in the back-end's spelling, and whom it may send as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    user: String,
    senders: Vec<String>,
}

impl Found {
    fn user(name: impl Into<String>) -> Self {
        Self { user: name.into(), senders: Vec::new() }
    }
}
