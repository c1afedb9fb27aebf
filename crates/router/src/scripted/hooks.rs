//! `route`, `rewrite` and `expand` as steps of a decision.

use super::{Facts, Parts, ask, deferred, failed};
use crate::expansion::{Context, Expansion};
use crate::steps::{Directive, Stepped, Subject, is_word};
use crate::verdict::Verdict;
use crate::via::REWRITE;
use address::Address;
use lookup::Value;
use script::{Hook, Route, Script, Trouble, World};

impl Expansion<'_> {
    /// The step `script`: another form of the address, then where it goes.
    pub(crate) fn by_script(&mut self, subject: &Subject<'_>) -> Stepped {
        match self.by_rewrite(subject) {
            Stepped::Passed => self.by_route_hook(subject),
            settled => settled,
        }
    }

    /// Once: what was rewritten goes on as it is, until an alias names others.
    fn by_rewrite(&mut self, subject: &Subject<'_>) -> Stepped {
        let rewritten = |(parent, _): &(String, usize)| parent.starts_with(REWRITE);
        if subject.context.parent.as_ref().is_some_and(rewritten) {
            return Stepped::Passed;
        }
        let (parts, sender) = (Parts::of(subject.address, self.rules), self.sender);
        let call = |script: &mut Script, facts: &Facts, world: &mut dyn World| {
            script.rewrite(parts.seen(), facts.envelope(sender), "recipient", world)
        };
        match self.asked(Hook::Rewrite, call) {
            Ok(Some(form)) if form != subject.address.as_str() => self.in_place(subject, "rewrite", vec![form]),
            Ok(_) => Stepped::Passed,
            Err(verdict) => self.verdict(subject, verdict),
        }
    }

    fn by_route_hook(&mut self, subject: &Subject<'_>) -> Stepped {
        let (parts, sender) = (Parts::of(subject.address, self.rules), self.sender);
        let call = |script: &mut Script, facts: &Facts, world: &mut dyn World| script.route(parts.seen(), facts.envelope(sender), world);
        let route = match self.asked(Hook::Route, call) {
            Ok(Some(route)) => route,
            Ok(None) => return Stepped::Passed,
            Err(verdict) => return self.verdict(subject, verdict),
        };
        match route {
            Route::Address(address) => self.in_place(subject, "route", vec![address]),
            Route::Refuse(refusal) => self.verdict(subject, Verdict::Refused { status: refusal.status, text: refusal.text }),
            Route::Defer(text) => self.verdict(subject, deferred(text)),
            Route::Place { channel, .. } if !self.rules.steps.is_channel(&channel) => {
                self.script_fault(subject, format!("route: there is no channel {channel}"))
            }
            Route::Place { channel, host, user } => {
                self.note(|| format!("{}: script: channel {channel}, host {host}", subject.address));
                match directive(channel, host, user) {
                    Ok(directive) => self.follow(subject, &directive, "script"),
                    Err(reason) => self.script_fault(subject, reason),
                }
            }
        }
    }

    /// The step `script` of local names; true: it has said whom the name stands for.
    pub(crate) fn by_expand(&mut self, name: &str, domain: &str, written: &str, context: &Context) -> bool {
        let mark = format!("expand\0{name}@{domain}");
        if context.parent.as_ref().is_some_and(|(parent, _)| *parent == mark) {
            // Named by what it stands for: what the other steps make of it.
            return false;
        }
        let sender = self.sender;
        let call = |script: &mut Script, facts: &Facts, world: &mut dyn World| script.expand(name, domain, facts.envelope(sender), world);
        let members = match self.asked(Hook::Expand, call) {
            Ok(Some(members)) => members,
            Ok(None) => return false,
            Err(verdict) => {
                self.settle(written, verdict, context);
                return true;
            }
        };
        self.note(|| format!("{name}@{domain}: script: stands for {}", members.join(", ")));
        let domain = Some(domain.to_owned());
        if !self.seen.insert(mark.clone()) {
            self.looped = true;
            self.note(|| format!("{name}: script: already expanded"));
            return true;
        }
        let context = Context { domain, parent: Some((mark, members.len())), ..context.clone() };
        self.push(members.into_iter().map(Value::Address).collect(), context);
        true
    }

    /// Addresses that a hook puts in the place of the subject, which that hook is asked about once.
    fn in_place(&mut self, subject: &Subject<'_>, hook: &str, addresses: Vec<String>) -> Stepped {
        if let Some(bad) = addresses.iter().find(|text| !Address::parse(text).is_ok_and(|address| address.domain().is_some())) {
            return self.script_fault(subject, format!("{hook}: `{bad}` is no address with a domain"));
        }
        let mark = format!("{hook}\0{}@{}", subject.address.unquoted_local().to_lowercase(), subject.domain);
        if subject.context.parent.as_ref().is_some_and(|(parent, _)| *parent == mark) {
            return Stepped::Passed;
        }
        self.note(|| format!("{}: script: {hook}: {}", subject.address, addresses.join(", ")));
        if !self.seen.insert(mark.clone()) {
            self.looped = true;
            self.note(|| format!("{}: script: {hook}: already replaced", subject.address));
            return Stepped::Settled;
        }
        let context = Context { parent: Some((mark, addresses.len())), ..subject.context.clone() };
        self.push(addresses.into_iter().map(Value::Address).collect(), context);
        Stepped::Settled
    }

    fn script_fault(&mut self, subject: &Subject<'_>, reason: String) -> Stepped {
        let verdict = failed(self.tables, Hook::Route, format!("script: {reason}"));
        self.verdict(subject, verdict)
    }

    /// Asks a hook of this decision.
    fn asked<T>(
        &mut self,
        hook: Hook,
        call: impl FnOnce(&mut Script, &Facts, &mut dyn World) -> Result<Option<T>, Trouble>,
    ) -> Result<Option<T>, Verdict> {
        let mut lines = Vec::new();
        let result = ask(self.tables, hook, &mut lines, call);
        for line in lines {
            self.note(|| format!("script: {line}"));
        }
        result.map(Option::flatten)
    }
}

/// What a place means, as a route's value.
fn directive(channel: String, host: String, user: Option<String>) -> Result<Directive, String> {
    let host = Some(host).filter(|host| !host.is_empty() && host != "-");
    if channel == "error" {
        return Ok(Directive::Refuse(host.unwrap_or_default()));
    }
    if let Some(bad) = host.iter().chain(&user).find(|word| !is_word(word)) {
        return Err(format!("route: `{bad}` has blanks"));
    }
    match channel.as_str() {
        "hold" => Directive::hold(host.as_deref().unwrap_or("-")).map_err(|reason| format!("route: {reason}")),
        _ => Ok(Directive::To { channel, host, user }),
    }
}
