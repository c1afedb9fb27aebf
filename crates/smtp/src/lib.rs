//! SMTP and LMTP (RFC 5321, RFC 2033) as state machines: the server's side in [`server`], the client's in [`client`].
//! Bytes in, actions out; whoever owns the socket, the clock and the disk drives them.
//!
//! **Invariant:** never sees a socket, a file or a clock; every byte of the other side is taken as hostile.

pub mod client;
pub mod reply_reader;
pub mod server;
