//! One connection's way through the layers.

use crate::book::Policy;
use crate::decision::{Cause, Decision, Questions, Turn};
use crate::delegation::State;
use crate::facts::Facts;
use crate::lists::Score;
use crate::query::{Answer, QueryId, What};
use crate::rule::Rule;
use crate::sheet::last;
use crate::table::Trouble;
use ipc::control::PolicyStep;
use ipc::dns;
use settings::{Attributes, FailMode};
use status::{Enhanced, Reply};
use std::sync::Arc;

/// Which layer is in progress, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Idle,
    Connect,
    /// The client's names are known; lists about them are asked.
    Named,
    Mail,
    /// Limits, and whether we are a mail exchanger.
    Recipient,
    Verify,
    /// The next hop and policy services.
    Ahead,
    Grey,
    /// Policy services, at one of the states where nothing else is asked.
    Served(State),
}

/// What policy remembers of a connection. A few bytes where there are no rules.
#[derive(Debug)]
pub struct Session {
    pub(crate) stage: Stage,
    /// Counts turns that ask.
    pub(crate) turn: u32,
    /// Questions without answer.
    pub(crate) open: u16,
    /// The tracker has counted the message, and its recipients, with our question.
    pub(crate) counted: (bool, bool),
    /// Transactions so far.
    pub(crate) transactions: u32,
    /// What the turn has come to so far.
    pub(crate) result: Option<Box<Decision>>,
    pub(crate) more: Option<Box<More>>,
}

/// What there is to remember where there are rules.
#[derive(Debug, Default)]
pub(crate) struct More {
    /// In the order of layers; the latest that says something counts.
    pub rules: Vec<Arc<Rule>>,
    /// Those of the connection; the others are the transaction's.
    pub of_connection: usize,
    pub names: Vec<String>,
    pub score: Score,
    pub listed: Score,
    /// Found before RCPT, said there.
    pub carried: Option<Decision>,
    pub greylist: Option<String>,
    pub rule: Option<Arc<Rule>>,
    pub routes: Vec<(String, String)>,
    pub granted: bool,
    /// The recipient's domain is in a table of ours.
    pub ours: bool,
    pub end: End,
    pub log: Vec<Cause>,
    pub trace: Option<Vec<PolicyStep>>,
}

/// What policy says of the message as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Accepted, and set aside for this reason.
    pub freeze: Option<String>,
    /// The content filter is not to see it: all its recipients take it as it is.
    pub unfiltered: bool,
    /// Recipients that take it as it is whatever the filter says, by their numbers in the order of RCPT.
    pub exempt: Vec<usize>,
    /// Header lines that go before the message's own.
    pub prepend: Vec<String>,
    /// Bytes; with the rule.
    pub max_size: Option<(u64, String)>,
}

impl Default for Session {
    fn default() -> Self {
        Self { stage: Stage::Idle, turn: 0, open: 0, counted: (false, false), transactions: 0, result: None, more: None }
    }
}

impl Session {
    /// One that writes down each step.
    pub fn traced() -> Self {
        Self { more: Some(Box::new(More { trace: Some(Vec::new()), ..More::default() })), ..Self::default() }
    }

    /// The steps since the last call.
    pub fn take_trace(&mut self) -> Vec<PolicyStep> {
        self.more.as_mut().and_then(|more| more.trace.as_mut()).map(std::mem::take).unwrap_or_default()
    }

    /// What is to be logged beside decisions: warnings, and what will freeze the message.
    pub fn take_log(&mut self) -> Vec<Cause> {
        self.more.as_mut().map(|more| std::mem::take(&mut more.log)).unwrap_or_default()
    }

    /// A layer waits for answers.
    pub const fn is_asking(&self) -> bool {
        self.open > 0
    }

    /// Whether the tracker knows of the message and of its recipients from what it was asked.
    pub const fn counted(&self) -> (bool, bool) {
        self.counted
    }

    /// The client's verified name, where rules wanted it.
    pub fn name(&self) -> Option<&str> {
        self.more.as_ref()?.names.first().map(String::as_str)
    }

    /// An answer; a turn where it was the last one that was awaited.
    pub fn told(&mut self, policy: &Policy, facts: &Facts<'_>, id: QueryId, answer: Answer, ask: &mut Questions) -> Option<Turn> {
        if id.turn != self.turn || self.open == 0 {
            return None;
        }
        self.open -= 1;
        let asked = what_word(policy, facts, self, id.what);
        self.step(|| (String::new(), format!("{asked}: {}", answer.describe())));
        self.take_in(policy, facts, id.what, answer);
        if self.open > 0 {
            return None;
        }
        let turn = match self.stage {
            Stage::Idle => Turn::Decided(Decision::accept()),
            Stage::Connect => self.named(policy, facts, ask),
            Stage::Named => self.connected(policy, facts, ask),
            Stage::Mail => self.mailed(policy, facts),
            Stage::Recipient => self.limited(policy, facts, ask),
            Stage::Verify => self.verified(policy, facts, ask),
            Stage::Ahead => self.judged(policy, facts, ask),
            Stage::Grey => self.end_recipient(policy, facts),
            Stage::Served(_) => self.finish(Decision::accept()),
        };
        Some(turn)
    }

    fn take_in(&mut self, policy: &Policy, facts: &Facts<'_>, what: What, answer: Answer) {
        match (what, answer) {
            (_, Answer::Untried) => {}
            (What::Rate, answer) => self.rated(policy, answer),
            (What::Names, Answer::Dns(Ok(dns::Answer::Names(names)))) => {
                if let Some(more) = &mut self.more {
                    more.names = names.iter().filter_map(|name| address::normalise(name.trim_end_matches('.')).ok()).take(20).collect();
                }
            }
            (What::List(number), Answer::Dns(Ok(dns::Answer::Listed(listed)))) => {
                let connecting = matches!(self.stage, Stage::Connect | Stage::Named);
                if let (Some(more), Some(list)) = (&mut self.more, policy.lists.get(usize::from(number))) {
                    let score = if connecting { &mut more.score } else { &mut more.listed };
                    score.add(list, &listed);
                }
            }
            // A list that does not answer says nothing of the client; neither does a name server about names.
            (What::List(_) | What::Names, _) => {}
            (What::SenderHosts, answer) => self.sender_hosts(answer),
            (What::Spf, answer) => self.spf(policy, facts, answer),
            (What::OwnHosts, answer) => self.own_hosts(policy, answer),
            (What::Kinship, answer) => self.kinship_said(policy, facts, answer),
            (What::Verify, answer) => self.router_said(facts, answer),
            (What::CallAhead, answer) => self.next_hop_said(answer),
            (What::Service(number), answer) => self.service_said(number, answer),
            (What::Grey, answer) => self.greylist_said(answer),
        }
    }

    /// Over a limit, or nobody knows.
    fn rated(&mut self, policy: &Policy, answer: Answer) {
        let reply = match answer {
            Answer::Rate(verdict) => verdict.refuse.map(|refusal| match refusal.hard {
                true => Reply::new(550, Enhanced::permanent(7, 1), refusal.text),
                false => Reply::new(450, Enhanced::transient(7, 1), refusal.text),
            }),
            _ => match policy.rate_failure {
                FailMode::Accept => None,
                FailMode::Defer => Some(no_helper()),
                FailMode::Reject => Some(Reply::new(550, Enhanced::permanent(7, 1), "the rate of this client is not known")),
            },
        };
        if let Some(reply) = reply {
            self.conclude(Decision::refuse(reply, "rate", ""));
        }
    }

    /// The first refusal of a turn stays.
    pub(crate) fn conclude(&mut self, decision: Decision) {
        if self.result.is_none() {
            self.result = Some(Box::new(decision));
        }
    }

    /// Ends the layer.
    pub(crate) fn decide(&mut self, decision: Decision) -> Turn {
        self.stage = Stage::Idle;
        self.open = 0;
        self.result = None;
        Turn::Decided(decision)
    }

    /// The refusal of this turn, else this decision.
    pub(crate) fn finish(&mut self, otherwise: Decision) -> Turn {
        let decision = self.result.take().map_or(otherwise, |decision| *decision);
        self.decide(decision)
    }

    /// Begins a stage; the questions were put into the buffer.
    pub(crate) fn asked(&mut self, stage: Stage, ask: &Questions) -> bool {
        self.stage = stage;
        self.open = u16::try_from(ask.len()).unwrap_or(u16::MAX);
        self.open > 0
    }

    pub(crate) fn next_turn(&mut self) -> u32 {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }

    pub(crate) fn rules(&self) -> &[Arc<Rule>] {
        self.more.as_ref().map_or(&[], |more| &more.rules)
    }

    /// What the latest rule says.
    pub(crate) fn said<'s, T>(&'s self, of: impl Fn(&'s Attributes) -> Option<T>) -> Option<(T, &'s Rule)> {
        let own = self.more.as_ref().and_then(|more| more.rule.as_ref());
        own.and_then(|rule| of(&rule.attributes).map(|value| (value, &**rule))).or_else(|| last(self.rules(), of))
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.said(|a| a.trust).is_some_and(|(trust, _)| trust)
    }

    pub(crate) fn names(&self) -> &[String] {
        self.more.as_ref().map_or(&[], |more| &more.names)
    }

    /// Writes a step down, where that is wanted: the rule's place, and what it is about.
    pub(crate) fn step(&mut self, of: impl FnOnce() -> (String, String)) {
        let layer = self.layer();
        if let Some(trace) = self.more.as_mut().and_then(|more| more.trace.as_mut()) {
            let (place, text) = of();
            trace.push(PolicyStep { layer: layer.to_owned(), place, text, reply: None });
        }
    }

    pub(crate) const fn layer(&self) -> &'static str {
        match self.stage {
            Stage::Connect | Stage::Idle => "connect",
            Stage::Named => "name",
            Stage::Mail => "mail",
            Stage::Recipient | Stage::Verify | Stage::Ahead | Stage::Grey => "rcpt",
            Stage::Served(state) => state.layer(),
        }
    }

    /// A rule that was found joins the others.
    pub(crate) fn found(&mut self, found: Result<Option<Arc<Rule>>, Trouble>, key: &str) -> bool {
        match found {
            Ok(None) => false,
            Ok(Some(rule)) => {
                self.matched(&rule, key);
                if let Some(more) = &mut self.more {
                    more.rules.push(rule);
                }
                true
            }
            Err(trouble) => {
                self.trouble(&trouble);
                false
            }
        }
    }

    pub(crate) fn matched(&mut self, rule: &Rule, key: &str) {
        let says = rule.attributes.warn.as_ref();
        if let (Some(text), Some(more)) = (says, &mut self.more) {
            more.log.push(Cause { what: "warning", rule: rule.place.clone(), score: None, detail: text.clone() });
        }
        let attributes = || rule.attributes.texts().into_iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>().join(" ");
        self.step(|| (rule.place.clone(), format!("{key}: {}", attributes())));
    }

    pub(crate) fn trouble(&mut self, trouble: &Trouble) {
        let reply = Reply::new(451, Enhanced::transient(3, 0), "a policy table cannot be read, try again later");
        self.conclude(Decision::refuse(reply, "table", "").detailed(trouble.0.clone()));
    }
}

/// What a client gets while a helper cannot be asked.
pub(crate) fn no_helper() -> Reply {
    Reply::new(451, Enhanced::transient(3, 0), "temporary trouble in processing, try again later")
}

/// For the trace: what was asked.
fn what_word(policy: &Policy, facts: &Facts<'_>, session: &Session, what: What) -> String {
    match what {
        What::Rate => "rate".to_owned(),
        What::Names => "verified names".to_owned(),
        What::List(number) => match policy.lists.get(usize::from(number)) {
            Some(list) => format!("list {} (weight {})", list.zone, list.weight),
            None => "list".to_owned(),
        },
        What::SenderHosts => format!("mail exchangers of {}", facts.sender_domain().unwrap_or_default()),
        What::OwnHosts => "mail exchangers of the recipient's domain".to_owned(),
        What::Spf => "SPF".to_owned(),
        What::Kinship => "whose domain".to_owned(),
        What::Verify => "router".to_owned(),
        What::CallAhead => "next hop".to_owned(),
        What::Service(number) => {
            let services = session.said(|a| a.policy_services.as_ref()).map(|(services, _)| services);
            format!("policy service {}", services.and_then(|s| s.get(usize::from(number))).map_or("", String::as_str))
        }
        What::Grey => "greylist".to_owned(),
    }
}

/// A refusal in the words of a rule: `[code] [enhanced code] text`; a code of the wrong class is none.
pub(crate) fn worded(text: &str, code: u16, status: Enhanced, otherwise: &str) -> Reply {
    let (given, rest) = match text.split_once(' ').map(|(word, rest)| (word.parse::<u16>(), rest)) {
        Some((Ok(given), rest)) if given / 100 == code / 100 && given < 600 => (given, rest.trim_start()),
        _ => (code, text),
    };
    let (status, rest) = match Enhanced::split(rest).filter(|(found, _)| found.class == status.class) {
        Some((found, rest)) => (found, rest),
        None => (status, rest),
    };
    Reply::new(given, status, if rest.is_empty() { otherwise } else { rest })
}

/// What `refuse` or `defer` of a rule says.
pub(crate) fn refusal(rule: &Rule, status: (u16, u16), otherwise: &str) -> Option<Decision> {
    let permanent = rule.attributes.refuse.as_ref().map(|text| worded(text, 550, Enhanced::permanent(status.0, status.1), otherwise));
    let transient = || rule.attributes.defer.as_ref().map(|text| worded(text, 450, Enhanced::transient(status.0, status.1), otherwise));
    Some(Decision::refuse(permanent.or_else(transient)?, "rule", &rule.place))
}

/// The text of `message` where a rule has one.
pub(crate) fn message<'r>(rule: &'r Rule, otherwise: &'r str) -> &'r str {
    rule.attributes.message.as_deref().filter(|text| !text.is_empty()).unwrap_or(otherwise)
}
