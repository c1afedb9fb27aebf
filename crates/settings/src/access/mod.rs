//! `[[access]]`, `[[dns_list]]`, `[dns_lists]`, `[policy]`.

mod attributes;
mod rules;

pub(crate) use rules::{build, check};

use crate::Network;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Tags within tags, at most.
pub const TAG_DEPTH: usize = 3;

/// One `[[access]]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    pub keys: AccessKeys,
    /// Empty: a rule; else a set of attributes under this name.
    pub tag: String,
    pub attributes: Attributes,
    pub line: usize,
}

/// Whom a rule is about: of each list that is not empty one must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessKeys {
    pub client: Vec<Network>,
    pub name: Vec<String>,
    pub helo: Vec<String>,
    /// Lower case; `*`: all.
    pub user: Vec<String>,
    /// `user@domain`, `domain`, `.suffix`, `user@`, `<>`; normalised, lower case.
    pub sender: Vec<String>,
    pub recipient: Vec<String>,
    pub listener: Vec<String>,
}

/// What `relay_if_mx` says of domains that do not have us as a mail exchanger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// `relay_if_mx = "no"`
    Off,
    Defer,
    Refuse,
}

/// What follows from a result of SPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpfAction {
    Accept,
    Warn,
    Greylist,
    Freeze,
    Defer,
    Refuse,
}

/// The results of RFC 7208 section 2.6.
pub const SPF_RESULTS: [&str; 7] = ["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"];

/// What a rule says; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes {
    pub tags: Option<Vec<String>>,
    pub refuse: Option<String>,
    pub defer: Option<String>,
    pub warn: Option<String>,
    pub message: Option<String>,
    pub freeze: Option<bool>,
    pub relay: Option<bool>,
    pub relay_if_mx: Option<Otherwise>,
    pub trust: Option<bool>,
    pub trust_recipients: Option<bool>,
    pub check_sender_domain: Option<bool>,
    /// Zones, `all` or `none`.
    pub dns_lists: Option<Vec<String>>,
    pub max_size: Option<u64>,
    pub max_messages: Option<u32>,
    pub max_recipients: Option<u32>,
    pub hard_limits: Option<bool>,
    pub greylist: Option<bool>,
    pub spf: Option<BTreeMap<String, SpfAction>>,
    pub verify_recipient: Option<bool>,
    pub call_ahead: Option<bool>,
    pub policy_services: Option<Vec<String>>,
    pub filter: Option<bool>,
}

/// What a DNS list is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Client,
    Name,
    Helo,
    Sender,
}

/// `[[dns_list]]`
#[derive(Debug, Clone, PartialEq)]
pub struct DnsList {
    pub zone: String,
    pub weight: i32,
    /// Patterns of [`AnswerPattern::parse`]; empty: every answer counts.
    pub answers: Vec<AnswerPattern>,
    pub about: About,
    pub line: usize,
}

/// Each part of an IPv4 address from, to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerPattern(pub [(u8, u8); 4]);

/// `[dns_lists]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsLists {
    /// 0: never.
    pub refuse_at: i32,
    pub defer_at: i32,
    /// Instead of the greeting.
    pub at_connect: bool,
}

/// `[[access]]`, `[[dns_list]]`, `[dns_lists]` and `[policy]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessPolicy {
    pub rules: Vec<Access>,
    pub lists: Vec<DnsList>,
    pub scores: DnsLists,
    /// Compiled tables.
    pub tables: Vec<PathBuf>,
    /// Results of SPF are written into the message.
    pub received_spf: bool,
}

impl AnswerPattern {
    /// `127.0.0.2`, `127.0.0.2-11`, `127.0.*.4`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = [(0, 0); 4];
        let mut given = text.split('.');
        for part in &mut parts {
            let word = given.next()?;
            let (from, to) = word.split_once('-').unwrap_or((word, word));
            *part = if word == "*" { (0, 255) } else { (from.parse().ok()?, to.parse().ok()?) };
            if part.0 > part.1 {
                return None;
            }
        }
        given.next().is_none().then_some(Self(parts))
    }

    pub fn matches(&self, answer: std::net::Ipv4Addr) -> bool {
        self.0.iter().zip(answer.octets()).all(|((from, to), octet)| (*from..=*to).contains(&octet))
    }
}

impl AccessKeys {
    pub fn is_empty(&self) -> bool {
        *self == Self { listener: self.listener.clone(), ..Self::default() }
    }

    /// A key that a client cannot just write: its address, its verified name, its login.
    pub fn proves(&self) -> bool {
        !(self.client.is_empty() && self.name.is_empty() && self.user.is_empty())
    }
}

impl crate::Settings {
    /// Some rule may have a next hop asked. Tables may, where `[call_ahead]` names any domain.
    pub fn calls_ahead(&self) -> bool {
        !self.call_ahead.domains.is_empty() || self.access.rules.iter().any(|rule| rule.attributes.call_ahead == Some(true))
    }
}
