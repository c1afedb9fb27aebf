//! Private keys that are in another process: what speaks TLS has the public half and asks for signatures.
//!
//! [`RemoteKey`] is the asking side (a key of rustls that asks a [`RemoteSigner`]); [`PrivateKey`] is the answering one, which
//! signs nothing but what [`shape`] recognises.

mod private;
mod public;
pub mod shape;

pub use private::{PrivateKey, Refused, private_keys};
pub use public::{PublicKey, RemoteKey};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub(crate) mod tests;

/// SHA-256 of a SubjectPublicKeyInfo: which key is meant.
pub type KeyId = [u8; 32];

/// Where signatures come from.
pub trait RemoteSigner: std::fmt::Debug + Send + Sync {
    /// Signs `message` with the key, under a TLS SignatureScheme (RFC 8446 section 4.2.3). May block for a bounded time. `Err`:
    /// why there is no signature.
    fn sign(&self, key: &KeyId, scheme: u16, message: &[u8]) -> Result<Vec<u8>, String>;
}
