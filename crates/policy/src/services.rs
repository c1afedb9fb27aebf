//! Policy services of others (Postfix's policy delegation protocol): at which states of a session they are asked, what they
//! are told, and what comes of their answers.
//!
//! Which services: the latest rule's `policy_services`. When: `states` of each. A refusal is said where it was asked for.

use crate::book::Policy;
use crate::decision::{Cause, Decision, Questions, Turn, Verdict};
use crate::delegation::{self, Action, Encryption, Login, State};
use crate::facts::Facts;
use crate::query::{Answer, Query, QueryId, What};
use crate::session::{Session, Stage};
use address::Path;
use status::{Enhanced, Reply};

impl Session {
    /// EHLO or HELO. Asked only where a service wants it, as the two below.
    pub fn hello(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        if let Some(more) = &mut self.more {
            // Those of the last transaction say nothing about what comes.
            more.rules.truncate(more.of_connection);
            more.rule = None;
        }
        self.served(policy, facts, if facts.extended { State::Ehlo } else { State::Helo }, ask)
    }

    /// DATA, or the first chunk.
    pub fn data(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        self.served(policy, facts, State::Data, ask)
    }

    /// The message is there, and nobody was told that it is accepted.
    pub fn end_of_message(&mut self, policy: &Policy, facts: &Facts<'_>, ask: &mut Questions) -> Turn {
        self.served(policy, facts, State::EndOfMessage, ask)
    }

    /// A layer of nothing but services.
    pub(crate) fn served(&mut self, policy: &Policy, facts: &Facts<'_>, state: State, ask: &mut Questions) -> Turn {
        self.result = None;
        let turn = self.next_turn();
        self.ask_services(policy, facts, state, turn, ask);
        if self.asked(Stage::Served(state), ask) { Turn::Asked } else { self.decide(Decision::accept()) }
    }

    /// Asks those that rules name and that want to be asked at this state.
    pub(crate) fn ask_services(&self, policy: &Policy, facts: &Facts<'_>, state: State, turn: u32, ask: &mut Questions) {
        if !policy.is_served_at(state) || self.is_trusted() {
            return;
        }
        let Some((services, _)) = self.said(|a| a.policy_services.as_ref()) else { return };
        for (number, service) in (0_u16..).zip(services).filter(|(_, service)| policy.serves(service, state)) {
            let query = Query::Delegate { service: service.clone(), attributes: self.attributes(facts, state) };
            ask.push((QueryId { turn, what: What::Service(number) }, query));
        }
    }

    pub(crate) fn service_said(&mut self, number: u16, answer: Answer) {
        let (name, place) = match self.said(|a| a.policy_services.as_ref()) {
            Some((services, rule)) => (services.get(usize::from(number)).cloned().unwrap_or_default(), rule.place.clone()),
            None => return,
        };
        let refused = |reply: Reply| Decision::refuse(reply, "policy_service", &place).detailed(name.clone());
        match answer {
            Answer::Action(Ok(text)) => match Action::read(&text) {
                Ok(Action::Permit | Action::Continue) => {}
                // Nothing comes after the services that could refuse instead, but greylisting, which defers too.
                Ok(Action::Reply(reply) | Action::DeferIfPermit(reply)) => self.conclude(refused(reply)),
                Ok(Action::DeferIfReject(reply)) => {
                    if let Some(result) = self.result.as_mut().filter(|r| matches!(&r.verdict, Verdict::Refuse(hard) if hard.code >= 500)) {
                        **result = refused(reply);
                    }
                }
                Ok(Action::Hold(_) | Action::Discard(_)) if self.is_within_transaction() => self.freeze("policy_service", &place, &name),
                Ok(Action::Warn(detail)) => self.log(Cause { what: "policy_service", rule: place, score: None, detail }),
                Ok(Action::Prepend(line)) if self.precedes_content() => {
                    if let Some(more) = self.more.as_mut().filter(|more| more.end.prepend.len() < 20 && !more.end.prepend.contains(&line)) {
                        more.end.prepend.push(line);
                    }
                }
                Ok(Action::Hold(_) | Action::Discard(_) | Action::Prepend(_)) => {
                    let detail = format!("{name}: {:.20} is of no use here", text.trim());
                    self.log(Cause { what: "policy_service", rule: place, score: None, detail });
                }
                Err(unusable) => {
                    let decision = Decision::refuse(unusable.reply(), "policy_service", &place).detailed(format!("{name}: {unusable}"));
                    self.conclude(decision);
                }
            },
            _ => self.conclude(refused(Reply::new(451, Enhanced::transient(3, 5), "a policy service did not answer, try again later"))),
        }
    }

    /// There is a message that an action can be about.
    const fn is_within_transaction(&self) -> bool {
        !matches!(self.stage, Stage::Served(State::Connect | State::Ehlo | State::Helo))
    }

    /// A header line can still be put before the message's own.
    const fn precedes_content(&self) -> bool {
        self.is_within_transaction() && !matches!(self.stage, Stage::Served(State::EndOfMessage))
    }

    /// The request of Postfix's policy delegation protocol.
    fn attributes(&self, facts: &Facts<'_>, state: State) -> Vec<(String, String)> {
        let recipient = facts.candidate.map(|(recipient, _)| recipient).or(facts.only);
        let sender = match facts.sender {
            Some(Path::Mailbox(address)) => address.as_str(),
            _ => "",
        };
        // Workers count by themselves, and services tell messages apart by this.
        let instance = format!("{:x}.{:x}.{:x}", std::process::id(), facts.number, self.transactions);
        let login = facts.user.map(|user| Login { method: user.mechanism, user: user.name, sender: "" });
        let asked = delegation::Facts {
            extended: facts.extended,
            hello: facts.hello,
            sender,
            recipient: recipient.map_or("", |recipient| recipient.as_str()),
            recipient_count: facts.recipients as u64,
            queue_id: facts.message.map_or("", |message| message.id),
            client_port: facts.port,
            client_name: self.name(),
            reverse_client_name: self.name(),
            instance: &instance,
            login: login.unwrap_or_default(),
            size: Some(facts.message.map_or(facts.declared_size, |message| message.size)),
            encryption: facts.tls.then_some(Encryption { protocol: "TLS", cipher: "", key_bits: 0 }),
            policy_context: facts.listener_word(),
            ..delegation::Facts::new(state, facts.client)
        };
        asked.attributes()
    }
}
