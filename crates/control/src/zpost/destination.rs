//! `zpost destination HOST`: how a destination is, and why.

use crate::link::{connect_to, not_running};
use crate::moment::{now_seconds, rfc3339_seconds, until};
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_NOINPUT, Trouble};
use ipc::control::{DestinationState, Reply, Request};
use serde_json::{Value, json};
use settings::{Explained, Place};
use std::fmt::Write as _;

pub fn run(site: &Site, host: &str, channel: Option<&str>, explain: bool, json: bool) -> Result<u8, Trouble> {
    let states = states(site, host, channel)?;
    // What the file says holds without mail, and without a running suite.
    let places: Vec<(String, Vec<String>)> = match &states {
        Some(states) if !states.is_empty() => states.iter().map(|s| (s.channel.clone(), s.exchangers.clone())).collect(),
        _ => vec![(channel.unwrap_or("smtp").to_owned(), Vec::new())],
    };
    let policies = |(channel, exchangers): &(String, Vec<String>)| {
        (channel.clone(), site.settings.policies.explain(&Place { channel, host, exchangers }))
    };
    let policies: Vec<_> = places.iter().filter(|_| explain).map(policies).collect();
    if json {
        print_json(&document(host, states.as_deref(), &policies))?;
        return Ok(0);
    }
    let mut out = String::new();
    match &states {
        None if !explain => return Err(not_running()),
        None => out.push_str("zpost is not running\n"),
        Some(states) if states.is_empty() && !explain => {
            let channel = channel.map(|channel| format!(" on channel {}", shown(channel))).unwrap_or_default();
            let hint = "give the next hop as `zpost queue` shows it behind the channel";
            return Err(Trouble::new(EX_NOINPUT, format!("no mail waits for `{}`{channel}, and none has lately; {hint}", shown(host))));
        }
        Some(states) => states.iter().for_each(|state| describe(state, now_seconds(), &mut out)),
    }
    policies.iter().for_each(|(channel, explained)| reasons(channel, host, explained, &mut out));
    print(out)?;
    Ok(0)
}

/// From the scheduler; `None`: nothing runs.
fn states(site: &Site, host: &str, channel: Option<&str>) -> Result<Option<Vec<DestinationState>>, Trouble> {
    let Some(link) = connect_to(&site.settings.paths.run)? else { return Ok(None) };
    let mut states = Vec::new();
    let request = Request::Destination { host: host.to_owned(), channel: channel.map(str::to_owned) };
    link.ask(&request, |reply| {
        if let Reply::DestinationState(state) = reply {
            states.push(*state);
        }
    })?;
    Ok(Some(states))
}

fn describe(s: &DestinationState, now: u64, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}/{}", shown(&s.channel), shown(&s.host));
    let _ = writeln!(out, "  recipients   {} queued, {} active, {} deferred, {} held", s.queued, s.active, s.deferred, s.held);
    let _ = match (s.site_kind.as_str(), s.members) {
        ("", _) => writeln!(out, "  site         not known yet"),
        (_, 1) => writeln!(out, "  site         {} ({})", shown(&s.site), s.site_kind),
        (_, n) => writeln!(out, "  site         {} ({}), of {n} destinations", shown(&s.site), s.site_kind),
    };
    let _ = writeln!(out, "  jobs         {} of at most {} at once", s.site_active, s.window);
    if s.ceiling > 0 {
        let _ = writeln!(
            out,
            "  connections  the server has refused more than {}; one more is tried {}",
            s.ceiling,
            until(s.ceiling_until, now)
        );
    }
    if s.probes > 0 {
        let _ = writeln!(out, "  dead         {} probes failed, the next {}: {}", s.probes, until(s.next_probe, now), shown(&s.last));
    }
    if s.rate_until > 0 {
        let _ = writeln!(out, "  rate         the next {}", until(s.rate_until, now));
    }
    let waits = waits_for(s, now).unwrap_or_default();
    if !waits.is_empty() {
        let _ = writeln!(out, "  waits for    {waits}");
    }
    for (name, limit) in [("messages a session", s.mail_max), ("recipients", s.rcpt_max), ("recipients' domains", s.rcpt_domain_max)] {
        if limit > 0 {
            let _ = writeln!(out, "  LIMITS       {limit} {name}");
        }
    }
}

fn waits_for(s: &DestinationState, now: u64) -> Option<String> {
    Some(match s.waits_for.as_str() {
        "hours" => format!("its hours, which begin {}", until(s.waits_until, now)),
        "ring" => "a place in its ring".to_owned(),
        "asking" => "somebody to ask for it (ETRN, zpost retry)".to_owned(),
        "thaw" => "`zpost thaw`".to_owned(),
        "resolver" => "the DNS to say where it goes".to_owned(),
        _ => return None,
    })
}

fn reasons(channel: &str, host: &str, explained: &[Explained], out: &mut String) {
    let _ = writeln!(out, "policy of {}/{}", shown(channel), shown(host));
    for e in explained {
        let value = if e.value.is_empty() { "\"\"" } else { &e.value };
        let origin = origin(e);
        let setting = format!("{} = {value}", e.key);
        let _ = writeln!(out, "  {setting:<38} # {origin}");
    }
}

fn origin(e: &Explained) -> String {
    match e.section {
        None => "default".to_owned(),
        Some(section @ ("channel" | "destination")) => format!("[[{section}]], line {}", e.line),
        Some(section) => format!("[{section}], line {}", e.line),
    }
}

fn document(host: &str, states: Option<&[DestinationState]>, policies: &[(String, Vec<Explained>)]) -> Value {
    let moment = |seconds: u64| if seconds == 0 { Value::Null } else { json!(rfc3339_seconds(seconds)) };
    let number = |value: u32| if value == 0 { Value::Null } else { json!(value) };
    let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let state = |s: &DestinationState| {
        json!({
            "channel": s.channel, "host": s.host,
            "queued": s.queued, "active": s.active, "deferred": s.deferred, "held": s.held,
            "waits_for": text(&s.waits_for), "waits_until": moment(s.waits_until),
            "exchangers": s.exchangers,
            "site": {
                "name": text(&s.site), "kind": text(&s.site_kind), "members": s.members,
                "active": s.site_active, "window": s.window,
                "ceiling": number(s.ceiling), "ceiling_until": moment(s.ceiling_until),
                "dead": s.probes > 0, "probes": s.probes, "next_probe": moment(s.next_probe), "last": text(&s.last),
                "rate_until": moment(s.rate_until),
                "limits": { "mail_max": number(s.mail_max), "rcpt_max": number(s.rcpt_max), "rcpt_domain_max": number(s.rcpt_domain_max) },
            },
        })
    };
    let policy = |(channel, explained): &(String, Vec<Explained>)| {
        let value = |e: &Explained| json!({ "key": e.key, "value": e.value, "section": e.section, "line": if e.line == 0 { Value::Null } else { json!(e.line) } });
        json!({ "channel": channel, "host": host, "values": explained.iter().map(value).collect::<Vec<_>>() })
    };
    json!({
        "host": host,
        "running": states.is_some(),
        "destinations": states.unwrap_or_default().iter().map(state).collect::<Vec<_>>(),
        "policies": policies.iter().map(policy).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn state() -> DestinationState {
        DestinationState {
            channel: "smtp".into(),
            host: "a.example".into(),
            queued: 3,
            site: "mx1.big,mx2.big".into(),
            site_kind: "exchangers".into(),
            members: 12,
            site_active: 5,
            window: 5,
            ceiling: 5,
            ceiling_until: 1600,
            rcpt_max: 20,
            ..DestinationState::default()
        }
    }

    #[test]
    fn a_destination_for_people_and_programs() {
        let mut out = String::new();
        describe(&state(), 1000, &mut out);
        assert_eq!(
            out,
            "smtp/a.example\n  recipients   3 queued, 0 active, 0 deferred, 0 held\n  \
             site         mx1.big,mx2.big (exchangers), of 12 destinations\n  jobs         5 of at most 5 at once\n  \
             connections  the server has refused more than 5; one more is tried in 10m\n  LIMITS       20 recipients\n"
        );
        let document = document("a.example", Some(&[state()]), &[]);
        assert_eq!(document.pointer("/destinations/0/site/members"), Some(&json!(12)));
        assert_eq!(document.pointer("/destinations/0/site/next_probe"), Some(&Value::Null));
    }

    #[test]
    fn reasons_need_no_running_suite() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        assert_eq!(run(&site, "a.example", None, true, true), Ok(0));
        let mut out = String::new();
        let text =
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"h.example\"\n[[destination]]\nhost = [\"a.*\"]\nconcurrency_most = 7\n";
        let policies = settings::parse(text, "x").unwrap().policies;
        reasons("smtp", "a.example", &policies.explain(&Place { channel: "smtp", host: "a.example", exchangers: &[] }), &mut out);
        assert!(
            out.lines().any(|l| l.trim_start().starts_with("concurrency_most = 7 ") && l.ends_with("# [[destination]], line 5")),
            "{out}"
        );
        assert!(out.lines().any(|l| l.contains("retry_first = \"5m\"") && l.ends_with("# default")), "{out}");
    }
}
