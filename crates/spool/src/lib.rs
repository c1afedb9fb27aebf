//! The postoffice: the only place that knows its paths, its legal states and the order of every step.
//!
//! (The table of states S1..S5, the order of steps and why, and the exact windows of a power cut stand here.)

mod acceptance;
mod input;
mod layout;
mod notify;
mod recovery;
mod routed;

pub use acceptance::{Draft, Submitter};
pub use input::{InputFile, InputFault};
pub use layout::{Layout, Owners, Spool};
pub use notify::{Notice, NotifyError, Notifier, parse_notice};
pub use recovery::Recovered;
pub use routed::{LoadError, Loaded, TransportScan};
