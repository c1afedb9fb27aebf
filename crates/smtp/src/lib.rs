//! SMTP and LMTP as state machines, both ends; no I/O.
