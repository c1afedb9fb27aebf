//! The worker against a stand-in master, helpers and clients, over loopback sockets and a scratch spool.

mod site;
mod failures;
mod filtering;
mod sessions;
