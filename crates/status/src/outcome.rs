//! What became of one recipient in one delivery attempt.

use serde::{Deserialize, Serialize};

/// The three answers a transport agent can give for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The next hop or the mailbox has taken responsibility.
    Delivered,
    /// Not now; try again later.
    Deferred,
    /// Never; send the report.
    Failed,
}

/// How far an attempt came before it ended: what the scheduler's concurrency feedback needs to tell
/// a dead site from a full mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The next hop could not be found (DNS).
    Lookup,
    /// No connection, no greeting, or the session broke before the transaction began.
    Connect,
    /// The server answered for this recipient or message.
    Transaction,
}
