//! A Dovecot that judges logins, asked over its auth socket: any mechanism that it knows is passed through.

mod dialogue;
mod link;

pub use dialogue::{Request, Verdict};
pub use link::Link;
