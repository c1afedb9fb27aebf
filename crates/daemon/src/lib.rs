//! What every process of the suite needs: start-up from the master, logging, counters, timers, signals.
//!
//! **Invariant:** knows no service; a service hands it a name and gets a [`Started`].

pub mod clock;
pub mod counters;
pub mod log;
mod signals;
mod start;
mod timers;

pub use counters::Counters;
pub use signals::{Signal, Signals};
pub use start::{Contacts, Started, start};
pub use timers::Timers;

/// The process must stop at once because the master is gone: what is in flight is found again in the spool.
pub const EX_ORPHANED: i32 = 75;
