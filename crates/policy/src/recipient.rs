//! RCPT: what was carried here, the recipient's own rule, its right to be taken, and who else is asked.

use crate::book::{By, Policy};
use crate::decision::{Decision, Questions, Turn, Verdict};
use crate::delegation::State;
use crate::facts::{Facts, mailbox_key};
use crate::query::{Answer, Query, QueryId, What};
use crate::rule::{Rule, covers};
use crate::session::{Session, Stage, message, no_helper, refusal};
use address::Address;
use ipc::rates::{Kind, Triplet};
use ipc::{callahead, dns, routing};
use settings::Otherwise;
use smtp::server::Standing;
use status::{Enhanced, Reply};

pub(crate) const DENIED: &str = "relaying denied";

/// What is known of a recipient before any rule: for `zpost policy test`.
fn standing_said(standing: Standing, recipient: &Address) -> String {
    let domain = recipient.domain().unwrap_or_default();
    match standing {
        Standing::Verify => format!("relay: {domain} is taken here, for everybody"),
        Standing::Permitted => "relay: not to a domain of ours; [relay] or the client's login allows it".to_owned(),
        Standing::Denied => format!("relay: {domain} is not ours, the client is not in [relay] networks and has no login"),
    }
}

impl Session {
    /// For each recipient.
    pub fn recipient(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        self.stage = Stage::Recipient;
        self.result = None;
        let Some((recipient, standing)) = facts.candidate else { return self.decide(Decision::accept()) };
        if let Some(more) = &mut self.more {
            (more.granted, more.ours) = (false, false);
        }
        if !policy.is_plain() {
            self.begin_recipient(policy, facts, recipient);
        }
        let turn = self.next_turn();
        if let Some(refusal) = self.by_rules(policy, facts, recipient, standing, turn, ask) {
            ask.clear();
            return self.decide(refusal);
        }
        self.ask_rate(policy, facts, Kind::Recipient, turn, ask);
        if self.asked(Stage::Recipient, ask) { Turn::Asked } else { self.limited(policy, facts, ask) }
    }

    fn begin_recipient(&mut self, policy: &Policy, facts: &Facts<'_>, recipient: &Address) {
        let key = mailbox_key(recipient);
        let names = self.names().to_vec();
        let found = policy.find(By::Recipient(&key), facts, &names);
        let more = self.more.get_or_insert_with(Box::default);
        more.routes.clear();
        (more.granted, more.rule) = (false, None);
        match found {
            Ok(None) => {}
            Ok(Some(rule)) => {
                self.matched(&rule, &format!("recipient {key}"));
                if let Some(more) = &mut self.more {
                    more.rule = Some(rule);
                }
            }
            Err(trouble) => self.trouble(&trouble),
        }
    }

    /// What needs nobody's answer; asks whether we are a mail exchanger where that counts.
    fn by_rules(
        &mut self,
        policy: &Policy,
        facts: &Facts<'_>,
        recipient: &Address,
        standing: Standing,
        turn: u32,
        ask: &mut Questions,
    ) -> Option<Decision> {
        let postmaster = standing == Standing::Verify && recipient.unquoted_local().eq_ignore_ascii_case("postmaster");
        if postmaster {
            self.step(|| (String::new(), "postmaster is always reached".to_owned()));
            self.result = None;
            return None;
        }
        if let Some(trouble) = self.result.take() {
            return Some(*trouble);
        }
        let own = self.more.as_ref().and_then(|more| more.rule.clone());
        if !self.is_trusted() {
            if let Some(refused) = own.as_deref().and_then(|rule| refusal(rule, (7, 1), "access denied")) {
                return Some(refused);
            }
            if let Some(carried) = self.more.as_ref().and_then(|more| more.carried.clone()).filter(|d| !lifted(d, own.as_deref())) {
                return Some(carried);
            }
        }
        if let Some((_, rule)) = self.said(|a| a.max_size).filter(|(most, _)| facts.declared_size > *most) {
            let reply = Reply::new(552, Enhanced::permanent(2, 3), message(rule, "message too large for this recipient"));
            return Some(Decision::refuse(reply, "size", &rule.place));
        }
        self.right(policy, recipient, standing, own.as_deref(), turn, ask)
    }

    /// May mail go there at all?
    fn right(
        &mut self,
        policy: &Policy,
        recipient: &Address,
        standing: Standing,
        own: Option<&Rule>,
        turn: u32,
        ask: &mut Questions,
    ) -> Option<Decision> {
        self.step(|| (String::new(), standing_said(standing, recipient)));
        let denied = |place: &str| Decision::refuse(Reply::new(550, Enhanced::permanent(7, 1), DENIED), "relay", place);
        let domain = recipient.domain().and_then(|domain| address::normalise(domain).ok());
        let about = |said: Option<(bool, &Rule)>| said.map(|(yes, rule)| (yes, rule.place.clone()));
        let by_recipient = about(own.and_then(|rule| rule.attributes.relay.map(|yes| (yes, rule))));
        // A right comes only from what the client cannot make up; losing it may come from anything.
        let by_client = self.rules().iter().rev().find_map(|rule| {
            let trust = rule.attributes.trust.filter(|trust| *trust && rule.proves);
            rule.attributes.relay.or(trust).filter(|yes| !*yes || rule.proves).map(|yes| (yes, rule.place.clone()))
        });
        let relayed = domain.as_ref().is_some_and(|domain| policy.relay_domains.iter().any(|pattern| covers(pattern, domain)));
        match (standing, by_recipient, by_client) {
            (Standing::Verify, Some((false, place)), _) => return Some(denied(&place)),
            (Standing::Verify, ..) => return None,
            (_, Some((false, place)), _) => return Some(denied(&place)),
            (Standing::Permitted, None, Some((false, place))) if !relayed => return Some(denied(&place)),
            (Standing::Permitted, ..) => {
                self.ask_kinship(policy, domain.as_deref().filter(|_| !relayed), turn, ask);
                return None;
            }
            (Standing::Denied, Some((true, place)), _) | (Standing::Denied, None, Some((true, place))) => {
                self.grant(&place);
                return None;
            }
            (Standing::Denied, None, _) => {}
        }
        let otherwise = self.said(|a| a.relay_if_mx).map(|(otherwise, _)| otherwise).unwrap_or(Otherwise::Off);
        let asked = self.ask_kinship(policy, domain.as_deref(), turn, ask);
        match domain.filter(|domain| otherwise != Otherwise::Off && !domain.starts_with('[')) {
            None if asked => None,
            None => Some(denied("")),
            Some(domain) => {
                ask.push((QueryId { turn, what: What::OwnHosts }, Query::MailHosts(domain)));
                None
            }
        }
    }

    pub(crate) fn grant(&mut self, place: &str) {
        self.step(|| (place.to_owned(), "may be relayed".to_owned()));
        if let Some(more) = &mut self.more {
            more.granted = true;
        }
    }

    pub(crate) fn own_hosts(&mut self, policy: &Policy, answer: Answer) {
        let ours = |host: &dns::MailHost| {
            address::normalise(&host.name).is_ok_and(|name| name == policy.hostname)
                || host.addresses.iter().any(|address| policy.own_addresses.contains(&address.to_canonical()))
        };
        if let Answer::Dns(Ok(dns::Answer::MailHosts(found))) = &answer
            && found.hosts.iter().any(ours)
        {
            return self.grant("");
        }
        if self.more.as_ref().is_some_and(|more| more.granted) {
            return;
        }
        let (otherwise, place, text) = match self.said(|a| a.relay_if_mx) {
            Some((otherwise, rule)) => (otherwise, rule.place.clone(), message(rule, DENIED).to_owned()),
            None => (Otherwise::Refuse, String::new(), DENIED.to_owned()),
        };
        let unknown = matches!(answer, Answer::Nothing | Answer::Dns(Err(dns::Trouble::Temporary(_))));
        let reply = match otherwise {
            Otherwise::Refuse if !unknown => Reply::new(550, Enhanced::permanent(7, 1), text),
            _ => Reply::new(450, Enhanced::transient(7, 1), text),
        };
        self.conclude(Decision::refuse(reply, "relay", &place));
    }

    /// Within the limits, and with a right: does the recipient exist?
    pub(crate) fn limited(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        let Some((recipient, standing)) = facts.candidate.filter(|_| self.result.is_none()) else {
            return self.end_recipient(policy, facts);
        };
        let turn = self.next_turn();
        let unchecked = self.said(|a| a.trust_recipients).is_some_and(|(unchecked, _)| unchecked);
        let wanted = self.said(|a| a.verify_recipient).map_or(standing == Standing::Verify || self.is_ours(), |(wanted, _)| wanted);
        if (wanted && !unchecked) || self.wants_next_hop(policy, recipient) {
            let sender = match facts.sender {
                Some(address::Path::Mailbox(address)) => address.as_str().to_owned(),
                _ => "<>".to_owned(),
            };
            ask.push((QueryId { turn, what: What::Verify }, Query::Verify { address: recipient.as_str().to_owned(), sender }));
        }
        if self.asked(Stage::Verify, ask) { Turn::Asked } else { self.verified(policy, facts, ask) }
    }

    fn wants_next_hop(&self, policy: &Policy, recipient: &Address) -> bool {
        let configured = || {
            let domain = recipient.domain().and_then(|domain| address::normalise(domain).ok());
            domain.is_some_and(|domain| policy.ahead_domains.iter().any(|pattern| covers(pattern, &domain)))
        };
        !policy.is_plain() && self.said(|a| a.call_ahead).map_or_else(configured, |(wanted, _)| wanted)
    }

    pub(crate) fn router_said(&mut self, _: &Facts<'_>, answer: Answer) {
        match answer {
            Answer::Router(routing::Answer::Routed { quads, .. }) => {
                if let Some(more) = &mut self.more {
                    more.routes = quads.into_iter().map(|quad| (quad.channel, quad.host)).collect();
                }
            }
            Answer::Router(routing::Answer::Refused { reply, .. }) => self.conclude(Decision::refuse(reply, "router", "")),
            _ => self.conclude(Decision::refuse(no_helper(), "router", "")),
        }
    }

    /// It exists as far as we know: the next hop and policy services.
    pub(crate) fn verified(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        let Some((recipient, _)) = facts.candidate.filter(|_| self.result.is_none()) else {
            return self.end_recipient(policy, facts);
        };
        let turn = self.next_turn();
        if self.wants_next_hop(policy, recipient)
            && let Some(more) = &self.more
            && let [(channel, host)] = more.routes.as_slice()
            && matches!(channel.as_str(), "smtp" | "lmtp")
        {
            let (recipient, host, channel) = (recipient.as_str().to_owned(), host.clone(), channel.clone());
            ask.push((QueryId { turn, what: What::CallAhead }, Query::CallAhead { recipient, host, channel }));
        }
        if !self.is_postmaster(facts) {
            self.ask_services(policy, facts, State::Rcpt, turn, ask);
        }
        if self.asked(Stage::Ahead, ask) { Turn::Asked } else { self.judged(policy, facts, ask) }
    }

    fn is_postmaster(&self, facts: &Facts<'_>) -> bool {
        facts.candidate.is_some_and(|(recipient, standing)| {
            (standing == Standing::Verify || self.is_ours()) && recipient.unquoted_local().eq_ignore_ascii_case("postmaster")
        })
    }

    /// What the next hop will not say now it says at delivery: mail for it is taken, as by any backup host.
    pub(crate) fn next_hop_said(&mut self, answer: Answer) {
        if let Answer::CallAhead(callahead::Verdict::Refused(reply)) = answer {
            self.conclude(Decision::refuse(reply, "call_ahead", ""));
        }
    }

    /// Nobody refuses: is it new?
    pub(crate) fn judged(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        let wanted = self.said(|a| a.greylist).map(|(wanted, _)| wanted);
        let by_spf = self.more.as_ref().is_some_and(|more| more.greylist.is_some());
        let exempt = facts.friend || facts.user.is_some() || self.is_trusted() || self.is_postmaster(facts);
        if policy.is_plain() || exempt || self.result.is_some() || !(wanted == Some(true) || by_spf && wanted.is_none()) {
            return self.end_recipient(policy, facts);
        }
        let (Some(address), Some((recipient, _))) = (facts.client, facts.candidate) else {
            return self.end_recipient(policy, facts);
        };
        let sender = Some(facts.sender_key()).filter(|sender| sender != "<>").unwrap_or_default();
        let triplet = Triplet { address, sender, recipient: mailbox_key(recipient) };
        let turn = self.next_turn();
        ask.push((QueryId { turn, what: What::Grey }, Query::Grey(triplet)));
        self.asked(Stage::Grey, ask);
        Turn::Asked
    }

    pub(crate) fn greylist_said(&mut self, answer: Answer) {
        // Who cannot be asked has nothing against it: greylisting is a delay, not a lock.
        let Answer::Rate(verdict) = answer else { return };
        if verdict.wait.is_zero() && verdict.refuse.is_none() {
            return;
        }
        let rule = self.said(|a| a.greylist).map(|(_, rule)| rule);
        let by_spf = self.more.as_ref().and_then(|more| more.greylist.clone()).unwrap_or_default();
        let plain = format!("greylisted, try again in {} seconds", verdict.wait.as_secs().max(1));
        let text = rule.map_or(plain.as_str(), |rule| message(rule, &plain));
        let place = rule.map_or(by_spf, |rule| rule.place.clone());
        let reply = Reply::new(450, Enhanced::transient(7, 1), text);
        self.conclude(Decision::refuse(reply, "greylist", &place));
    }

    pub(crate) fn end_recipient(&mut self, policy: &Policy, facts: &Facts<'_>) -> Turn {
        if self.result.is_none() {
            self.class(policy, facts);
        }
        let mut granted = false;
        if let Some(more) = self.more.as_mut().filter(|_| self.result.is_none()) {
            granted = more.granted;
            let own = more.rule.as_ref();
            let least = own.and_then(|rule| rule.attributes.max_size.map(|size| (size, rule.place.clone())));
            if let Some(own) = least.filter(|own| more.end.max_size.as_ref().is_none_or(|most| own.0 < most.0)) {
                more.end.max_size = Some(own);
            }
            let frozen = own.filter(|rule| rule.attributes.freeze == Some(true)).map(|rule| rule.place.clone());
            if let Some(place) = frozen {
                self.freeze("rule", &place, "by rule");
            }
        }
        let verdict = if granted { Verdict::Grant } else { Verdict::Accept };
        let turn = self.finish(Decision { verdict, cause: None });
        if let Some(more) = &mut self.more {
            more.rule = None;
        }
        turn
    }
}

/// A recipient's own rule may want mail of listed clients.
fn lifted(carried: &Decision, own: Option<&Rule>) -> bool {
    let listed = carried.cause.as_ref().is_some_and(|cause| cause.what == "dns_list");
    listed && own.is_some_and(|rule| rule.attributes.dns_lists.as_ref().is_some_and(|zones| zones.iter().any(|zone| zone == "none")))
}
