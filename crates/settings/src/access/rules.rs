//! Rules and lists as the configuration has them, and what is wrong with them.

use super::{About, Access, AccessKeys, AccessPolicy, AnswerPattern, Attributes, DnsList, DnsLists, TAG_DEPTH};
use crate::Fault;
use crate::checks::at;
use crate::nearest::nearest;
use crate::sheet::{Group, Sheet};
use crate::table::access::{ATTRIBUTES, KEYS};
use crate::value::Value;
use std::path::PathBuf;

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
