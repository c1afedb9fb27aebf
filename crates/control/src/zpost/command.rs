//! The command line: every command with its options, from which help and completion are made.

use crate::selection::Filters;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Controls a zpost mail suite: starts and stops it, shows and changes its queue, explains what it does.
#[derive(Debug, Parser)]
#[command(name = "zpost", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file [default: $ZPOST_CONFIG, else /etc/zpost/zpost.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
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
        parts: super::freeze::Parts,
        /// Show what is frozen
        #[arg(long)]
        list: bool,
    },
    /// Deliver again: what was frozen as a whole, or by the same conditions
    Thaw {
        #[command(flatten)]
        parts: super::freeze::Parts,
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
    Newdb(super::newdb::What),
    /// Turn files of Postfix, Sendmail or ZMailer into a configuration and tables, and say what could not be carried over
    Import(super::import::Import),
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
    Rates(super::rates::Rates),
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
    Passwd(super::passwd::Passwd),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(Config),
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show what a client would see and why, layer by layer; nothing is counted and nothing sent. Exit 0 accepted, 69 refused, 75 refused for now
    Test(super::policy::Client),
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
