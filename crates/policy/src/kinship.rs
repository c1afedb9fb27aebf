//! Domains that only tables name: the routers say whose they are, before relaying is denied.

use crate::book::Policy;
use crate::decision::{Decision, Questions};
use crate::facts::Facts;
use crate::query::{Answer, Query, QueryId, What};
use crate::recipient::DENIED;
use crate::session::{Session, no_helper};
use ipc::routing::{self, Kinship};
use settings::Otherwise;
use smtp::server::Standing;
use status::{Enhanced, Reply};

impl Session {
    /// Asks, where there is anything to ask; an address literal is in no table.
    pub(crate) fn ask_kinship(&mut self, policy: &Policy, domain: Option<&str>, turn: u32, ask: &mut Questions) -> bool {
        let Some(domain) = domain.filter(|domain| policy.asks_kinship && !domain.starts_with('[')) else { return false };
        ask.push((QueryId { turn, what: What::Kinship }, Query::Kinship(domain.to_owned())));
        true
    }

    /// Nothing but a clear word lets a stranger's mail through. Who may relay anyway needs none.
    pub(crate) fn kinship_said(&mut self, _: &Policy, facts: &Facts<'_>, answer: Answer) {
        let permitted = facts.candidate.is_some_and(|(_, standing)| standing == Standing::Permitted);
        match answer {
            Answer::Router(routing::Answer::Kinship(Kinship::Ours)) => {
                self.admit(permitted);
                self.more.get_or_insert_default().ours = true;
            }
            Answer::Router(routing::Answer::Kinship(Kinship::Relayed)) => self.admit(permitted),
            _ if permitted => {}
            Answer::Router(routing::Answer::Kinship(Kinship::Foreign)) => {
                // Else it is for our name among the exchangers to say.
                if self.said(|a| a.relay_if_mx).is_none_or(|(otherwise, _)| otherwise == Otherwise::Off) {
                    self.conclude(Decision::refuse(Reply::new(550, Enhanced::permanent(7, 1), DENIED), "relay", ""));
                }
            }
            Answer::Router(routing::Answer::Refused { reply, .. }) if reply.code < 500 => {
                self.conclude(Decision::refuse(reply, "router", ""));
            }
            _ => self.conclude(Decision::refuse(no_helper(), "router", "")),
        }
    }

    fn admit(&mut self, permitted: bool) {
        if permitted {
            return;
        }
        // Our name among the exchangers does not matter any more.
        if self.result.as_ref().is_some_and(|result| result.cause.as_ref().is_some_and(|cause| cause.what == "relay")) {
            self.result = None;
        }
        self.more.get_or_insert_default();
        self.grant("");
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.ours)
    }
}
