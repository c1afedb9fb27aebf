//! The basic encoding rules as LDAP uses them (X.690; RFC 4511 section 5.1): definite lengths, tags of one byte.
//!
//! An element is its tag, the length of its content, and the content. [`element`] and [`number`] write; [`Content`] reads what
//! has come whole; [`extent`] says of the first bytes how much there is to come, so that whoever reads from a server can
//! refuse before it has taken it in.
//!
//! **Invariant:** no I/O; whatever bytes come, reading ends, gives pieces of them or [`Malformed`], and allocates nothing.

mod read;
mod write;

pub use read::{Content, Extent, Malformed, extent};
pub use write::{element, number};

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
