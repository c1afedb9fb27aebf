//! What the SMTP server asks of others: policy services, next hops.

use crate::sheet::Group;
use std::time::Duration;

/// `[[policy_service]]`: one that speaks Postfix's policy delegation protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyService {
    pub name: String,
    /// `unix:/path` or `address:port`.
    pub server: String,
    /// For one question.
    pub timeout: Duration,
}

/// `[call_ahead]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallAhead {
    /// Domains (or `.suffix`) of recipients that the next hop is asked about; empty: none.
    pub domains: Vec<String>,
}

pub fn policy_service(g: &Group) -> PolicyService {
    PolicyService { name: g.text("name"), server: g.text("server"), timeout: g.duration("timeout") }
}

pub fn call_ahead(g: &Group) -> CallAhead {
    CallAhead { domains: g.texts("domains") }
}
