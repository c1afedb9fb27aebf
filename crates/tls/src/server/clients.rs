//! Clients that show a certificate.

use crate::CertificateError;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError as Rejection, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// SHA-256 of a certificate (DER), as `openssl x509 -fingerprint -sha256` prints it.
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Who has none, or one that we do not know, is served like anybody else.
    Ask,
    /// Who has none that we know is not served.
    Require,
}

/// Which certificates of clients are known, and whose they are.
#[derive(Debug)]
pub struct Clients {
    demand: Demand,
    users: BTreeMap<[u8; 32], String>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    digest: [u8; 32],
}

impl Clients {
    /// `users`: certificates by fingerprint, and whose each is. `authorities`: PEM text of those whose certificates are
    /// taken by the names in them.
    pub fn new(demand: Demand, users: BTreeMap<[u8; 32], String>, authorities: Option<&[u8]>) -> Result<Self, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = |pem: &[u8], provider: Arc<CryptoProvider>| {
            let roots = Arc::new(crate::client::roots(pem)?);
            WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(|e| CertificateError(e.to_string()))
        };
        let mut digest = Sha256::new_with_prefix(format!("{demand:?}"));
        digest.update(authorities.unwrap_or_default());
        let authorities = authorities.map(|pem| verifier(pem, provider)).transpose()?;
        Ok(Self { demand, users, authorities, algorithms, digest: digest.finalize().into() })
    }

    /// Differs where clients had to prove something else. Fingerprints are looked at in each session and not part of it.
    pub(super) const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whose certificate this is; `None`: nobody's that we know. Asked again for sessions that are resumed, so that a
    /// certificate that has expired or was taken out since is nobody's.
    pub fn user(&self, shown: &[CertificateDer<'_>], now: UnixTime) -> Option<String> {
        let (first, between) = shown.split_first()?;
        if let Some(user) = self.users.get(&fingerprint(first)) {
            return Some(user.clone());
        }
        self.authorities.as_ref()?.verify_client_cert(first, between, now).ok()?;
        let parsed = webpki::EndEntityCert::try_from(first).ok()?;
        let name = parsed.valid_dns_names().next().map(str::to_ascii_lowercase);
        Some(name.unwrap_or_else(|| format!("sha256:{}", data_encoding::HEXLOWER.encode(&fingerprint(first)))))
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.demand == Demand::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // With fingerprints there are certificates of any issuer, and hints would keep clients from showing them.
        self.authorities.as_ref().filter(|_| self.users.is_empty()).map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.demand == Demand::Ask || self.users.contains_key(&fingerprint(end_entity)) {
            return Ok(ClientCertVerified::assertion());
        }
        match &self.authorities {
            Some(verifier) => verifier.verify_client_cert(end_entity, intermediates, now),
            None => Err(Error::InvalidCertificate(Rejection::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
