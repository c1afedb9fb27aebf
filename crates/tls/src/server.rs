//! The server's side: certificates with their keys, chosen by the name the client asks for (SNI, RFC 6066 section 3).

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use std::collections::HashMap;
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

    /// Chain and key, for the client's side.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// Reads pairs: for each a chain, the server's own certificate first, then its key; one pair after the other.
/// What else the text holds (parameters, comments) is passed over.
pub fn pairs(text: &[u8]) -> Result<Vec<Pair>, CertificateError> {
    let (mut pairs, mut chain) = (Vec::new(), Vec::new());
    for section in pem::PemObject::pem_slice_iter(text) {
        let (kind, bytes): (SectionKind, Vec<u8>) =
            section.map_err(|e| CertificateError(format!("certificate {}: not PEM: {e}", pairs.len() + 1)))?;
        let key: PrivateKeyDer<'static> = match kind {
            SectionKind::Certificate => {
                chain.push(CertificateDer::from(bytes));
                continue;
            }
            SectionKind::PrivateKey => PrivatePkcs8KeyDer::from(bytes).into(),
            SectionKind::RsaPrivateKey => PrivatePkcs1KeyDer::from(bytes).into(),
            SectionKind::EcPrivateKey => PrivateSec1KeyDer::from(bytes).into(),
            _ => continue,
        };
        let made = pair(std::mem::take(&mut chain), key);
        pairs.push(made.map_err(|reason| CertificateError(format!("certificate {}: {reason}", pairs.len() + 1)))?);
    }
    if chain.is_empty() { Ok(pairs) } else { Err(CertificateError(format!("certificate {}: the key is missing", pairs.len() + 1))) }
}

fn pair(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Pair, String> {
    let first = chain.first().ok_or("the chain is empty")?;
    let names = webpki::EndEntityCert::try_from(first).map_err(|e| format!("the first of the chain is no certificate: {e}"))?;
    let names = names.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|e| format!("chain and key: {e}"))?;
    Ok(Pair { certified: Arc::new(certified), names })
}

/// A server's configuration; `None` without pairs. The first pair also serves clients that name no host, or one that
/// no pair is for.
pub fn config(pairs: &[Pair]) -> Result<Option<Arc<ServerConfig>>, CertificateError> {
    let Some(first) = pairs.first() else { return Ok(None) };
    let by_name = pairs.iter().rev().flat_map(|pair| pair.names.iter().map(|name| (name.clone(), Arc::clone(&pair.certified))));
    let chooser = ByName { by_name: by_name.collect(), otherwise: Arc::clone(&first.certified) };
    let failed = |e: rustls::Error| CertificateError(e.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(chooser));
    // Tickets, not a table: an idle worker keeps nothing for sessions that never come back.
    config.ticketer = ring::Ticketer::new().map_err(failed)?;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(Some(Arc::new(config)))
}

/// The certificate for a name.
#[derive(Debug)]
struct ByName {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    otherwise: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let exact = asked.as_deref().and_then(|name| self.by_name.get(name));
        let wildcard = || asked.as_deref()?.split_once('.').and_then(|(_, rest)| self.by_name.get(&format!("*.{rest}")));
        Some(Arc::clone(exact.or_else(wildcard).unwrap_or(&self.otherwise)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use rustls::client::ClientConnection;
    use rustls::{ClientConfig, RootCertStore, ServerConnection};

    fn issue(names: &[&str]) -> (String, String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().clone())
    }

    fn shake_hands(config: &Arc<ServerConfig>, name: &str, root: &CertificateDer<'static>) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(client), name.to_owned().try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn the_name_chooses_the_certificate() {
        let (chain_a, key_a, root_a) = issue(&["mx.a.example"]);
        let (chain_b, key_b, root_b) = issue(&["*.b.example"]);
        let all = pairs(format!("{chain_a}{key_a}# a comment\n{chain_b}{key_b}").as_bytes()).unwrap();
        assert_eq!((all[0].names(), all[1].names()), (&["mx.a.example".to_owned()][..], &["*.b.example".to_owned()][..]));
        let config = config(&all).unwrap().unwrap();
        shake_hands(&config, "mx.a.example", &root_a).unwrap();
        shake_hands(&config, "mail.b.example", &root_b).unwrap();
        assert!(shake_hands(&config, "mx.a.example", &root_b).is_err());
        // Nobody's name: the first one is shown, and is not for it.
        assert!(shake_hands(&config, "other.example", &root_b).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (chain, key, _) = issue(&["a.example"]);
        let (_, other, _) = issue(&["b.example"]);
        let says = |text: String, part: &str| {
            let error = pairs(text.as_bytes()).unwrap_err();
            assert!(error.0.contains(part), "{error}");
        };
        says(chain.clone(), "the key is missing");
        says(key.clone(), "the chain is empty");
        says(format!("{chain}{other}"), "certificate 1: chain and key");
        says(format!("{chain}{key}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{key}"), "certificate 2");
        assert!(pairs(b"").unwrap().is_empty() && config(&[]).unwrap().is_none());
    }
}
