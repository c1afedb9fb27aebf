//! Blocking connections to servers that are asked short questions: those of lookup tables, and LDAP servers of logins.
//!
//! **Does.** TCP or a unix socket, TLS on either; several servers, tried in order; whose certificates and which password;
//! what an answer may hold.
//!
//! **Trusts** nothing that comes in: what a server says is bounded here, by one deadline for a question with everything that
//! it needs (names, connection, TLS, login), and by a number of bytes. Protocols live in the crates above, and read whole
//! pieces of a length that they have checked.
//!
//! **Invariant:** no call blocks beyond the deadline given to it, and no text of a [`Trouble`] holds a key or a password.

mod link;
mod names;
mod order;
mod place;
mod socket;
mod trouble;
mod trust;
mod values;

pub use link::Link;
pub use order::in_order;
pub use place::Place;
pub use trouble::{Trouble, shown};
pub use trust::{password, trust};
pub use values::Values;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
