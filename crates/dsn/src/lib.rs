//! Delivery status reports (RFC 3464) composed and read.
