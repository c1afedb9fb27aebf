//! Policy and its questions: each layer of a session's policy, the way of its questions to other processes, and of
//! their answers back.

use crate::connection::{Awaiting, Connection};
use crate::context::Client;
use crate::sync::Key;
use crate::worker::Worker;
use ipc::dns::{self, Question};
use ipc::rates::{ToTracker, Verdict as Rated};
use ipc::routing::{self, ToRoutermux};
use ipc::{callahead, delegate};
use mio::Registry;
use policy::{Answer, Decision, Facts, Policy, Query, QueryId, Questions, Turn, Verdict};
use settings::{ListenerKind, SenderRule};
use smtp::server::{Grant, Inquiry, Standing};
use std::time::Instant;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The tracker's word on a connection, before policy.
    Connection(Key),
    Policy(Key, QueryId),
    /// VRFY, EXPN.
    Inquiry(Key, Inquiry),
    /// A `zpost policy test`.
    Trial(u64, QueryId),
}

/// Where a session stands with its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Connect,
    Hello,
    Mail,
    Recipient(Standing),
    /// Before the content.
    Data,
    /// The content is there.
    End,
}

impl Layer {
    /// For the log.
    const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Hello => "helo",
            Self::Mail => "mail",
            Self::Recipient(_) => "rcpt",
            Self::Data => "data",
            Self::End => "end-of-message",
        }
    }
}

/// What a policy may look at. Parts of the connection and not the whole, since its policy is at work meanwhile.
fn facts<'c>(c: &'c Connection, kind: Option<ListenerKind>, rule: SenderRule, standing: Option<Standing>) -> Facts<'c> {
    let ended = c.message.as_ref().and_then(|message| Some((message, message.ended.as_ref()?)));
    let transaction = c.session.transaction().or(ended.map(|(_, ended)| &*ended.transaction));
    let recipients = transaction.map_or(&[][..], |t| t.recipients());
    let user = crate::authentication::user(c, rule);
    Facts {
        client: if let Client::Network(address) = c.client { Some(address) } else { None },
        listener: kind.unwrap_or(ListenerKind::Smtp),
        friend: !c.conduct.stranger,
        user,
        tls: matches!(c.stream, crate::connection::Stream::Tls(_)),
        hello: c.session.hello().unwrap_or_default(),
        extended: c.session.with() != "SMTP",
        port: 0,
        sender: transaction.map(|t| &t.sender),
        declared_size: transaction.map_or(0, |t| t.declared_size),
        recipients: recipients.len(),
        only: if let [only] = recipients { Some(&only.address) } else { None },
        verdicts: c.session.has_verdicts(),
        message: ended.map(|(message, _)| policy::Message { id: message.id.as_str(), size: message.size() }),
        candidate: standing.and_then(|standing| Some((c.session.candidate()?, standing))),
        number: c.number,
    }
}

impl Worker {
    /// One step of a session's policy: `step` gets it with all it may see.
    fn with_policy<T>(
        &mut self,
        c: &mut Connection,
        layer: Layer,
        step: impl FnOnce(&mut policy::Session, &Policy, &Facts<'_>, &mut Questions) -> T,
    ) -> T {
        let mut session = std::mem::take(&mut c.policy);
        let mut questions = std::mem::take(&mut self.questions);
        let standing = if let Layer::Recipient(standing) = layer { Some(standing) } else { None };
        let facts = facts(c, self.context.kind(c.listener), self.context.settings.auth.senders, standing);
        let done = step(&mut session, &self.context.policy, &facts, &mut questions);
        self.questions = questions;
        c.policy = session;
        done
    }

    /// Before the greeting. False: answers are awaited, or the client has been turned away.
    pub(crate) fn connect_policy(&mut self, c: &mut Connection, key: Key) -> bool {
        if self.context.policy.is_plain() {
            return true;
        }
        let turn = self.with_policy(c, Layer::Connect, policy::Session::connect);
        self.pursue(c, key, Layer::Connect, turn)
    }

    /// Where a policy service is asked about names of EHLO.
    pub(crate) fn hello_policy(&mut self, c: &mut Connection, key: Key) {
        let turn = self.with_policy(c, Layer::Hello, policy::Session::hello);
        self.pursue(c, key, Layer::Hello, turn);
    }

    /// DATA, where one is asked then.
    pub(crate) fn data_policy(&mut self, c: &mut Connection, key: Key) {
        let turn = self.with_policy(c, Layer::Data, policy::Session::data);
        self.pursue(c, key, Layer::Data, turn);
    }

    pub(crate) fn end_policy(&mut self, c: &mut Connection, key: Key) {
        let turn = self.with_policy(c, Layer::End, policy::Session::end_of_message);
        self.pursue(c, key, Layer::End, turn);
    }

    pub(crate) fn sender_policy(&mut self, c: &mut Connection, key: Key) {
        let turn = self.with_policy(c, Layer::Mail, policy::Session::mail);
        self.pursue(c, key, Layer::Mail, turn);
    }

    pub(crate) fn recipient_policy(&mut self, c: &mut Connection, key: Key, standing: Standing) {
        let layer = Layer::Recipient(standing);
        let turn = self.with_policy(c, layer, policy::Session::recipient);
        self.pursue(c, key, layer, turn);
    }

    /// Carries a layer as far as it goes now: to its decision, or to questions of others. True: it has accepted.
    fn pursue(&mut self, c: &mut Connection, key: Key, layer: Layer, mut turn: Turn) -> bool {
        loop {
            match turn {
                Turn::Decided(decision) => return self.decided(c, key, layer, decision),
                Turn::Asked => {
                    let mut open = std::mem::take(&mut self.questions);
                    let mut next = None;
                    for (id, mut query) in open.drain(..) {
                        self.complete(c, &mut query);
                        let Some(answer) = self.carry(Asker::Policy(key, id), query) else { continue };
                        next =
                            self.with_policy(c, layer, |session, policy, facts, ask| session.told(policy, facts, id, answer, ask)).or(next);
                    }
                    // What came of answers at once stays; otherwise the buffer is used again.
                    if self.questions.is_empty() {
                        self.questions = open;
                    }
                    match next {
                        Some(next) => turn = next,
                        None => {
                            c.awaiting = Awaiting::Policy(layer);
                            return false;
                        }
                    }
                }
            }
        }
    }

    /// Sends a question to whom it is for; an answer where there is nobody to ask.
    pub(crate) fn carry(&mut self, asker: Asker, query: Query) -> Option<Answer> {
        let (registry, now): (&Registry, Instant) = (self.poll.registry(), self.now);
        let question = match query {
            Query::VerifiedNames(address) => Question::VerifiedNames { address },
            Query::List { zone, subject } => Question::List { zone, subject },
            Query::MailHosts(domain) => Question::MailHosts { domain, validate: false },
            Query::Spf { address, hello, sender } => Question::Spf { address, hello, sender },
            Query::Rate { .. } | Query::Grey(_) if !self.tracker.exists() => {
                let verdict = Rated { number: 0, refuse: None, known: false, wait: std::time::Duration::ZERO };
                return Some(Answer::Rate(verdict));
            }
            Query::Rate { event, limits } => {
                self.tracker.ask(|number| ToTracker::Ask { number, event, limits }, asker, registry, now);
                return None;
            }
            Query::Grey(triplet) => {
                self.tracker.ask(|number| ToTracker::Grey { number, triplet }, asker, registry, now);
                return None;
            }
            Query::Verify { address, sender } => {
                if !self.router.exists() {
                    return Some(Answer::Nothing);
                }
                let question = routing::Question::Verify { address, sender };
                self.router.ask(|number| ToRoutermux::Ask(routing::Ask { number, question }), asker, registry, now);
                return None;
            }
            Query::Kinship(domain) => {
                if !self.router.exists() {
                    return Some(Answer::Nothing);
                }
                if let Some(kinship) = self.kinships.find(&domain, now) {
                    return Some(Answer::Router(routing::Answer::Kinship(kinship)));
                }
                let question = routing::Question::Kinship { domain };
                self.router.ask(|number| ToRoutermux::Ask(routing::Ask { number, question }), asker, registry, now);
                return None;
            }
            Query::CallAhead { recipient, host, channel } => {
                if !self.inquiries.ahead.exists() {
                    return Some(Answer::Nothing);
                }
                self.inquiries.ahead.ask(|number| callahead::Ask { number, recipient, host, channel }, asker, registry, now);
                return None;
            }
            Query::Delegate { service, attributes } => {
                if !self.inquiries.delegate.exists() {
                    return Some(Answer::Nothing);
                }
                self.inquiries.delegate.ask(|number| delegate::Ask { number, service, attributes }, asker, registry, now);
                return None;
            }
        };
        if !self.inquiries.resolver.exists() {
            return Some(Answer::Nothing);
        }
        self.inquiries.resolver.ask(|number| dns::Ask { number, question }, asker, registry, now);
        None
    }

    /// An answer has come, or none will.
    pub(crate) fn answered(&mut self, asker: Asker, answer: Answer) {
        match asker {
            Asker::Connection(key) => self.rated_connection(key, answer),
            Asker::Policy(key, id) => self.told(key, id, answer),
            Asker::Inquiry(key, inquiry) => self.inquired(key, inquiry, answer),
            Asker::Trial(number, id) => self.trial_told(number, id, answer),
        }
    }

    fn told(&mut self, key: Key, id: QueryId, answer: Answer) {
        let Some(mut c) = self.take_connection(key) else { return };
        let layer = match c.awaiting {
            Awaiting::Policy(layer) => layer,
            // The wait for the greeting is not over yet.
            Awaiting::FirstContact => Layer::Connect,
            _ => return self.connections.put(key.slot, c),
        };
        if let Some(turn) = self.with_policy(&mut c, layer, |session, policy, facts, ask| session.told(policy, facts, id, answer, ask)) {
            let waits = c.awaiting == Awaiting::FirstContact;
            let accepted = self.pursue(&mut c, key, layer, turn);
            match (layer, waits) {
                (Layer::Connect, true) if !c.session.is_closed() => c.awaiting = Awaiting::FirstContact,
                (Layer::Connect, _) if accepted => self.met(&mut c),
                _ => {}
            }
            self.note(&mut c);
        }
        self.settle(key, c);
    }

    /// What a layer has decided, said to the session and to the log. True: accepted.
    fn decided(&mut self, c: &mut Connection, key: Key, layer: Layer, decision: Decision) -> bool {
        c.awaiting = Awaiting::Nothing;
        self.log_policy(c, layer);
        if decision.cause.is_some() {
            // Those before are not of this cause.
            self.note(c);
        }
        let accepted = !matches!(decision.verdict, Verdict::Refuse(_));
        match (layer, decision.verdict) {
            (Layer::Connect, Verdict::Refuse(reply)) => c.session.turn_away(&reply),
            (Layer::Connect, _) => {}
            (Layer::End, Verdict::Refuse(reply)) => self.end_refused(c, reply),
            (Layer::End, _) => self.end_approved(c, key),
            (Layer::Data, Verdict::Accept | Verdict::Grant) => {
                c.session.answer(Ok(()));
                self.begin_message(c);
            }
            (Layer::Recipient(_), Verdict::Grant) => c.session.grant(Grant::Relay),
            (_, Verdict::Accept | Verdict::Grant) => c.session.answer(Ok(())),
            (_, Verdict::Refuse(reply)) => c.session.answer(Err(reply)),
        }
        if let Some(cause) = decision.cause {
            self.note_because(c, Some(&cause));
        }
        accepted
    }

    /// Decisions that refuse nothing: warnings, and what freezes the message.
    fn log_policy(&mut self, c: &mut Connection, layer: Layer) {
        for cause in c.policy.take_log() {
            let verdict = if cause.detail == "freeze" { "freeze" } else { "warn" };
            let from = c.session.transaction().map(crate::envelopes::sender_text).unwrap_or_default();
            daemon::event!(
                Info,
                "policy",
                layer = layer.word(),
                verdict = verdict,
                rule = cause.rule,
                cause = cause.what,
                peer = c.client,
                helo = c.session.hello().unwrap_or_default(),
                from = from,
                subject = c.session.candidate().map(|a| a.as_str()).unwrap_or_default(),
                text = cause.detail
            );
        }
    }
}
