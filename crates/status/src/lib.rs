//! Reply codes, enhanced status codes and delivery outcomes: the verdict words of the trade.
//!
//! **Invariant:** values only; nothing here knows a connection, a file or a process.

mod enhanced;
mod outcome;
mod reply;

pub use enhanced::{Class, Enhanced, ParseEnhancedError};
pub use outcome::{Outcome, Phase};
pub use reply::Reply;
