//! `routes`: `[[route]]`, then tables of routes.

use super::directive::Directive;
use super::{Hit, Stepped, Subject, read_addresses};
use crate::expansion::{Context, Expansion};
use crate::verdict::{Verdict, percent_encoded};
use address::Address;
use lookup::{Found, Value};
use settings::{Route, RoutingStep};
use status::{Class, Enhanced};

impl Expansion<'_> {
    pub(super) fn by_routes(&mut self, subject: &Subject<'_>) -> Stepped {
        let rules = self.rules;
        if let Some(route) = rules.route(subject.domain, self.sender) {
            return self.by_route(subject, route);
        }
        if rules.steps.tables.routes.is_empty() { Stepped::Passed } else { self.by_table(subject) }
    }

    fn by_route(&mut self, subject: &Subject<'_>, route: &Route) -> Stepped {
        let Subject { address, domain, context } = *subject;
        self.note(|| {
            let sender = if route.sender.is_empty() { String::new() } else { format!(", sender = \"{}\"", route.sender) };
            format!(
                "{address}: [[route]] at line {} (domain = \"{}\"{sender}): channel {}, host {}",
                route.line, route.domain, route.channel, route.host
            )
        });
        let verdict = match route.channel.as_str() {
            "local" => {
                self.local(address, domain, context);
                return Stepped::Settled;
            }
            "error" => refusal(&route.host),
            "smtp" if route.host == "-" => Verdict::quad("smtp", domain, address.as_str()),
            channel => Verdict::quad(channel, &route.host, address.as_str()),
        };
        self.verdict(subject, verdict)
    }

    fn by_table(&mut self, subject: &Subject<'_>) -> Stepped {
        let rules = self.rules;
        let mut keys = self.route_keys(subject.domain).into_iter();
        // A delay that is over leaves the address to wider keys.
        loop {
            let hit = match self.seek(&rules.steps.tables.routes, keys.by_ref()) {
                Ok(Some(hit)) => hit,
                Ok(None) => return Stepped::Passed,
                Err(error) => return self.table_trouble(subject, error),
            };
            let Hit { key, found: Found { values, place, .. } } = hit;
            let value = values.first().map_or("", String::as_str);
            self.note(|| format!("{}: routes: {key} in {place}: {value}", subject.address));
            let stepped = match Directive::read(value, |name| rules.steps.is_channel(name)) {
                Ok(directive) => self.follow(subject, &directive, &place),
                Err(reason) => self.verdict(subject, Verdict::Temporary(format!("{place}: {key}: {reason}"))),
            };
            if stepped == Stepped::Settled {
                return stepped;
            }
        }
    }

    /// The domain, the suffixes above it, and the dot; each with the sender, with the sender's domain, and alone.
    fn route_keys(&self, domain: &str) -> Vec<String> {
        let senders = match self.sender_keys() {
            Some(keys) => keys.to_vec(),
            None => vec!["<>".to_owned()],
        };
        let mut keys = Vec::new();
        for pattern in crate::rules::patterns(domain).chain(std::iter::once(".")) {
            keys.extend(senders.iter().map(|sender| format!("{pattern}:{sender}")));
            keys.push(pattern.to_owned());
        }
        keys
    }

    /// Does what a route says; `Passed` where it says nothing any more.
    pub(crate) fn follow(&mut self, subject: &Subject<'_>, directive: &Directive, place: &str) -> Stepped {
        let Subject { address, domain, context } = *subject;
        let verdict = match directive {
            Directive::Refuse(text) => refusal(text),
            Directive::Hold(condition) => Verdict::quad("hold", condition, address.as_str()),
            Directive::Delay(time) if self.tables.age() >= *time => {
                self.note(|| format!("{address}: {place}: the delay is over"));
                return Stepped::Passed;
            }
            Directive::Delay(time) => Verdict::quad("hold", &format!("age:{}s", time.as_secs()), address.as_str()),
            Directive::Instead(text) => return self.reroute(subject, text, place),
            Directive::To { channel, host, user } if channel == "local" => {
                return self.by_local_user(subject, host.as_deref().unwrap_or(domain), user.as_deref());
            }
            Directive::To { channel, host, user } => {
                let host = host.as_deref().unwrap_or(domain);
                let user = user.as_deref().unwrap_or(address.as_str());
                Verdict::quad(channel, host, user)
            }
        };
        self.settle(address.as_str(), verdict, context);
        Stepped::Settled
    }

    fn by_local_user(&mut self, subject: &Subject<'_>, domain: &str, user: Option<&str>) -> Stepped {
        let user = user.map(Address::parse);
        let address = match &user {
            None => subject.address,
            Some(Ok(address)) => address,
            Some(Err(fault)) => return self.verdict(subject, Verdict::Temporary(format!("local user of a route: {fault}"))),
        };
        let Ok(domain) = address::normalise(domain) else {
            return self.verdict(subject, Verdict::Temporary(format!("`{}` is no domain", percent_encoded(domain))));
        };
        self.local(address, &domain, subject.context);
        Stepped::Settled
    }

    /// Another address instead, once.
    fn reroute(&mut self, subject: &Subject<'_>, text: &str, place: &str) -> Stepped {
        let read = read_addresses(&[text.to_owned()], subject.address);
        let Ok([value @ Value::Address(_)]) = read.as_deref() else {
            return self.verdict(subject, Verdict::Temporary(format!("{place}: `{text}` is not one address")));
        };
        let mark = subject.mark(RoutingStep::Routes);
        if !self.seen.insert(mark.clone()) {
            self.looped = true;
            self.note(|| format!("{}: routes: already rerouted", subject.address));
            return Stepped::Settled;
        }
        let context = Context { parent: Some((mark, 1)), domain: None, ..subject.context.clone() };
        self.push([value.clone()].into(), context);
        Stepped::Settled
    }
}

/// The text of a route to channel `error`; it may begin with its own enhanced status code.
fn refusal(text: &str) -> Verdict {
    match Enhanced::split(text) {
        Some((status, text)) if status.class == Class::Permanent => Verdict::Refused { status, text: text.to_owned() },
        Some((status, text)) if status.class == Class::Transient => Verdict::Deferred { status, text: text.to_owned() },
        _ if text == "-" || text.is_empty() => Verdict::refused(1, 0, "Address refused by the administrator"),
        _ => Verdict::refused(1, 0, text),
    }
}
