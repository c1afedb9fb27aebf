//! The local mailbox transport agent.
