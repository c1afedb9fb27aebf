//! Whoever speaks TLS and the keyholder: signatures by keys that the asker never sees.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};

/// Sign this. One question at a time, one conversation for each asker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sign {
    pub number: u64,
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER).
    pub key: [u8; 32],
    /// TLS SignatureScheme (RFC 8446 section 4.2.3).
    pub scheme: u16,
    /// What a handshake signs, and nothing else (`tls::keys::shape`).
    pub message: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Signed {
    pub number: u64,
    /// The signature, or why there is none.
    pub signature: Result<Vec<u8>, String>,
}

impl Frame for Sign {
    const PROTOCOL: u8 = 0x54;
}
impl Frame for Signed {
    const PROTOCOL: u8 = 0x55;
}
