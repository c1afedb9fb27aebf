//! What ends a run early, and its exit code (sysexits).

use std::process::ExitCode;

/// Said on standard error; the delivering agent keeps it for the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub code: u8,
    pub text: String,
}

pub(crate) const USAGE: u8 = 64;
pub(crate) const NO_INPUT: u8 = 66;
pub(crate) const NO_USER: u8 = 67;
pub(crate) const TEMPORARY: u8 = 75;
pub(crate) const CONFIG: u8 = 78;

pub(crate) fn trouble(code: u8, text: impl Into<String>) -> Trouble {
    Trouble { code, text: text.into() }
}

/// The end of a program.
pub(crate) fn said(program: &str, result: Result<(), Trouble>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{program}: {}", trouble.text);
            ExitCode::from(trouble.code)
        }
    }
}
