//! smtpserver and ratetracker.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToTracker {
    /// Count these; no answer comes.
    Count(Vec<Event>),
    /// Count this one and say whether it is within the limits.
    Ask { number: u64, event: Event },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub address: IpAddr,
    pub kind: Kind,
    /// How many.
    pub count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Connection,
    Message,
    Recipient,
    FailedAuthentication,
    Abort,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    pub number: u64,
    /// `None`: go on. Some: over the limit, the text for the 4xx reply.
    pub refuse: Option<String>,
}

impl Frame for ToTracker {
    const PROTOCOL: u8 = 0x40;
}
impl Frame for Verdict {
    const PROTOCOL: u8 = 0x41;
}
