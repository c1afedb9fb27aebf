//! TLSA records and certificates (RFC 6698, 7671, 7672).

use super::fault::{Failure, Fault};
use super::verifier::{check_names, signed_by};
use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256, Sha512};
use webpki::EndEntityCert;

/// A TLSA record (RFC 6698 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

/// DANE-TA: a trust anchor of the domain's own.
const TRUST_ANCHOR: u8 = 2;
/// DANE-EE: the server's certificate or key itself.
const END_ENTITY: u8 = 3;
/// Longest data of a record worth comparing; a certificate in full fits.
const MOST_DATA: usize = 16 * 1024;
/// Certificates of a chain that are looked at, and records. Both come from outside.
const MOST_CERTIFICATES: usize = 12;
const MOST_RECORDS: usize = 64;

impl Record {
    /// Whether the record says something that SMTP can act on (RFC 7672 section 3.1.3: PKIX usages cannot be used).
    pub fn usable(&self) -> bool {
        let length = match self.matching {
            0 => (32..=MOST_DATA).contains(&self.data.len()),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        length && matches!(self.usage, TRUST_ANCHOR | END_ENTITY) && self.selector <= 1
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let selected = match self.selector {
            0 => certificate.to_vec(),
            _ => match EndEntityCert::try_from(certificate) {
                Ok(parsed) => parsed.subject_public_key_info().to_vec(),
                Err(_) => return false,
            },
        };
        match self.matching {
            0 => selected == self.data,
            1 => Sha256::digest(&selected).as_slice() == self.data,
            _ => Sha512::digest(&selected).as_slice() == self.data,
        }
    }
}

/// Whether DANE can be done with these: where none is usable, TLS is still mandatory, without proof (RFC 7672
/// section 2.2).
pub fn any_usable(records: &[Record]) -> bool {
    records.iter().take(MOST_RECORDS).any(Record::usable)
}

/// Everything a check needs beside the records.
pub(crate) struct Shown<'a> {
    pub leaf: &'a CertificateDer<'a>,
    pub intermediates: &'a [CertificateDer<'a>],
    pub now: UnixTime,
    pub algorithms: WebPkiSupportedAlgorithms,
}

/// Whether what the server shows is what the records say. For DANE-EE neither names nor dates count (RFC 7672 section
/// 3.1.1); for DANE-TA the chain must lead to the anchor and the certificate must be for one of `names`.
pub(crate) fn check(records: &[Record], names: &[String], shown: &Shown<'_>) -> Result<(), Failure> {
    let usable = || records.iter().take(MOST_RECORDS).filter(|record| record.usable());
    if usable().any(|record| record.usage == END_ENTITY && record.matches(shown.leaf)) {
        return Ok(());
    }
    let mut trouble = Failure::new(Fault::Tlsa, "no TLSA record of the server matches its certificate");
    for record in usable().filter(|record| record.usage == TRUST_ANCHOR) {
        for anchor in anchors(record, shown) {
            match chain(&anchor, names, shown) {
                Ok(()) => return Ok(()),
                Err(failure) => trouble = failure,
            }
        }
    }
    Err(trouble)
}

/// The certificates that are the anchor of a record: among those shown, or in the record itself.
fn anchors(record: &Record, shown: &Shown<'_>) -> Vec<CertificateDer<'static>> {
    let chain = shown.intermediates.iter().take(MOST_CERTIFICATES);
    let mut found: Vec<_> = chain.filter(|certificate| record.matches(certificate)).map(|c| c.clone().into_owned()).collect();
    if (record.selector, record.matching) == (0, 0) && found.is_empty() {
        found.push(CertificateDer::from(record.data.clone()));
    }
    found
}

fn chain(anchor: &CertificateDer<'static>, names: &[String], shown: &Shown<'_>) -> Result<(), Failure> {
    let mut store = RootCertStore::empty();
    if store.add(anchor.clone()).is_err() {
        return Err(Failure::new(Fault::Tlsa, "the trust anchor that the TLSA record names cannot be read"));
    }
    signed_by(&store, shown)?;
    check_names(shown.leaf, names)
}
