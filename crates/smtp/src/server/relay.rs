//! Who may send to whom through us. Never open by default.

use address::Address;

/// Domains that anybody may send to; all normalised (lower case, A-labels).
#[derive(Debug, Clone, Default)]
pub struct RelayPolicy {
    /// Delivered here: the recipient must exist.
    pub local: Vec<String>,
    /// Passed on for; `.suffix` covers every domain below it.
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
    Denied,
}

/// The right to ask for a permission.
#[derive(Debug)]
pub struct AwaitingVerification(());

impl AwaitingVerification {
    /// The recipient exists.
    pub(super) fn verified(self) -> RelayPermitted {
        RelayPermitted(())
    }
}

impl RelayPolicy {
    /// `client_may_relay`: the client's network or the local user has the right to send anywhere.
    pub fn judge(&self, recipient: &Address, client_may_relay: bool) -> Judgement {
        let Some(domain) = recipient.domain() else {
            // A bare local part (postmaster, RFC 5321 section 4.5.1) is ours by definition.
            return Judgement::Verify(AwaitingVerification(()));
        };
        let Ok(domain) = address::normalise(domain) else { return Judgement::Denied };
        if self.local.contains(&domain) {
            return Judgement::Verify(AwaitingVerification(()));
        }
        if client_may_relay || self.relay.iter().any(|pattern| covers(pattern, &domain)) {
            return Judgement::Permitted(RelayPermitted(()));
        }
        Judgement::Denied
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
        let policy = RelayPolicy { local: vec!["local.example".into()], relay: vec!["relay.example".into(), ".sub.example".into()] };
        match policy.judge(&Address::parse(recipient).unwrap(), may_relay) {
            Judgement::Permitted(_) => "permitted",
            Judgement::Verify(_) => "verify",
            Judgement::Denied => "denied",
        }
    }

    #[test]
    fn strangers_reach_our_domains_only() {
        for (recipient, expected) in [
            ("u@local.example", "verify"),
            ("u@LOCAL.Example", "verify"),
            ("postmaster", "verify"),
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
