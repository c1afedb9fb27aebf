//! The queue, and mail on its way out.

use crate::egress::Convert;
use std::path::PathBuf;
use std::time::Duration;

/// `[queue]`
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// First wait after a deferral. Default 5 min.
    pub retry_first: Duration,
    /// Each further wait is this many times longer. Default 2.0.
    pub retry_factor: f64,
    /// Default 4 h.
    pub retry_longest: Duration,
    /// Random part of every wait, 0 to 1. Default 0.2.
    pub retry_jitter: f64,
    /// Default 5 days.
    pub expiry: Duration,
    /// Jobs at once for one destination: at first, and at most. Defaults 1 and 50.
    pub concurrency_first: u32,
    pub concurrency_most: u32,
    /// Recipients of one message in one job. Default 100.
    pub recipients_per_job: u32,
    /// Agent processes per channel at most. Default 2.
    pub agents_per_channel: u16,
    /// How often the spool is scanned for what no datagram told of: router/, transport/. Defaults 10 s, 60 s.
    pub router_scan: Duration,
    pub transport_scan: Duration,
    /// Age at which an unfinished file in public/ is removed (a complete one is adopted at once). Default 2 days.
    pub public_age: Duration,
    /// I/O threads. Default 2.
    pub io_threads: u16,
    /// Channels of the administrator's own, served by agents that register from outside: those of the parameter and of every
    /// `[[agent]]` without a program. Default: none.
    pub channels: Vec<String>,
}

/// `[client]`: ta-smtp (timeouts: RFC 5321 section 4.5.3.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// Default 25.
    pub port: u16,
    /// Default 30 s.
    pub connect_timeout: Duration,
    /// 5 min.
    pub greeting_timeout: Duration,
    /// EHLO, HELO. 5 min.
    pub hello_timeout: Duration,
    /// 5 min.
    pub mail_timeout: Duration,
    /// 5 min.
    pub rcpt_timeout: Duration,
    /// DATA command. 2 min.
    pub data_timeout: Duration,
    /// Each block of content. 3 min.
    pub block_timeout: Duration,
    /// Reply to the final dot. 10 min.
    pub final_timeout: Duration,
    /// Overall deadline of one command's reply even if bytes trickle. 15 min.
    pub reply_deadline: Duration,
    /// How long an unused session is kept for the next job. Default 2 s.
    pub idle: Duration,
    /// Messages over one session. Default 100.
    pub messages_per_session: u32,
    /// Sessions in one process. Default 500.
    pub sessions: u32,
    /// Hosts of an MX set tried for one job. Default 5.
    pub hosts: u32,
    /// Name for EHLO. Default: the hostname.
    pub hello: String,
    /// BDAT where the server offers it. Default true.
    pub chunking: bool,
    pub convert: Convert,
    /// Between attempts at the addresses of one host. Default 250 ms.
    pub connect_stagger: Duration,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM; default: the system's.
    pub roots: Option<PathBuf>,
    /// Our own, for servers that ask; the checks see to it that both are given or none.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Default 1 min.
    pub handshake_timeout: Duration,
}

/// `[sts]`: MTA-STS
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sts {
    /// Default 443.
    pub port: u16,
}

/// `[tls_report]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsReport {
    pub enabled: bool,
    /// Default: the postmaster.
    pub contact: String,
    /// An address. Default `tls-reports@<hostname>`.
    pub sender: String,
}

/// `[bounce]`
#[derive(Debug, Clone, PartialEq)]
pub struct Bounce {
    /// Bytes of the original returned at most with RET=FULL. Default 50 KiB; above: headers only.
    pub max_returned: u64,
    /// Failed bounces go to the postmaster instead of being dropped. Default false.
    pub double_to_postmaster: bool,
    /// How long a report waits for other recipients of its message. Default 10 s.
    pub gather: Duration,
    /// Kinds of reports of which the postmaster gets a copy. Default none.
    pub copy_to_postmaster: Vec<String>,
    /// The folder of the texts; `None`: the texts that are built in.
    pub templates: Option<PathBuf>,
}
