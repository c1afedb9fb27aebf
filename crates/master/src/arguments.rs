//! The command line.

use crate::Failure;
use crate::readiness::Readiness;
use crate::services::{self, Service};
use clap::Parser;
use clap::error::ErrorKind;
use std::path::PathBuf;

/// Supervises the zpost suite: binds, accepts, spawns, restarts.
#[derive(Debug, Parser)]
#[command(name = "zpost-master", version)]
pub struct Arguments {
    /// Configuration file
    #[arg(long, env = "ZPOST_CONFIG", default_value = "/etc/zpost/zpost.toml")]
    pub config: PathBuf,
    /// Run only these services (comma separated); the others are another master's
    #[arg(long, value_delimiter = ',')]
    role: Vec<String>,
    /// Run in a session of its own and let go of the standard streams once ready (for `zpost start`)
    #[arg(long)]
    pub background: bool,
    /// Write a newline to this descriptor once every process is ready, then close it (as s6 wants to be told)
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(3..))]
    ready_fd: Option<i32>,
    /// Check configuration, users and programs, then exit (done by an upgrade before it gives itself up)
    #[arg(long)]
    pub check: bool,
}

impl Arguments {
    /// Reads the command line. `Ok(None)`: help or version was asked for and printed.
    pub fn read() -> Result<Option<Self>, Failure> {
        match Self::try_parse() {
            Ok(arguments) => Ok(Some(arguments)),
            Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                let _ = e.print();
                Ok(None)
            }
            Err(e) => Err(Failure { code: daemon::EX_USAGE, text: e.to_string() }),
        }
    }

    /// Whom to tell of readiness. To be called before anything is opened: the number could be ours by then.
    pub fn readiness(&self) -> Result<Readiness, Failure> {
        let take = |number| {
            sys::take_descriptor(number).map_err(|e| Failure {
                code: daemon::EX_USAGE,
                text: format!("zpost-master: --ready-fd {number}: {e}; who starts zpost-master has to open it (s6: file notification-fd)"),
            })
        };
        Ok(Readiness::new(self.ready_fd.map(take).transpose()?))
    }

    /// The services of `--role`; `None`: all.
    pub fn roles(&self) -> Result<Option<Vec<&'static Service>>, Failure> {
        if self.role.is_empty() {
            return Ok(None);
        }
        let find = |name: &String| {
            services::named(name)
                .ok_or_else(|| Failure { code: daemon::EX_USAGE, text: format!("zpost-master: --role: no service {name:?}") })
        };
        self.role.iter().map(find).collect::<Result<Vec<_>, _>>().map(Some)
    }
}
