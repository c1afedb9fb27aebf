//! The hold transport agent.
