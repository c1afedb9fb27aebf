//! # vacation, autoanswer: answer mail by themselves, as RFC 3834 wants it
//!
//! Run from a user's `.forward` or from an alias, with a message on standard input. `vacation` answers whoever writes to a
//! user who is away, once in some days each; `autoanswer` answers for an address that exists to be answered by, and says
//! what it got.
//!
//! **Never answered**: the null sender, lists and their owners, robots, what says that it was sent by a program, the user
//! himself, and (by `vacation`) what was not addressed to the user in a To or Cc field. An answer has the null sender, says
//! `Auto-Submitted: auto-replied`, and goes to the sender of the envelope alone: two responders cannot talk to each other.
//!
//! **Trusts** the user's own files. The message is hostile: of its header at most [`LONGEST_HEADER`] bytes are looked at,
//! and what of it gets into an answer is bounded and has no line ends.
//!
//! **May touch** `~/.vacation.msg` (read), `~/.vacation.db` (who was answered when), and the program `sendmail`.
//!
//! **Dies** without loss: the message has been delivered by others. An answer that could not be sent is not remembered; the
//! exit code is then EX_TEMPFAIL, and the delivery is tried again.

mod arguments;
mod away;
mod encoded;
mod incoming;
mod memory;
mod reply;
mod sending;
mod template;
mod trouble;

pub use incoming::{Incoming, Me, Silence, judge};
pub use memory::Memory;
pub use template::Template;

/// Bytes of a header that are looked at.
pub const LONGEST_HEADER: usize = 256 * 1024;

/// The program `vacation`.
pub fn vacation() -> std::process::ExitCode {
    trouble::said("vacation", arguments::vacation())
}

/// The program `autoanswer`.
pub fn autoanswer() -> std::process::ExitCode {
    trouble::said("autoanswer", arguments::autoanswer())
}
