//! One exchange: who leads it, and how far it is.

use crate::Found;
use crate::inquiry::Inquiry;
use ipc::auth::AuthPeer;
use sasl::server::{Method, Server};
use settings::Backend;
use std::time::Instant;

/// Who knows the mechanism.
pub enum Leader {
    Ours(Box<Server>),
    /// Dovecot, by its number.
    Dovecot(u32),
}

pub struct Exchange {
    pub leader: Leader,
    pub mechanism: String,
    pub peer: AuthPeer,
    /// Who it is meant to be, as far as known.
    pub user: Option<String>,
    /// Whose keys SCRAM works with.
    pub found: Option<Found>,
    pub inquiry: Option<Inquiry>,
    /// The question that is out.
    pub ticket: Option<u64>,
    /// Until when its answer is waited for.
    pub deadline: Option<Instant>,
}

impl Exchange {
    pub fn new(leader: Leader, mechanism: String, peer: AuthPeer) -> Self {
        Self { leader, mechanism, peer, user: None, found: None, inquiry: None, ticket: None, deadline: None }
    }
}

/// The method, where it is ours to lead; `None`: Dovecot leads it.
pub fn ours(mechanism: &str, backends: &[Backend]) -> Option<Method> {
    let has = |backend| backends.contains(&backend);
    Method::named(mechanism).filter(|method| match method {
        Method::Plain | Method::Login => true,
        Method::ScramSha256 | Method::ScramSha256Plus => has(Backend::File) || !has(Backend::Dovecot),
        Method::OauthBearer | Method::Xoauth2 => has(Backend::Token) || !has(Backend::Dovecot),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dovecot_leads_what_nobody_else_knows() {
        let both = [Backend::File, Backend::Dovecot];
        assert_eq!(ours("PLAIN", &[Backend::Dovecot]), Some(Method::Plain));
        assert_eq!(ours("SCRAM-SHA-256", &[Backend::Dovecot]), None);
        assert_eq!(ours("SCRAM-SHA-256", &both), Some(Method::ScramSha256));
        assert_eq!(ours("OAUTHBEARER", &both), None);
        assert_eq!(ours("CRAM-MD5", &both), None);
    }
}
