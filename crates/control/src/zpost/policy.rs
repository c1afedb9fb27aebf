//! `zpost policy test`.

use crate::link::connect_to;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_UNAVAILABLE, Trouble};
use ipc::control::{PolicyStep, PolicyTest, Reply, Request};
use policy::{Policy, Questions, Table, Trial};
use serde_json::json;
use std::fmt::Write as _;
use std::fs::File;

/// A made-up client.
#[derive(Debug, clap::Args)]
pub struct Client {
    /// Its address
    #[arg(long, value_name = "IP")]
    ip: String,
    /// What it says with EHLO
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    helo: String,
    /// The sender; <> for the null sender. Without it the test ends before MAIL
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// A recipient; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// As if this user had logged in
    #[arg(long)]
    user: Option<String>,
    /// At which [[listener]], counted from 0
    #[arg(long, default_value_t = 0, value_name = "N")]
    listener: u16,
    /// Inside TLS
    #[arg(long)]
    tls: bool,
}

pub fn run(site: &Site, client: Client, json: bool) -> Result<u8, Trouble> {
    let Client { ip, helo, from, to, user, listener, tls } = client;
    let test = PolicyTest { address: ip, hello: helo, sender: from, recipients: to, user, listener, tls };
    let (steps, running) = match ask(site, &test)? {
        Some(steps) => (steps, true),
        None => (alone(site, &test)?, false),
    };
    if json {
        print_json(&document(&steps, running))?;
    } else {
        print(text(&steps, running))?;
    }
    // No reply refuses for good, or for now: 0, 69, 75.
    let refused = |class: char| steps.iter().any(|step| step.reply.as_ref().is_some_and(|reply| reply.starts_with(class)));
    Ok(if refused('5') {
        EX_UNAVAILABLE
    } else if refused('4') {
        crate::trouble::EX_TEMPFAIL
    } else {
        0
    })
}

/// The running suite; `None`: there is none.
fn ask(site: &Site, test: &PolicyTest) -> Result<Option<Vec<PolicyStep>>, Trouble> {
    let Some(link) = connect_to(&site.settings.paths.run)? else { return Ok(None) };
    let mut steps = Vec::new();
    link.ask(&Request::PolicyTest(Box::new(test.clone())), |reply| {
        if let Reply::PolicyStep(step) = reply {
            steps.push(step);
        }
    })?;
    Ok(Some(steps))
}

/// What needs nobody's answer.
fn alone(site: &Site, test: &PolicyTest) -> Result<Vec<PolicyStep>, Trouble> {
    let settings = &site.settings;
    let open = |path: &std::path::PathBuf| {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| Trouble::io(&name, &e))?;
        Table::open(&name, Box::new(file)).map_err(|e| Trouble::new(EX_DATAERR, e.to_string()))
    };
    let tables = settings.access.tables.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let own = address::normalise(&settings.identity.hostname).ok().filter(|_| settings.hostname_is_local());
    let relay = smtp::server::RelayPolicy {
        local: settings.local.domains.iter().cloned().chain(own).collect(),
        own_addresses: settings.listening_addresses().collect(),
        relay: settings.relay.domains.clone(),
    };
    let here = policy::Site { own_addresses: relay.own_addresses.clone(), file: "zpost.toml".into() };
    let policy = Policy::new(settings, here, tables);
    let mut trial = Trial::new(test, settings, &relay, true).map_err(|text| Trouble::new(EX_DATAERR, text))?;
    trial.begin(&policy, &mut Questions::new());
    Ok(trial.into_steps())
}

fn text(steps: &[PolicyStep], running: bool) -> String {
    let mut out = String::new();
    if !running {
        out.push_str("zpost is not running: nothing was looked up\n");
    }
    for step in steps {
        let place = if step.place.is_empty() { String::new() } else { format!(" [{}]", shown(&step.place)) };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:8} {}{place}", step.layer, shown(&step.text));
        if let Some(reply) = &step.reply {
            let _ = writeln!(out, "{:8} -> {}", "", shown(reply));
        }
    }
    out
}

fn document(steps: &[PolicyStep], running: bool) -> serde_json::Value {
    let steps: Vec<_> = steps.iter().map(|s| json!({ "layer": s.layer, "rule": s.place, "text": s.text, "reply": s.reply })).collect();
    json!({ "looked_up": running, "steps": steps })
}
