//! What went wrong, and at which line.

use mlua::{Error, Lua};
use std::fmt;

/// What a script's own mistake is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The script's name, as `router.lua`.
    pub file: String,
    /// From 1; 0: about the whole.
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

impl std::error::Error for Fault {}

/// Why a call has no result. None of them is ever a refusal of mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// A table of another process has not answered yet: make the call again when it has.
    Pending,
    /// A table cannot answer now.
    Temporary(String),
    Fault(Fault),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("a table has not answered yet"),
            Self::Temporary(reason) => f.write_str(reason),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

/// Chunks of the script have this name, whatever its file is called; nothing else in the machine has.
pub const CHUNK: &str = "script";
/// Bytes of a text that leaves here.
const LONGEST: usize = 300;

/// The line of the script that is running, or that called what is running.
pub fn current_line(lua: &Lua) -> usize {
    (0..200)
        .map_while(|level| {
            lua.inspect_stack(level, |frame| (frame.source().short_src.as_deref() == Some(CHUNK)).then(|| frame.current_line()))
        })
        .find_map(Option::flatten)
        .unwrap_or(0)
}

/// Line and text of an error of the machine.
pub fn read(error: &Error) -> (usize, String) {
    let whole = message(error);
    let mut lines = whole.lines();
    let first = lines.next().unwrap_or_default();
    let traced = || lines.filter_map(|line| place(line.trim_start())).map(|(line, _)| line).next().unwrap_or(0);
    match place(first) {
        Some((line, text)) => (line, shortened(text)),
        None => (traced(), shortened(without_place(first))),
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::SyntaxError { message, .. } | Error::RuntimeError(message) => message.clone(),
        Error::MemoryError(_) => "not enough memory".to_owned(),
        Error::CallbackError { traceback, cause } => format!("{}\n{traceback}", message(cause)),
        other => other.to_string(),
    }
}

/// `script:12: text`
fn place(text: &str) -> Option<(usize, &str)> {
    let rest = text.strip_prefix(CHUNK)?.strip_prefix(':')?;
    let (line, text) = rest.split_once(':')?;
    Some((line.parse().ok()?, text.trim_start()))
}

/// Places in the library say nothing to the script's author.
fn without_place(text: &str) -> &str {
    let Some(rest) = text.strip_prefix("library:") else { return text };
    rest.split_once(':').map_or(text, |(_, text)| text.trim_start())
}

/// One line of bounded length.
pub fn shortened(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST + 8));
    for c in text.chars() {
        if out.len() >= LONGEST {
            out.push_str("...");
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}
