//! Conversations between the processes of the suite: SOCK_SEQPACKET frames of bincode with descriptors beside them.
//!
//! One file per conversation, with both sides' messages. Every frame is sized and checked; a malformed one ends that
//! conversation and nothing else. Set `ZPOST_TRACE=1` to see every frame on standard error.
//!
//! **Invariant:** the only crate that knows the shape of a frame; nothing here decides anything.

pub mod agents;
pub mod arrivals;
pub mod auth;
pub mod callahead;
pub mod channel;
pub mod contact;
pub mod content;
pub mod control;
pub mod delegate;
pub mod deliveries;
pub mod dns;
pub mod filter;
pub mod keys;
pub mod master;
pub mod rates;
pub mod routing;
pub mod tables;
pub mod tlspolicy;

pub use channel::{Channel, Frame, Packet, RecvError};
pub use contact::{Caller, ContactPoint};
pub use content::Content;
