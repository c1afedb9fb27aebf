//! Knows every waiting recipient and feeds the transport agents.
