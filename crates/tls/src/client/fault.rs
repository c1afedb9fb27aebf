//! What was wrong with a session or a certificate, and whose fault it is.

use rustls::{CertificateError, Error, PeerIncompatible};
use std::fmt;

/// The kinds of trouble that reports tell apart (RFC 8460 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    HostMismatch,
    Expired,
    NotTrusted,
    /// No TLSA record matches the certificates.
    Tlsa,
    /// Anything else, the protocol itself among it.
    Other,
}

impl Fault {
    /// The result type of RFC 8460 section 4.3.1 and 4.3.2.
    pub const fn result_type(self) -> &'static str {
        match self {
            Self::HostMismatch => "certificate-host-mismatch",
            Self::Expired => "certificate-expired",
            Self::NotTrusted => "certificate-not-trusted",
            // The records were sound; what the server showed was not what they say.
            Self::Tlsa | Self::Other => "validation-failure",
        }
    }
}

/// Why there is no session, or no proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub fault: Fault,
    /// No control bytes.
    pub text: String,
    /// The network's fault rather than one of TLS: the connection broke or ended.
    pub broken: bool,
}

impl Failure {
    pub fn new(fault: Fault, text: impl Into<String>) -> Self {
        Self { fault, text: text.into(), broken: false }
    }

    /// The network's fault.
    pub fn broken(text: impl Into<String>) -> Self {
        Self { broken: true, ..Self::new(Fault::Other, text) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => Self::new(Fault::Other, "the server speaks neither TLS 1.2 nor 1.3"),
            Error::AlertReceived(alert) => Self::new(Fault::Other, format!("the server ended the TLS session with the alert {alert:?}")),
            Error::InvalidMessage(_) => Self::new(Fault::Other, "the server sent what is no TLS"),
            other => Self::new(Fault::Other, clean(&format!("TLS: {other}"))),
        }
    }
}

fn of_certificate(error: &CertificateError) -> Failure {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => Failure::new(Fault::Expired, "the server's certificate has expired"),
        E::NotValidYet | E::NotValidYetContext { .. } => Failure::new(Fault::Expired, "the server's certificate is not valid yet"),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            Failure::new(Fault::HostMismatch, "the server's certificate is for another name")
        }
        E::UnknownIssuer => Failure::new(Fault::NotTrusted, "the server's certificate is of no issuer that is trusted here"),
        E::Revoked => Failure::new(Fault::NotTrusted, "the server's certificate is revoked"),
        E::BadEncoding => Failure::new(Fault::Other, "the server's certificate cannot be read"),
        E::BadSignature => Failure::new(Fault::Other, "the server does not have the key of its certificate"),
        // A certificate authority's own certificate where the server's should be: self-signed, mostly.
        E::Other(other) => Failure::new(Fault::NotTrusted, clean(&format!("the server's certificate is not trusted: {other}"))),
        other => Failure::new(Fault::NotTrusted, clean(&format!("the server's certificate is not trusted: {other}"))),
    }
}

/// What a library says may quote what the peer has sent.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(300).collect()
}
