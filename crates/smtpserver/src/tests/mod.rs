//! The worker against a stand-in master, helpers and clients, over loopback sockets and a scratch spool.

mod failures;
mod filtering;
mod sessions;
mod site;
