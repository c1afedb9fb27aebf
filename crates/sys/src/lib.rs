//! The only crate with `unsafe` code: descriptors over sockets, shared mappings, spawning with another user's
//! rights, and two Linux calls that no safe crate offers.
//!
//! **Invariant:** every `unsafe` block carries a SAFETY note, and no function here is unsafe to call.

mod counters;
mod descriptors;
mod file;
mod foreign;
mod identity;
mod interfaces;
mod pam;
mod schedule;
mod spawn;

pub use counters::SharedCounters;
pub use descriptors::{MAX_DESCRIPTORS, most_descriptors, receive, send, take_descriptor, take_standard_input};
pub use file::{read_at_no_wait, start_writeback};
pub use foreign::{Launch, spawn_foreign, watch};
pub use identity::become_user;
pub use interfaces::interface_addresses;
pub use pam::{PamVerdict, pam_login};
pub use schedule::prefer_throughput;
pub use spawn::{Identity, spawn, spawn_bound};
