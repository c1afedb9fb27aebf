//! `zpost queue`.

use crate::fields::Message;
use crate::link::connect_to;
use crate::moment::{now_seconds, span, until};
use crate::offline;
use crate::output::{print, print_json, shown};
use crate::selection::matches;
use crate::site::Site;
use crate::trouble::Trouble;
use ipc::control::{QueuedMessage, Reply, Request, Selection};
use std::fmt::Write as _;

pub fn run(site: &Site, selection: &Selection, unrouted: bool, json: bool) -> Result<u8, Trouble> {
    let mut messages = messages(site, selection)?;
    if unrouted {
        let volumes = offline::open(&site.settings)?;
        messages.extend(offline::unrouted(&volumes)?.into_iter().filter_map(|m| selected(selection, m)));
    }
    if json {
        print_json(&messages.iter().map(Message::from).collect::<Vec<_>>())?;
    } else {
        print(text(&messages, now_seconds()))?;
    }
    Ok(0)
}

/// The queue from the scheduler, or from the spool when the suite is stopped; oldest first.
pub fn messages(site: &Site, selection: &Selection) -> Result<Vec<QueuedMessage>, Trouble> {
    let mut messages = match connect_to(&site.settings.paths.run)? {
        Some(link) => {
            let mut all = Vec::new();
            link.ask(&Request::Queue(selection.clone()), |reply| gather(&mut all, reply))?;
            all
        }
        None => {
            let volumes = offline::open(&site.settings)?;
            offline::routed(&volumes)?.filter_map(|m| selected(selection, m)).collect()
        }
    };
    messages.sort_by(|a, b| (a.arrived, &a.id).cmp(&(b.arrived, &b.id)));
    Ok(messages)
}

fn selected(selection: &Selection, mut message: QueuedMessage) -> Option<QueuedMessage> {
    matches(selection, &mut message, now_seconds()).then_some(message)
}

/// Puts the frames of one message together.
fn gather(all: &mut Vec<QueuedMessage>, reply: Reply) {
    let Reply::Message(message) = reply else { return };
    match all.last_mut() {
        Some(last) if last.more && last.id == message.id => {
            last.recipients.extend(message.recipients);
            last.more = message.more;
        }
        _ => all.push(message),
    }
}

/// One line a message, one below it for each recipient, one for what the other side said.
pub fn text(messages: &[QueuedMessage], now: u64) -> String {
    let mut out = String::new();
    let (mut recipients, mut bytes) = (0_usize, 0_u64);
    for m in messages {
        recipients += m.recipients.len();
        bytes = bytes.saturating_add(m.size);
        let age = span(now.saturating_sub(m.arrived / 1000));
        let _ = writeln!(out, "{}  {:>9}  {age:>6}  {:<8}  <{}>", shown(&m.id), m.size, shown(&m.state), shown(&m.sender));
        for r in &m.recipients {
            let _ = write!(out, "    {:<8}  <{}>  {}/{}", shown(&r.state), shown(&r.address), shown(&r.channel), shown(&r.host));
            if r.attempts > 0 {
                let _ = write!(out, "  attempts {}", r.attempts);
            }
            if r.next_attempt > 0 {
                let _ = write!(out, ", next {}", until(r.next_attempt, now));
            }
            out.push('\n');
            if !r.last.is_empty() {
                let _ = writeln!(out, "              ({})", shown(&r.last));
            }
            if let Some(text) = report(&r.report) {
                let _ = writeln!(out, "              ({text})");
            }
        }
    }
    let _ = match messages.len() {
        0 => writeln!(out, "the queue is empty"),
        n => writeln!(out, "-- {n} messages, {recipients} recipients, {bytes} bytes"),
    };
    out
}

/// About reports to the sender; `None` where there is nothing to say.
pub fn report(word: &str) -> Option<&'static str> {
    Some(match word {
        "failed" => "the report of failure to the sender waits to be sent",
        "delivered" => "the report of delivery to the sender waits to be sent",
        "relayed" => "the report of relaying to the sender waits to be sent",
        "expanded" => "the report of expansion to the sender waits to be sent",
        "delayed" => "the report of delay to the sender waits to be sent",
        "told" => "the sender has been told of the delay",
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::link::tests::fake;
    use crate::selection::tests::message;

    #[test]
    fn text_for_people() {
        assert_eq!(
            text(&[message()], 1_600),
            "01234567890abcde       1234     10m  deferred  <a@b.example>\n    \
             deferred  <x@Y.example>  smtp/-  attempts 1, next in 6m\n              \
             (451 4.3.0 later\\u0007)\n    \
             queued    <z@local.example>  local/-  attempts 1, next in 6m\n              \
             (451 4.3.0 later\\u0007)\n-- 1 messages, 2 recipients, 1234 bytes\n"
        );
        assert_eq!(text(&[], 0), "the queue is empty\n");
        let mut told = message();
        told.recipients[0].report = "told".to_owned();
        assert!(text(&[told], 1_600).contains("later\\u0007)\n              (the sender has been told of the delay)\n"));
    }

    #[test]
    fn a_message_in_several_frames_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        std::fs::create_dir(&site.settings.paths.run).unwrap();
        let (mut first, second) = (message(), message());
        first.more = true;
        let server = fake(&site.settings.paths.run, vec![Reply::Message(first), Reply::Message(second), Reply::End]);
        let selection = Selection { domain: Some("y.example".to_owned()), ..Selection::default() };
        let all = messages(&site, &selection).unwrap();
        assert_eq!((all.len(), all[0].recipients.len()), (1, 4));
        assert!(matches!(server.join().unwrap(), Request::Queue(s) if s == selection));
    }
}
