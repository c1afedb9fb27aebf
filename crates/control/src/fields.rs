//! The JSON of the queue commands. Its field names are an interface: they only ever grow.

use crate::moment::{rfc3339_millis, rfc3339_seconds};
use ipc::control::{QueuedDestination, QueuedMessage, QueuedRecipient};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Message<'a> {
    pub id: &'a str,
    pub sender: &'a str,
    pub size: u64,
    pub arrived: String,
    pub state: &'a str,
    pub recipients: Vec<Recipient<'a>>,
}

#[derive(Debug, Serialize)]
pub struct Recipient<'a> {
    pub address: &'a str,
    pub channel: &'a str,
    pub host: &'a str,
    pub state: &'a str,
    pub attempts: u32,
    /// `null` when none is planned.
    pub next_attempt: Option<String>,
    pub last: &'a str,
    /// The report to the sender that waits, or `told` after a warning of delay; `null` for none.
    pub report: Option<&'a str>,
    /// Who sends to it, where that is another than the message's sender: of a list, or in another form.
    pub sender: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub struct Destination<'a> {
    pub channel: &'a str,
    pub host: &'a str,
    pub queued: u64,
    pub active: u64,
    pub deferred: u64,
    pub held: u64,
    pub concurrency: u32,
    pub next_attempt: Option<String>,
    pub last: &'a str,
}

/// A moment, or none.
fn planned(seconds: u64) -> Option<String> {
    Some(seconds).filter(|s| *s > 0).map(rfc3339_seconds)
}

impl<'a> From<&'a QueuedMessage> for Message<'a> {
    fn from(m: &'a QueuedMessage) -> Self {
        let recipients = m.recipients.iter().map(Recipient::from).collect();
        Self { id: &m.id, sender: &m.sender, size: m.size, arrived: rfc3339_millis(m.arrived), state: &m.state, recipients }
    }
}

impl<'a> From<&'a QueuedRecipient> for Recipient<'a> {
    fn from(r: &'a QueuedRecipient) -> Self {
        let QueuedRecipient { address, channel, host, state, attempts, next_attempt, last, report, sender } = r;
        let report = Some(report.as_str()).filter(|report| !report.is_empty());
        Self {
            address,
            channel,
            host,
            state,
            attempts: *attempts,
            next_attempt: planned(*next_attempt),
            last,
            report,
            sender: Some(sender.as_str()).filter(|sender| !sender.is_empty()),
        }
    }
}

impl<'a> From<&'a QueuedDestination> for Destination<'a> {
    fn from(d: &'a QueuedDestination) -> Self {
        let QueuedDestination { channel, host, queued, active, deferred, held, concurrency, next_attempt, last } = d;
        Self {
            channel,
            host,
            queued: *queued,
            active: *active,
            deferred: *deferred,
            held: *held,
            concurrency: *concurrency,
            next_attempt: planned(*next_attempt),
            last,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_message_are_the_documented_ones() {
        let message = crate::selection::tests::message();
        let json = serde_json::to_value(Message::from(&message)).unwrap();
        assert_eq!(json.pointer("/arrived").unwrap(), "1970-01-01T00:16:40Z");
        assert_eq!(json.pointer("/recipients/0/next_attempt").unwrap(), "1970-01-01T00:33:20Z");
        let names = |v: &serde_json::Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let (mut outer, mut inner) = (names(&json), names(json.pointer("/recipients/0").unwrap()));
        outer.sort();
        inner.sort();
        assert_eq!(outer, ["arrived", "id", "recipients", "sender", "size", "state"]);
        assert_eq!(inner, ["address", "attempts", "channel", "host", "last", "next_attempt", "report", "sender", "state"]);
    }
}
