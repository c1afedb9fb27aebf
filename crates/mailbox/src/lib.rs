//! ta-mailbox: the transport agent that delivers into local mailboxes (Maildir and mbox).
//!
//! Takes jobs of channel `local` from the scheduler, several at a time, and puts each recipient's copy into the mailbox
//! that the configuration names, durably: the result says `delivered` only after the file and its name are synced.
//!
//! Trusts: the master and the configuration. Not: user names (they become parts of paths), message content, what lies in
//! a user's folders, and the answers of the children below, which run as the users.
//! May touch: mailboxes of the user it runs as, and what that user's `.forward` names. Where users are system accounts and
//! the master runs as root, the agent is a root process that touches nothing of a user's: for every user it executes itself
//! anew, and that process becomes the user for good (`as_user`) and delivers (`local`); nothing is ever delivered as
//! root. What a `.forward` sends on, the agent itself submits (`onward`).
//! When it dies: its jobs are undecided and tried again; a copy already in the mailbox, given to a program or sent on may
//! then come twice. A file left in a Maildir's `tmp` is removed after 36 hours; half a message at the end of an mbox is
//! cut off by the next delivery where that can be known to be right (`torn`).
//! Standards: RFC 5321 section 4.4 (Return-Path), RFC 4155 (mbox), the Maildir of qmail.

mod account;
mod as_user;
mod deliverers;
mod delivery;
mod forward;
mod home;
mod leftovers;
mod local;
mod lock;
mod maildir;
mod manner;
mod mbox;
mod mboxrd;
mod notice;
mod onward;
mod original;
mod pattern;
mod quota;
mod recipient;
mod service;
mod task;
mod threads;
mod torn;
mod verdict;

pub use service::run;

#[cfg(test)]
mod local_tests;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;
