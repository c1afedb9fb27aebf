//! Counts by client address and network.
