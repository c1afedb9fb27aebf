//! The first layer: the client's address, lists about it, its verified name.

use crate::book::{By, Policy};
use crate::decision::{Cause, Decision, Questions, Turn};
use crate::delegation::State;
use crate::facts::Facts;
use crate::lists::{Score, Subject};
use crate::query::{Query, QueryId, What};
use crate::session::{More, Session, Stage, message, refusal};
use settings::About;
use status::{Enhanced, Reply};

impl Session {
    /// Once for a connection, before the greeting.
    pub fn connect(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        if policy.is_plain() {
            return Turn::Decided(Decision::accept());
        }
        let more = self.more.get_or_insert_with(Box::default);
        **more = More { trace: more.trace.take(), ..More::default() };
        self.stage = Stage::Connect;
        if let Some(rule) = policy.everybody(facts) {
            self.found(Ok(Some(rule)), "everybody");
        }
        let key = facts.client.map(|address| format!("client {address}")).unwrap_or_default();
        if self.found(policy.client(facts), &key)
            && let Some(refusal) = self.refused_by_last((7, 1), "access denied")
        {
            return self.decide(refusal);
        }
        if self.result.is_some() || self.is_trusted() {
            return self.connected(policy, facts, ask);
        }
        let turn = self.next_turn();
        if let Some(address) = facts.client {
            if policy.wants_names() {
                ask.push((QueryId { turn, what: What::Names }, Query::VerifiedNames(address)));
            }
            if !facts.friend {
                let named = self.said(|a| a.dns_lists.as_ref()).map(|(zones, _)| zones.clone());
                policy.ask_lists(About::Client, &Subject::Address(address), named.as_ref(), turn, ask);
            }
        }
        if self.asked(Stage::Connect, ask) { Turn::Asked } else { self.named(policy, facts, ask) }
    }

    /// The name is known, or there is none.
    pub(crate) fn named(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        self.stage = Stage::Named;
        let names = self.names().to_vec();
        for name in &names {
            let found = policy.find(By::Name(name), facts, &names);
            if self.found(found, &format!("name {name}")) {
                if let Some(refusal) = self.refused_by_last((7, 1), "access denied") {
                    return self.decide(refusal);
                }
                break;
            }
        }
        if let Some(name) = names.first().filter(|_| !facts.friend && !self.is_trusted()) {
            let turn = self.next_turn();
            let named = self.said(|a| a.dns_lists.as_ref()).map(|(zones, _)| zones.clone());
            policy.ask_lists(About::Name, &Subject::Domain(name), named.as_ref(), turn, ask);
        }
        if self.asked(Stage::Named, ask) { Turn::Asked } else { self.connected(policy, facts, ask) }
    }

    pub(crate) fn connected(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        if let Some(more) = &mut self.more {
            more.of_connection = more.rules.len();
        }
        if let Some(client) = facts.client.filter(|_| policy.scores.at_connect && !self.is_trusted()) {
            let score = self.more.as_ref().map(|more| more.score.clone()).unwrap_or_default();
            if let Some(decision) = self.by_score(policy, &score, &client.to_string()) {
                return self.finish(decision);
            }
        }
        if self.result.is_some() {
            return self.finish(Decision::accept());
        }
        self.served(policy, facts, State::Connect, ask)
    }

    /// `refuse` or `defer` of the rule that was found last. One about everybody is no refusal before the greeting.
    fn refused_by_last(&mut self, status: (u16, u16), otherwise: &str) -> Option<Decision> {
        let rule = self.rules().last()?;
        refusal(rule, status, otherwise).filter(|_| rule.attributes.trust != Some(true))
    }

    /// What a score comes to.
    pub(crate) fn by_score(&self, policy: &Policy, score: &Score, subject: &str) -> Option<Decision> {
        let reached = |at: i32| at > 0 && score.sum >= at;
        let plain = format!("{subject} is listed by {}", score.zones.join(", "));
        let text = if score.text.is_empty() { plain } else { format!("{plain}: {}", score.text) };
        let rule = self.said(|a| a.message.as_ref().map(|_| ())).map(|(_, rule)| rule);
        let text = rule.map_or(text.as_str(), |rule| message(rule, &text));
        let reply = if reached(policy.scores.refuse_at) {
            Reply::new(550, Enhanced::permanent(7, 1), text)
        } else if reached(policy.scores.defer_at) {
            Reply::new(450, Enhanced::transient(7, 1), text)
        } else {
            return None;
        };
        let place = score.zones.first().and_then(|zone| policy.lists.iter().find(|list| list.zone == *zone));
        let rule = place.map(|list| format!("{}:{}", policy.file, list.line)).unwrap_or_default();
        let cause = Cause { what: "dns_list", rule, score: Some(score.sum), detail: score.zones.join(" ") };
        Some(Decision { cause: Some(Box::new(cause)), ..Decision::refuse(reply, "dns_list", "") })
    }
}
