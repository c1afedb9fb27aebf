//! `zpost freeze`, `zpost thaw`: the whole suite's deliveries, or those of a part.

use super::lifecycle;
use crate::link::{self, connect_to};
use crate::output::{print, print_json, shown};
use crate::selection::Filters;
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_USAGE, Trouble};
use ipc::control::{Reply, Request, Selection};
use serde_json::{Value, json};
use spool::{Part, Spool};
use std::io;

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub struct Parts {
    /// Of this sender (`<>` for reports)
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// To this address
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// To this domain; .suffix: to all domains below it
    #[arg(long)]
    domain: Option<String>,
    /// By this channel, with * ? {a,b} as in the configuration
    #[arg(long, value_name = "PATTERN")]
    channel: Option<String>,
    /// To this next hop, likewise
    #[arg(long, value_name = "PATTERN")]
    host: Option<String>,
}

impl Parts {
    /// `None`: no condition was given.
    fn selection(&self) -> Result<Option<Selection>, Trouble> {
        let Self { sender, recipient, domain, channel, host } = self;
        let filters = Filters { sender: sender.clone(), recipient: recipient.clone(), domain: domain.clone(), ..Filters::default() };
        let (channel, host) = (channel.clone(), host.clone());
        let selection = Selection { channel, host, ..filters.selection(&[])? };
        if selection == Selection::default() {
            return Ok(None);
        }
        part(&selection).check().map_err(|why| Trouble::new(EX_USAGE, why))?;
        Ok(Some(selection))
    }
}

pub fn freeze(site: &Site, parts: &Parts, list: bool, json: bool) -> Result<u8, Trouble> {
    match (parts.selection()?, list) {
        (Some(_), true) => Err(Trouble::new(EX_USAGE, "--list takes no conditions")),
        (None, true) => show(site, json),
        (None, false) => lifecycle::order(site, &Request::Freeze, "frozen: nothing is delivered until `zpost thaw`"),
        (Some(selection), false) => lifecycle::order(site, &Request::FreezePart(selection), "frozen"),
    }
}

pub fn thaw(site: &Site, parts: &Parts, all: bool) -> Result<u8, Trouble> {
    match (parts.selection()?, all) {
        (Some(_), true) => Err(Trouble::new(EX_USAGE, "--all and conditions contradict each other")),
        (Some(selection), false) => lifecycle::order(site, &Request::ThawPart(Some(selection)), "thawed"),
        (None, all) => {
            if all {
                link::order(&site.settings.paths.run, &Request::ThawPart(None))?;
            }
            lifecycle::order(site, &Request::Thaw, "thawed")?;
            if let (false, Ok(left @ 1..)) = (all, kept(site).map(|parts| parts.len())) {
                print(format!("-- {left} parts stay frozen: zpost freeze --list\n"))?;
            }
            Ok(0)
        }
    }
}

fn part(selection: &Selection) -> Part {
    let Selection { channel, host, sender, recipient, domain, .. } = selection.clone();
    Part { channel, host, sender, recipient, domain }
}

/// The parts that are frozen, by the spool: this also works while nothing runs, and never waits.
pub fn kept(site: &Site) -> io::Result<Vec<Part>> {
    Spool::open(&site.settings.paths.postoffice)?.read_freezes()
}

fn frozen(site: &Site) -> Result<Vec<Part>, Trouble> {
    match connect_to(&site.settings.paths.run)? {
        Some(link) => {
            let mut parts = Vec::new();
            link.ask(&Request::FrozenParts, |reply| {
                if let Reply::FrozenPart(selection) = reply {
                    parts.push(part(&selection));
                }
            })?;
            Ok(parts)
        }
        None => kept(site).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => Trouble::new(EX_DATAERR, e.to_string()),
            _ => Trouble::io("cannot look into the spool", &e),
        }),
    }
}

/// Fields as the options are called; `null` where there is no condition.
pub fn document(part: &Part) -> Value {
    let Part { channel, host, sender, recipient, domain } = part;
    json!({ "channel": channel, "host": host, "sender": sender, "recipient": recipient, "domain": domain })
}

fn show(site: &Site, json: bool) -> Result<u8, Trouble> {
    let parts = frozen(site)?;
    let all = site.settings.paths.postoffice.join(".frozen").exists();
    if json {
        print_json(&json!({ "everything": all, "parts": parts.iter().map(document).collect::<Vec<_>>() }))?;
        return Ok(0);
    }
    let mut out = String::new();
    if all {
        out.push_str("everything\n");
    }
    parts.iter().for_each(|part| out.push_str(&format!("{}\n", shown(&part.to_string()))));
    if out.is_empty() {
        out.push_str("nothing is frozen\n");
    }
    print(out)?;
    Ok(0)
}
