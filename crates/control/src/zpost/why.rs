//! `zpost why ID`.

use super::trace::parse_id;
use crate::fields::Message;
use crate::moment::{now_seconds, rfc3339_seconds, until};
use crate::offline;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_NOINPUT, Trouble};
use envelope::MessageId;
use ipc::control::{QueuedMessage, QueuedRecipient, Selection};
use serde_json::json;
use spool::Place;
use std::collections::{BTreeMap, BTreeSet};

pub fn run(site: &Site, id: &str, json: bool) -> Result<u8, Trouble> {
    let id = parse_id(id)?;
    let selection = Selection { ids: vec![id.to_string()], ..Selection::default() };
    let messages = super::queue::messages(site, &selection)?;
    let Some(message) = messages.first() else { return elsewhere(site, id, json) };
    if json {
        let because: Vec<_> = reasons(message, &obstacles(site, message)?, now_seconds())
            .map(|(r, text)| json!({ "address": r.address, "channel": r.channel, "host": r.host, "text": text }))
            .collect();
        print_json(&json!({ "id": message.id, "place": "queue", "reason": null, "because": because, "message": Message::from(message) }))?;
    } else {
        print(text(message, &obstacles(site, message)?, now_seconds()))?;
    }
    Ok(0)
}

/// What keeps destinations waiting, by channel and host.
type Obstacles = BTreeMap<(String, String), String>;

/// Destinations asked about for one message: a list may have thousands, and a person reads a few.
const MOST_ASKED: usize = 100;

/// Asks the scheduler about the destinations whose turn it could be; nothing while the suite is stopped.
fn obstacles(site: &Site, message: &QueuedMessage) -> Result<Obstacles, Trouble> {
    let now = now_seconds();
    let due = message.recipients.iter().filter(|r| ["queued", "deferred"].contains(&r.state.as_str()) && r.next_attempt <= now);
    let places: BTreeSet<(&str, &str)> = due.map(|r| (r.channel.as_str(), r.host.as_str())).collect();
    let frozen = site.settings.paths.postoffice.join(".frozen").exists();
    let mut found = Obstacles::new();
    for (channel, host) in places.into_iter().take(MOST_ASKED) {
        let hindrance = match super::destination::states(site, host, Some(channel))? {
            None => Some("zpost is not running; `zpost start`".to_owned()),
            Some(_) if frozen => Some("the suite is frozen: nothing is delivered until `zpost thaw`".to_owned()),
            Some(states) => states.first().and_then(|state| super::destination::hindrance(state, now)),
        };
        found.extend(hindrance.map(|text| ((channel.to_owned(), host.to_owned()), text)));
    }
    Ok(found)
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
        print_json(&json!({ "id": id.as_str(), "place": place.map(Place::name), "reason": reason, "message": null }))?;
    } else {
        print(format!("{id}: {}\n", shown(&reason)))?;
    }
    Ok(0)
}

/// The recipients that wait, and why.
fn reasons<'a>(
    message: &'a QueuedMessage,
    obstacles: &'a Obstacles,
    now: u64,
) -> impl Iterator<Item = (&'a QueuedRecipient, String)> + use<'a> {
    let waiting = message.recipients.iter().filter(|r| !r.report.is_empty() || !["delivered", "failed"].contains(&r.state.as_str()));
    waiting.map(move |r| {
        let obstacle = obstacles.get(&(r.channel.clone(), r.host.clone())).map(String::as_str);
        (r, because(r, obstacle, now) + &reported(r))
    })
}

fn text(message: &QueuedMessage, obstacles: &Obstacles, now: u64) -> String {
    let lines: String = reasons(message, obstacles, now)
        .map(|(r, why)| format!("<{}> by {}/{}: {why}\n", shown(&r.address), shown(&r.channel), shown(&r.host)))
        .collect();
    if lines.is_empty() { "nothing is left to do; it is about to be removed\n".to_owned() } else { lines }
}

fn because(r: &QueuedRecipient, obstacle: Option<&str>, now: u64) -> String {
    let tried = match r.attempts {
        0 => "not tried yet".to_owned(),
        1 => format!("put off once, with: {}", shown(&r.last)),
        n => format!("put off {n} times, at last with: {}", shown(&r.last)),
    };
    match r.state.as_str() {
        "delivered" | "failed" => r.state.clone(),
        "held" => "held by the administrator; `zpost release` lets it go".to_owned(),
        "active" => "being delivered now".to_owned(),
        _ if r.next_attempt > now => format!("{tried}; next attempt {} ({})", until(r.next_attempt, now), rfc3339_seconds(r.next_attempt)),
        _ => format!("{tried}; {}", obstacle.unwrap_or("it waits for its turn")),
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
        assert_eq!(run(&site, id.as_str(), true), Ok(0));
        assert_eq!(run(&site, "0000000000000000", false).map_err(|t| t.code), Err(EX_NOINPUT));
        assert_eq!(super::super::show::run(&site, id.as_str(), true, true), Ok(0));
        assert_eq!(super::super::show::run(&site, id.as_str(), true, false), Ok(0));
        assert_eq!(super::super::trace::run(&site, id.as_str(), false), Ok(0));
        assert_eq!(super::super::queue::run(&site, &Selection::default(), true, true), Ok(0));
    }

    #[test]
    fn says_what_stands_in_the_way() {
        let message = crate::selection::tests::message();
        let out = text(&message, &Obstacles::new(), 1_000);
        assert!(
            out.starts_with("<x@Y.example> by smtp/-: put off once, with: 451 4.3.0 later\\u0007; next attempt in 16m (1970-"),
            "{out}"
        );
        let mut message = message;
        for (recipient, (state, report)) in message.recipients.iter_mut().zip([("deferred", "told"), ("delivered", "relayed")]) {
            (recipient.state, recipient.report) = (state.to_owned(), report.to_owned());
        }
        let out = text(&message, &Obstacles::new(), 1_000);
        assert!(out.contains("; the sender has been told of the delay\n") && out.contains("delivered; the report of relaying"), "{out}");
        let message = crate::selection::tests::message();
        let place = |r: &QueuedRecipient| ((r.channel.clone(), r.host.clone()), "the suite is frozen".to_owned());
        let obstacles: Obstacles = message.recipients.iter().map(place).collect();
        let out = text(&message, &obstacles, 1_000_000);
        assert!(out.contains("put off once, with: 451 4.3.0 later\\u0007; the suite is frozen\n"), "{out}");
    }
}
