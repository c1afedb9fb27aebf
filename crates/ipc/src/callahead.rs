//! smtpserver and callahead: would the next hop take this recipient?

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use status::Reply;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    pub number: u64,
    pub recipient: String,
    /// The next hop as the router gives it: `host`, `[host]`, with `:port` where it is not 25; as `Quad` has it.
    pub host: String,
    /// `smtp` or `lmtp`.
    pub channel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub number: u64,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Taken,
    /// With what the next hop said.
    Refused(Reply),
    /// It could not be asked, or did not commit itself.
    Unknown(String),
}

impl Frame for Ask {
    const PROTOCOL: u8 = 0x5a;
}
impl Frame for Told {
    const PROTOCOL: u8 = 0x5b;
}
