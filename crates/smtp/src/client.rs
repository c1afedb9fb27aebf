//! The client's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a state machine: bytes and moments in, bytes and
//! events out.
//!
//! **Invariant:** never sees a socket or a clock; every recipient of a transaction has a verdict when
//! [`Event::Finished`] comes, and none is `Delivered` without a 2xx reply to the final dot.

mod answers;
mod chunks;
mod content;
mod extensions;
mod form;
mod limits;
mod login;
mod session;
mod tls;
mod transaction;

pub use chunks::announce;
pub use content::{ContentEncoder, Framing};
pub use extensions::Extensions;
pub use form::{Form, Lacks};
pub use limits::Limits;
pub use login::LogIn;
pub use session::{Awaiting, Client, Event, Flavour};
pub use tls::StartTls;
pub use transaction::{By, MAX_VERDICT_TEXT, REQUIRETLS_NEEDED, Recipient, Transaction, Verdict};

#[cfg(test)]
mod tests;
