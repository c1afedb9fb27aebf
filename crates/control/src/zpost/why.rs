//! `zpost why ID [RECIPIENT]`: for each recipient the one thing that stands in its way, and what comes next.

use super::queue::counted;
use super::trace::parse_id;
use crate::fields::{Message, Recipient};
use crate::link::connect_to;
use crate::moment::{now_seconds, rfc3339_millis, rfc3339_seconds, until};
use crate::offline;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_NOINPUT, EX_TEMPFAIL, Trouble};
use envelope::MessageId;
use ipc::control::{QueuedMessage, QueuedRecipient, Reason, Reply, Request, Selection};
use serde_json::{Value, json};
use spool::Place;

pub fn run(site: &Site, id: &str, recipient: Option<&str>, json: bool) -> Result<u8, Trouble> {
    let id = parse_id(id)?;
    let recipient = recipient.map(|address| address.trim_matches(['<', '>']).to_owned());
    let reasons = match reasons(site, id, recipient.clone())? {
        Known::Reasons(reasons) => reasons,
        Known::Nothing(why) => return from_spool(site, id, recipient.as_deref(), &why, json),
    };
    if reasons.is_empty() {
        return match recipient.filter(|_| offline::open(&site.settings).is_ok_and(|v| matches!(v.find(id), Ok(Some((_, Place::Queue)))))) {
            Some(address) => Err(nobody(id, &address)),
            None => from_spool(site, id, None, "it is routed and the scheduler has not taken it up yet", json),
        };
    }
    if json {
        let selection = Selection { ids: vec![id.to_string()], ..Selection::default() };
        let message = super::queue::messages(site, &selection)?;
        let recipients: Vec<Value> = reasons.iter().map(document).collect();
        let message = message.first().map(Message::from);
        print_json(&json!({ "id": id.as_str(), "place": "queue", "reason": null, "recipients": recipients, "message": message }))?;
    } else {
        let now = now_seconds();
        print(reasons.iter().map(|reason| line(reason, now)).collect::<String>())?;
    }
    Ok(0)
}

fn nobody(id: MessageId, address: &str) -> Trouble {
    Trouble::new(EX_NOINPUT, format!("nobody of {id} with the address {} is undelivered; see `zpost trace {id}`", shown(address)))
}

/// What the scheduler says.
enum Known {
    Reasons(Vec<Reason>),
    /// It says nothing, for this reason.
    Nothing(String),
}

fn reasons(site: &Site, id: MessageId, recipient: Option<String>) -> Result<Known, Trouble> {
    let Some(link) = connect_to(&site.settings.paths.run)? else {
        return Ok(Known::Nothing("zpost is not running: nothing is delivered until `zpost start`".to_owned()));
    };
    let mut reasons = Vec::new();
    let asked = link.ask(&Request::Why { id: id.to_string(), recipient }, |reply| {
        if let Reply::Reason(reason) = reply {
            reasons.push(*reason);
        }
    });
    match asked {
        Err(trouble) if trouble.code == EX_TEMPFAIL && reasons.is_empty() => Ok(Known::Nothing(trouble.text)),
        other => other.map(|()| Known::Reasons(reasons)),
    }
}

/// As far as the spool tells.
fn from_spool(site: &Site, id: MessageId, recipient: Option<&str>, why: &str, json: bool) -> Result<u8, Trouble> {
    let volumes = offline::open(&site.settings)?;
    let there = volumes.find(id).map_err(|e| Trouble::io("cannot look into the spool", &e))?;
    let parsed = there.filter(|(_, place)| *place == Place::Queue).and_then(|(spool, _)| offline::control(spool, id).ok().flatten());
    let Some(mut message) = parsed.map(|parsed| offline::message(&parsed)) else { return elsewhere(site, id, json) };
    message.recipients.retain(|r| recipient.is_none_or(|address| address.eq_ignore_ascii_case(&r.address)));
    if let (true, Some(address)) = (message.recipients.is_empty(), recipient) {
        return Err(nobody(id, address));
    }
    if json {
        print_json(&json!({ "id": message.id, "place": "queue", "reason": why, "recipients": [], "message": Message::from(&message) }))?;
    } else {
        print(format!("{}\n{}", shown(why), text(&message, now_seconds())))?;
    }
    Ok(0)
}

/// The fields of a recipient as everywhere, and why it waits.
fn document(reason: &Reason) -> Value {
    let mut value = serde_json::to_value(Recipient::from(&reason.recipient)).unwrap_or_default();
    let moment = |ms: u64| Some(ms).filter(|ms| *ms > 0).map(rfc3339_millis);
    if let Some(object) = value.as_object_mut() {
        let Reason { recipient: _, reason: word, since, until, agent, active, most, detail } = reason;
        let some = |n: u32| Some(n).filter(|n| *n > 0);
        object.insert("reason".to_owned(), json!(word));
        object.insert("since".to_owned(), json!(moment(*since)));
        object.insert("until".to_owned(), json!(moment(*until)));
        object.insert("agent".to_owned(), json!(some(*agent)));
        object.insert("active".to_owned(), json!(active));
        object.insert("most".to_owned(), json!(some(*most)));
        object.insert("detail".to_owned(), json!(detail));
        object.insert("text".to_owned(), json!(because(reason, now_seconds())));
    }
    value
}

fn line(reason: &Reason, now: u64) -> String {
    let r = &reason.recipient;
    let told = reported(r);
    format!("<{}> by {}/{}: {}{told}\n", shown(&r.address), shown(&r.channel), shown(&r.host), because(reason, now))
}

/// The reason in a sentence.
fn because(reason: &Reason, now: u64) -> String {
    let Reason { recipient: r, since, until: next, agent, active, most, detail, .. } = reason;
    let at = |ms: u64| format!("{} ({})", until(ms / 1000, now), rfc3339_millis(ms));
    let then = |text: &str| if *next == 0 { String::new() } else { format!("; {text} {}", at(*next)) };
    let answer = if r.last.is_empty() { String::new() } else { format!(", the last answer: {}", shown(&r.last)) };
    let detail = shown(detail);
    match reason.reason.as_str() {
        "active" if *agent == 0 => "being delivered now".to_owned(),
        "active" => format!("being delivered now, by the agent with pid {agent} since {}", rfc3339_millis(*since)),
        "suite-frozen" => {
            format!("all deliveries are frozen; `zpost thaw` lets them go{}", then("its next attempt is not before then, and"))
        }
        "frozen" => format!("frozen by `{detail}`; `zpost thaw` with the same conditions lets it go"),
        "stopping" => "the scheduler is stopping or being replaced; its successor goes on".to_owned(),
        "held" => "held by the administrator; `zpost release` lets it go".to_owned(),
        "held-until" => format!("held until the moment that its sender has set{}", then("it goes")),
        "deferred" => format!("put off {}{answer}{}", counted(r.attempts, "time"), then("next attempt")),
        "gathering" => format!("its report waits for others of the same message to join it{}", then("it goes")),
        "hours" => format!("the hours of its destination do not allow it now{}", then("they begin")),
        "ring" => format!("its ring is full, with {active} of {most} jobs; it goes when one of them ends"),
        "asking" => "its destination waits to be asked for (queue_only); ETRN or `zpost retry` lets it go".to_owned(),
        "resolver" => format!("the DNS is being asked for its mail exchangers{}", then("it goes without an answer")),
        "disk" => "its volume is slow and has enough to do; it goes when that has answered".to_owned(),
        "dead" | "probe" if r.channel == "hold" => {
            format!("what it waits for is not there yet, as {most} looks have found{answer}{}", then("next look"))
        }
        "dead" => format!("{detail} is dead after {most} failed probes{answer}{}", then("next probe")),
        "probe" => format!("{detail} is dead after {most} failed probes{answer}; a probe is under way now"),
        "rate" => format!("the rate of {detail} is used up{}", then("the next one goes")),
        "window" => format!("all {most} places at {detail} are taken ({active} of {most}); it goes when one of those ends"),
        "agent" if *most > 0 => format!("no agent of its channel has room: {detail}, {most} agents with {active} jobs"),
        "agent" => format!("its channel has no agent: {detail}{}", then("one is asked for")),
        "turn" => "it goes next, when the turn of its place in line comes".to_owned(),
        "done" => "done; it is about to be removed".to_owned(),
        other => shown(other),
    }
}

/// The scheduler does not have it: the folders tell.
fn elsewhere(site: &Site, id: MessageId, json: bool) -> Result<u8, Trouble> {
    let volumes = offline::open(&site.settings)?;
    let found = volumes.find(id).map_err(|e| Trouble::io("cannot look into the spool", &e))?;
    let place = found.map(|(_, place)| place);
    let said = |place: Place| found.map_or_else(String::new, |(spool, _)| spool.read_reason(place, id.as_str()).unwrap_or_default());
    let reason = match place {
        None => {
            return Err(Trouble::new(
                EX_NOINPUT,
                format!("{id} is not in the spool: delivered, returned, or never here; see `zpost trace {id}`"),
            ));
        }
        Some(Place::Public) => "it is being written, or its submitter died before anybody was told that it is accepted".to_owned(),
        Some(Place::Router) => "it waits to be routed; see `zpost status` for the routers".to_owned(),
        Some(Place::Queue) => "it is routed and the scheduler has not taken it up yet".to_owned(),
        Some(place @ Place::Deferred) => {
            format!("it could not be routed: {}; `zpost retry {id}` tries again", said(place))
        }
        Some(place @ Place::Freezer) => {
            format!("it is frozen: {}; `zpost release {id}` lets it go", said(place))
        }
    };
    if json {
        print_json(&json!({ "id": id.as_str(), "place": place.map(Place::name), "reason": reason, "recipients": [], "message": null }))?;
    } else {
        print(format!("{id}: {}\n", shown(&reason)))?;
    }
    Ok(0)
}

fn text(message: &QueuedMessage, now: u64) -> String {
    let waiting = message.recipients.iter().filter(|r| !r.report.is_empty() || !["delivered", "failed"].contains(&r.state.as_str()));
    let lines: String = waiting
        .map(|r| {
            let from = if r.sender.is_empty() { String::new() } else { format!(" from <{}>", shown(&r.sender)) };
            let kept = kept(r, now) + &reported(r);
            format!("<{}>{from} by {}/{}: {kept}\n", shown(&r.address), shown(&r.channel), shown(&r.host))
        })
        .collect();
    if lines.is_empty() { "nothing is left to do; it is about to be removed\n".to_owned() } else { lines }
}

fn kept(r: &QueuedRecipient, now: u64) -> String {
    let next = || format!("next attempt {} ({})", until(r.next_attempt, now), rfc3339_seconds(r.next_attempt));
    match (r.state.as_str(), r.attempts, r.next_attempt) {
        ("delivered" | "failed", ..) => r.state.clone(),
        ("held", ..) => "held by the administrator; `zpost release` lets it go".to_owned(),
        ("active", ..) => "being delivered now".to_owned(),
        (_, 0, 0) => "not tried yet; it waits for its turn".to_owned(),
        (_, 0, _) => format!("not tried yet; {}", next()),
        (_, n, 0) => format!("put off {}, at last with: {}", counted(n, "time"), shown(&r.last)),
        (_, n, _) => format!("put off {}, at last with: {}; {}", counted(n, "time"), shown(&r.last), next()),
    }
}

/// What the sender has been told, or is about to be.
fn reported(r: &QueuedRecipient) -> String {
    super::queue::report(&r.report).map_or_else(String::new, |text| format!("; {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_suite_has_its_queue_in_the_spool() {
        let Ok(folder) = tempfile::tempdir() else { return };
        let id = crate::offline::tests::queued(folder.path());
        let site = crate::site::tests::scratch(folder.path());
        assert_eq!(run(&site, id.as_str(), None, true), Ok(0));
        assert_eq!(run(&site, "0000000000000000", None, false).map_err(|t| t.code), Err(EX_NOINPUT));
        assert_eq!(super::super::show::run(&site, id.as_str(), true, true), Ok(0));
        assert_eq!(super::super::show::run(&site, id.as_str(), true, false), Ok(0));
        assert_eq!(super::super::trace::run(&site, id.as_str(), false), Ok(0));
        assert_eq!(super::super::queue::run(&site, &Selection::default(), true, true), Ok(0));
    }

    #[test]
    fn every_reason_has_its_sentence() {
        let words = [
            "active",
            "suite-frozen",
            "frozen",
            "stopping",
            "held",
            "held-until",
            "deferred",
            "gathering",
            "hours",
            "ring",
            "asking",
            "resolver",
            "disk",
            "dead",
            "probe",
            "rate",
            "window",
            "agent",
            "turn",
            "done",
        ];
        for word in words {
            let recipient =
                QueuedRecipient { address: "a@b\u{1b}.example".to_owned(), last: "x\n".to_owned(), ..QueuedRecipient::default() };
            let reason = Reason { recipient, reason: word.to_owned(), until: 100_000, most: 3, agent: 7, ..Reason::default() };
            let said = line(&reason, 40);
            assert!(!said.contains(&format!(": {word}\n")) && !said.contains('\u{1b}') && said.lines().count() == 1, "{said}");
            assert_eq!(document(&reason).get("reason").and_then(Value::as_str), Some(word));
        }
        let rate = Reason { reason: "rate".to_owned(), until: 100_250, detail: "mx.example".to_owned(), ..Reason::default() };
        assert_eq!(because(&rate, 40), "the rate of mx.example is used up; the next one goes in 1m (1970-01-01T00:01:40.25Z)");
    }

    #[test]
    fn says_what_stands_in_the_way() {
        let message = crate::selection::tests::message();
        let out = text(&message, 1_000);
        assert!(
            out.starts_with("<x@Y.example> by smtp/-: put off 1 time, at last with: 451 4.3.0 later\\u0007; next attempt in 16m (1970-"),
            "{out}"
        );
        let mut message = message;
        for (recipient, (state, report)) in message.recipients.iter_mut().zip([("deferred", "told"), ("delivered", "relayed")]) {
            (recipient.state, recipient.report) = (state.to_owned(), report.to_owned());
        }
        let out = text(&message, 1_000);
        assert!(out.contains("; the sender has been told of the delay\n") && out.contains("delivered; the report of relaying"), "{out}");
    }
}
