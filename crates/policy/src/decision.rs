//! What a layer comes to.

use crate::query::{Query, QueryId};
use status::Reply;

/// What to do next.
#[derive(Debug)]
pub enum Turn {
    /// The questions are in the buffer that was given to the layer; the answers are awaited.
    Asked,
    Decided(Decision),
}

/// Where questions of a turn go: the driver's, used again and again.
pub type Questions = Vec<(QueryId, Query)>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// What led to it; none: nothing special did.
    pub cause: Option<Box<Cause>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// A recipient that the driver would have denied: policy takes it upon itself.
    Grant,
    Refuse(Reply),
}

/// For the log and the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// rule, dns_list, spf, sender_domain, sender_login, rate, greylist, policy_service, call_ahead, router, relay, size, table, filter
    pub what: &'static str,
    /// `file:line` of the rule; empty where the program itself decides.
    pub rule: String,
    /// The sum of the weights, where lists were asked.
    pub score: Option<i32>,
    /// More of it: zones that list the client, a result; not for the client.
    pub detail: String,
}

impl Decision {
    pub(crate) const fn accept() -> Self {
        Self { verdict: Verdict::Accept, cause: None }
    }

    pub(crate) fn refuse(reply: Reply, what: &'static str, rule: &str) -> Self {
        Self { verdict: Verdict::Refuse(reply), cause: Some(Box::new(Cause { what, rule: rule.to_owned(), ..Cause::default() })) }
    }

    pub(crate) fn detailed(mut self, detail: impl Into<String>) -> Self {
        if let Some(cause) = &mut self.cause {
            cause.detail = detail.into();
        }
        self
    }
}
