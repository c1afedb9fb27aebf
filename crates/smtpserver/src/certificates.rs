//! TLS with clients: what the master hands over for it, made into one configuration for each kind of listener.

use daemon::{Contacts, Counters};
use rustls::ServerConfig;
use settings::{Listener, ListenerKind};
use signing::Keyholder;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tls::keys::RemoteSigner;
use tls::server::{Secret, Service};

/// What TLS is made from, by the listener's place in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Vec<Arc<ServerConfig>>);

impl Certificates {
    /// From the chains and the ticket secret of the master; the keyholder signs. Empty: there is no certificate, so TLS is not
    /// offered.
    pub fn read(contacts: &mut Contacts, listeners: &[Listener], counters: &Counters) -> io::Result<Self> {
        let Some(memory) = contacts.take("certificates") else { return Ok(Self::default()) };
        let signer: Arc<dyn RemoteSigner> = Arc::new(Keyholder::new(contacts.caller("keyholder"), counters.clone()));
        let pairs = tls::chains(&daemon::read_memory(memory)?, &signer).map_err(io::Error::other)?;
        let tickets = contacts.take("tickets").map(daemon::read_memory).transpose()?.and_then(|bytes| Secret::from_bytes(&bytes));
        let mut made: HashMap<&str, Arc<ServerConfig>> = HashMap::new();
        let mut all = Vec::new();
        for listener in listeners {
            let (name, protocols) = service(listener.kind);
            if !made.contains_key(name) {
                let service = Service { name, protocols, clients: None, tickets: tickets.clone() };
                made.extend(tls::server::config(&pairs, &service).map_err(io::Error::other)?.map(|config| (name, config)));
            }
            all.extend(made.get(name).cloned());
        }
        Ok(Self(all))
    }

    /// For sessions of a listener; `None`: without TLS.
    pub fn of(&self, listener: u16) -> Option<&Arc<ServerConfig>> {
        self.0.get(usize::from(listener))
    }
}

/// Whose sessions are resumed together, and what it is called in TLS (ALPN). The names are those of Exim; none is registered.
fn service(kind: ListenerKind) -> (&'static str, &'static [&'static str]) {
    match kind {
        ListenerKind::Smtp => ("smtp", &["smtp", "esmtp"]),
        ListenerKind::Submission => ("submission", &["smtp", "esmtp"]),
        ListenerKind::Submissions => ("submissions", &["smtp", "esmtp"]),
        ListenerKind::Lmtp => ("lmtp", &["lmtp"]),
    }
}
