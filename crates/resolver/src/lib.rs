//! The DNS cache of the suite.
