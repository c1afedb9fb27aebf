//! MAIL: the greeting's name, the user, the sender. What is found is carried to RCPT, so that postmaster can be reached
//! (RFC 5321 section 4.5.1) and the log has the recipients; only limits, sizes and senders of users are refused here.

use crate::book::{By, Policy};
use crate::decision::{Cause, Decision, Questions, Turn};
use crate::delegation::State;
use crate::facts::Facts;
use crate::lists::Subject;
use crate::query::{Answer, Query, QueryId, What};
use crate::rule::{Rule, covers};
use crate::session::{End, Session, Stage, message as text_of, refusal};
use ipc::dns::{self, SpfResult};
use ipc::rates::{Event, Kind, Limit, Per};
use message::ReceivedSpf;
use settings::{About, SpfAction};
use status::{Enhanced, Reply};

impl Session {
    /// For each transaction.
    pub fn mail(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        self.stage = Stage::Mail;
        self.result = None;
        self.transactions = self.transactions.wrapping_add(1);
        if let Some(refusal) = sender_login(facts) {
            return self.decide(refusal);
        }
        if !policy.is_plain() {
            self.rules_of_mail(policy, facts);
            if let Some(refusal) = self.too_large(facts.declared_size) {
                return self.decide(refusal);
            }
        }
        let turn = self.next_turn();
        self.ask_rate(policy, facts, Kind::Message, turn, ask);
        if !policy.is_plain() && !self.is_trusted() && self.more.as_ref().is_some_and(|more| more.carried.is_none()) {
            self.ask_about_sender(policy, facts, turn, ask);
            self.ask_services(policy, facts, State::Mail, turn, ask);
        }
        if self.asked(Stage::Mail, ask) { Turn::Asked } else { self.mailed(policy, facts) }
    }

    fn rules_of_mail(&mut self, policy: &Policy, facts: &Facts<'_>) {
        let more = self.more.get_or_insert_with(Box::default);
        more.rules.truncate(more.of_connection);
        more.rule = None;
        (more.carried, more.greylist, more.end) = (None, None, End::default());
        more.listed = Default::default();
        let first = more.of_connection;
        let names = self.names().to_vec();
        if let Ok(hello) = address::normalise(facts.hello) {
            self.found(policy.find(By::Helo(&hello), facts, &names), &format!("helo {hello}"));
        }
        if let Some(user) = facts.user {
            self.found(policy.find(By::User(user.name), facts, &names), &format!("user {}", user.name));
        }
        let sender = facts.sender_key();
        self.found(policy.find(By::Sender(&sender), facts, &names), &format!("sender {sender}"));
        let refused = self.rules().get(first..).unwrap_or_default().iter().find_map(|rule| refusal(rule, (7, 1), "access denied"));
        // A rule about everybody refuses here and not before the greeting.
        let everybody = self.rules().first().filter(|rule| rule.kind == 0).and_then(|rule| refusal(rule, (7, 1), "access denied"));
        if !self.is_trusted() {
            self.carry(everybody.or(refused));
        }
        let frozen = self.said(|a| a.freeze).filter(|(freeze, _)| *freeze).map(|(_, rule)| rule.place.clone());
        if let Some(rule) = frozen {
            self.freeze("rule", &rule, "by rule");
        }
        let unfiltered = self.said(|a| a.filter).is_some_and(|(filter, _)| !filter);
        let max_size = self.said(|a| a.max_size).map(|(size, rule)| (size, rule.place.clone()));
        if let Some(more) = &mut self.more {
            more.end.unfiltered = unfiltered;
            more.end.max_size = max_size;
        }
    }

    pub(crate) fn carry(&mut self, decision: Option<Decision>) {
        if let Some(more) = self.more.as_mut().filter(|more| more.carried.is_none()) {
            more.carried = decision;
        }
    }

    pub(crate) fn freeze(&mut self, what: &'static str, rule: &str, reason: &str) {
        if let Some(more) = self.more.as_mut().filter(|more| more.end.freeze.is_none()) {
            let reason = if rule.is_empty() { reason.to_owned() } else { format!("{reason} ({rule})") };
            more.log.push(Cause { what, rule: rule.to_owned(), score: None, detail: "freeze".to_owned() });
            more.end.freeze = Some(reason);
        }
    }

    fn too_large(&self, size: u64) -> Option<Decision> {
        let (_, rule) = self.said(|a| a.max_size).filter(|(most, _)| size > *most)?;
        Some(Decision::refuse(Reply::new(552, Enhanced::permanent(3, 4), text_of(rule, "message too large")), "size", &rule.place))
    }

    fn ask_about_sender(&mut self, policy: &Policy, facts: &Facts<'_>, turn: u32, ask: &mut Questions) {
        let domain = facts.sender_domain();
        let ours = |domain: &str| policy.local_domains.iter().any(|pattern| covers(pattern, domain));
        if let Some(domain) = domain.as_ref().filter(|domain| !domain.starts_with('[') && !ours(domain))
            && self.said(|a| a.check_sender_domain).is_some_and(|(check, _)| check)
        {
            ask.push((QueryId { turn, what: What::SenderHosts }, Query::MailHosts(domain.clone())));
        }
        let Some(address) = facts.client.filter(|_| !facts.friend && facts.user.is_none()) else { return };
        if self.said(|a| a.spf.as_ref()).is_some_and(|(actions, _)| !actions.is_empty()) {
            let sender = facts.sender.and_then(|path| path.address()).map(|address| address.as_str().to_owned());
            ask.push((QueryId { turn, what: What::Spf }, Query::Spf { address, hello: facts.hello.to_owned(), sender }));
        }
        let named = self.said(|a| a.dns_lists.as_ref()).map(|(zones, _)| zones.clone());
        if let Ok(hello) = address::normalise(facts.hello) {
            policy.ask_lists(About::Helo, &Subject::Domain(&hello), named.as_ref(), turn, ask);
        }
        if let Some(domain) = &domain {
            policy.ask_lists(About::Sender, &Subject::Domain(domain), named.as_ref(), turn, ask);
        }
    }

    /// Asks the tracker where anything is limited.
    pub(crate) fn ask_rate(&mut self, policy: &Policy, facts: &Facts<'_>, kind: Kind, turn: u32, ask: &mut Questions) {
        let Some(address) = facts.client else { return };
        let most = self.said(|a| if kind == Kind::Message { a.max_messages } else { a.max_recipients });
        let asks = most.is_some() || policy.limits(kind, facts.user.is_some());
        let hard = self.said(|a| a.hard_limits).is_some_and(|(hard, _)| hard);
        let limits: Vec<Limit> = most.map(|(most, rule)| Limit { per: per(rule), kind, most, hard }).into_iter().collect();
        let counted = if kind == Kind::Message { &mut self.counted.0 } else { &mut self.counted.1 };
        *counted = asks;
        if !asks {
            return;
        }
        let domain =
            (policy.limits_domains || limits.iter().any(|limit| limit.per == Per::SenderDomain)).then(|| facts.sender_domain()).flatten();
        let user = facts.user.map(|user| user.name.to_lowercase());
        let event = Event { address, user, domain, kind, count: 1 };
        ask.push((QueryId { turn, what: What::Rate }, Query::Rate { event, limits }));
    }

    pub(crate) fn mailed(&mut self, policy: &Policy, facts: &Facts<'_>) -> Turn {
        let Some(more) = &self.more else { return self.finish(Decision::accept()) };
        if !self.is_trusted() {
            let mut score = more.score.clone();
            score.sum = score.sum.saturating_add(more.listed.sum);
            score.zones.extend(more.listed.zones.iter().cloned());
            if score.text.is_empty() {
                score.text.clone_from(&more.listed.text);
            }
            let subject = facts.client.map(|client| client.to_string()).unwrap_or_default();
            let decision = self.by_score(policy, &score, &subject);
            self.carry(decision);
        }
        self.finish(Decision::accept())
    }

    pub(crate) fn sender_hosts(&mut self, answer: Answer) {
        let rule = self.said(|a| a.check_sender_domain).map(|(_, rule)| rule);
        let place = rule.map(|rule| rule.place.clone()).unwrap_or_default();
        let text = |otherwise: &str| rule.map_or(otherwise, |rule| text_of(rule, otherwise)).to_owned();
        let reply = match answer {
            Answer::Dns(Ok(dns::Answer::MailHosts(_))) => return,
            Answer::Dns(Err(dns::Trouble::NullMx)) => {
                Reply::new(550, Enhanced::permanent(7, 27), text("the sender's domain takes no mail (RFC 7505)"))
            }
            Answer::Dns(Err(dns::Trouble::NoSuchName | dns::Trouble::NoRecords | dns::Trouble::Invalid)) => {
                Reply::new(550, Enhanced::permanent(1, 8), text("the sender's domain does not exist, or takes no mail"))
            }
            _ => Reply::new(451, Enhanced::transient(1, 8), text("the sender's domain cannot be looked up, try again later")),
        };
        self.carry(Some(Decision::refuse(reply, "sender_domain", &place)));
    }

    pub(crate) fn spf(&mut self, policy: &Policy, facts: &Facts<'_>, answer: Answer) {
        let (result, domain, explanation) = match answer {
            Answer::Dns(Ok(dns::Answer::Spf(spf))) => (spf.result, spf.domain, spf.explanation),
            _ => (SpfResult::TempError, facts.sender_domain().unwrap_or_else(|| facts.hello.to_owned()), String::new()),
        };
        self.record_spf(policy, facts, result);
        let Some((action, rule)) = self.said(|a| a.spf.as_ref()?.get(result.word()).copied()) else { return };
        let place = rule.place.clone();
        let detail = format!("{} {domain}", result.word());
        let plain = format!("SPF of {domain} says {} for this client", result.word());
        let text = if explanation.is_empty() { plain } else { format!("{plain}: {explanation}") };
        let text = text_of(rule, &text).to_owned();
        let status = if result == SpfResult::PermError { 24 } else { 23 };
        match action {
            SpfAction::Accept => {}
            SpfAction::Warn => self.log(Cause { what: "spf", rule: place, score: None, detail }),
            SpfAction::Greylist => {
                if let Some(more) = &mut self.more {
                    more.greylist = Some(place);
                }
            }
            SpfAction::Freeze => self.freeze("spf", &place, &detail),
            SpfAction::Defer => {
                let reply = Reply::new(451, Enhanced::transient(7, status), text);
                self.carry(Some(Decision::refuse(reply, "spf", &place).detailed(detail)));
            }
            SpfAction::Refuse => {
                let reply = Reply::new(550, Enhanced::permanent(7, status), text);
                self.carry(Some(Decision::refuse(reply, "spf", &place).detailed(detail)));
            }
        }
    }

    /// RFC 7208 section 9.1.
    fn record_spf(&mut self, policy: &Policy, facts: &Facts<'_>, result: SpfResult) {
        let (Some(client), Some(more)) = (facts.client.filter(|_| policy.received_spf), &mut self.more) else { return };
        let sender = facts.sender.and_then(|path| path.address()).map_or("", |address| address.as_str());
        let spf = ReceivedSpf {
            result: result.word(),
            receiver: &policy.hostname,
            client,
            sender,
            helo: facts.hello,
            by_sender: !sender.is_empty(),
        };
        more.end.prepend.push(message::received_spf(&spf));
    }

    pub(crate) fn log(&mut self, cause: Cause) {
        if let Some(more) = &mut self.more {
            more.log.push(cause);
        }
    }
}

/// A user who has logged in writes under the senders that are that user's.
fn sender_login(facts: &Facts<'_>) -> Option<Decision> {
    let user = facts.user?;
    if crate::identity::may_send_as(user.rule, user.name, user.senders, &facts.sender_key()) {
        return None;
    }
    let reply = Reply::new(553, Enhanced::permanent(7, 1), "this sender is not yours");
    Some(Decision::refuse(reply, "sender_login", "").detailed(user.name))
}

const fn per(rule: &Rule) -> Per {
    match rule.kind {
        b'u' => Per::User,
        b's' => Per::SenderDomain,
        _ => Per::Address,
    }
}
