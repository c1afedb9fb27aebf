//! Connections through a proxy: SOCKS5 (RFC 1928, RFC 1929), the client side; the PROXY protocol of HAProxy, versions 1
//! and 2, both sides.
//!
//! **Invariant:** no I/O; of what a proxy sends, not a byte is taken that belongs to the server behind it.

mod accept;
mod haproxy;
mod socks5;

pub use accept::{Ends, Header, LONGEST, read_header};
pub use haproxy::{version_1, version_2};
pub use socks5::{Fault, Socks5};
