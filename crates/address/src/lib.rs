//! Mail addresses: parsing, comparing, printing (RFC 5321 section 4.1.2, RFC 6531).
//!
//! **Invariant:** an [`Address`] holds no control byte, no line end and no unquoted blank, whoever sent it;
//! what holds one is not an address.

mod domain;
mod mailbox;
mod path;

pub use domain::{DomainError, MAX_DOMAIN, is_literal, literal_address, normalise};
pub use mailbox::{Address, AddressError, MAX_LOCAL, unquoted};
pub use path::{Path, PathError, parse_path};
