//! A made-up client that goes through all layers: `zpost policy test`.

use crate::book::Policy;
use crate::decision::{Decision, Questions, Turn, Verdict};
use crate::delegation::State;
use crate::facts::{Facts, User};
use crate::query::{Answer, QueryId};
use crate::session::Session;
use address::{Address, Path};
use ipc::control::{PolicyStep, PolicyTest};
use settings::{ListenerKind, SenderRule, Settings};
use smtp::server::{RelayPolicy, Standing};
use std::net::IpAddr;

/// Where the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Connect,
    Hello,
    Mail,
    Recipient(usize),
    End,
}

/// One test. Limits and greylisting are not asked: that would count, and open the door for the client in question.
#[derive(Debug)]
pub struct Trial {
    session: Session,
    address: Option<IpAddr>,
    kind: ListenerKind,
    friend: bool,
    user: Option<String>,
    rule: SenderRule,
    tls: bool,
    hello: String,
    sender: Option<Path>,
    recipients: Vec<(Address, Standing)>,
    at: At,
    /// Nobody can be asked anything.
    alone: bool,
    /// Somebody is asked at EHLO.
    greets: bool,
    /// Recipients that were taken so far.
    taken: usize,
    steps: Vec<PolicyStep>,
}

impl Trial {
    /// What is wrong with the test, as the error. `alone`: no suite runs.
    pub fn new(test: &PolicyTest, settings: &Settings, relay: &RelayPolicy, alone: bool) -> Result<Self, String> {
        let address: IpAddr = test.address.parse().map_err(|_| format!("`{}` is no IP address", test.address.escape_debug()))?;
        let address = address.to_canonical();
        let kind = match settings.listeners.get(usize::from(test.listener)) {
            Some(listener) => listener.kind,
            None if test.listener == 0 => ListenerKind::Smtp,
            None => return Err(format!("there is no listener {}; they count from 0", test.listener)),
        };
        let parse = |text: &str| Address::parse(text).map_err(|e| format!("`{}`: {e}", text.escape_debug()));
        let sender = match test.sender.as_deref() {
            None => None,
            Some("" | "<>") => Some(Path::Null),
            Some(text) => Some(Path::Mailbox(parse(text)?)),
        };
        let may_relay = test.user.is_some() || settings.relay.networks.iter().any(|network| network.contains(address));
        let stand = |text: &String| parse(text).map(|address| (relay.judge(&address, may_relay).standing(), address));
        let recipients = test.recipients.iter().map(stand).map(|r| r.map(|(standing, address)| (address, standing)));
        Ok(Self {
            session: Session::traced(),
            address: Some(address),
            kind,
            friend: !settings.is_stranger(Some(kind), Some(address)),
            user: test.user.as_ref().map(|user| user.to_lowercase()),
            // Who may give what is listed, only the authserver knows.
            rule: if settings.auth.senders == SenderRule::Own { SenderRule::Own } else { SenderRule::Any },
            tls: test.tls,
            hello: test.hello.clone(),
            sender,
            recipients: recipients.collect::<Result<_, _>>()?,
            at: At::Connect,
            alone,
            greets: false,
            taken: 0,
            steps: Vec::new(),
        })
    }

    /// Goes on to the end, or to questions for others. True: the end.
    pub fn begin(&mut self, policy: &Policy, ask: &mut Questions) -> bool {
        self.greets = policy.is_served_at(State::Ehlo);
        let turn = self.layer(policy, ask);
        self.pursue(policy, turn, ask)
    }

    /// An answer has come. True: the end.
    pub fn told(&mut self, policy: &Policy, id: QueryId, answer: Answer, ask: &mut Questions) -> bool {
        match self.with(|session, facts| session.told(policy, facts, id, answer, ask)) {
            Some(turn) => self.pursue(policy, turn, ask),
            None => self.at == At::End,
        }
    }

    /// Everything that was found.
    pub fn into_steps(self) -> Vec<PolicyStep> {
        self.steps
    }

    fn with<T>(&mut self, step: impl FnOnce(&mut Session, &Facts<'_>) -> T) -> T {
        let candidate = if let At::Recipient(number) = self.at { self.recipients.get(number) } else { None };
        let facts = Facts {
            client: self.address,
            listener: self.kind,
            friend: self.friend,
            user: self.user.as_deref().map(|name| User { name, mechanism: "", senders: &[], rule: self.rule }),
            tls: self.tls,
            hello: &self.hello,
            extended: true,
            port: 0,
            sender: if matches!(self.at, At::Connect | At::Hello) { None } else { self.sender.as_ref() },
            declared_size: 0,
            recipients: self.taken,
            only: None,
            verdicts: false,
            message: None,
            candidate: candidate.map(|(address, standing)| (address, *standing)),
            number: 0,
        };
        step(&mut self.session, &facts)
    }

    fn layer(&mut self, policy: &Policy, ask: &mut Questions) -> Turn {
        match self.at {
            At::Connect => self.with(|session, facts| session.connect(policy, facts, ask)),
            At::Hello => self.with(|session, facts| session.hello(policy, facts, ask)),
            At::Mail => self.with(|session, facts| session.mail(policy, facts, ask)),
            At::Recipient(_) | At::End => self.with(|session, facts| session.recipient(policy, facts, ask)),
        }
    }

    fn pursue(&mut self, policy: &Policy, mut turn: Turn, ask: &mut Questions) -> bool {
        loop {
            match turn {
                Turn::Decided(decision) => {
                    self.close(&decision);
                    if self.at == At::End {
                        return true;
                    }
                    turn = self.layer(policy, ask);
                }
                Turn::Asked => {
                    let (mut open, mut next) = (Vec::new(), None);
                    for (id, query) in std::mem::take(ask) {
                        if self.alone || query.leaves_traces() {
                            next = self.with(|session, facts| session.told(policy, facts, id, Answer::Untried, ask)).or(next);
                        } else {
                            open.push((id, query));
                        }
                    }
                    match next {
                        Some(next) => turn = next,
                        None => {
                            *ask = open;
                            return false;
                        }
                    }
                }
            }
        }
    }

    /// The reply that ends a layer, and where to go from there.
    fn close(&mut self, decision: &Decision) {
        let (layer, accepted) = match self.at {
            At::Connect => ("connect", "220".to_owned()),
            At::Hello => ("helo", "250".to_owned()),
            At::Mail => ("mail", "250 2.1.0 sender ok".to_owned()),
            At::Recipient(_) | At::End => ("rcpt", "250 2.1.5 recipient ok".to_owned()),
        };
        let denied = matches!(self.at, At::Recipient(number) if self.recipients.get(number).is_some_and(|(_, s)| *s == Standing::Denied));
        let reply = match &decision.verdict {
            Verdict::Refuse(reply) => reply.to_string(),
            Verdict::Accept if denied => "550 5.7.1 relaying denied".to_owned(),
            Verdict::Accept | Verdict::Grant => accepted,
        };
        let mut steps = self.session.take_trace();
        for cause in self.session.take_log() {
            steps.push(PolicyStep {
                layer: layer.to_owned(),
                place: cause.rule,
                text: format!("{}: {}", cause.what, cause.detail),
                reply: None,
            });
        }
        if let At::Recipient(number) = self.at
            && let Some((address, _)) = self.recipients.get(number)
        {
            steps
                .insert(0, PolicyStep { layer: layer.to_owned(), place: String::new(), text: format!("recipient {address}"), reply: None });
        }
        let (place, text) = match &decision.cause {
            Some(cause) => (cause.rule.clone(), format!("{} {}", cause.what, cause.detail).trim().to_owned()),
            None => (String::new(), "nothing against it".to_owned()),
        };
        steps.push(PolicyStep { layer: layer.to_owned(), place, text, reply: Some(reply) });
        self.steps.append(&mut steps);
        let refused = matches!(decision.verdict, Verdict::Refuse(_));
        let denied = denied && decision.verdict == Verdict::Accept;
        self.taken += usize::from(matches!(self.at, At::Recipient(_)) && !refused && !denied);
        self.at = match self.at {
            At::Connect | At::Hello | At::Mail if refused => At::End,
            At::Connect if self.greets => At::Hello,
            At::Connect | At::Hello if self.sender.is_some() => At::Mail,
            At::Mail if !self.recipients.is_empty() => At::Recipient(0),
            At::Recipient(number) if number + 1 < self.recipients.len() => At::Recipient(number + 1),
            _ => At::End,
        };
    }
}
