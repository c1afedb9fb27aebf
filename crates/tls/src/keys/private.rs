//! The answering side.

use super::KeyId;
use super::public::id_of;
use super::shape::{self, Side};
use crate::pairs::{CertificateError, private_key};
use rustls::crypto::ring;
use rustls::sign::SigningKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::pem::{self, SectionKind};
use std::fmt;
use std::sync::Arc;

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The message is not what the holder of such a key signs in a TLS handshake.
    Shape,
    /// The key cannot sign so.
    Scheme,
    /// The library failed.
    Failed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "not a message of a TLS handshake",
            Self::Scheme => "this key does not sign so",
            Self::Failed => "signing failed",
        })
    }
}

/// A private key, and for which side of a handshake it may sign.
#[derive(Clone)]
pub struct PrivateKey {
    id: KeyId,
    side: Side,
    key: Arc<dyn SigningKey>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({:02x?}..., {:?})", self.id.first_chunk::<4>(), self.side)
    }
}

impl PrivateKey {
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    pub const fn side(&self) -> Side {
        self.side
    }

    /// A signature costs tens of microseconds; with RSA it is the better part of a millisecond.
    pub fn is_quick(&self) -> bool {
        self.key.algorithm() != SignatureAlgorithm::RSA
    }

    /// Signs what this side of a TLS handshake signs, and nothing else.
    pub fn sign(&self, scheme: u16, message: &[u8]) -> Result<Vec<u8>, Refused> {
        if !shape::is_signed_by(self.side, scheme, message) {
            return Err(Refused::Shape);
        }
        let signer = self.key.choose_scheme(&[SignatureScheme::from(scheme)]).ok_or(Refused::Scheme)?;
        signer.sign(message).map_err(|_| Refused::Failed)
    }
}

/// All private keys of a PEM text; what else it holds is passed over.
pub fn private_keys(text: &[u8], side: Side) -> Result<Vec<PrivateKey>, CertificateError> {
    let mut keys = Vec::new();
    for section in pem::PemObject::pem_slice_iter(text) {
        let (kind, bytes): (SectionKind, Vec<u8>) =
            section.map_err(|e| CertificateError(format!("key {}: not PEM: {e}", keys.len() + 1)))?;
        let Some(key) = private_key(kind, bytes) else { continue };
        let unusable = |why: &str| CertificateError(format!("key {}: {why}", keys.len() + 1));
        let key = ring::sign::any_supported_type(&key).map_err(|e| unusable(&e.to_string()))?;
        let id = key.public_key().map(|public| id_of(&public)).ok_or_else(|| unusable("its public half is not known"))?;
        keys.push(PrivateKey { id, side, key });
    }
    Ok(keys)
}
