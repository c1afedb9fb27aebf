//! zpost ratetracker: counts by client address and network.
//!
//! **What it does.** Counts connections, messages, recipients, failed authentications and aborted sessions of each
//! client address and network in a sliding window, and tells the SMTP servers that ask (`ipc::rates`) when one is over
//! a limit of `[rates]`. Networks: IPv4 /24; of IPv6 both "address" and "network" are the /64, which one customer owns.
//!
//! **What it trusts.** Its callers, the SMTP servers. Client addresses are just keys: any number of them cannot make
//! the table grow beyond its setting, the least recently used go.
//!
//! **What it may touch.** Nothing but its conversations.
//!
//! **When it dies.** The counts begin anew; callers wait a bounded time and then follow `[rates] failure`.

mod limits;
mod serve;
mod table;

pub use serve::run;
