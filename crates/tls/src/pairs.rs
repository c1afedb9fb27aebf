//! Certificates with their keys, or with keys that another process keeps.
//!
//! Two texts, both PEM. What administrators write: a chain, then its private key, one pair after the other ([`pairs`]). What
//! processes that speak TLS get: a chain, then its public key ([`chains`], made by [`Pair::without_key`]); the private key is
//! the keyholder's.

use crate::keys::{PublicKey, RemoteKey, RemoteSigner};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use std::fmt;
use std::sync::Arc;

/// Why certificates cannot be used; says which pair it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateError(pub String);

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CertificateError {}

/// A chain with its key, and the names it is for.
#[derive(Debug, Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Pair {
    /// Normalised names; `*.example.org` for a wildcard.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Chain and key.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The chain and its public key, as [`chains`] reads them.
    pub fn without_key(&self) -> String {
        let mut text = String::new();
        for certificate in &self.certified.cert {
            put_pem(&mut text, "CERTIFICATE", certificate);
        }
        if let Some(public) = self.certified.cert.first().and_then(|first| subject_public_key(first).ok()) {
            put_pem(&mut text, "PUBLIC KEY", &public);
        }
        text
    }
}

/// Reads pairs: for each a chain, the server's own certificate first, then its key; one pair after the other.
/// What else the text holds (parameters, comments) is passed over.
pub fn pairs(text: &[u8]) -> Result<Vec<Pair>, CertificateError> {
    read(text, |kind, bytes, chain| {
        let key = match private_key(kind, bytes) {
            Some(key) => key,
            None => return None,
        };
        Some(pair(std::mem::take(chain), key))
    })
}

/// Reads chains, each followed by its public key; `signer` signs for them.
pub fn chains(text: &[u8], signer: &Arc<dyn RemoteSigner>) -> Result<Vec<Pair>, CertificateError> {
    read(text, |kind, bytes, chain| (kind == SectionKind::PublicKey).then(|| remote_pair(std::mem::take(chain), &bytes, signer)))
}

/// Collects chains; `end` makes a pair of what ends one.
fn read(
    text: &[u8],
    mut end: impl FnMut(SectionKind, Vec<u8>, &mut Vec<CertificateDer<'static>>) -> Option<Result<Pair, String>>,
) -> Result<Vec<Pair>, CertificateError> {
    let (mut pairs, mut chain) = (Vec::new(), Vec::new());
    for section in pem::PemObject::pem_slice_iter(text) {
        let (kind, bytes): (SectionKind, Vec<u8>) =
            section.map_err(|e| CertificateError(format!("certificate {}: not PEM: {e}", pairs.len() + 1)))?;
        if kind == SectionKind::Certificate {
            chain.push(CertificateDer::from(bytes));
        } else if let Some(made) = end(kind, bytes, &mut chain) {
            pairs.push(made.map_err(|reason| CertificateError(format!("certificate {}: {reason}", pairs.len() + 1)))?);
        }
    }
    if chain.is_empty() { Ok(pairs) } else { Err(CertificateError(format!("certificate {}: the key is missing", pairs.len() + 1))) }
}

/// A private key, if the section is one.
pub(crate) fn private_key(kind: SectionKind, bytes: Vec<u8>) -> Option<PrivateKeyDer<'static>> {
    Some(match kind {
        SectionKind::PrivateKey => PrivatePkcs8KeyDer::from(bytes).into(),
        SectionKind::RsaPrivateKey => PrivatePkcs1KeyDer::from(bytes).into(),
        SectionKind::EcPrivateKey => PrivateSec1KeyDer::from(bytes).into(),
        _ => return None,
    })
}

fn pair(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Pair, String> {
    let names = names(&chain)?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(misfit)?;
    Ok(Pair { certified: Arc::new(certified), names })
}

fn misfit(e: rustls::Error) -> String {
    match e {
        rustls::Error::InconsistentKeys(_) => "chain and key: the key does not belong to the first certificate of the chain".to_owned(),
        e => format!("chain and key: {e}"),
    }
}

fn remote_pair(chain: Vec<CertificateDer<'static>>, public: &[u8], signer: &Arc<dyn RemoteSigner>) -> Result<Pair, String> {
    let names = names(&chain)?;
    let key = RemoteKey::new(PublicKey::read(public)?, Arc::clone(signer));
    let certified = CertifiedKey::new(chain, Arc::new(key));
    certified.keys_match().map_err(misfit)?;
    Ok(Pair { certified: Arc::new(certified), names })
}

fn names(chain: &[CertificateDer<'static>]) -> Result<Vec<String>, String> {
    let first = chain.first().ok_or("the chain is empty")?;
    let certificate = webpki::EndEntityCert::try_from(first).map_err(|e| format!("the first of the chain is no certificate: {e}"))?;
    Ok(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

/// SubjectPublicKeyInfo, DER.
pub(crate) fn subject_public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|e| format!("no certificate: {e}"))?;
    Ok(parsed.subject_public_key_info().as_ref().to_vec())
}

fn put_pem(text: &mut String, label: &str, der: &[u8]) {
    let encoded = data_encoding::BASE64.encode(der);
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
}
