//! Every parameter of the suite once: name, type, default, documentation (the table in `table.rs`), and the typed
//! [`Settings`] that the programs use.
//!
//! **Invariant:** parameter names and defaults exist nowhere else; a configuration with any error yields no settings.

mod typed;

pub use typed::*;

/// One thing wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// 1-based; 0 when it is about the whole file.
    pub line: usize,
    pub column: usize,
    /// Says what is wrong, whose fault, and the nearest known key where a key is unknown.
    pub text: String,
}
/// Reads and checks a configuration text; all faults at once. `path` is for messages only. No I/O.
pub fn parse(text: &str, path: &str) -> Result<Settings, Vec<Fault>> { let _ = (text, path); todo!() }
