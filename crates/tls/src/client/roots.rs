//! The issuers that are trusted.

use crate::CertificateError;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Reads certificates from PEM text. Single ones that cannot be used as a root are passed over; one at least must be good.
pub fn roots(text: &[u8]) -> Result<RootCertStore, CertificateError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|e| CertificateError(format!("not PEM: {e}")))?;
        let _ = store.add(certificate);
    }
    if store.is_empty() { Err(CertificateError("no certificate that can be trusted is in it".to_owned())) } else { Ok(store) }
}
