//! The SMTP and LMTP transport agent.
