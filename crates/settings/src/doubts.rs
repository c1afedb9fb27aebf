//! What can be right and most often is not: told by `zpost config check`, and nothing is refused for it.

use crate::checks::{CHANNELS, at, text};
use crate::glob::Glob;
use crate::sheet::{Group, Sheet};
use crate::value::Value;
use crate::{Fault, domain_matches, programs};
use std::time::Duration;

/// Doubts about a text without faults, in the order of the file.
pub fn doubts(text: &str) -> Vec<Fault> {
    let sheet = Sheet::read(text);
    let mut found = Vec::new();
    routes(sheet.groups("route"), &mut found);
    channels(&sheet, &mut found);
    for section in ["channel", "destination"] {
        for group in sheet.groups(section) {
            clause(&sheet, section, group, &mut found);
        }
    }
    for group in sheet.groups("destination") {
        next_hops(&sheet, group, &mut found);
    }
    found.sort_by_key(|fault| (fault.line, fault.column));
    found
}

/// The first match wins, so what an earlier route for everybody covers is never looked at.
fn routes(groups: &[Group], found: &mut Vec<Fault>) {
    for (number, route) in groups.iter().enumerate() {
        let Some(domain) = text(route, "domain") else { continue };
        let covers = |earlier: &&Group| {
            let everybody = text(earlier, "sender").unwrap_or_default();
            let wider = text(earlier, "domain").is_some_and(|wide| match domain.strip_prefix('.') {
                Some(_) => wide == "*" || wide == domain || wide.starts_with('.') && domain.ends_with(wide),
                None => wide == "*" || wide == domain || domain_matches(wide, domain),
            });
            wider && (everybody.is_empty() || text(route, "sender") == Some(everybody))
        };
        if let Some(earlier) = groups.iter().take(number).find(covers) {
            let text = format!("route.domain: the route of line {} takes all of this mail: the first match wins", earlier.line);
            found.push(at(route, "domain", text));
        }
    }
}

/// A clause for a channel that nothing goes to is a slip of the pen.
fn channels(sheet: &Sheet, found: &mut Vec<Fault>) {
    let mut own: Vec<String> = programs::check(sheet, &[], &mut Vec::new());
    for group in sheet.groups("queue") {
        if let Some(Value::Texts(list)) = group.entry("channels").map(|entry| &entry.value) {
            own.extend(list.iter().cloned());
        }
    }
    for (section, key) in [("channel", "name"), ("destination", "channel")] {
        for group in sheet.groups(section) {
            let Some(pattern) = text(group, key) else { continue };
            let channel = pattern.split('/').next().unwrap_or_default();
            let matches = |glob: Glob| CHANNELS.into_iter().chain(own.iter().map(String::as_str)).any(|channel| glob.matches(channel));
            if Glob::parse(channel).is_ok_and(|glob| !matches(glob)) {
                found.push(at(group, key, format!("{section}.{key}: no channel is called `{channel}`, so this clause is for nothing")));
            }
        }
    }
}

fn clause(sheet: &Sheet, section: &str, group: &Group, found: &mut Vec<Fault>) {
    let time = |group: &Group, key: &str| match group.entry(key).map(|entry| &entry.value) {
        Some(Value::Duration(time)) => Some(*time),
        _ => None,
    };
    let count = |key: &str| match group.entry(key).map(|entry| &entry.value) {
        Some(Value::Integer(count)) => Some(*count),
        _ => None,
    };
    let general = || sheet.groups("queue").first().and_then(|queue| time(queue, "expiry"));
    let expiry = time(group, "expiry").or_else(general).unwrap_or(Duration::MAX);
    if time(group, "warn_after").is_some_and(|warn| warn >= expiry) {
        found.push(at(group, "warn_after", format!("{section}.warn_after: the mail has expired by then, so nobody is warned")));
    }
    if let (Some(first), Some(most)) = (count("concurrency_first"), count("concurrency_most"))
        && first > most
    {
        found.push(at(group, "concurrency_first", format!("{section}.concurrency_first is greater than {section}.concurrency_most")));
    }
    let names = matches!(group.entry("tls_names").map(|entry| &entry.value), Some(Value::Texts(names)) if !names.is_empty());
    if names && text(group, "tls").is_some_and(|policy| policy != "verify") {
        found.push(at(group, "tls_names", format!("{section}.tls_names: looked at with tls = \"verify\" only")));
    }
}

/// Next hops with a port or an address come from routes, and patterns are held against them as they are written there.
fn next_hops(sheet: &Sheet, group: &Group, found: &mut Vec<Fault>) {
    let Some(Value::Texts(patterns)) = group.entry("host").map(|entry| &entry.value) else { return };
    let routed = || sheet.groups("route").iter().filter_map(|route| text(route, "host"));
    let local = || sheet.groups("local").iter().filter_map(|local| text(local, "lmtp"));
    for pattern in patterns.iter().filter(|pattern| pattern.contains([':', '[', ']'])) {
        let Ok(glob) = Glob::parse(pattern) else { continue };
        if !routed().chain(local()).any(|host| glob.matches(host)) {
            let text =
                format!("destination.host: `{pattern}` is no next hop of a [[route]]; write it as the route has it, brackets and port too");
            found.push(at(group, "host", text));
        }
    }
}

#[cfg(test)]
mod tests {
    const LEAST: &str = "paths.postoffice = \"/p\"\nidentity.hostname = \"a.example\"\n";

    fn doubts(text: &str) -> Vec<String> {
        let text = format!("{LEAST}{text}");
        assert!(crate::parse(&text, "f").is_ok(), "{text}");
        super::doubts(&text).iter().map(|fault| fault.text.clone()).collect()
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let route =
            |domain: &str, more: &str| format!("[[route]]\ndomain = \"{domain}\"\nchannel = \"smtp\"\nhost = \"[10.0.0.1]:2525\"\n{more}");
        for (text, wanted) in [
            (route("*", "") + &route("b.example", ""), "the route of line 3 takes all"),
            (route(".example", "") + &route(".b.example", ""), "the route of line 3 takes all"),
            (route("b.example", "") + &route("b.example", "sender = \"x@y.example\"\n"), "the route of line 3 takes all"),
            ("[[channel]]\nname = \"smpt\"\n".to_owned(), "no channel is called `smpt`"),
            ("[[destination]]\nchannel = \"lmpt/x\"\n".to_owned(), "no channel is called `lmpt`"),
            ("[[destination]]\nwarn_after = \"6d\"\nexpiry = \"5d\"\n".to_owned(), "nobody is warned"),
            ("queue.expiry = \"1d\"\n[[channel]]\nwarn_after = \"6d\"\n".to_owned(), "nobody is warned"),
            ("[[channel]]\nconcurrency_first = 9\nconcurrency_most = 8\n".to_owned(), "concurrency_first is greater"),
            ("[[channel]]\ntls = \"may\"\ntls_names = [\"a.example\"]\n".to_owned(), "looked at with tls"),
            (route("b.example", "") + "[[destination]]\nhost = [\"10.0.0.1:2525\"]\n", "is no next hop of a [[route]]"),
        ] {
            let found = doubts(&text);
            assert!(found.len() == 1 && found.iter().any(|doubt| doubt.contains(wanted)), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_has_an_effect_is_not() {
        let text = "[[route]]\ndomain = \"b.example\"\nsender = \"x@y.example\"\nchannel = \"smtp\"\nhost = \"[10.0.0.1]:2525\"\n\
            [[route]]\ndomain = \"b.example\"\nchannel = \"sms\"\n[[route]]\ndomain = \".example\"\nchannel = \"discard\"\n\
            [[route]]\ndomain = \"*\"\nchannel = \"smtp\"\n[[agent]]\nchannel = \"sms\"\nprogram = [\"/bin/sms\"]\n\
            [[channel]]\nname = \"s*\"\nwarn_after = \"1h\"\n[[channel]]\nname = \"sms\"\nconcurrency_most = 2\n\
            [[destination]]\nhost = [\"[10.0.0.1]:*\", \"c.example\"]\ntls = \"verify\"\ntls_names = [\"a.example\"]\n";
        assert_eq!(doubts(text), Vec::<String>::new());
    }
}
