//! Eight-bit and binary content for servers that take neither (RFC 6152 section 3, RFC 3030 section 3, RFC 2045 section 6):
//! each MIME part that needs it becomes quoted-printable or base64, whichever is shorter, and says so in its header.
//!
//! Two passes over the content, both in pieces of any size and in bounded memory: a [`Surveyor`] finds what is needed, a
//! [`Converter`] does it. Fields with bytes beyond ASCII stay as they are: only SMTPUTF8 makes them legal, and no
//! encoding of ours would.

mod encode;
mod entity;
mod rewrite;
mod survey;
#[cfg(test)]
mod tests;
mod walk;

pub use rewrite::Converter;
pub use survey::{Plan, Surveyor, Unconvertible};

/// The end of a line as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Lf,
    CrLf,
}
