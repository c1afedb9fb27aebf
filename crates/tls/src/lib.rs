//! TLS as the suite uses it: configurations of rustls made from certificates, keys and policies.
//!
//! **Invariant:** no socket and no file; bytes and values in, configurations and verdicts out. Versions 1.2 and 1.3 only, with
//! the provider named (ring), so that no second one in the program can change what is spoken.

pub mod client;
pub mod keys;
mod pairs;
pub mod server;
mod validity;

pub use pairs::{CertificateError, Pair, chains, pairs};
pub use validity::validity;
