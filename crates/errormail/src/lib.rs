//! The bounce transport agent.
