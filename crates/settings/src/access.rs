//! `[[access]]`, `[[dns_list]]`, `[dns_lists]`, `[policy]`.

use crate::checks::at;
use crate::nearest::nearest;
use crate::sheet::{Group, Sheet};
use crate::table::access::{ATTRIBUTES, KEYS};
use crate::value::{self, Value};
use crate::{Fault, Network};
use std::collections::BTreeMap;
use std::path::PathBuf;

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

impl Attributes {
    /// One attribute from text, as tables hold it (elements of lists with commas between, SPF as `fail:refuse,softfail:warn`).
    pub fn set_text(&mut self, name: &str, text: &str) -> Result<(), String> {
        let Some(parameter) = ATTRIBUTES.iter().find(|p| p.key == name) else {
            let hint = nearest(name, ATTRIBUTES.iter().map(|p| p.key)).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(format!("unknown attribute `{}`{hint}", name.escape_debug()));
        };
        let value = if parameter.kind == crate::table::Kind::Map {
            let pairs = text.split(',').map(|pair| pair.split_once(':').map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())));
            Value::Map(pairs.collect::<Option<_>>().ok_or_else(|| format!("`{text}` is not result:action,..."))?)
        } else if value::is_list(parameter.kind) {
            value::list(parameter.kind, text.split(',').map(str::trim).filter(|e| !e.is_empty()))?
        } else {
            value::scalar(parameter.kind, text)?
        };
        self.set(parameter.key, &value)
    }

    /// As [`Attributes::set_text`] reads it back: name and text of each attribute that says something.
    pub fn texts(&self) -> Vec<(&'static str, String)> {
        let yes = |b: &Option<bool>| b.map(|b| b.to_string());
        let list = |l: &Option<Vec<String>>| l.as_ref().map(|l| l.join(","));
        let number = |n: &Option<u32>| n.map(|n| n.to_string());
        let spf = self.spf.as_ref().map(|map| map.iter().map(|(k, v)| format!("{k}:{}", v.word())).collect::<Vec<_>>().join(","));
        let all = [
            ("tags", list(&self.tags)),
            ("refuse", self.refuse.clone()),
            ("defer", self.defer.clone()),
            ("warn", self.warn.clone()),
            ("message", self.message.clone()),
            ("freeze", yes(&self.freeze)),
            ("relay", yes(&self.relay)),
            ("relay_if_mx", self.relay_if_mx.map(|o| o.word().to_owned())),
            ("trust", yes(&self.trust)),
            ("trust_recipients", yes(&self.trust_recipients)),
            ("check_sender_domain", yes(&self.check_sender_domain)),
            ("dns_lists", list(&self.dns_lists)),
            ("max_size", self.max_size.map(|n| n.to_string())),
            ("max_messages", number(&self.max_messages)),
            ("max_recipients", number(&self.max_recipients)),
            ("hard_limits", yes(&self.hard_limits)),
            ("greylist", yes(&self.greylist)),
            ("spf", spf),
            ("verify_recipient", yes(&self.verify_recipient)),
            ("call_ahead", yes(&self.call_ahead)),
            ("policy_services", list(&self.policy_services)),
            ("filter", yes(&self.filter)),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }

    /// Takes in what `other` says where this says nothing.
    pub fn fill(&mut self, other: &Self) {
        macro_rules! fill { ($($field:ident)*) => { $( if self.$field.is_none() { self.$field.clone_from(&other.$field); } )* } }
        fill!(refuse defer warn message freeze relay relay_if_mx trust trust_recipients check_sender_domain dns_lists max_size
              max_messages max_recipients hard_limits greylist spf verify_recipient call_ahead policy_services filter);
    }

    fn set(&mut self, name: &'static str, value: &Value) -> Result<(), String> {
        let small = |n: &u64| u32::try_from(*n).unwrap_or(u32::MAX);
        match (name, value) {
            ("tags", Value::Texts(list)) => self.tags = Some(list.clone()),
            ("refuse", Value::Text(text)) => self.refuse = Some(text.clone()),
            ("defer", Value::Text(text)) => self.defer = Some(text.clone()),
            ("warn", Value::Text(text)) => self.warn = Some(text.clone()),
            ("message", Value::Text(text)) => self.message = Some(text.clone()),
            ("freeze", Value::Bool(yes)) => self.freeze = Some(*yes),
            ("relay", Value::Bool(yes)) => self.relay = Some(*yes),
            ("relay_if_mx", Value::Text(word)) => self.relay_if_mx = Some(Otherwise::of(word)),
            ("trust", Value::Bool(yes)) => self.trust = Some(*yes),
            ("trust_recipients", Value::Bool(yes)) => self.trust_recipients = Some(*yes),
            ("check_sender_domain", Value::Bool(yes)) => self.check_sender_domain = Some(*yes),
            ("dns_lists", Value::Texts(list)) => self.dns_lists = Some(list.iter().map(|zone| zone.to_lowercase()).collect()),
            ("max_size", Value::Size(bytes)) => self.max_size = Some(*bytes),
            ("max_messages", Value::Integer(n)) => self.max_messages = Some(small(n)),
            ("max_recipients", Value::Integer(n)) => self.max_recipients = Some(small(n)),
            ("hard_limits", Value::Bool(yes)) => self.hard_limits = Some(*yes),
            ("greylist", Value::Bool(yes)) => self.greylist = Some(*yes),
            ("spf", Value::Map(map)) => self.spf = Some(spf_actions(map)?),
            ("verify_recipient", Value::Bool(yes)) => self.verify_recipient = Some(*yes),
            ("call_ahead", Value::Bool(yes)) => self.call_ahead = Some(*yes),
            ("policy_services", Value::Texts(list)) => self.policy_services = Some(list.clone()),
            ("filter", Value::Bool(yes)) => self.filter = Some(*yes),
            _ => return Err(format!("`{name}` has another kind of value")),
        }
        Ok(())
    }
}

fn spf_actions(map: &BTreeMap<String, String>) -> Result<BTreeMap<String, SpfAction>, String> {
    let one = |(result, action): (&String, &String)| {
        if !SPF_RESULTS.contains(&result.as_str()) {
            return Err(format!("`{}` is no result of SPF; they are {}", result.escape_debug(), SPF_RESULTS.join(", ")));
        }
        let action = SpfAction::of(action)
            .ok_or_else(|| format!("`{}` is not one of accept, warn, greylist, freeze, defer, refuse", action.escape_debug()))?;
        Ok((result.clone(), action))
    };
    map.iter().map(one).collect()
}

impl Otherwise {
    fn of(word: &str) -> Self {
        match word {
            "defer" => Self::Defer,
            "refuse" => Self::Refuse,
            _ => Self::Off,
        }
    }
    const fn word(self) -> &'static str {
        match self {
            Self::Off => "no",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
    }
}

impl SpfAction {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "accept" => Self::Accept,
            "warn" => Self::Warn,
            "greylist" => Self::Greylist,
            "freeze" => Self::Freeze,
            "defer" => Self::Defer,
            "refuse" => Self::Refuse,
            _ => return None,
        })
    }
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Warn => "warn",
            Self::Greylist => "greylist",
            Self::Freeze => "freeze",
            Self::Defer => "defer",
            Self::Refuse => "refuse",
        }
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

/// These read what is there: the checks come before a faulty value has got its default.
fn texts(group: &Group, key: &str) -> Vec<String> {
    if let Some(Value::Texts(list)) = group.entry(key).map(|e| &e.value) { list.clone() } else { Vec::new() }
}

fn text(group: &Group, key: &str) -> String {
    crate::checks::text(group, key).unwrap_or_default().to_owned()
}

fn number(group: &Group, key: &str) -> f64 {
    if let Some(Value::Number(n)) = group.entry(key).map(|e| &e.value) { *n } else { 0.0 }
}

impl crate::Settings {
    /// Some rule may have a next hop asked. Tables may, where `[call_ahead]` names any domain.
    pub fn calls_ahead(&self) -> bool {
        !self.call_ahead.domains.is_empty() || self.access.rules.iter().any(|rule| rule.attributes.call_ahead == Some(true))
    }
}

pub(crate) fn build(sheet: &Sheet) -> AccessPolicy {
    let single = |section: &str| sheet.groups(section).first().cloned().unwrap_or_default();
    let (policy, scores) = (single("policy"), single("dns_lists"));
    let score = |key: &str| i32::try_from(scores.u64(key)).unwrap_or(i32::MAX);
    AccessPolicy {
        rules: sheet.groups("access").iter().map(access).collect(),
        lists: sheet.groups("dns_list").iter().map(list).collect(),
        scores: DnsLists { refuse_at: score("refuse_at"), defer_at: score("defer_at"), at_connect: scores.text("at") == "connect" },
        tables: policy.texts("tables").into_iter().map(PathBuf::from).collect(),
        received_spf: policy.is("received_spf"),
    }
}

fn access(group: &Group) -> Access {
    let lower = |key: &str| texts(group, key).into_iter().map(|text| text.to_lowercase()).collect();
    Access {
        keys: AccessKeys {
            client: if let Some(Value::Networks(list)) = group.entry("client").map(|e| &e.value) { list.clone() } else { Vec::new() },
            name: texts(group, "name"),
            helo: texts(group, "helo"),
            user: lower("user"),
            sender: texts(group, "sender"),
            recipient: texts(group, "recipient"),
            listener: texts(group, "listener"),
        },
        tag: text(group, "tag"),
        attributes: attributes(group).0,
        line: group.line,
    }
}

/// With what is wrong with them.
fn attributes(group: &Group) -> (Attributes, Vec<(&'static str, String)>) {
    let mut found = Attributes::default();
    let mut faults = Vec::new();
    for parameter in ATTRIBUTES {
        let Some(entry) = group.entry(parameter.key).filter(|entry| entry.line > 0) else { continue };
        if let Err(fault) = found.set(parameter.key, &entry.value) {
            faults.push((parameter.key, fault));
        }
    }
    (found, faults)
}

fn list(group: &Group) -> DnsList {
    DnsList {
        zone: text(group, "zone"),
        weight: number(group, "weight") as i32,
        answers: texts(group, "answers").iter().filter_map(|text| AnswerPattern::parse(text)).collect(),
        about: match text(group, "about").as_str() {
            "name" => About::Name,
            "helo" => About::Helo,
            "sender" => About::Sender,
            _ => About::Client,
        },
        line: group.line,
    }
}

pub(crate) fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let zones: Vec<String> = sheet.groups("dns_list").iter().map(|g| text(g, "zone")).collect();
    for group in sheet.groups("dns_list") {
        if number(group, "weight").fract() != 0.0 {
            faults.push(at(group, "weight", "dns_list.weight: a whole number is wanted".to_owned()));
        }
        for text in texts(group, "answers").iter().filter(|text| AnswerPattern::parse(text).is_none()) {
            faults.push(at(group, "answers", format!("dns_list.answers: `{text}` is no answer such as 127.0.0.2 or 127.0.0.2-11")));
        }
    }
    for group in sheet.groups("policy").iter().filter(|group| texts(group, "tables").len() > MOST_TABLES) {
        faults.push(at(group, "tables", format!("policy.tables: more than {MOST_TABLES}; zpost newdb makes one of several sources")));
    }
    let rules: Vec<Access> = sheet.groups("access").iter().map(access).collect();
    let services: Vec<String> = sheet.groups("policy_service").iter().map(|g| text(g, "name")).collect();
    for (group, rule) in sheet.groups("access").iter().zip(&rules) {
        for (key, fault) in attributes(group).1 {
            faults.push(at(group, key, format!("access.{key}: {fault}")));
        }
        for kind in rule.keys.listener.iter().filter(|k| !["smtp", "submission", "submissions", "lmtp"].contains(&k.as_str())) {
            faults.push(at(group, "listener", format!("access.listener: `{kind}` is not one of smtp, submission, submissions, lmtp")));
        }
        check_rule(group, rule, faults);
        check_tags(group, rule, &rules, faults);
        for zone in rule.attributes.dns_lists.iter().flatten().filter(|z| !["all", "none"].contains(&z.as_str()) && !zones.contains(z)) {
            faults.push(at(group, "dns_lists", format!("access.dns_lists: no [[dns_list]] has the zone `{zone}`")));
        }
        for name in rule.attributes.policy_services.iter().flatten().filter(|name| !services.contains(name)) {
            faults.push(at(group, "policy_services", format!("access.policy_services: no [[policy_service]] is called `{name}`")));
        }
    }
}

fn check_rule(group: &Group, rule: &Access, faults: &mut Vec<Fault>) {
    let keys = &rule.keys;
    if !(rule.tag.is_empty() || keys.is_empty() && keys.listener.is_empty()) {
        faults.push(at(group, "tag", "access.tag: a set of attributes has no keys; give the keys to the rules that name it".to_owned()));
    }
    let given = KEYS.iter().chain(ATTRIBUTES).filter(|p| group.entry(p.key).is_some_and(|e| e.line > 0)).map(|p| p.key);
    if given.clone().all(|key| KEYS.iter().any(|p| p.key == key)) {
        faults.push(at(group, "tag", "[[access]] says nothing of those it is about; give an attribute such as refuse".to_owned()));
    }
    let anybody = rule.tag.is_empty() && !keys.proves() && (!keys.sender.is_empty() || !keys.helo.is_empty() || keys.is_empty());
    if anybody && keys.recipient.is_empty() && rule.attributes.relay == Some(true) {
        let text = "access.relay: what anybody can write gives no right to relay; add client, name or user";
        faults.push(at(group, "relay", text.to_owned()));
    }
    if rule.tag.is_empty() && keys.is_empty() && rule.attributes.trust == Some(true) {
        faults.push(at(group, "trust", "access.trust: not for everybody; say for whom".to_owned()));
    }
}

/// Each is a descriptor beside the first frame of a worker.
const MOST_TABLES: usize = 50;

/// Tags within tags, at most.
pub const TAG_DEPTH: usize = 3;

fn check_tags(group: &Group, rule: &Access, rules: &[Access], faults: &mut Vec<Fault>) {
    let find = |name: &String| rules.iter().find(|r| !r.tag.is_empty() && r.tag == *name);
    let mut level: Vec<&Access> = vec![rule];
    for depth in 0..=TAG_DEPTH {
        let mut next = Vec::new();
        for name in level.iter().flat_map(|rule| rule.attributes.tags.iter().flatten()) {
            match find(name) {
                Some(set) if depth < TAG_DEPTH && next.len() < 1000 => next.push(set),
                Some(_) => {
                    let text = format!("access.tags: `{name}` is more than {TAG_DEPTH} tags deep, or within itself");
                    return faults.push(at(group, "tags", text));
                }
                None if depth == 0 => {
                    let known = rules.iter().map(|r| r.tag.as_str()).filter(|t| !t.is_empty());
                    let hint = nearest(name, known).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                    faults.push(at(group, "tags", format!("access.tags: no [[access]] has the tag `{name}`{hint}")));
                }
                None => {}
            }
        }
        level = next;
    }
}
