//! `mailq`: the queue for people; `-Q` and its doubled forms show destinations.

use crate::fields::Destination;
use crate::link;
use crate::moment::{now_seconds, until};
use crate::output::{print, print_json, shown, table};
use crate::selection::Filters;
use crate::site::Site;
use crate::trouble::{EX_USAGE, Trouble};
use crate::zpost::queue;
use ipc::control::{QueuedDestination, Reply, Request};
use std::ffi::OsString;
use std::path::PathBuf;

const USAGE: &str = "usage: mailq [--config FILE] [--json] [-Q[Q[Q[Q]]]] [-u SENDER] [-c CHANNEL] [-h HOST] [ID ...]";

#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    config: Option<PathBuf>,
    json: bool,
    /// How many times Q was said.
    depth: usize,
    ids: Vec<String>,
    /// One sender, channel, next hop.
    sender: Option<String>,
    channel: Option<String>,
    host: Option<String>,
}

pub fn main(arguments: Vec<OsString>) -> Result<u8, Trouble> {
    let Arguments { config, json, depth, ids, sender, channel, host } = parse(arguments)?;
    let site = Site::load(config.as_deref())?;
    match depth {
        0 => queue::run(&site, &Filters { sender, channel, host, ..Filters::default() }.selection(&ids)?, false, json),
        depth => destinations(&site, depth, channel.as_deref(), host.as_deref(), json),
    }
}

fn parse(arguments: Vec<OsString>) -> Result<Arguments, Trouble> {
    let mut parsed = Arguments::default();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("--json") => parsed.json = true,
            Some("--config") => parsed.config = rest.next().map(PathBuf::from),
            Some("-u") => parsed.sender = Some(value(&mut rest)?),
            Some("-c") => parsed.channel = Some(value(&mut rest)?),
            Some("-h") => parsed.host = Some(value(&mut rest)?),
            // Ours is always as verbose as that.
            Some("-v" | "-vv" | "-Ac" | "-Am") => {}
            Some(q) if q.len() > 1 && q.strip_prefix('-').is_some_and(|q| q.bytes().all(|b| b == b'Q')) => parsed.depth += q.len() - 1,
            Some(id) if !id.starts_with('-') => parsed.ids.push(id.to_owned()),
            _ => return Err(Trouble::new(EX_USAGE, USAGE)),
        }
    }
    Ok(parsed)
}

fn value(rest: &mut impl Iterator<Item = OsString>) -> Result<String, Trouble> {
    rest.next().and_then(|value| value.into_string().ok()).ok_or_else(|| Trouble::new(EX_USAGE, USAGE))
}

fn destinations(site: &Site, depth: usize, channel: Option<&str>, host: Option<&str>, json: bool) -> Result<u8, Trouble> {
    let replies = link::ask(&site.settings.paths.run, &Request::Destinations)?;
    let mut all: Vec<QueuedDestination> =
        replies.into_iter().filter_map(|r| if let Reply::Destination(d) = r { Some(d) } else { None }).collect();
    let is = |wanted: Option<&str>, has: &str| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(has));
    all.retain(|d| is(channel, &d.channel) && is(host, &d.host));
    all.sort_by(|a, b| (&a.channel, &a.host).cmp(&(&b.channel, &b.host)));
    if json {
        print_json(&all.iter().map(Destination::from).collect::<Vec<_>>())?;
        return Ok(0);
    }
    print(match depth {
        1 => long(&all, now_seconds()),
        2 => short(&all),
        3 => totals(&all),
        _ => by_channel(&all),
    })?;
    Ok(0)
}

/// `-Q`: a line for each destination, with what it waits for.
fn long(all: &[QueuedDestination], now: u64) -> String {
    let heading = ["CHANNEL/HOST", "QUEUED", "ACTIVE", "DEFERRED", "HELD", "AT ONCE", "NEXT", "LAST"].map(str::to_owned).to_vec();
    let rows = all.iter().map(|d| {
        let next = if d.next_attempt == 0 { "-".to_owned() } else { until(d.next_attempt, now) };
        let [queued, active, deferred, held] = [d.queued, d.active, d.deferred, d.held].map(|n| n.to_string());
        vec![place(d), queued, active, deferred, held, d.concurrency.to_string(), next, shown(&d.last)]
    });
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()) + &totals(all)
}

/// `-QQ`: only how much waits where.
fn short(all: &[QueuedDestination]) -> String {
    let rows: Vec<Vec<String>> = all.iter().map(|d| vec![place(d), (d.queued + d.active + d.deferred + d.held).to_string()]).collect();
    table(&rows) + &totals(all)
}

/// `-QQQ`: one line.
fn totals(all: &[QueuedDestination]) -> String {
    let sum = |of: fn(&QueuedDestination) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
    format!(
        "-- {} destinations, {} queued, {} active, {} deferred, {} held recipients\n",
        all.len(),
        sum(|d| d.queued),
        sum(|d| d.active),
        sum(|d| d.deferred),
        sum(|d| d.held)
    )
}

/// `-QQQQ`: one line for each channel, `name=value`, for programs.
fn by_channel(all: &[QueuedDestination]) -> String {
    let mut channels: std::collections::BTreeMap<&str, [u64; 5]> = std::collections::BTreeMap::new();
    for d in all {
        let [destinations, queued, active, deferred, held] = channels.entry(&d.channel).or_default();
        *destinations += 1;
        *queued += d.queued;
        *active += d.active;
        *deferred += d.deferred;
        *held += d.held;
    }
    let line = |(channel, [destinations, queued, active, deferred, held]): (&&str, &[u64; 5])| {
        format!("channel={} destinations={destinations} queued={queued} active={active} deferred={deferred} held={held}\n", shown(channel))
    };
    channels.iter().map(line).collect()
}

fn place(d: &QueuedDestination) -> String {
    shown(&format!("{}/{}", d.channel, d.host))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn destination(host: &str, next_attempt: u64) -> QueuedDestination {
        QueuedDestination {
            channel: "smtp".to_owned(),
            host: host.to_owned(),
            queued: 3,
            active: 1,
            deferred: 2,
            held: 0,
            concurrency: 5,
            next_attempt,
            last: "timed\u{1b}out".to_owned(),
        }
    }

    #[test]
    fn the_four_depths() {
        let all = [destination("a.example", 0), destination("[10.0.0.1]", 160)];
        let total = "-- 2 destinations, 6 queued, 2 active, 4 deferred, 0 held recipients\n";
        assert_eq!(
            long(&all, 100),
            format!(
                "CHANNEL/HOST     QUEUED  ACTIVE  DEFERRED  HELD  AT ONCE  NEXT   LAST\n\
                 smtp/a.example   3       1       2         0     5        -      timed\\u001bout\n\
                 smtp/[10.0.0.1]  3       1       2         0     5        in 1m  timed\\u001bout\n{total}"
            )
        );
        assert_eq!(short(&all), format!("smtp/a.example   6\nsmtp/[10.0.0.1]  6\n{total}"));
        assert_eq!(by_channel(&all), "channel=smtp destinations=2 queued=6 active=2 deferred=4 held=0\n");
    }

    #[test]
    fn arguments() {
        let of = |words: &[&str]| parse(words.iter().map(OsString::from).collect());
        assert_eq!(of(&["-QQ", "-Q", "-v"]).unwrap().depth, 3);
        let one = of(&["-u", "a@b", "-c", "smtp", "-h", "mx"]).unwrap();
        assert_eq!([one.sender, one.channel, one.host].map(Option::unwrap), ["a@b", "smtp", "mx"]);
        assert!(of(&["-u"]).is_err());
        assert_eq!(
            of(&["--config", "f", "id"]).unwrap(),
            Arguments { config: Some("f".into()), ids: vec!["id".to_owned()], ..Arguments::default() }
        );
        assert_eq!(of(&["-x"]).unwrap_err().code, EX_USAGE);
    }
}
