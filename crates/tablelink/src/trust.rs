//! Whose certificates are good, and the password that we show.

use crate::Trouble;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a password file that are looked at.
const LONGEST: u64 = 4096;

/// A client that trusts the authorities of a PEM file, or the system's.
pub fn trust(ca: Option<&Path>, protocols: &[&[u8]]) -> Result<Arc<ClientConfig>, Trouble> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        Some(path) => {
            let say = |e: &dyn std::fmt::Display| Trouble::broken(format!("ca = {}: {e}", path.display()));
            let pem = std::fs::read(path).map_err(|e| say(&e))?;
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            roots.add_parsable_certificates(all.map_err(|e| say(&e))?)
        }
    };
    if roots.is_empty() {
        let whose = ca.map_or_else(|| "the system".to_owned(), |path| path.display().to_string());
        return Err(Trouble::broken(format!("{whose} has no certificate of an authority")));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| Trouble::broken(e.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The first line of a password file. One that every user of the system may read holds no secret.
pub fn password(file: &Path) -> Result<String, Trouble> {
    let say = |e: &dyn std::fmt::Display| Trouble::broken(format!("password_file = {}: {e}", file.display()));
    let opened = File::open(file).map_err(|e| say(&e))?;
    if opened.metadata().map_err(|e| say(&e))?.mode() & 0o004 != 0 {
        return Err(say(&"everybody may read it; chmod o= it"));
    }
    let mut text = String::new();
    opened.take(LONGEST).read_to_string(&mut text).map_err(|e| say(&e))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() && !line.contains('\0') => Ok(line.to_owned()),
        _ => Err(say(&"its first line holds no password")),
    }
}
