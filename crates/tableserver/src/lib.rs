//! The frame of a process that answers for lookup tables of one kind, whose library blocks, or is written in C, or speaks
//! to the network.
//!
//! **Does.** Takes [`ipc::tables::Lookup`]s at the contact point of its name, hands each to one of the table's threads (a
//! connection each, `[[table]] connections` at most), and answers; after `[[table]] timeout` it answers `Trouble` whatever
//! the thread does. Keys that are too long or hold control characters are refused before a [`Source`] sees them.
//!
//! **Dies** without loss: whoever waits has its deadline, and its mail waits.

use settings::Table;

/// Why a question has no answer now. Nothing of the key may be in the text: it is logged, and shown to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub reason: String,
    /// The connection is of no more use.
    pub broken: bool,
}

/// One kind of table.
pub trait Source: Send + Sync + 'static {
    /// What a thread keeps between questions.
    type Connection;

    /// Called in a thread of the table. Blocks no longer than about the table's timeout.
    fn connect(&self, table: &Table) -> Result<Self::Connection, Trouble>;

    /// One key, as it is; `Ok(None)`: the table does not have it. Blocks no longer than about the table's timeout.
    fn ask(&self, connection: &mut Self::Connection, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble>;
}

/// The whole program: `name` is that of the process, such as `table-lmdb`.
pub fn run(name: &'static str, source: impl Source) -> std::process::ExitCode {
    let _ = (name, source);
    std::process::ExitCode::from(70)
}
