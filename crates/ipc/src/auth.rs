//! smtpserver and the authserver: SASL exchanges (RFC 4422, RFC 4954). The worker carries the messages, decoded from
//! base64; what they mean, and every secret they are held against, is the authserver's.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Longest SASL message in bytes, decoded (RFC 4954 section 4 wants 12,288 characters of base64 at least).
pub const LONGEST: usize = 16 * 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToAuth {
    /// AUTH: the exchange begins. `number` is the caller's name for it until it ends.
    Begin { number: u64, mechanism: String, initial: Option<Secret>, peer: AuthPeer },
    /// The client's next message.
    Respond { number: u64, response: Secret },
    /// The client gave up, or has gone; no answer comes.
    Cancel { number: u64 },
}

/// With whom the exchange is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthPeer {
    pub address: IpAddr,
    /// Ours.
    pub local: IpAddr,
    pub hello: String,
    /// The connection is encrypted.
    pub tls: bool,
    /// Channel bindings that this connection has: name (`tls-exporter`, `tls-server-end-point`) and bytes.
    pub bindings: Vec<(String, Vec<u8>)>,
    /// `smtp`, `submission` or `lmtp`.
    pub service: String,
}

/// Bytes that no log may show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromAuth {
    pub number: u64,
    pub said: Said,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// 334 with this.
    Challenge(Vec<u8>),
    /// The exchange is over: this user.
    Accepted(Identity),
    /// The exchange is over. `user`: who it was meant to be, as far as known. The reply is to wait for `delay`.
    Refused { user: Option<String>, reason: Refused, delay: Duration },
}

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Lower case.
    pub user: String,
    pub mechanism: String,
    /// Senders this user may give: `user@domain`, `@domain`, `*`. Empty: what `[auth] senders` says of all users.
    pub senders: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// 535 5.7.8
    Credentials,
    /// 501 5.5.2: the client's message is none of this mechanism.
    Malformed,
    /// 504 5.5.4
    Mechanism,
    /// 454 4.7.0: a back-end did not answer.
    Temporary,
    /// 538 5.7.11: not without TLS.
    Encryption,
    /// 421 4.7.0: too many failures.
    Locked,
}

impl Frame for ToAuth {
    const PROTOCOL: u8 = 0x48;
}
impl Frame for FromAuth {
    const PROTOCOL: u8 = 0x49;
}
