//! Decisions about clients, senders and recipients: facts in, questions and verdicts out.
//!
//! A [`Policy`] is what the configuration says, compiled once. A [`Session`] is what it comes to for one connection. The
//! driver calls one layer after the other (`connect`, `hello`, `mail`, `recipient`, `data`, `end_of_message`) with the [`Facts`]; each gives its
//! [`Turn`]: a decision, or questions for other processes. Each answer comes back by [`Session::told`], until the layer
//! decides. What a layer needs to know is asked all at once; what it does not need is not asked.
//!
//! **Invariants.** No I/O but reads of the tables it was given, no clock, no randomness. A name or a sender that anybody can write gives nobody the right to
//! relay. An answer that does not come never makes a refusal for good (but where `rates.failure` says so). Without
//! rules a session is a few bytes and allocates nothing.

mod book;
mod connect;
mod data;
mod decision;
pub mod delegation;
mod facts;
pub mod identity;
mod kinship;
mod lists;
mod mail;
mod networks;
mod query;
mod recipient;
mod rule;
mod services;
mod session;
mod sheet;
mod source;
mod table;
mod trial;
mod zmailer;

pub use book::{Policy, Site};
pub use decision::{Cause, Decision, Questions, Turn, Verdict};
pub use facts::{Facts, Message, User};
pub use query::{Answer, Query, QueryId, What};
pub use rule::Rule;
pub use session::{End, Session};
pub use source::{SourceFault, read_source};
pub use table::{Record, Records, Table, Trouble};
pub use trial::Trial;
pub use zmailer::read_zmailer;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
