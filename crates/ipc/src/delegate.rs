//! smtpserver and delegate: questions to policy services of others (Postfix's policy delegation protocol).

use crate::channel::Frame;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    pub number: u64,
    /// Name of a `[[policy_service]]`.
    pub service: String,
    /// `request` first. Whoever asks has cut the values to size; what holds a line end or NUL is left out by delegate.
    pub attributes: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub number: u64,
    /// What follows `action=`, or why there is none.
    pub action: Result<String, String>,
}

impl Frame for Ask {
    const PROTOCOL: u8 = 0x58;
}
impl Frame for Told {
    const PROTOCOL: u8 = 0x59;
}
