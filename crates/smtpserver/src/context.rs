//! What the configuration means for sessions.

use crate::connection::{Connection, Stream};
use ipc::master::Peer;
use policy::delegation::State;
use policy::{Policy, Table};
use settings::{Auth, BareNewline, ListenerKind, Network, Settings};
use smtp::server::{Config, Offers, Protocol, RelayPolicy, Rights};
use std::net::IpAddr;
use std::sync::Arc;

/// The settings of this generation and the machine's view of them.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub settings: Arc<Settings>,
    pub machine: Arc<Config>,
    pub policy: Arc<Policy>,
    /// By [`Class::index`]: sessions of a class share theirs.
    rights: Vec<Arc<Rights>>,
}

/// What the rights of a client follow from, before it has logged in and before any policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Class {
    pub relay: bool,
    pub etrn: bool,
    pub vrfy: bool,
    pub expn: bool,
    pub xclient: bool,
    pub xforward: bool,
    /// Logins are for clients of this listener.
    pub login: bool,
    pub tls: bool,
    /// Its listener takes mail inside TLS only.
    pub tls_wanted: bool,
}

impl Class {
    const ALL: usize = 512;

    fn index(self) -> usize {
        let flags = [self.relay, self.etrn, self.vrfy, self.expn, self.xclient, self.xforward, self.login, self.tls, self.tls_wanted];
        flags.iter().rev().fold(0, |index, flag| index << 1 | usize::from(*flag))
    }

    fn of(index: usize) -> Self {
        let flag = |place: u32| index >> place & 1 != 0;
        Self {
            relay: flag(0),
            etrn: flag(1),
            vrfy: flag(2),
            expn: flag(3),
            xclient: flag(4),
            xforward: flag(5),
            login: flag(6),
            tls: flag(7),
            tls_wanted: flag(8),
        }
    }

    fn rights(self, auth: &Auth, policy: &Policy) -> Rights {
        let Self { relay, etrn, vrfy, expn, xclient, xforward, login, tls, tls_wanted } = self;
        let mut rights = Rights {
            relay,
            etrn,
            vrfy,
            expn,
            xclient,
            xforward,
            tls_required: tls_wanted && !tls,
            prdr: policy.has_verdicts(),
            ask_hello: policy.is_served_at(State::Ehlo),
            ask_data: policy.is_served_at(State::Data),
            ..Rights::default()
        };
        if login && (tls || auth.without_tls) {
            // Without TLS there is nothing to bind to.
            let offered = auth.mechanisms.iter().filter(|name| tls || !name.ends_with("-PLUS"));
            rights.mechanisms = offered.cloned().collect();
        } else if login {
            rights.auth_after_tls = true;
        }
        rights
    }
}

/// Who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Network(IpAddr),
    Local(u32),
}

impl Context {
    pub fn new(settings: Arc<Settings>, tables: Vec<Table>) -> Self {
        let server = &settings.server;
        let machine = Config {
            hostname: settings.identity.hostname.clone(),
            banner: server.banner.clone(),
            max_message_size: server.max_message_size,
            max_recipients: server.max_recipients,
            max_hops: server.max_hops,
            max_errors: server.max_errors,
            max_idle_commands: server.max_idle_commands,
            max_refused_recipients: settings.patience.max_refused_recipients,
            max_header_bytes: server.max_header_bytes,
            max_line: server.max_line,
            blank_newlines: server.bare_newline == BareNewline::Blank,
            relay: relay_policy(&settings),
            offers: offers(&settings),
        };
        let site = policy::Site { own_addresses: machine.relay.own_addresses.clone(), file: "zpost.toml".into() };
        let policy = Arc::new(Policy::new(&settings, site, tables));
        let rights = (0..Class::ALL).map(|index| Arc::new(Class::of(index).rights(&settings.auth, &policy))).collect();
        Self { settings, machine: Arc::new(machine), policy, rights }
    }

    /// `None`: the local submission socket.
    pub fn kind(&self, listener: u16) -> Option<ListenerKind> {
        self.settings.listeners.get(usize::from(listener)).map(|l| l.kind)
    }

    /// The dialect of a listener; the local submission socket speaks SMTP.
    pub fn protocol(&self, listener: u16) -> Protocol {
        match self.kind(listener) {
            Some(ListenerKind::Lmtp) => Protocol::Lmtp,
            Some(ListenerKind::Submission | ListenerKind::Submissions) => Protocol::Submission,
            Some(ListenerKind::Smtp) | None => Protocol::Smtp,
        }
    }

    /// A PROXY header comes first.
    pub fn is_behind_proxy(&self, listener: u16) -> bool {
        self.settings.listeners.get(usize::from(listener)).is_some_and(|l| l.proxy)
    }

    /// TLS from the first byte (RFC 8314).
    pub fn is_implicit_tls(&self, listener: u16) -> bool {
        self.kind(listener) == Some(ListenerKind::Submissions)
    }

    /// What a client may do until more is known of it; `etrn`: there is a scheduler to tell.
    pub fn rights(&self, client: Client, listener: u16, tls: bool, etrn: bool) -> Arc<Rights> {
        self.rights_as(client, listener, tls, etrn, self.may_relay(client))
    }

    /// What one may do who has logged in.
    pub fn rights_of_user(&self, c: &Connection, etrn: bool) -> Arc<Rights> {
        self.rights_as(c.client, c.listener, matches!(c.stream, Stream::Tls(_)), etrn, true)
    }

    fn rights_as(&self, client: Client, listener: u16, tls: bool, etrn: bool, relay: bool) -> Arc<Rights> {
        let auth = &self.settings.auth;
        let here = match self.kind(listener) {
            Some(ListenerKind::Submission | ListenerKind::Submissions) => true,
            Some(ListenerKind::Smtp) => auth.on_smtp,
            Some(ListenerKind::Lmtp) | None => false,
        };
        let e = &self.settings.extensions;
        let class = Class {
            relay,
            etrn: etrn && self.may_etrn(client),
            vrfy: is_in(client, &e.vrfy),
            expn: is_in(client, &e.expn),
            xclient: is_in(client, &e.xclient),
            xforward: is_in(client, &e.xforward),
            login: here && !auth.backends.is_empty() && matches!(client, Client::Network(_)),
            tls,
            tls_wanted: self.settings.listeners.get(usize::from(listener)).is_some_and(|l| l.require_tls),
        };
        self.rights.get(class.index()).cloned().unwrap_or_default()
    }

    /// May this client send to any domain?
    pub fn may_relay(&self, client: Client) -> bool {
        match client {
            Client::Network(address) => self.settings.relay.networks.iter().any(|network| network.contains(address)),
            Client::Local(_) => true,
        }
    }

    /// May this client start the queue of a domain (ETRN)?
    pub fn may_etrn(&self, client: Client) -> bool {
        let Client::Network(address) = client else { return true };
        self.may_relay(client) || self.settings.server.etrn.iter().any(|network| network.contains(address))
    }

    /// Is there a limit that needs the tracker's word before going on?
    pub fn limits_connections(&self) -> bool {
        let r = &self.settings.rates;
        // Aborts and failed logins close the door at the next connection.
        let failed = r.failed_authentications_per_address.or(r.failed_authentications_per_network);
        r.connections_per_address.or(r.connections_per_network).or(failed).or(r.aborts_per_address).or(r.aborts_per_network).is_some()
    }
}

fn offers(settings: &Settings) -> Offers {
    let e = &settings.extensions;
    Offers {
        clock: daemon::clock::unix_seconds,
        max_hold: e.max_future_release.as_secs(),
        max_priority: e.max_priority,
        min_deliver_by: e.min_deliver_by.as_secs(),
        max_messages: e.max_messages,
    }
}

fn is_in(client: Client, networks: &[Network]) -> bool {
    let Client::Network(address) = client else { return false };
    networks.iter().any(|network| network.contains(address))
}

/// Local is what the router takes for local.
fn relay_policy(settings: &Settings) -> RelayPolicy {
    let hostname = settings.hostname_is_local().then(|| address::normalise(&settings.identity.hostname).ok()).flatten();
    RelayPolicy {
        local: settings.own_domains().cloned().chain(hostname).collect(),
        own_addresses: settings.listening_addresses().chain(sys::interface_addresses()).collect(),
        relay: settings.relay.domains.clone(),
    }
}

impl Client {
    pub fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Network(address) => Self::Network(address.ip().to_canonical()),
            Peer::Local { uid, .. } => Self::Local(*uid),
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(address) => write!(f, "{address}"),
            Self::Local(uid) => write!(f, "uid:{uid}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn local(more: &str) -> Vec<String> {
        let text = format!(
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"Mta.example\"\n[local]\ndomains = [\"a.example\", \".b.example\"]\n{more}"
        );
        relay_policy(&settings::parse(&text, "zpost.toml").unwrap()).local
    }

    #[test]
    fn each_class_has_its_place() {
        for index in 0..Class::ALL {
            assert_eq!(Class::of(index).index(), index);
        }
    }

    #[test]
    fn the_host_itself_is_local_unless_a_route_says_otherwise() {
        assert_eq!(local(""), ["a.example", ".b.example", "mta.example"]);
        assert_eq!(local("[[route]]\ndomain = \"mta.example\"\nchannel = \"smtp\"\nhost = \"h.example\"\n"), ["a.example", ".b.example"]);
    }
}
