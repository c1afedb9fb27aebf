//! Questions that several programs ask of the settings.

use crate::{Route, Settings};
use std::net::IpAddr;

/// `.suffix` matches every domain below it, not itself; anything else matches only itself. Both sides normalised.
pub fn domain_matches(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix('.') {
        Some(_) => domain.len() > pattern.len() && domain.ends_with(pattern),
        None => pattern == domain,
    }
}

impl Settings {
    /// Is mail to this domain (normalised) delivered here?
    pub fn is_local_domain(&self, domain: &str) -> bool {
        self.local.domains.iter().any(|d| domain_matches(d, domain))
    }

    /// May this client send to any domain?
    pub fn relay_permits(&self, client: IpAddr) -> bool {
        self.relay.networks.iter().any(|n| n.contains(client))
    }

    /// May anybody send to this domain (normalised) through us?
    pub fn relays_domain(&self, domain: &str) -> bool {
        self.relay.domains.iter().any(|d| domain_matches(d, domain))
    }

    /// The first route for a domain (normalised).
    pub fn route_for(&self, domain: &str) -> Option<&Route> {
        self.routes.iter().find(|r| r.domain == "*" || domain_matches(&r.domain, domain))
    }

    /// The user a service runs as when the suite is started as root.
    pub fn user_of(&self, service: &str) -> &str {
        self.users.services.get(service).unwrap_or(&self.users.default)
    }
}
