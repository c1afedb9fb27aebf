//! The command line.

use crate::Failure;
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
