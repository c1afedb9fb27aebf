//! What a server's certificate must prove.

use super::dane::{self, Record, Shown};
use super::fault::{Failure, Fault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};

/// What a session must prove.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Nothing; but the session says whether the certificate would have been good for these names.
    Nothing { names: Vec<String> },
    /// A certificate for one of these names, of an issuer that is trusted here (RFC 6125).
    Names(Vec<String>),
    /// What the TLSA records say (RFC 7672); `names` count for trust anchors.
    Dane { records: Vec<Record>, names: Vec<String> },
}

/// What a session has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Verified,
    /// Only where the requirement is [`Requirement::Nothing`].
    Unverified(Failure),
}

#[derive(Debug)]
pub(crate) struct Verifier {
    requirement: Requirement,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Of the handshake whose bytes are being worked on.
    fresh: Option<Result<(), Failure>>,
    /// Of the last complete one: what a resumed session goes by.
    last: Option<Result<(), Failure>>,
}

impl Verifier {
    pub fn new(requirement: Requirement, roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Self {
        Self { requirement, roots, provider, seen: Mutex::default() }
    }

    /// What the verification said that ran just now, if one did. One thread drives all sessions, so it is the caller's.
    pub fn take_fresh(&self) -> Option<Result<(), Failure>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fresh.take()
    }

    pub fn last(&self) -> Option<Result<(), Failure>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    fn note(&self, result: Result<(), Failure>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.fresh = Some(result.clone());
        seen.last = Some(result);
    }

    fn check(&self, shown: &Shown<'_>) -> Result<(), Failure> {
        match &self.requirement {
            Requirement::Nothing { names } | Requirement::Names(names) => {
                signed_by(&self.roots, shown)?;
                check_names(shown.leaf, names)
            }
            Requirement::Dane { records, names } => dane::check(records, names, shown),
        }
    }

    /// The signature proves that the server has the key. Where nothing need be proved, a certificate that cannot even be
    /// read for it is as good as another.
    fn signature(&self, result: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        match (result, &self.requirement) {
            (Err(error), Requirement::Nothing { .. }) => {
                self.note(Err(Failure::from(&error)));
                Ok(HandshakeSignatureValid::assertion())
            }
            (result, _) => result,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let algorithms = self.provider.signature_verification_algorithms;
        let result = self.check(&Shown { leaf, intermediates, now, algorithms });
        self.note(result.clone());
        match (result, &self.requirement) {
            (Ok(()), _) | (Err(_), Requirement::Nothing { .. }) => Ok(ServerCertVerified::assertion()),
            // The failure itself is taken from `seen`; this only chooses the alert.
            (Err(_), _) => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(verify_tls12_signature(message, leaf, signature, &self.provider.signature_verification_algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the chain shown leads to one of these roots.
pub(crate) fn signed_by(roots: &RootCertStore, shown: &Shown<'_>) -> Result<(), Failure> {
    let leaf = ParsedCertificate::try_from(shown.leaf).map_err(|e| Failure::from(&e))?;
    verify_server_cert_signed_by_trust_anchor(&leaf, roots, shown.intermediates, shown.now, shown.algorithms.all)
        .map_err(|e| Failure::from(&e))
}

/// Whether the certificate is for one of these names (its subjectAltName; a common name does not count, RFC 9525).
pub(crate) fn check_names(leaf: &CertificateDer<'_>, names: &[String]) -> Result<(), Failure> {
    let leaf = ParsedCertificate::try_from(leaf).map_err(|e| Failure::from(&e))?;
    let good = |name: &String| ServerName::try_from(name.trim_end_matches('.')).is_ok_and(|name| verify_server_name(&leaf, &name).is_ok());
    if names.iter().any(good) {
        return Ok(());
    }
    Err(Failure::new(Fault::HostMismatch, super::fault::clean(&format!("the server's certificate is not for {}", names.join(" or ")))))
}
