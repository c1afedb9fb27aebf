//! Attributes from values of the configuration and from the text of tables, and back.

use super::{Attributes, Otherwise, SPF_RESULTS, SpfAction};
use crate::nearest::nearest;
use crate::table::access::ATTRIBUTES;
use crate::value::{self, Value};
use std::collections::BTreeMap;

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

    pub(super) fn set(&mut self, name: &'static str, value: &Value) -> Result<(), String> {
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
