//! ta-mailbox: the transport agent that delivers into local mailboxes (Maildir and mbox).
//!
//! Takes jobs of channel `local` from the scheduler, several at a time, and puts each recipient's copy into the mailbox
//! that the configuration names, durably: the result says `delivered` only after the file and its name are synced.
//!
//! Trusts: the master and the configuration. Not: user names (they become parts of paths), message content, what lies in
//! a user's folders, and the answers of the children below, which run as the users.
//! May touch: mailboxes of the user it runs as. Where users are system accounts and the master runs as root, the agent is a
//! root process that touches no mailbox itself: for every recipient it executes itself anew as that user (`--deliver`), with
//! the message for standard input; nothing is ever delivered as root.
//! When it dies: its jobs are undecided and tried again; a copy already in the mailbox may then come twice. A file left in
//! a Maildir's `tmp` is nobody's; a torn last message of an mbox needs a crash between two writes.
//! Standards: RFC 5321 section 4.4 (Return-Path), RFC 4155 (mbox), the Maildir of qmail.

mod as_user;
mod delivery;
mod lock;
mod maildir;
mod mbox;
mod mboxrd;
mod original;
mod pattern;
mod recipient;
mod service;
mod threads;
mod verdict;

pub use service::run;

#[cfg(test)]
mod tests;
