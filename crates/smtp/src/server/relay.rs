//! Who may send to whom through us. Never open by default.

use super::rights::{Grant, Standing};
use address::Address;
use std::collections::HashSet;
use std::net::IpAddr;

/// Domains that anybody may send to; all normalised (lower case, A-labels). `.suffix` covers every domain below it.
#[derive(Debug, Clone, Default)]
pub struct RelayPolicy {
    /// Delivered here: the recipient must exist. With the host's own name, since mail to its postmaster must be taken
    /// (RFC 5321 section 4.5.1).
    pub local: Vec<String>,
    /// Address literals that are this machine.
    pub own_addresses: HashSet<IpAddr>,
    /// Passed on for.
    pub relay: Vec<String>,
}

/// The right of one recipient to enter an envelope. Only this module makes one.
#[derive(Debug)]
pub struct RelayPermitted(());

/// What the policy says about a recipient.
#[derive(Debug)]
pub enum Judgement {
    Permitted(RelayPermitted),
    /// Ours: permitted once somebody has said that it exists.
    Verify(AwaitingVerification),
    Denied(AwaitingGrant),
}

impl Judgement {
    pub const fn standing(&self) -> Standing {
        match self {
            Self::Permitted(_) => Standing::Permitted,
            Self::Verify(_) => Standing::Verify,
            Self::Denied(_) => Standing::Denied,
        }
    }

    /// The driver has nothing against the recipient.
    pub(super) fn accepted(self) -> Option<RelayPermitted> {
        match self {
            Self::Permitted(permission) => Some(permission),
            Self::Verify(_) => Some(RelayPermitted(())),
            Self::Denied(_) => None,
        }
    }

    /// The driver takes it upon itself.
    pub(super) fn granted(self, _: Grant) -> RelayPermitted {
        RelayPermitted(())
    }
}

/// The right to ask for a permission.
#[derive(Debug)]
pub struct AwaitingVerification(());

/// A refusal that only a [`Grant`] turns.
#[derive(Debug)]
pub struct AwaitingGrant(());

impl RelayPolicy {
    /// `client_may_relay`: the client's network or the local user has the right to send anywhere.
    pub fn judge(&self, recipient: &Address, client_may_relay: bool) -> Judgement {
        let Some(domain) = recipient.domain() else {
            // A bare local part (postmaster, RFC 5321 section 4.5.1) is ours by definition.
            return Judgement::Verify(AwaitingVerification(()));
        };
        let Ok(domain) = address::normalise(domain) else { return Judgement::Denied(AwaitingGrant(())) };
        let own = address::literal_address(&domain).is_some_and(|ip| self.own_addresses.contains(&ip));
        if own || self.local.iter().any(|pattern| covers(pattern, &domain)) {
            return Judgement::Verify(AwaitingVerification(()));
        }
        if client_may_relay || self.relay.iter().any(|pattern| covers(pattern, &domain)) {
            return Judgement::Permitted(RelayPermitted(()));
        }
        Judgement::Denied(AwaitingGrant(()))
    }
}

fn covers(pattern: &str, domain: &str) -> bool {
    if pattern.starts_with('.') { domain.len() > pattern.len() && domain.ends_with(pattern) } else { pattern == domain }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judge(recipient: &str, may_relay: bool) -> &'static str {
        let policy = RelayPolicy {
            local: vec!["local.example".into(), ".users.example".into()],
            own_addresses: HashSet::from(["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
            relay: vec!["relay.example".into(), ".sub.example".into()],
        };
        match policy.judge(&Address::parse(recipient).unwrap(), may_relay) {
            Judgement::Permitted(_) => "permitted",
            Judgement::Verify(_) => "verify",
            Judgement::Denied(_) => "denied",
        }
    }

    #[test]
    fn strangers_reach_our_domains_only() {
        for (recipient, expected) in [
            ("u@local.example", "verify"),
            ("u@LOCAL.Example", "verify"),
            ("postmaster", "verify"),
            ("u@a.users.example", "verify"),
            ("u@users.example", "denied"),
            ("postmaster@[192.0.2.1]", "verify"),
            ("postmaster@[IPv6:2001:DB8:0::1]", "verify"),
            ("u@relay.example", "permitted"),
            ("u@x.relay.example", "denied"),
            ("u@a.sub.example", "permitted"),
            ("u@sub.example", "denied"),
            ("u@evilsub.example", "denied"),
            ("u@other.example", "denied"),
            ("u%other.example@elsewhere.example", "denied"),
            ("u@[127.0.0.1]", "denied"),
        ] {
            assert_eq!(judge(recipient, false), expected, "{recipient}");
        }
    }

    #[test]
    fn friends_reach_everybody() {
        assert_eq!(judge("u@other.example", true), "permitted");
        assert_eq!(judge("u@local.example", true), "verify");
    }
}
