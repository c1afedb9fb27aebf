//! What a session asks of others, and what comes back.

use ipc::dns::ListSubject;
use ipc::rates::{Event, Limit, Triplet};
use ipc::{callahead, dns, rates, routing};
use std::net::IpAddr;

/// A question, for the driver to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    VerifiedNames(IpAddr),
    List {
        zone: String,
        subject: ListSubject,
    },
    MailHosts(String),
    Spf {
        address: IpAddr,
        hello: String,
        sender: Option<String>,
    },
    Rate {
        event: Event,
        limits: Vec<Limit>,
    },
    Grey(Triplet),
    Verify {
        address: String,
        sender: String,
    },
    /// Whose is this domain (normalised)?
    Kinship(String),
    CallAhead {
        recipient: String,
        host: String,
        channel: String,
    },
    Delegate {
        service: String,
        attributes: Vec<(String, String)>,
    },
}

/// What a question was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    Rate,
    Names,
    /// The list's number in the configuration.
    List(u16),
    SenderHosts,
    /// Are we a mail exchanger of the recipient's domain?
    OwnHosts,
    /// Is the recipient's domain in tables of ours?
    Kinship,
    Spf,
    Verify,
    CallAhead,
    /// The service's place in the rule.
    Service(u16),
    Grey,
}

/// Names a question; an answer under a name of an earlier turn is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryId {
    pub(crate) turn: u32,
    pub what: What,
}

/// An answer, in the words of the process that gave it.
#[derive(Debug, Clone)]
pub enum Answer {
    Dns(Result<dns::Answer, dns::Trouble>),
    Rate(rates::Verdict),
    Router(routing::Answer),
    CallAhead(callahead::Verdict),
    Action(Result<String, String>),
    /// None came, or there is nobody to ask.
    Nothing,
    /// A test does not ask this: asking would count.
    Untried,
}

impl Query {
    /// For the trace.
    pub fn describe(&self) -> String {
        match self {
            Self::VerifiedNames(address) => format!("names of {address}"),
            Self::List { zone, subject: ListSubject::Address(address) } => format!("list {zone} about {address}"),
            Self::List { zone, subject: ListSubject::Domain(domain) } => format!("list {zone} about {domain}"),
            Self::MailHosts(domain) => format!("mail exchangers of {domain}"),
            Self::Spf { address, sender, hello } => {
                format!("SPF of {} for {address}", sender.as_deref().unwrap_or(hello))
            }
            Self::Rate { event, .. } => format!("rate of {:?}", event.kind).to_lowercase(),
            Self::Grey(triplet) => format!("greylist: {} <{}> <{}>", triplet.address, triplet.sender, triplet.recipient),
            Self::Verify { address, .. } => format!("router: {address}"),
            Self::Kinship(domain) => format!("router: whose is {domain}"),
            Self::CallAhead { recipient, host, channel } => format!("call ahead: {recipient} at {channel} {host}"),
            Self::Delegate { service, .. } => format!("policy service {service}"),
        }
    }

    /// Asking changes what is counted or remembered, so a test must not.
    pub const fn leaves_traces(&self) -> bool {
        matches!(self, Self::Rate { .. } | Self::Grey(_))
    }
}

impl Answer {
    /// For the trace.
    pub fn describe(&self) -> String {
        match self {
            Self::Dns(Ok(dns::Answer::Names(names))) if names.is_empty() => "no name".to_owned(),
            Self::Dns(Ok(dns::Answer::Names(names))) => names.join(" "),
            Self::Dns(Ok(dns::Answer::Listed(listed))) if listed.codes.is_empty() => "not listed".to_owned(),
            Self::Dns(Ok(dns::Answer::Listed(listed))) => {
                let codes: Vec<String> = listed.codes.iter().map(ToString::to_string).collect();
                format!("listed {} {}", codes.join(" "), listed.text).trim().to_owned()
            }
            Self::Dns(Ok(dns::Answer::Spf(spf))) => format!("{} ({})", spf.result.word(), spf.domain),
            Self::Dns(Ok(dns::Answer::MailHosts(hosts))) => hosts.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" "),
            Self::Dns(Ok(_)) => "another answer".to_owned(),
            Self::Dns(Err(dns::Trouble::NoSuchName)) => "no such name".to_owned(),
            Self::Dns(Err(dns::Trouble::NoRecords)) => "no such records".to_owned(),
            Self::Dns(Err(dns::Trouble::NullMx)) => "takes no mail (null MX)".to_owned(),
            Self::Dns(Err(dns::Trouble::Temporary(why))) => format!("no answer: {why}"),
            Self::Dns(Err(dns::Trouble::Invalid)) => "no valid name".to_owned(),
            Self::Rate(verdict) => match &verdict.refuse {
                Some(refusal) => format!("refused: {}", refusal.text),
                None if verdict.wait.is_zero() => "nothing against it".to_owned(),
                None => format!("wait {} s", verdict.wait.as_secs()),
            },
            Self::Router(routing::Answer::Routed { quads, .. }) => {
                let places: Vec<String> = quads.iter().map(|quad| format!("{} {}", quad.channel, quad.host)).collect();
                format!("routed {}", places.join(", ")).trim().to_owned()
            }
            Self::Router(routing::Answer::Refused { reply, .. }) => format!("refused: {reply}"),
            Self::Router(routing::Answer::Kinship(kinship)) => format!("{kinship:?}").to_lowercase(),
            Self::CallAhead(callahead::Verdict::Taken) => "taken".to_owned(),
            Self::CallAhead(callahead::Verdict::Refused(reply)) => format!("refused: {reply}"),
            Self::CallAhead(callahead::Verdict::Unknown(why)) => format!("not known: {why}"),
            Self::Action(Ok(action)) => format!("action={action}"),
            Self::Action(Err(why)) => format!("no action: {why}"),
            Self::Nothing => "no answer".to_owned(),
            Self::Untried => "not asked in a test".to_owned(),
        }
    }
}
