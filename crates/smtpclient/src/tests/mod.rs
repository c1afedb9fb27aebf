//! The whole agent against real servers on the loopback interface, with the test as its scheduler and master.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod agent;
mod behaviour;
mod dialogues;
mod server;
mod tls;
