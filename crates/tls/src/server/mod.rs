//! The server's side: certificates with their keys, chosen by the name the client asks for (SNI, RFC 6066 section 3).

mod clients;
mod tickets;

pub use clients::{Clients, Demand, fingerprint};
pub use tickets::Secret;

use crate::{CertificateError, Pair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// What TLS is for: whoever comes for another protocol is sent away, and sessions of one service are not resumed at
/// another.
#[derive(Debug, Clone)]
pub struct Service<'a> {
    /// The kind of listener.
    pub name: &'a str,
    /// Protocols by the names that clients may ask for (ALPN, RFC 7301). Who asks only for others is refused; who asks for
    /// none is not.
    pub protocols: &'a [&'a str],
    /// Whose certificates are asked for; `None`: nobody's.
    pub clients: Option<Arc<Clients>>,
    /// What ticket keys are made from; `None`: sessions are not resumed.
    pub tickets: Option<Secret>,
}

/// A server's configuration; `None` without pairs. The first pair also serves clients that name no host, or one that
/// no pair is for. No early data: a replayed MAIL would be accepted twice.
pub fn config(pairs: &[Pair], service: &Service<'_>) -> Result<Option<Arc<ServerConfig>>, CertificateError> {
    let Some(first) = pairs.first() else { return Ok(None) };
    let by_name = pairs.iter().rev().flat_map(|pair| pair.names().iter().map(|name| (name.clone(), pair.certified())));
    let chooser = ByName { by_name: by_name.collect(), otherwise: first.certified() };
    let failed = |e: rustls::Error| CertificateError(e.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let builder = match &service.clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as Arc<_>),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(chooser));
    config.alpn_protocols = service.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    // Tickets, not a table: an idle worker keeps nothing for sessions that never come back, and any worker takes them.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if let Some(secret) = &service.tickets {
        let policy = service.clients.as_ref().map(|clients| clients.digest());
        config.ticketer = Arc::new(tickets::Tickets::new(secret.clone(), service.name, policy));
        config.send_tls13_tickets = 1;
    }
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
mod tests;
