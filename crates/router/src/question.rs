//! Questions of sessions and commands, answered by the same decision that messages get.

use crate::decision::{Routing, Want, route};
use crate::rules::Rules;
use crate::scripted::policy;
use crate::sender_form::formed_sender;
use crate::steps::kinship;
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict};
use address::{Address, Path};
use envelope::Quad;
use ipc::routing::{Answer, Question};
use lookup::TableError;
use status::{Enhanced, Reply};

/// Quads and steps in one answer: a frame holds 128 KiB.
const MAX_QUADS: usize = 100;
const MAX_STEPS: usize = 200;
const MAX_STEP_BYTES: usize = 300;
const MAX_QUAD_BYTES: usize = 60 * 1024;

/// Answers a question; what a table has not said yet is a temporary failure.
pub fn answer(question: &Question, rules: &Rules, tables: &mut dyn Tables) -> Answer {
    decide(question, rules, tables).unwrap_or_else(unanswered)
}

/// The reply when tables were not heard of in time.
pub(crate) fn unanswered() -> Answer {
    Answer::Refused { reply: trouble(), steps: Vec::new() }
}

/// The client gets no names of ours.
fn trouble() -> Reply {
    Reply::new(451, Enhanced::transient(3, 0), "Temporary failure of a lookup table; try again later")
}

fn script_trouble() -> Reply {
    Reply::new(451, Enhanced::transient(3, 0), "Temporary failure of the routing script; try again later")
}

/// Answers a question; `None`: a table has not answered yet.
pub(crate) fn decide(question: &Question, rules: &Rules, tables: &mut dyn Tables) -> Option<Answer> {
    let (address, sender, want) = match question {
        Question::Verify { address, sender } => (address, sender.as_str(), Want::First),
        Question::Expand { address } => (address, "", Want::Members),
        Question::Explain { address, sender } => (address, sender.as_str(), Want::Explanation),
        Question::Lookup { table, key } => return looked_up(table, key, tables),
        Question::Kinship { domain } => return whose(domain, rules, tables),
    };
    let address = match Address::parse(address) {
        Ok(address) => address,
        Err(fault) => {
            let reply = Reply::new(553, Enhanced::permanent(1, 3), format!("No valid address: {fault}"));
            return Some(Answer::Refused { reply, steps: Vec::new() });
        }
    };
    let given = Address::parse(sender).map_or(Path::Null, Path::Mailbox);
    // As a message of this sender would be routed.
    let form = match formed_sender(&given, rules, tables) {
        Ok(form) => form,
        Err(Verdict::Pending) => return None,
        Err(verdict) => return Some(answer_from(Routing::of(&address, None, verdict))),
    };
    let sender = form.as_ref().unwrap_or(&given);
    let mut routing = route(&address, sender, want, rules, tables);
    if want == Want::Explanation && *sender != given {
        routing.steps.insert(0, format!("sender {given}: {sender} instead"));
    }
    let known = want == Want::First && routing.outcomes.iter().any(|outcome| matches!(outcome.verdict, Verdict::Deliver(_)));
    if !known && routing.outcomes.iter().any(|outcome| outcome.verdict == Verdict::Pending) {
        return None;
    }
    Some(match question {
        Question::Expand { .. } => members(&address, routing),
        Question::Explain { .. } if routing.outcomes.len() > 1 => everything(routing),
        Question::Verify { .. } if known => {
            return by_policy(&address, sender, rules, tables).unwrap_or_else(|| Some(answer_from(routing)));
        }
        _ => answer_from(routing),
    })
}

/// What the script replies to a recipient that would be taken: the answer (`None`: it waits for a table), where it has one.
fn by_policy(address: &Address, sender: &Path, rules: &Rules, tables: &mut dyn Tables) -> Option<Option<Answer>> {
    match policy(address, sender, rules, tables) {
        Ok(None) => None,
        Ok(Some(reply)) => Some(Some(Answer::Refused { reply, steps: Vec::new() })),
        Err(Verdict::Pending) => Some(None),
        Err(verdict) => Some(Some(answer_from(Routing::of(address, None, verdict)))),
    }
}

/// May anybody send to a domain?
fn whose(domain: &str, rules: &Rules, tables: &mut dyn Tables) -> Option<Answer> {
    Some(match kinship(domain, rules, tables) {
        Ok(kinship) => Answer::Kinship(kinship),
        Err(TableError::Pending) => return None,
        Err(error) => {
            daemon::event!(Warning, "lookup_failed", address = domain, reason = error);
            unanswered()
        }
    })
}

/// `zpost lookup`
fn looked_up(table: &str, key: &str, tables: &mut dyn Tables) -> Option<Answer> {
    let refused = |code, status, text: String| Answer::Refused { reply: Reply::new(code, status, shortened(text)), steps: Vec::new() };
    Some(match tables.find(table, key) {
        Ok(Some(found)) => {
            let quad = |value: &String| Quad { channel: "-".into(), host: "-".into(), user: value.clone(), attributes: "-".into() };
            let mut bytes = 0;
            let fits = |value: &&String| {
                bytes += value.len() + 16;
                bytes < MAX_QUAD_BYTES
            };
            let quads = found.values.iter().take_while(fits).take(MAX_QUADS).map(quad).collect();
            Answer::Routed { quads, steps: vec![shortened(found.place)] }
        }
        Ok(None) => refused(550, Enhanced::permanent(1, 1), "not there".to_owned()),
        Err(TableError::Pending) => return None,
        Err(error) => refused(451, Enhanced::transient(3, 0), error.to_string()),
    })
}

/// EXPN: addresses only. Where they go, and programs and files that stand in an alias, are nobody's business: they
/// show as the address that was asked about.
fn members(asked: &Address, mut routing: Routing) -> Answer {
    let mut seen = std::collections::HashSet::new();
    for outcome in &mut routing.outcomes {
        if let Verdict::Deliver(quad) = &mut outcome.verdict {
            // The name of a program may look like a local part.
            let member = Address::parse(&outcome.address).ok().filter(|member| member.domain().is_some());
            let member = member.as_ref().unwrap_or(asked).as_str().to_owned();
            *quad = Quad { channel: "-".to_owned(), host: "-".to_owned(), user: member, attributes: "-".to_owned() };
        }
    }
    routing.outcomes.retain(|outcome| if let Verdict::Deliver(quad) = &outcome.verdict { seen.insert(quad.user.clone()) } else { true });
    answer_from(routing)
}

/// What becomes of each of several, also of those for whom it is a report: as in a control file.
fn everything(routing: Routing) -> Answer {
    let place = |outcome: Routed| match outcome.verdict {
        Verdict::Pending => outcome,
        _ => Routed { verdict: Verdict::Deliver(outcome.clone().into_quad()), ..outcome },
    };
    answer_from(Routing { outcomes: routing.outcomes.into_iter().map(place).collect(), ..routing })
}

/// Taken when there is one place to deliver to; else 4xx when a table failed, else the first refusal.
fn answer_from(routing: Routing) -> Answer {
    let steps: Vec<String> = routing.steps.into_iter().take(MAX_STEPS).map(shortened).collect();
    let (mut quads, mut bytes) = (Vec::<Quad>::new(), 0);
    let (mut refused, mut temporary, mut logged) = (None, None, false);
    for outcome in routing.outcomes {
        match outcome.verdict {
            Verdict::Deliver(quad) => {
                bytes += quad.channel.len() + quad.host.len() + quad.user.len() + quad.attributes.len() + 16;
                if quads.len() < MAX_QUADS && bytes < MAX_QUAD_BYTES {
                    quads.push(quad);
                }
            }
            Verdict::Refused { status, text } => refused = refused.or(Some(Reply::new(550, status, shortened(text)))),
            // Only where another outcome says enough.
            Verdict::Pending => {}
            Verdict::Deferred { status, text } => temporary = Some(Reply::new(451, status, shortened(text))),
            Verdict::Temporary(reason) => {
                // For the operator, once: many may wait for the same.
                if !std::mem::replace(&mut logged, true) {
                    daemon::event!(Warning, "lookup_failed", address = outcome.address, reason = reason);
                }
                temporary = Some(trouble());
            }
            // Whoever asked the script has logged it.
            Verdict::ScriptFailed(_) => temporary = Some(script_trouble()),
        }
    }
    match temporary.or(refused) {
        Some(reply) if quads.is_empty() => Answer::Refused { reply, steps },
        _ => Answer::Routed { quads, steps },
    }
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_STEP_BYTES {
        let end = (0..=MAX_STEP_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
