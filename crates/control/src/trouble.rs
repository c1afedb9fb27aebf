//! What went wrong in a command: the text for standard error and the exit status (sysexits(3)).

use std::fmt;

pub const EX_USAGE: u8 = 64;
pub const EX_DATAERR: u8 = 65;
pub const EX_NOINPUT: u8 = 66;
pub const EX_NOUSER: u8 = 67;
pub const EX_UNAVAILABLE: u8 = 69;
pub const EX_SOFTWARE: u8 = 70;
pub const EX_OSERR: u8 = 71;
pub const EX_IOERR: u8 = 74;
pub const EX_TEMPFAIL: u8 = 75;
pub const EX_NOPERM: u8 = 77;
pub const EX_CONFIG: u8 = 78;

/// Whose fault it is and what to do, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub code: u8,
    pub text: String,
}

impl Trouble {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A failed system call.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let code = match error.kind() {
            ErrorKind::NotFound => EX_NOINPUT,
            ErrorKind::PermissionDenied => EX_NOPERM,
            _ => EX_IOERR,
        };
        Self::new(code, format!("{what}: {error}"))
    }
}
