//! The mailbox: `local-part@domain`.

use std::fmt;

/// A syntactically valid mailbox, or a bare local part without `@` (only from local submission and tables;
/// the SMTP parser lets none through but `postmaster`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: Box<str>,
    /// Byte offset of the `@`, if there is one.
    at: Option<u32>,
}
/// Why a text is no address. `Display` gives a text fit for an SMTP reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    Empty,
    TooLong,
    LocalPart,
    Domain,
    /// Non-ASCII where SMTPUTF8 was not asked for.
    NotAscii,
    ControlByte,
}
impl Address {
    /// Reads `local@domain` (quoted local parts, address literals, UTF-8 allowed) or a bare local part.
    pub fn parse(text: &str) -> Result<Self, AddressError> { let _ = text; todo!() }
    pub fn as_str(&self) -> &str { &self.text }
    pub fn local(&self) -> &str { todo!() }
    /// The domain as written.
    pub fn domain(&self) -> Option<&str> { todo!() }
    pub fn is_ascii(&self) -> bool { self.text.is_ascii() }
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.text) }
}
impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{self:?}") }
}
impl std::error::Error for AddressError {}
