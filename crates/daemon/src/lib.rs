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
pub use start::{Contacts, Refusal, Started, read_memory, settings_of, start};
pub use timers::Timers;

/// The process must stop at once because the master is gone: what is in flight is found again in the spool.
pub const EX_ORPHANED: i32 = 75;
// sysexits(3), for the ends of every process of the suite.
/// Started by hand, not by the master.
pub const EX_USAGE: u8 = 64;
/// What it was told or asked makes no sense: a conversation broke.
pub const EX_SOFTWARE: u8 = 70;
/// The system refused something: a folder, a socket, memory.
pub const EX_OSERR: u8 = 71;
/// Another process has what this one needs; later.
pub const EX_TEMPFAIL: u8 = 75;
/// The configuration is wrong.
pub const EX_CONFIG: u8 = 78;
