//! Decisions about clients, senders and recipients, without I/O: facts in, questions and verdicts out.

pub mod delegation;
