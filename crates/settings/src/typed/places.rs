//! Where things are and where mail goes.

use std::path::PathBuf;

/// `[paths]`
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    pub postoffice: PathBuf,
    /// Share of new mail beside `[[volume]]`s. Default 1.
    pub weight: u32,
    /// Default: `<postoffice>/run`.
    pub run: PathBuf,
    /// The folder of the log file. Default: `<postoffice>/log`.
    pub log: PathBuf,
    /// Default: beside the running executable, else `../libexec/zpost` from there.
    pub libexec: Option<PathBuf>,
}

/// `[[volume]]`: a further spool root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub path: PathBuf,
    /// Share of new mail; 0: none. Default 1.
    pub weight: u32,
}

/// `[identity]`
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub hostname: String,
    /// Default `postmaster@<hostname>`.
    pub postmaster: String,
}

/// An address block such as `127.0.0.0/8`; a bare address is a block of one. IPv4-mapped IPv6 is folded to IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    pub address: std::net::IpAddr,
    pub prefix: u8,
}

/// `[relay]`
#[derive(Debug, Clone, PartialEq)]
pub struct Relay {
    /// Clients that may relay anywhere. Default: none.
    pub networks: Vec<Network>,
    /// Domains (or `.suffix`) that anybody may send to through us. Default: none.
    pub domains: Vec<String>,
}

/// `[[route]]`: first match wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `example.org` (normalised), `.suffix` or `*`.
    pub domain: String,
    /// Only for mail from `user@example.org`, `example.org` or `.suffix` (normalised, lower case); empty: from all.
    pub sender: String,
    pub channel: String,
    /// Next hop as written; `-` when the channel needs none (local, discard); the reply text for `error`.
    pub host: String,
    /// 1-based line in the file, for explanations.
    pub line: usize,
}
