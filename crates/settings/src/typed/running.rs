//! Processes, what they run, and what they log.

use std::collections::BTreeMap;
use std::time::Duration;

/// `[processes]`
#[derive(Debug, Clone, PartialEq)]
pub struct Processes {
    /// smtpserver workers kept at least. Default 2.
    pub smtpserver_min: u16,
    /// Default: 2 per core.
    pub smtpserver_max: u16,
    /// Free session places kept ready over all workers. Default 64.
    pub spare_sessions: u32,
    /// Sessions one worker serves at a time. Default 5,000.
    pub sessions_per_worker: u32,
    /// Sessions after which a worker is replaced. Default 1,000,000.
    pub sessions_per_life: u64,
    /// Threads of one worker that write and sync messages, several each at a time. Default 4.
    pub sync_threads: u16,
    /// Default: one per core.
    pub routers: u16,
    /// Addresses after which a router is replaced. Default 100,000.
    pub addresses_per_router: u64,
    /// Bytes of a router's own memory from which on it is replaced; the system refuses it more than twice that.
    /// Default 512 MiB.
    pub router_memory: u64,
    /// A router that has work and says nothing for so long is killed. Default 5 m.
    pub router_silence: Duration,
    /// Restart back-off: first and longest wait. Defaults 100 ms... 30 s.
    pub restart_first: Duration,
    pub restart_longest: Duration,
    /// How long a drain may last before SIGKILL. Default 60 s.
    pub drain: Duration,
    /// Default try.
    pub sandbox: Sandbox,
    /// Further environment for children. Default empty.
    pub environment: BTreeMap<String, String>,
}

/// `[processes] sandbox`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// As far as the kernel can.
    Try,
    /// A process that cannot be confined does not start.
    Require,
    Off,
}

/// `[[agent]]`
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignAgent {
    pub channel: String,
    /// Empty: it comes by itself.
    pub program: Vec<String>,
    pub user: Option<String>,
    /// For the results of one job.
    pub timeout: Duration,
}

/// `[[script]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub name: String,
    pub program: Vec<String>,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warning,
    Info,
    Debug,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub format: LogFormat,
    /// Default info.
    pub level: LogLevel,
    /// `file` (zpost.log in the log folder; default) or `stderr`.
    pub to_file: bool,
}

/// `[users]`: who each process runs as when the master runs as root; ignored otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Users {
    /// For services without a line of their own. Default `zpost`.
    pub default: String,
    /// service name to user name
    pub services: BTreeMap<String, String>,
    /// Group of the files in the spool. Default: the default user's group.
    pub group: Option<String>,
    /// Members may write to public/ and router/ and the notify sockets, and use `sendmail` without the socket. Default: none.
    pub submit_group: Option<String>,
    /// Members may use the queue commands. Default: only root and the suite's own users.
    pub admin_group: Option<String>,
}
