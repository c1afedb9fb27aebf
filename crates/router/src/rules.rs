//! The rules of the configuration, arranged for look-up.

use crate::local::LocalRules;
use crate::returning::Returning;
use crate::steps::StepRules;
use address::{Address, Path, normalise};
use settings::{DeliveryKind, Route, Settings, UserSource};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// What decides where an address goes, apart from the tables.
#[derive(Debug)]
pub struct Rules {
    /// Normalised.
    pub hostname: String,
    /// Of senders without one.
    pub users_domain: String,
    pub postmaster: Option<Address>,
    /// Names and `.suffix`es. As all domains of the configuration, the settings have normalised them.
    local_domains: HashSet<String>,
    /// Addresses that are this machine: mail to `user@[address]` is local.
    pub own_addresses: HashSet<IpAddr>,
    /// Next hop of local mail when an LMTP server takes it.
    pub lmtp: Option<String>,
    /// Every name is a user.
    pub any_user: bool,
    /// Characters that begin the detail of `user+detail`.
    pub detail: Vec<char>,
    /// Local names.
    pub local: LocalRules,
    pub headers: settings::Headers,
    pub submission: settings::Submission,
    pub returning: Returning,
    /// The steps.
    pub(crate) steps: StepRules,
    routes: Vec<Route>,
    /// Domain or `.suffix` to the routes that name it, in order, up to the first for every sender; `*` under "*".
    by_domain: HashMap<String, Vec<usize>>,
}

impl Rules {
    pub fn new(settings: &Settings) -> Self {
        let mut by_domain: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, route) in settings.routes.iter().enumerate() {
            let same = by_domain.entry(route.domain.clone()).or_default();
            let settled = same.last().and_then(|last| settings.routes.get(*last)).is_some_and(|last| last.sender.is_empty());
            if !settled {
                same.push(index);
            }
        }
        let local = &settings.local;
        Self {
            postmaster: Address::parse(&settings.identity.postmaster).ok(),
            local_domains: local.domains.iter().cloned().collect(),
            own_addresses: settings.listening_addresses().chain(sys::interface_addresses()).collect(),
            lmtp: (local.delivery == DeliveryKind::Lmtp).then(|| local.lmtp.clone()),
            any_user: local.users == UserSource::Any,
            detail: local.detail.chars().collect(),
            local: LocalRules::new(settings),
            headers: settings.headers.clone(),
            submission: settings.submission,
            returning: Returning::new(settings),
            steps: StepRules::new(settings),
            routes: settings.routes.clone(),
            hostname: settings.identity.hostname.clone(),
            users_domain: settings.users_domain().to_owned(),
            by_domain,
        }
    }

    /// The first `[[route]]` that matches a normalised domain (by its name, by a suffix of it, or `*`) and the sender.
    pub fn route(&self, domain: &str, sender: &Path) -> Option<&Route> {
        let keys = patterns(domain).chain(std::iter::once("*"));
        let candidates = keys.filter_map(|key| self.by_domain.get(key));
        let first = |indexes: &Vec<usize>| {
            indexes.iter().find(|index| self.routes.get(**index).is_some_and(|route| self.is_from(sender, &route.sender))).copied()
        };
        candidates.filter_map(first).min().and_then(|index| self.routes.get(index))
    }

    /// Whether a sender condition holds; most routes have none, and then nothing is computed.
    fn is_from(&self, sender: &Path, condition: &str) -> bool {
        if condition.is_empty() {
            return true;
        }
        let Some(address) = sender.address() else { return false };
        let domain = address.domain().map_or_else(|| self.users_domain.clone(), normalised);
        settings::sender_matches(condition, Some((&address.unquoted_local(), &domain)))
    }

    /// Is mail to this normalised domain delivered here?
    pub fn is_local(&self, domain: &str) -> bool {
        patterns(domain).any(|pattern| self.local_domains.contains(pattern))
    }

    /// Is an address one of this host, so that mail of it may leave here in its own name?
    pub fn is_own_domain(&self, address: &Address) -> bool {
        let Some(Ok(domain)) = address.domain().map(normalise) else { return true };
        self.is_local(&domain) || domain == self.hostname || domain == self.users_domain || self.returning.domain() == Some(&domain)
    }

    /// `user` of `user+detail`; `None` when there is no detail.
    pub fn without_detail<'a>(&self, name: &'a str) -> Option<&'a str> {
        let at = name.find(|c| self.detail.contains(&c)).filter(|at| *at > 0)?;
        name.get(..at)
    }
}

/// What a rule for a domain may be written as: its name, or `.suffix` of a domain above it.
pub(crate) fn patterns(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::once(domain).chain(domain.match_indices('.').filter_map(|(at, _)| domain.get(at..)))
}

/// The domain of a sender, as far as it is one.
pub(crate) fn normalised(domain: &str) -> String {
    normalise(domain).unwrap_or_else(|_| domain.to_lowercase())
}
