//! The client's side: what a server's certificate must prove, and sessions over any byte stream.
//!
//! Standards: RFC 8446 and 5246 (by rustls), 6125 and 9525 (names), 6698, 7671 and 7672 (DANE), 8461 section 4 (MTA-STS hosts).
//!
//! **Invariant:** no session is [`Standing::Verified`] unless the proof that its [`Requirement`] asks for was made in it, or in
//! the one that it resumes.

mod connector;
mod dane;
mod fault;
mod names;
mod roots;
mod session;
mod verifier;

pub use connector::Connector;
pub use dane::{Record, any_usable};
pub use fault::{Failure, Fault};
pub use names::policy_host_matches;
pub use roots::roots;
pub use rustls::RootCertStore;
pub use session::{Session, Summary};
pub use verifier::{Requirement, Standing};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
