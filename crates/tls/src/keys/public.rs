//! The asking side.

use super::{KeyId, RemoteSigner};
use crate::validity::{SEQUENCE, element};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{SubjectPublicKeyInfoDer, alg_id};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// In the order of preference, as rustls has it for keys of its own.
const RSA: &[SignatureScheme] = &[
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// A public key and what can be signed with its other half.
#[derive(Debug, Clone)]
pub struct PublicKey {
    info: Vec<u8>,
    id: KeyId,
    algorithm: SignatureAlgorithm,
    schemes: &'static [SignatureScheme],
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (DER, RFC 5280 section 4.1.2.7).
    pub fn read(info: &[u8]) -> Result<Self, String> {
        let algorithm = element(info, SEQUENCE).and_then(|(content, _)| element(content, SEQUENCE)).map(|(algorithm, _)| algorithm);
        let algorithm = algorithm.ok_or("no public key")?;
        let (algorithm, schemes): (_, &'static [SignatureScheme]) = if algorithm == alg_id::RSA_ENCRYPTION.as_ref() {
            (SignatureAlgorithm::RSA, RSA)
        } else if algorithm == alg_id::ECDSA_P256.as_ref() {
            (SignatureAlgorithm::ECDSA, &[SignatureScheme::ECDSA_NISTP256_SHA256])
        } else if algorithm == alg_id::ECDSA_P384.as_ref() {
            (SignatureAlgorithm::ECDSA, &[SignatureScheme::ECDSA_NISTP384_SHA384])
        } else if algorithm == alg_id::ED25519.as_ref() {
            (SignatureAlgorithm::ED25519, &[SignatureScheme::ED25519])
        } else {
            return Err("a kind of key that TLS here does not speak (RSA, P-256, P-384, Ed25519)".to_owned());
        };
        Ok(Self { id: id_of(info), info: info.to_vec(), algorithm, schemes })
    }

    pub const fn id(&self) -> &KeyId {
        &self.id
    }
}

pub(super) fn id_of(info: &[u8]) -> KeyId {
    Sha256::digest(info).into()
}

/// A key of rustls whose private half is elsewhere.
#[derive(Debug, Clone)]
pub struct RemoteKey {
    public: PublicKey,
    signer: Arc<dyn RemoteSigner>,
}

impl RemoteKey {
    pub fn new(public: PublicKey, signer: Arc<dyn RemoteSigner>) -> Self {
        Self { public, signer }
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.public.schemes.iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(Question { key: self.public.id, scheme, signer: Arc::clone(&self.signer) }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.public.info.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.public.algorithm
    }
}

#[derive(Debug)]
struct Question {
    key: KeyId,
    scheme: SignatureScheme,
    signer: Arc<dyn RemoteSigner>,
}

impl Signer for Question {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.signer.sign(&self.key, u16::from(self.scheme), message).map_err(Error::General)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
