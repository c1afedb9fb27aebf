//! router: decides where every recipient goes.
//!
//! **Does.** Takes message files of `router/` and questions of sessions from the routermux. For a file: reads envelope
//! and headers, decides (channel, host, user, attributes) for every recipient, writes the control file and moves the message
//! to `queue/` (spool states S2 to S3). For a question: the same decision, as the reply a client gets.
//!
//! **Trusts** the configuration and, in envelopes, only files of root, its own user and the suite's users; anybody
//! else's file gets its owner as sender. Every file is hostile in form: sized, opened without following links, and set
//! aside in `deferred/` with a reason when it is malformed. It never blocks another file and is never removed.
//!
//! **May touch** `router/` (read, rename away), `queue/` and `transport/` (create), `deferred/`, the tables the
//! configuration names, NSS. No network of its own.
//!
//! With `--check-script FILE INSTRUCTIONS MEMORY` it tries a script and ends: the master asks so before it takes a configuration.
//!
//! **Dies** without loss: a file is in `router/` until its control file is complete. The routermux gives the files in
//! hand to another router one at a time; what kills two is set aside. A table that cannot be read now is a temporary
//! failure (channel `hold`), never a bounce.
//!
//! **Order of steps**: `[routing] order`, in `steps`; local names (aliases, lists, mailboxes, users, postmaster) in `local`.
//! **RFCs**: 5321 (4.5.1 postmaster, 5.1 MX, 6.3 loops), 3461 (5.2.7 aliases), 3463, 6531.

mod alias_places;
mod callers;
mod decision;
mod expansion;
mod file;
mod forms;
mod hand;
mod head;
mod lines;
mod listfields;
mod local;
mod local_user;
mod parking;
mod pending;
mod question;
mod queued;
mod recipients;
mod returning;
mod rules;
mod scripted;
mod sender_form;
mod service;
mod shadow;
mod spelling;
mod steps;
mod submission;
mod tables;
mod trust;
mod verdict;
mod via;
mod vitals;
mod warned;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod decision_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod file_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod forms_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod graph_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod local_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod service_tests;

pub use callers::TableCallers;
pub use decision::{Routing, Want, route};
pub use local_user::LocalUser;
pub use question::answer;
pub use rules::Rules;
pub use tables::{SystemTables, Tables};
pub use verdict::{Keeper, Routed, Verdict, Way};

/// The program.
pub fn run() -> std::process::ExitCode {
    if let Some(code) = scripted::check_asked() {
        return code;
    }
    match daemon::start("router") {
        Ok(started) => service::serve(started),
        Err(refusal) => refusal.say(),
    }
}
