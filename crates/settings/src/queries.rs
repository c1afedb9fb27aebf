//! Questions that several programs ask of the settings.

use crate::{Bind, DeliveryKind, Route, Settings, UserSource};
use std::net::IpAddr;

/// `.suffix` matches every domain below it, not itself; anything else matches only itself. Both sides normalised.
pub fn domain_matches(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix('.') {
        Some(_) => domain.len() > pattern.len() && domain.ends_with(pattern),
        None => pattern == domain,
    }
}

/// Does a sender condition (of [`Route`]) hold for an address? Its domain normalised; `None` is the null sender, which no
/// condition matches.
pub fn sender_matches(pattern: &str, sender: Option<(&str, &str)>) -> bool {
    match (pattern.rsplit_once('@'), sender) {
        _ if pattern.is_empty() => true,
        (_, None) => false,
        (Some((local, domain)), Some(sender)) => sender.1 == domain && sender.0.to_lowercase() == local,
        (None, Some((_, domain))) => domain_matches(pattern, domain),
    }
}

impl Settings {
    /// The alias files of `[local] aliases`, without the declared tables among them.
    pub fn alias_files(&self) -> impl Iterator<Item = &std::path::Path> {
        self.local.aliases.iter().filter_map(|source| match source {
            crate::AliasSource::File(path) => Some(path.as_path()),
            crate::AliasSource::Declared(_) => None,
        })
    }

    /// A declared table of this kind exists, so the process that answers for it is wanted.
    pub fn has_tables_of(&self, process: &str) -> bool {
        self.tables.iter().any(|table| table.kind.process() == Some(process))
    }

    /// Name and path of every `[[volume]]`.
    pub fn volume_roots(&self) -> impl Iterator<Item = (&str, &std::path::Path)> {
        self.volumes.iter().map(|volume| (volume.name.as_str(), volume.path.as_path()))
    }

    /// Shares of new mail, the postoffice first.
    pub fn volume_weights(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.paths.weight).chain(self.volumes.iter().map(|volume| volume.weight))
    }

    /// Is mail to this domain (normalised) delivered here?
    pub fn is_local_domain(&self, domain: &str) -> bool {
        self.local.domains.iter().any(|d| domain_matches(d, domain))
    }

    /// Domains whose addresses are known here: of `[local]`, `[virtual]` and `[srs]`.
    pub fn own_domains(&self) -> impl Iterator<Item = &String> {
        let virtual_domains = &self.virtual_domains;
        let of_srs = Some(&self.srs.domain).filter(|domain| !domain.is_empty());
        let of_virtual = virtual_domains.alias_domains.iter().chain(&virtual_domains.mailbox_domains);
        self.local.domains.iter().chain(of_virtual).chain(of_srs)
    }

    /// There are tables of domains that anybody may send to: which those are only the routers know.
    pub fn has_domain_tables(&self) -> bool {
        let (routing, virtual_domains) = (&self.routing, &self.virtual_domains);
        let tables = [&routing.local_domains, &routing.relay_domains, &virtual_domains.alias_domain_tables];
        tables.into_iter().chain([&virtual_domains.mailbox_domain_tables]).any(|tables| !tables.is_empty())
    }

    /// May this client send to any domain?
    pub fn relay_permits(&self, client: IpAddr) -> bool {
        self.relay.networks.iter().any(|n| n.contains(client))
    }

    /// May anybody send to this domain (normalised) through us?
    pub fn relays_domain(&self, domain: &str) -> bool {
        self.relay.domains.iter().any(|d| domain_matches(d, domain))
    }

    /// Is mail to the host's own name delivered here? As the router sees it: local unless a `[[route]]` says otherwise.
    pub fn hostname_is_local(&self) -> bool {
        let hostname = address::normalise(&self.identity.hostname).unwrap_or_default();
        self.is_local_domain(&hostname) || self.route_for(&hostname).is_none_or(|route| route.channel == "local")
    }

    /// The domain of this host's users, for senders without one: the hostname where `[local] domains` has it, else the
    /// first of those, so that a report to them comes back here, into the mailboxes that other mail goes to.
    pub fn users_domain(&self) -> &str {
        let hostname = &self.identity.hostname;
        if address::normalise(hostname).is_ok_and(|hostname| self.is_local_domain(&hostname)) {
            return hostname;
        }
        self.local.domains.iter().find(|d| !d.starts_with('.')).unwrap_or(hostname)
    }

    /// The addresses that listeners name: they are this machine.
    pub fn listening_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let named = self.listeners.iter().filter_map(|listener| match &listener.bind {
            Bind::Tcp(address) => Some(address.ip()),
            Bind::Unix(_) => None,
        });
        named.filter(|address| !address.is_unspecified())
    }

    /// The first route for a domain (normalised), whoever the sender is.
    pub fn route_for(&self, domain: &str) -> Option<&Route> {
        self.routes.iter().find(|r| r.sender.is_empty() && (r.domain == "*" || domain_matches(&r.domain, domain)))
    }

    /// Deliveries into mailboxes of system accounts become each recipient in turn, so their agent begins as root.
    pub fn delivers_as_recipient(&self) -> bool {
        self.local.users == UserSource::Passwd && self.local.delivery != DeliveryKind::Lmtp
    }

    /// The pipe that serves a channel and host of the control file.
    pub fn pipe_for(&self, channel: &str, host: &str) -> Option<&crate::Pipe> {
        self.pipes.iter().find(|pipe| pipe.channel == channel && (channel != "pipe" || pipe.name == host))
    }

    /// The agent of somebody else's that serves a channel.
    pub fn agent_for(&self, channel: &str) -> Option<&crate::ForeignAgent> {
        self.agents.iter().find(|agent| agent.channel == channel)
    }

    /// The user a service runs as when the suite is started as root.
    pub fn user_of(&self, service: &str) -> &str {
        if service == "ta-mailbox" {
            if self.delivers_as_recipient() {
                return "root";
            }
            if let Some(user) = &self.local.user {
                return user;
            }
        }
        if service == "ta-pipe" && !self.users.services.contains_key(service) {
            return "root";
        }
        self.users.services.get(service).unwrap_or(&self.users.default)
    }
}
