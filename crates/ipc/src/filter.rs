//! smtpserver and contentfilter.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};

/// Judge the message in this file (a path the filter program can open).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judge {
    pub number: u64,
    pub path: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    pub number: u64,
    pub verdict: Judgement,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    Accept,
    /// Refuse with 5xx and this text.
    Reject(String),
    /// Accept towards the client, set aside in `freezer/`.
    Freeze(String),
    /// Refuse with 4xx: the filter could not say.
    Defer(String),
}

impl Frame for Judge {
    const PROTOCOL: u8 = 0x50;
}
impl Frame for Judged {
    const PROTOCOL: u8 = 0x51;
}
