//! The frame of a transport agent that works through its jobs one after another (mailbox, errormail, hold):
//! jobs in, reports out, credits, drain. ta-smtp, which serves many jobs at once, uses [`Link`] on its own loop.

mod link;
mod parts;
mod serial;

pub use link::{Incoming, Link};
pub use parts::Given;
pub use serial::{Deliver, serve};
