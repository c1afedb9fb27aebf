//! Logging in (SASL, RFC 4422). The client side: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195) and SCRAM-SHA-256 (RFC 5802,
//! RFC 7677). The server side ([`server`]): PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, OAUTHBEARER (RFC 7628), XOAUTH2.
//!
//! **Invariant:** no I/O and no randomness of its own; what the other side sends is bounded and never answered with more than
//! the mechanism says. Nothing here prints a password, a token or a key.

mod exchange;
mod mechanism;
mod scram;
mod secret;
pub mod server;

pub use exchange::{Exchange, Fault, Login};
pub use mechanism::{Mechanism, Mechanisms};
pub use secret::{ROUNDS, ScramSecret};
