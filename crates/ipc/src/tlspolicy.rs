//! Questions to the TLS policy keeper (MTA-STS, RFC 8461), and results told to it for reports (TLSRPT, RFC 8460).

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// To the keeper.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Ask {
    /// What does this domain's MTA-STS policy say? Answered by a [`Told`] with the same number.
    Policy { number: u64, domain: String },
    /// What became of TLS with a server. Not answered.
    Results(Vec<TlsResult>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub number: u64,
    /// `None`: the domain has none that could be had, now or before.
    pub policy: Option<StsPolicy>,
}

/// A policy in force (RFC 8461 section 3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsPolicy {
    pub id: String,
    pub mode: StsMode,
    /// `mail.example.org` or `*.example.org`, normalised.
    pub hosts: Vec<String>,
    /// Seconds it may still be used.
    pub max_age: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StsMode {
    Enforce,
    Testing,
    None,
}

/// One attempt at a TLS session, or the reason why none began (RFC 8460 section 4.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsResult {
    /// The policy domain: that of the recipients.
    pub domain: String,
    pub kind: PolicyKind,
    /// The lines of the policy as they were: STS policy lines, or TLSA records in text form.
    pub policy: Vec<String>,
    /// MX host names the policy allows, or those of the TLSA records.
    pub policy_hosts: Vec<String>,
    pub host: String,
    pub address: Option<IpAddr>,
    pub source: Option<IpAddr>,
    /// `None`: the session was made and satisfied the policy. Else one of the result types of RFC 8460 section 4.3.1:
    /// `starttls-not-supported`, `certificate-host-mismatch`, `certificate-expired`, `certificate-not-trusted`,
    /// `validation-failure`, `tlsa-invalid`, `dnssec-invalid`, `dane-required`, `sts-policy-fetch-error`,
    /// `sts-policy-invalid`, `sts-webpki-invalid`.
    pub failure: Option<String>,
    /// What our own library said; no control bytes.
    pub detail: String,
}

/// Which policy a result is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyKind {
    Tlsa,
    Sts,
    NoPolicyFound,
}

impl Frame for Ask {
    const PROTOCOL: u8 = 0x38;
}
impl Frame for Told {
    const PROTOCOL: u8 = 0x39;
}
