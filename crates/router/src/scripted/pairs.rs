//! `crossbar`: what of a sender and a recipient whose way is decided.

use super::{Parts, ask, deferred, failed};
use crate::decision::{Routing, Want};
use crate::expansion::Expansion;
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict, Way};
use address::{Address, Path};
use script::{Crossing, Hook, Place};

/// A decision as `crossbar` leaves it. The hook is asked once for each place; what it redirects is decided without it.
pub(crate) fn crossed(
    mut routing: Routing,
    address: &Address,
    sender: &Path,
    want: Want,
    rules: &Rules,
    tables: &mut dyn Tables,
) -> Routing {
    if !tables.scripted(Hook::Crossbar) {
        return routing;
    }
    let several = routing.expanded || routing.outcomes.len() > 1;
    let mut steps = Vec::new();
    for outcome in std::mem::take(&mut routing.outcomes) {
        if !matches!(outcome.verdict, Verdict::Deliver(_)) {
            routing.outcomes.push(outcome);
            continue;
        }
        match cross(&outcome, sender, rules, tables, &mut steps) {
            Crossed::As(verdict) => routing.outcomes.push(Routed { verdict, ..outcome }),
            Crossed::To(instead) => {
                let other = Expansion::new(&instead, sender, rules, tables, want).run();
                steps.extend(other.steps);
                routing.expanded |= other.expanded;
                routing.outcomes.extend(other.outcomes.into_iter().map(|to| sent_on(&outcome, to)));
            }
        }
    }
    if want == Want::Explanation {
        routing.steps.extend(steps);
    }
    // As in a decision: what is not known now is asked again for the whole address.
    let open = routing.outcomes.iter().position(|outcome| outcome.verdict.is_open());
    if let (Some(at), true) = (open, several && want != Want::First) {
        let verdict = routing.outcomes.swap_remove(at).verdict;
        routing.outcomes = vec![Routed::plain(address.as_str(), verdict)];
    }
    routing
}

/// Mail for `was` that goes to `to` instead: by the way that has led to either, and sent on from here.
fn sent_on(was: &Routed, to: Routed) -> Routed {
    let way = if to.owner.is_some() { to.way } else { Way { forwarded: true, ..was.way.clone() } };
    Routed { owner: to.owner.or(was.owner.clone()), way, ..to }
}

enum Crossed {
    As(Verdict),
    To(Address),
}

fn cross(outcome: &Routed, sender: &Path, rules: &Rules, tables: &mut dyn Tables, steps: &mut Vec<String>) -> Crossed {
    let Verdict::Deliver(quad) = &outcome.verdict else { return Crossed::As(outcome.verdict.clone()) };
    let from = sender.address().map(|address| Parts::of(address, rules));
    let Ok(address) = Address::parse(&outcome.address) else { return Crossed::As(outcome.verdict.clone()) };
    let to = Parts::of(&address, rules);
    let place = Place { channel: &quad.channel, host: &quad.host };
    let from = from.as_ref().map(Parts::seen);
    let mut lines = Vec::new();
    let said = ask(tables, Hook::Crossbar, &mut lines, |script, facts, world| {
        script.crossbar(from, to.seen(), place, facts.envelope(sender), world)
    });
    steps.extend(lines.into_iter().map(|line| format!("script: {line}")));
    let shown = if sender.as_str().is_empty() { "<>" } else { sender.as_str() };
    let crossing = match said {
        Ok(Some(Some(crossing))) => crossing,
        Ok(_) => return Crossed::As(outcome.verdict.clone()),
        Err(verdict) => {
            if let Verdict::Temporary(reason) | Verdict::ScriptFailed(reason) = &verdict {
                steps.push(format!("{address}: script: crossbar: temporary failure: {reason}"));
            }
            return Crossed::As(verdict);
        }
    };
    match crossing {
        Crossing::Drop => {
            steps.push(format!("{address}: script: crossbar: dropped for {shown}"));
            if !tables.quiet() {
                daemon::event!(Info, "script_dropped", from = shown, to = address.as_str());
            }
            Crossed::As(Verdict::quad("discard", "-", address.as_str()))
        }
        Crossing::Refuse(refusal) => {
            steps.push(format!("{address}: script: crossbar: refused for {shown}: {} {}", refusal.status, refusal.text));
            Crossed::As(Verdict::Refused { status: refusal.status, text: refusal.text })
        }
        Crossing::Defer(text) => {
            steps.push(format!("{address}: script: crossbar: deferred for {shown}: {text}"));
            Crossed::As(deferred(text))
        }
        Crossing::To(text) => match Address::parse(&text) {
            Ok(instead) if instead.domain().is_some() => {
                steps.push(format!("{address}: script: crossbar: to {instead} instead, for {shown}"));
                Crossed::To(instead)
            }
            _ => Crossed::As(failed(tables, Hook::Crossbar, format!("script: crossbar: `{text}` is no address with a domain"))),
        },
    }
}
