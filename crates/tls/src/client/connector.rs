//! Sessions to be: one configuration for each host and requirement, with the tickets that resume its sessions.

use super::fault::{Failure, Fault, clean};
use super::session::Session;
use super::verifier::{Requirement, Verifier};
use rustls::client::{ClientConnection, ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Hosts whose tickets are kept; each may take some KiB.
const MOST_KNOWN: usize = 500;
/// How long a host's tickets and what its certificate proved are good: a certificate that has expired or was withdrawn since
/// must not live on in them.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// Makes sessions.
#[derive(Debug)]
pub struct Connector {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    /// A ticket is good only for the requirement under which it was got: a session under a weaker one has proved less.
    known: HashMap<Key, Known>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    requirement: Requirement,
}

#[derive(Debug, Clone)]
struct Known {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    since: Instant,
}

impl Connector {
    /// `roots`: the issuers to trust. `identity`: our own certificate, for servers that ask for one.
    pub fn new(roots: RootCertStore, identity: Option<Arc<CertifiedKey>>) -> Self {
        let identity = identity.map(|certified| Arc::new(SingleCertAndKey::from(certified)) as Arc<dyn ResolvesClientCert>);
        Self { provider: Arc::new(ring::default_provider()), roots: Arc::new(roots), identity, known: HashMap::new() }
    }

    /// How many issuers are trusted.
    pub fn roots(&self) -> usize {
        self.roots.len()
    }

    /// A session with a server; the handshake has yet to be made. `host` is what the server is told (SNI); an address is
    /// told to nobody.
    pub fn session(&mut self, host: &str, requirement: &Requirement, now: Instant) -> Result<Session, Failure> {
        let host = host.trim_end_matches('.');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::new(Fault::Other, clean(&format!("{host} is no name that TLS could carry"))))?;
        let known = self.known(Key { host: host.to_owned(), requirement: requirement.clone() }, now)?;
        let connection = ClientConnection::new(known.config, name).map_err(|e| Failure::from(&e))?;
        Ok(Session::new(connection, known.verifier))
    }

    fn known(&mut self, key: Key, now: Instant) -> Result<Known, Failure> {
        let good = |known: &Known| now.saturating_duration_since(known.since) < KNOWN_FOR;
        if let Some(known) = self.known.get(&key).filter(|known| good(known)) {
            return Ok(known.clone());
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.retain(|_, known| good(known));
        }
        if self.known.len() >= MOST_KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.since).map(|(key, _)| key.clone());
            oldest.map(|key| self.known.remove(&key));
        }
        let verifier = Arc::new(Verifier::new(key.requirement.clone(), Arc::clone(&self.roots), Arc::clone(&self.provider)));
        let known = Known { config: Arc::new(self.config(&verifier)?), verifier, since: now };
        self.known.insert(key, known.clone());
        Ok(known)
    }

    fn config(&self, verifier: &Arc<Verifier>) -> Result<ClientConfig, Failure> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| Failure::from(&e))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<_>);
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::clone(identity)),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(2);
        Ok(config)
    }
}
