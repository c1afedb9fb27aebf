//! The machine against made-up helpers: what is asked, and what comes of it.

mod asking;
mod finding;
mod kinship;
mod layers;
mod services;
mod sources;
mod verdicts;

use crate::{Answer, Decision, Facts, Policy, Query, Session, Site, Table, Turn, User, Verdict};
use address::{Address, Path};
use ipc::{dns, rates, routing};
use settings::{ListenerKind, Settings};
use smtp::server::Standing;
use std::net::IpAddr;
use std::time::Duration;

pub fn settings(more: &str) -> Settings {
    let text = format!(
        "paths = {{ postoffice = \"/p\" }}\n[identity]\nhostname = \"mx.example\"\n[local]\ndomains = [\"local.example\"]\n\
         [relay]\ndomains = [\"relayed.example\"]\n{more}"
    );
    settings::parse(&text, "zpost.toml").unwrap_or_else(|faults| panic!("{faults:?}"))
}

pub fn policy(more: &str) -> Policy {
    with_tables(more, Vec::new())
}

pub fn with_tables(more: &str, tables: Vec<Table>) -> Policy {
    let own = ["192.0.2.25".parse().unwrap()].into();
    Policy::new(&settings(more), Site { own_addresses: own, file: "z".into() }, tables)
}

/// One client and its helpers.
pub struct Client<'p> {
    pub policy: &'p Policy,
    pub session: Session,
    pub address: Option<IpAddr>,
    pub friend: bool,
    pub user: Option<(String, Vec<String>)>,
    pub hello: String,
    sender: Path,
    pub size: u64,
    /// Recipients of the transaction so far, and whether each gets its own reply.
    pub accepted: usize,
    pub verdicts: bool,
    /// The message is there.
    pub message: bool,
    /// What was asked, in words.
    pub asked: Vec<String>,
    /// Questions put at once, at most.
    pub together: usize,
    answer: Box<dyn Fn(&Query) -> Answer>,
}

/// Helpers that have nothing against anybody.
pub fn kind(query: &Query) -> Answer {
    let allow = rates::Verdict { number: 0, refuse: None, known: false, wait: Duration::ZERO };
    match query {
        Query::VerifiedNames(_) => Answer::Dns(Ok(dns::Answer::Names(vec!["client.host.example".into()]))),
        Query::List { .. } => Answer::Dns(Ok(dns::Answer::Listed(dns::Listed::default()))),
        Query::MailHosts(_) => Answer::Dns(Ok(dns::Answer::MailHosts(dns::MailHosts::default()))),
        Query::Spf { .. } => Answer::Nothing,
        Query::Rate { .. } | Query::Grey(_) => Answer::Rate(allow),
        Query::Verify { .. } => Answer::Router(routing::Answer::Routed { quads: Vec::new(), steps: Vec::new() }),
        Query::Kinship(_) => Answer::Router(routing::Answer::Kinship(routing::Kinship::Foreign)),
        Query::CallAhead { .. } => Answer::CallAhead(ipc::callahead::Verdict::Taken),
        Query::Delegate { .. } => Answer::Action(Ok("DUNNO".into())),
    }
}

impl<'p> Client<'p> {
    pub fn new(policy: &'p Policy, answer: impl Fn(&Query) -> Answer + 'static) -> Self {
        Self {
            policy,
            session: Session::default(),
            address: Some("198.51.100.7".parse().unwrap()),
            friend: false,
            user: None,
            hello: "client.example".into(),
            sender: Path::Null,
            size: 0,
            accepted: 0,
            verdicts: false,
            message: false,
            asked: Vec::new(),
            together: 0,
            answer: Box::new(answer),
        }
    }

    pub fn from(mut self, address: &str) -> Self {
        self.address = Some(address.parse().unwrap());
        self
    }

    pub fn logged_in(mut self, user: &str, senders: &[&str]) -> Self {
        self.user = Some((user.into(), senders.iter().map(|s| (*s).to_owned()).collect()));
        self
    }

    fn turn(&mut self, layer: &str, candidate: Option<(&Address, Standing)>) -> Decision {
        let user = self.user.as_ref().map(|(name, senders)| User { name, mechanism: "PLAIN", senders, rule: settings::SenderRule::Any });
        let facts = Facts {
            client: self.address,
            listener: ListenerKind::Smtp,
            friend: self.friend,
            user,
            tls: false,
            hello: &self.hello,
            extended: true,
            port: 4711,
            sender: (!matches!(layer, "connect" | "helo")).then_some(&self.sender),
            declared_size: if matches!(layer, "connect" | "helo") { 0 } else { self.size },
            recipients: self.accepted,
            only: None,
            verdicts: self.verdicts,
            message: self.message.then_some(crate::Message { id: "ID", size: 4321 }),
            candidate,
            number: 7,
        };
        let mut ask = Vec::new();
        let mut turn = match layer {
            "connect" => self.session.connect(self.policy, &facts, &mut ask),
            "helo" => self.session.hello(self.policy, &facts, &mut ask),
            "mail" => self.session.mail(self.policy, &facts, &mut ask),
            "data" => self.session.data(self.policy, &facts, &mut ask),
            "end" => self.session.end_of_message(self.policy, &facts, &mut ask),
            _ => self.session.recipient(self.policy, &facts, &mut ask),
        };
        loop {
            if let Turn::Decided(decision) = turn {
                assert!(ask.is_empty(), "decided, and asks {ask:?}");
                return decision;
            }
            self.together = self.together.max(ask.len());
            let mut next = None;
            let open = std::mem::take(&mut ask);
            for (at, (id, query)) in open.iter().enumerate() {
                self.asked.push(query.describe());
                let told = self.session.told(self.policy, &facts, *id, (self.answer)(query), &mut ask);
                assert_eq!(told.is_some(), at + 1 == open.len());
                next = told.or(next);
            }
            turn = next.expect("a turn that asks nothing");
        }
    }

    pub fn connect(&mut self) -> Decision {
        self.turn("connect", None)
    }

    pub fn mail(&mut self, sender: &str) -> Decision {
        self.accepted = 0;
        self.sender = if sender.is_empty() { Path::Null } else { Path::Mailbox(Address::parse(sender).unwrap()) };
        self.turn("mail", None)
    }

    pub fn rcpt(&mut self, recipient: &str) -> Decision {
        let address = Address::parse(recipient).unwrap();
        let standing = match address.domain() {
            Some("local.example") | None => Standing::Verify,
            Some("relayed.example") => Standing::Permitted,
            _ if self.friend => Standing::Permitted,
            _ => Standing::Denied,
        };
        let decision = self.turn("rcpt", Some((&address, standing)));
        self.accepted += usize::from(!matches!(decision.verdict, Verdict::Refuse(_)));
        decision
    }

    /// `helo`, `data` or `end`.
    pub fn at(&mut self, layer: &str) -> Decision {
        self.message = layer == "end";
        self.turn(layer, None)
    }

    /// What holds for the message.
    pub fn end(&self) -> crate::End {
        self.session.end(self.accepted)
    }

    /// All of it, up to the first refusal: the reply or `ok`, and the rule.
    pub fn whole(&mut self, sender: &str, recipient: &str) -> String {
        for decision in [self.connect(), self.mail(sender)] {
            if matches!(decision.verdict, Verdict::Refuse(_)) {
                return say(&decision);
            }
        }
        say(&self.rcpt(recipient))
    }
}

/// `550 5.7.1 no (rule z:3)`, `ok`, `granted`.
pub fn say(decision: &Decision) -> String {
    let cause = decision.cause.as_ref().map(|cause| format!(" ({} {})", cause.what, cause.rule).replace(" )", ")"));
    match &decision.verdict {
        Verdict::Accept => "ok".into(),
        Verdict::Grant => "granted".into(),
        Verdict::Refuse(reply) => format!("{reply}{}", cause.unwrap_or_default()),
    }
}

/// What a stranger from `198.51.100.7` gets who writes to `u@local.example`.
pub fn stranger(rules: &str) -> String {
    let policy = policy(rules);
    Client::new(&policy, kind).whole("s@sender.example", "u@local.example")
}
