//! A next hop as the router names it: what it means, which addresses it has, whether it is ourselves, and a socket to it.
//!
//! **Invariant:** no address of one of our own listeners is ever a candidate found by name (RFC 5321 section 5.1: loops).

mod candidates;
mod destination;
mod socket;

pub use candidates::{Candidate, Dead, Ourselves, exchangers, host};
pub use destination::Destination;
pub use socket::Socket;
