//! `zpost`: the command line, one file for each command.

mod change;
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

use crate::selection::Filters;
use crate::site::Site;
use crate::trouble::{EX_USAGE, Trouble};
use clap::{Parser, Subcommand};
use ipc::control::{Action, Request};
use std::path::PathBuf;
use std::process::ExitCode;

/// Controls a zpost mail suite: starts and stops it, shows and changes its queue, explains what it does.
#[derive(Debug, Parser)]
#[command(name = "zpost", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file [default: $ZPOST_CONFIG, else /etc/zpost/zpost.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the suite in the background; returns when every process is ready
    Start,
    /// Finish what is in hand and stop; returns when the master is gone
    Stop {
        /// Without finishing: what is in hand is tried again after the next start
        #[arg(long)]
        now: bool,
    },
    /// Stop, then start
    Restart,
    /// Take a changed configuration; refused as a whole when it has a fault
    Reload {
        /// Have the routers try it beside the old one for this time (10m) first, and log what differs
        #[arg(long, value_name = "TIME")]
        shadow: Option<String>,
        /// End that, and take nothing
        #[arg(long, conflicts_with = "shadow")]
        cancel: bool,
    },
    /// Re-execute the master, keeping listeners, and replace every process
    Upgrade,
    /// Show how the suite is: exit 0 healthy, 1 degraded, 3 stopped
    Status,
    /// Start no delivery until thawed, at all or of what the conditions name; acceptance goes on
    Freeze {
        #[command(flatten)]
        parts: freeze::Parts,
        /// Show what is frozen
        #[arg(long)]
        list: bool,
    },
    /// Deliver again: what was frozen as a whole, or by the same conditions
    Thaw {
        #[command(flatten)]
        parts: freeze::Parts,
        /// All parts too
        #[arg(long)]
        all: bool,
    },
    /// List queued messages
    Queue {
        ids: Vec<String>,
        #[command(flatten)]
        filters: Filters,
        /// Also list what is not routed: waiting in router/, set aside in deferred/, frozen in freezer/
        #[arg(long)]
        unrouted: bool,
    },
    /// Start the mail of a domain, as the SMTP command ETRN does: DOMAIN, @DOMAIN with all below it, #NEXTHOP
    Etrn { node: String },
    /// Show a message: envelope, state, headers
    Show {
        id: String,
        /// The body too
        #[arg(long)]
        body: bool,
    },
    /// Show every step of a message with its time, from the logs and the spool
    Trace { id: String },
    /// Say why a message is not delivered yet and when it will be tried
    Why {
        id: String,
        /// Only this recipient
        recipient: Option<String>,
    },
    /// Try now
    Retry(Selected),
    /// Keep from being tried until released
    Hold(Selected),
    /// Let go what is held, frozen or set aside
    Release(Selected),
    /// Give back to the routers, to go where today's configuration says
    Reroute(Selected),
    /// Return to the sender now
    Expire(Selected),
    /// Remove without telling anybody
    Delete(Selected),
    /// Say where mail to addresses goes; without an address, ask for one after the other (`help` tells the words)
    Route {
        addresses: Vec<String>,
        /// As if sent by this address
        #[arg(long, value_name = "ADDRESS", default_value = "")]
        sender: String,
        /// And which rules made it so
        #[arg(long)]
        explain: bool,
    },
    /// Ask a [[table]]: exit 0 all keys are there, 1 one is not, 75 no answer now, 78 no such table
    Lookup {
        table: String,
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Ask the policy
    #[command(subcommand)]
    Policy(Policy),
    /// Make the files of lookup tables from their sources, zpost-table(5); or a table of policy rules, zpost-policy(5)
    Newdb(newdb::What),
    /// Turn files of Postfix, Sendmail or ZMailer into a configuration and tables, and say what could not be carried over
    Import(import::Import),
    /// Show how a destination is: its queue, its site, what keeps it waiting
    Destination {
        /// The next hop, as `zpost queue` shows it
        host: String,
        #[arg(long)]
        channel: Option<String>,
        /// And every value that holds for it, with the rule and the line that it comes from
        #[arg(long)]
        explain: bool,
    },
    /// Show the counters of all processes
    Counters {
        /// In the text format of Prometheus
        #[arg(long)]
        prometheus: bool,
    },
    /// Show what clients, users and sender domains have done lately, the most first; or forget it
    Rates(rates::Rates),
    /// Send the reports about TLS that the day is not over for yet (RFC 8460)
    Tlsrpt {
        /// Not after midnight (UTC), but at once
        #[arg(long, required = true)]
        now: bool,
    },
    /// Tell the suite of a file dropped into router/ (or transport/), as a datagram of its name would
    Notify {
        /// Who is told
        #[arg(value_parser = ["router", "scheduler"])]
        who: String,
        /// The file's name, or VOLUME/NAME on another volume
        name: String,
    },
    /// Write a user of the password file for AUTH
    Passwd(passwd::Passwd),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(Config),
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show what a client would see and why, layer by layer; nothing is counted and nothing sent. Exit 0 accepted, 69 refused, 75 refused for now
    Test(policy::Client),
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Report every error at once
    Check {
        /// Look at nothing but the file itself
        #[arg(long)]
        text_only: bool,
    },
    /// Print the values set in the file, with their lines
    Show {
        /// The defaults too
        #[arg(long)]
        defaults: bool,
    },
    /// Print the parameter reference of zpost.toml(5)
    #[command(hide = true)]
    Reference,
}

/// Messages by id or by filters.
#[derive(Debug, clap::Args)]
pub struct Selected {
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filters: Filters,
    /// The whole queue
    #[arg(long)]
    pub all: bool,
    /// Only print what would be touched
    #[arg(long)]
    pub dry_run: bool,
}

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [&["zpost", "--config", "f", "--json", "queue"][..], &["zpost", "queue", "--json", "--config", "f"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert!(cli.json && cli.config == Some(PathBuf::from("f")));
        }
        assert!(Cli::try_parse_from(["zpost", "queue", "--older", "5 moons"]).is_err());
        assert!(Cli::try_parse_from(["zpost", "queue", "--state", "lost"]).is_err());
    }
}
