//! The frame of a process that answers for lookup tables of one kind, whose library blocks, or is written in C, or speaks
//! to the network.
//!
//! **Does.** Takes [`ipc::tables::Lookup`]s at the contact point of its name, hands each to one of the table's threads (a
//! connection each, `[[table]] connections` at most), and answers; after `[[table]] timeout` it answers `Trouble` whatever
//! the thread does, and what the thread says later is dropped. Keys that are too long or hold control characters are in no
//! table, and no [`Source`] sees them: to hold mail for them would be to hold it for ever.
//!
//! **Connections** are made when they are needed, kept while they are used (five minutes without a question end one), and
//! made anew after a `Trouble` that is `broken`; one that was closed while it had nothing to do costs no answer. A server
//! that cannot be reached is left alone for a second, then two, up to fifteen; meanwhile its questions fail at once.
//!
//! **Servers.** What is alike for all kinds that ask a server stands in [`Servers`]; a kind brings its [`Protocol`].
//!
//! **A thread that hangs** counts as one of the connections. After six timeouts it is given up and may be replaced, as
//! many times as the table has connections and no more until one comes back.
//!
//! **Trusts** its callers to be of the suite; servers and files to say what a key stands for, and their values to be
//! anything: bounded, and without control characters, or they are no answer.
//!
//! **May touch** the servers, and the files and folders of its tables, for reading, as they were at its start: where a new
//! configuration names others, it ends once it is idle, and its successor may touch those.
//!
//! **Dies** without loss: whoever waits has its deadline, and its mail waits.

mod bounds;
mod confinement;
mod pool;
mod serve;
mod servers;
mod worker;

pub use serve::run;
pub use servers::{Connection, Protocol, Servers};
pub use tablelink::Trouble;

use settings::Table;

/// One kind of table.
pub trait Source: Send + Sync + 'static {
    /// What a thread keeps between questions. It never leaves its thread.
    type Connection;

    /// Called in a thread of the table. Blocks no longer than about the table's timeout.
    fn connect(&self, table: &Table) -> Result<Self::Connection, Trouble>;

    /// One key, as it is; `Ok(None)`: the table does not have it. Blocks no longer than about the table's timeout.
    ///
    /// A `broken` trouble on a connection that has answered before counts as one that was closed meanwhile: the key is
    /// asked once more, on a new one.
    fn ask(&self, connection: &mut Self::Connection, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
