//! One rule, and whether its other keys match too.

use crate::facts::Facts;
use settings::{AccessKeys, Attributes};

/// What holds for whom a key of the rule was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// `file:line`.
    pub place: String,
    pub attributes: Attributes,
    /// All must match; empty lists do.
    pub(crate) conditions: AccessKeys,
    /// What it was found by, or a condition, cannot be made up by the client.
    pub(crate) proves: bool,
    /// Found by recipient: what it says of relaying is about that recipient.
    pub(crate) by_recipient: bool,
    /// Found by, for limits: u user, s sender, else the address.
    pub(crate) kind: u8,
}

impl Rule {
    /// Conditions beside the key it was found by. `names`: the client's, verified.
    pub(crate) fn holds(&self, facts: &Facts<'_>, names: &[String]) -> bool {
        let keys = &self.conditions;
        let listener = keys.listener.is_empty() || keys.listener.iter().any(|kind| kind == facts.listener_word());
        let client = keys.client.is_empty() || facts.client.is_some_and(|address| keys.client.iter().any(|n| n.contains(address)));
        let name = keys.name.is_empty() || keys.name.iter().any(|pattern| names.iter().any(|name| covers(pattern, name)));
        let user = keys.user.is_empty() || facts.user.is_some_and(|user| keys.user.iter().any(|u| u == "*" || u == user.name));
        listener && client && name && user && self.helo_holds(facts) && self.sender_holds(facts)
    }

    fn helo_holds(&self, facts: &Facts<'_>) -> bool {
        let patterns = &self.conditions.helo;
        patterns.is_empty() || address::normalise(facts.hello).is_ok_and(|name| patterns.iter().any(|pattern| covers(pattern, &name)))
    }

    fn sender_holds(&self, facts: &Facts<'_>) -> bool {
        let patterns = &self.conditions.sender;
        if patterns.is_empty() {
            return true;
        }
        let sender = facts.sender_key();
        patterns.iter().any(|pattern| mailbox_keys(&sender).any(|key| key == pattern))
    }
}

/// `.suffix` covers every name below it.
pub fn covers(pattern: &str, name: &str) -> bool {
    if pattern.starts_with('.') { name.len() > pattern.len() && name.ends_with(pattern) } else { pattern == name }
}

/// Keys of a domain, the longest first: itself, then what is behind each dot, with the dot.
pub fn domain_keys(domain: &str) -> impl Iterator<Item = &str> {
    // A literal has dots that mean nothing.
    let dotted = if domain.starts_with('[') { "" } else { domain };
    let suffixes = dotted.match_indices('.').filter_map(|(at, _)| dotted.get(at..));
    std::iter::once(domain).chain(suffixes).filter(|key| !key.is_empty())
}

/// Keys of an address (`user@domain`, lower case): whole, its domain's, `user@`.
pub fn mailbox_keys(address: &str) -> impl Iterator<Item = &str> {
    let at = address.rfind('@');
    let domain = at.and_then(|at| address.get(at + 1..)).unwrap_or_default();
    let user = at.and_then(|at| address.get(..=at));
    std::iter::once(address).chain(domain_keys(domain)).chain(user).filter(|key| !key.is_empty())
}
