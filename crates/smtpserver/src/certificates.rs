//! TLS with clients: what the master hands over for it, made into one configuration for each kind of listener.

use daemon::{Contacts, Counters};
use rustls::ServerConfig;
use settings::{ClientCertificates, Listener, ListenerKind, Settings};
use signing::Keyholder;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tls::keys::RemoteSigner;
use tls::server::{Clients, Demand, Secret, Service};

/// TLS of one kind of listener.
#[derive(Debug)]
pub(crate) struct Offer {
    pub config: Arc<ServerConfig>,
    /// Whose certificates are known; `None`: none is asked for.
    pub clients: Option<Arc<Clients>>,
}

/// What TLS is made from, by the listener's place in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Certificates(Vec<Arc<Offer>>);

impl Certificates {
    /// From the chains and the ticket secret of the master; the keyholder signs. Empty: there is no certificate, so TLS is not
    /// offered.
    pub fn read(contacts: &mut Contacts, settings: &Settings, counters: &Counters) -> io::Result<Self> {
        let Some(memory) = contacts.take("certificates") else { return Ok(Self::default()) };
        let signer: Arc<dyn RemoteSigner> = Arc::new(Keyholder::new(contacts.caller("keyholder"), counters.clone()));
        let pairs = tls::chains(&daemon::read_memory(memory)?, &signer).map_err(io::Error::other)?;
        let tickets = contacts.take("tickets").map(daemon::read_memory).transpose()?.and_then(|bytes| Secret::from_bytes(&bytes));
        let authorities = authorities(contacts)?;
        let mut made: Vec<(&Listener, Arc<Offer>)> = Vec::new();
        let mut all = Vec::new();
        for listener in &settings.listeners {
            let same = |other: &&(&Listener, Arc<Offer>)| terms(other.0) == terms(listener);
            if let Some((_, offer)) = made.iter().find(same) {
                all.push(Arc::clone(offer));
                continue;
            }
            let clients = clients(listener, settings, &authorities)?;
            let (name, protocols) = service(listener.kind);
            let service = Service { name, protocols, clients: clients.clone(), tickets: tickets.clone() };
            if let Some(config) = tls::server::config(&pairs, &service).map_err(io::Error::other)? {
                let offer = Arc::new(Offer { config, clients });
                made.push((listener, Arc::clone(&offer)));
                all.push(offer);
            }
        }
        Ok(Self(all))
    }

    /// For sessions of a listener; `None`: without TLS.
    pub fn of(&self, listener: u16) -> Option<&Arc<Offer>> {
        self.0.get(usize::from(listener))
    }
}

/// Listeners with the same terms share a configuration.
fn terms(listener: &Listener) -> impl PartialEq {
    (listener.kind, listener.client_certificates, listener.client_ca.clone())
}

/// Texts of `client_ca` by path, as the master has read them.
fn authorities(contacts: &mut Contacts) -> io::Result<HashMap<String, Vec<u8>>> {
    let Some(memory) = contacts.take("client_authorities") else { return Ok(HashMap::new()) };
    let text = daemon::read_memory(memory)?;
    let words: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
    let pair = |pair: &[&[u8]]| Some((String::from_utf8_lossy(pair.first()?).into_owned(), pair.get(1)?.to_vec()));
    Ok(words.chunks(2).filter_map(pair).collect())
}

fn clients(listener: &Listener, settings: &Settings, authorities: &HashMap<String, Vec<u8>>) -> io::Result<Option<Arc<Clients>>> {
    let demand = match listener.client_certificates {
        ClientCertificates::No => return Ok(None),
        ClientCertificates::Ask => Demand::Ask,
        ClientCertificates::Require => Demand::Require,
    };
    let users = settings.client_certificates.iter().map(|known| (known.fingerprint, known.user.clone())).collect();
    let authority = listener.client_ca.as_ref().and_then(|path| authorities.get(&path.display().to_string()));
    Clients::new(demand, users, authority.map(Vec::as_slice)).map(|clients| Some(Arc::new(clients))).map_err(io::Error::other)
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
