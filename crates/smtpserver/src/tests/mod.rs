//! The worker against a stand-in master, helpers and clients, over loopback sockets and a scratch spool.

mod contact;
mod crowd;
mod extensions;
mod failures;
mod filtering;
mod patience;
mod policy;
mod sessions;
mod site;
