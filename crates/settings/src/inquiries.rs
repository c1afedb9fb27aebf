//! Whom the SMTP server asks about mail before it takes it: policy services of others, and next hops.

use crate::checks::{at, text};
use crate::sheet::{Group, Sheet};
use crate::value::Value;
use crate::{Bind, Fault};
use std::time::Duration;

/// `[[policy_service]]`: one that speaks Postfix's policy delegation protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyService {
    pub name: String,
    pub server: Bind,
    /// For one question.
    pub timeout: Duration,
    /// At a time; each has one question.
    pub connections: usize,
    /// Where in a session it is asked: `connect`, `helo`, `mail`, `rcpt`, `data`, `end-of-message`.
    pub states: Vec<String>,
}

/// States of a session at which a policy service can be asked.
pub const STATES: &[&str] = &["connect", "helo", "mail", "rcpt", "data", "end-of-message"];

/// `[call_ahead]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallAhead {
    /// Domains (or `.suffix`) of recipients that the next hop is asked about; empty: none.
    pub domains: Vec<String>,
    /// For one question, all of it.
    pub timeout: Duration,
    /// How long an answer is believed.
    pub taken_ttl: Duration,
    pub refused_ttl: Duration,
    pub unknown_ttl: Duration,
    /// Answers kept.
    pub entries: usize,
    /// To one next hop at a time.
    pub sessions: usize,
}

pub fn policy_service(g: &Group) -> PolicyService {
    let server = if let Some(Value::Bind(bind)) = g.value("server") { bind.clone() } else { Bind::Unix(Default::default()) };
    PolicyService {
        name: g.text("name"),
        server,
        timeout: g.duration("timeout"),
        connections: g.usize("connections"),
        states: g.texts("states"),
    }
}

pub fn call_ahead(g: &Group) -> CallAhead {
    CallAhead {
        domains: g.texts("domains"),
        timeout: g.duration("timeout"),
        taken_ttl: g.duration("taken_ttl"),
        refused_ttl: g.duration("refused_ttl"),
        unknown_ttl: g.duration("unknown_ttl"),
        entries: g.usize("entries"),
        sessions: g.usize("sessions"),
    }
}

/// Policy services are told apart by their names.
pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let mut seen: Vec<&str> = Vec::new();
    for group in sheet.groups("policy_service") {
        let name = text(group, "name").unwrap_or_default();
        if name.is_empty() || seen.contains(&name) {
            faults.push(at(group, "name", format!("policy_service.name: `{name}` must be given once")));
        }
        seen.push(name);
        let Some(Value::Texts(states)) = group.entry("states").map(|entry| &entry.value) else { continue };
        for state in states.iter().filter(|state| !STATES.contains(&state.as_str())) {
            let known = STATES.join(", ");
            faults.push(at(group, "states", format!("policy_service.states: `{}` is not one of {known}", state.escape_debug())));
        }
    }
}
