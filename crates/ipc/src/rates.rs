//! smtpserver, authserver and the ratetracker: counting, limits, and what is remembered of clients.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToTracker {
    /// Count these; no answer comes.
    Count(Vec<Event>),
    /// Count this one and say whether it is within the limits: those of `[rates]`, and `limits` beside them.
    Ask { number: u64, event: Event, limits: Vec<Limit> },
    /// Has this triplet waited long enough? Counts as an attempt of it.
    Grey { number: u64, triplet: Triplet },
    /// This client has passed the tests of first contact; it is not tested again for a while. No answer comes.
    Passed { address: IpAddr },
}

/// Something that is counted, for everybody it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub address: IpAddr,
    /// Authenticated, or tried to be. Lower case.
    pub user: Option<String>,
    /// Domain of the sender, normalised.
    pub domain: Option<String>,
    pub kind: Kind,
    /// How many.
    pub count: u32,
}

impl Event {
    /// One that concerns an address and its network only.
    pub const fn of(address: IpAddr, kind: Kind, count: u32) -> Self {
        Self { address, user: None, domain: None, kind, count }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Connection,
    Message,
    Recipient,
    FailedAuthentication,
    Abort,
    /// Something over a limit was tried.
    Excess,
}

/// Whose count a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Per {
    Address,
    Network,
    User,
    SenderDomain,
}

/// A limit that policy gives to one client, user or domain, in the window of `[rates]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limit {
    pub per: Per,
    pub kind: Kind,
    pub most: u32,
    /// 550 instead of 450.
    pub hard: bool,
}

/// Who writes to whom, for greylisting.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Triplet {
    pub address: IpAddr,
    /// Empty: the null sender. Lower case.
    pub sender: String,
    pub recipient: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub number: u64,
    pub refuse: Option<Refusal>,
    /// On a connection: it has passed the tests of first contact before. On a triplet: whether it is new.
    pub known: bool,
    /// On a triplet that must wait: for how long.
    pub wait: Duration,
}

/// Over a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For the client.
    pub text: String,
    pub hard: bool,
}

impl Frame for ToTracker {
    const PROTOCOL: u8 = 0x40;
}
impl Frame for Verdict {
    const PROTOCOL: u8 = 0x41;
}
