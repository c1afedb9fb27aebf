//! The SMTP server worker.
