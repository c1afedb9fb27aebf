//! Logging in at a server (SASL, RFC 4422): PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195) and SCRAM-SHA-256 (RFC 5802,
//! RFC 7677), the client side.
//!
//! **Invariant:** no I/O and no randomness of its own; what a server sends is bounded and never answered with more than
//! the mechanism says. Nothing here prints a password.

mod exchange;
mod mechanism;
mod scram;

pub use exchange::{Exchange, Fault, Login};
pub use mechanism::{Mechanism, Mechanisms};
