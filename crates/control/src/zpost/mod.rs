//! `zpost`: the command line, one file for each command.

mod change;
mod command;
mod config;
mod console;
mod counters;
mod destination;
mod freeze;
mod history;
mod import;
mod lifecycle;
mod lookup;
mod newdb;
pub mod newdb_tables;
mod passwd;
mod policy;
pub mod queue;
mod rates;
pub mod route;
mod show;
mod start;
mod status;
mod step;
mod trace;
mod why;

use crate::site::Site;
use crate::trouble::{EX_USAGE, Trouble};
use clap::Parser;
use command::{Cli, Command};
pub use command::{Config, Policy, Selected};
use ipc::control::{Action, Request};
use std::process::ExitCode;

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    crate::finish("zpost", run(cli))
}

fn run(cli: Cli) -> Result<u8, Trouble> {
    let Cli { config, json, command } = cli;
    if let Command::Config(what) = &command {
        return config::run(config.as_deref(), what, json);
    }
    if let Command::Newdb(what) = &command {
        return newdb::run(config.as_deref(), what);
    }
    if let Command::Import(arguments) = &command {
        return import::run(arguments, json);
    }
    let begins = matches!(command, Command::Start | Command::Restart | Command::Reload { cancel: false, .. } | Command::Upgrade);
    let load = if begins { Site::load } else { Site::load_despite_faults };
    let site = load(config.as_deref())?;
    match command {
        Command::Start => start::start(&site),
        Command::Stop { now } => lifecycle::stop(&site, now),
        Command::Restart => lifecycle::restart(&site),
        Command::Reload { shadow, cancel } => lifecycle::reload(&site, shadow.as_deref(), cancel),
        Command::Upgrade => lifecycle::order(&site, &Request::Upgrade, "upgraded"),
        Command::Freeze { parts, list } => freeze::freeze(&site, &parts, list, json),
        Command::Thaw { parts, all } => freeze::thaw(&site, &parts, all),
        Command::Status => status::run(&site, json),
        Command::Queue { ids, filters, unrouted } => queue::run(&site, &filters.selection(&ids)?, unrouted, json),
        Command::Show { id, body } => show::run(&site, &id, body, json),
        Command::Trace { id } => trace::run(&site, &id, json),
        Command::Why { id, recipient } => why::run(&site, &id, recipient.as_deref(), json),
        Command::Retry(selected) => change::run(&site, Action::Retry, &selected, json),
        Command::Hold(selected) => change::run(&site, Action::Hold, &selected, json),
        Command::Release(selected) => change::run(&site, Action::Release, &selected, json),
        Command::Reroute(selected) => change::run(&site, Action::Reroute, &selected, json),
        Command::Expire(selected) => change::run(&site, Action::Expire, &selected, json),
        Command::Delete(selected) => change::run(&site, Action::Delete, &selected, json),
        Command::Etrn { node } => change::etrn(&site, &node, json),
        Command::Route { addresses, sender, explain } if addresses.is_empty() => console::run(&site, &sender, explain, json),
        Command::Route { addresses, sender, explain } => route::run(&site, &addresses, &sender, explain, json),
        Command::Lookup { table, keys } => lookup::run(&site, &table, &keys, json),
        Command::Destination { host, channel, explain } => destination::run(&site, &host, channel.as_deref(), explain, json),
        Command::Counters { prometheus } => counters::run(&site, prometheus, json),
        Command::Rates(which) => rates::run(&site, &which, json),
        Command::Tlsrpt { .. } => lifecycle::order(&site, &Request::TlsReports, "reports are on their way"),
        Command::Notify { who, name } => lifecycle::notify(&site, &who, &name),
        Command::Policy(Policy::Test(client)) => policy::run(&site, client, json),
        Command::Passwd(what) => passwd::run(&site, &what),
        Command::Config(_) | Command::Newdb(_) | Command::Import(_) => Ok(0),
    }
}
