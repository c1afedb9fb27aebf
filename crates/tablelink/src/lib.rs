//! Connections to servers that answer for lookup tables: LDAP, PostgreSQL, MySQL.
//!
//! **Does.** TCP or a unix socket, TLS on either; several servers, tried in order; whose certificates and which password;
//! what an answer may hold.
//!
//! **Trusts** nothing that comes in: what a server says is bounded here, by one deadline for a question with everything that
//! it needs (names, connection, TLS, login), and by a number of bytes. Protocols live in the crates above, and read whole
//! pieces of a length that they have checked.
//!
//! **Invariant:** no call blocks beyond the deadline given to it, and no text of a [`Fault`] holds a key or a password.

mod fault;
mod link;
mod order;
mod place;
mod socket;
mod trust;
mod values;

pub use fault::{Fault, shown};
pub use link::Link;
pub use order::in_order;
pub use place::Place;
pub use trust::{password, trust};
pub use values::Values;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
