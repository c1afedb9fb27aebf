//! The `<...>` of MAIL and RCPT.

use crate::{Address, AddressError};

/// A reverse or forward path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// `<>`
    Null,
    Mailbox(Address),
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// No `<`, no `>`, blanks inside.
    Brackets,
    Address(AddressError),
}
/// Reads a path at the start of `input` (after `FROM:` or `TO:`), strips source routes (RFC 5321 appendix C),
/// and gives what follows the `>`.
pub fn parse_path(input: &[u8], utf8: bool) -> Result<(Path, &[u8]), PathError> { let _ = (input, utf8); todo!() }
