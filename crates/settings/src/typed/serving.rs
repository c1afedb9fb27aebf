//! What is listened to, and how clients are served.

use super::Network;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerKind {
    Smtp,
    Submission,
    /// Implicit TLS (RFC 8314).
    Submissions,
    Lmtp,
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub kind: ListenerKind,
    pub bind: Bind,
    /// Listen backlog. Default 4096.
    pub backlog: u32,
    /// Default no.
    pub client_certificates: crate::ClientCertificates,
    /// Issuers of certificates that make a client known.
    pub client_ca: Option<PathBuf>,
    /// A PROXY header comes before the client's bytes.
    pub proxy: bool,
    /// No mail outside TLS.
    pub require_tls: bool,
}

/// `[[certificate]]`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[dns]`
#[derive(Debug, Clone, PartialEq)]
pub struct Dns {
    /// Empty: the system's resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// For one question, all tries together. Default 10 s.
    pub deadline: Duration,
    /// Default 8192 answers.
    pub cache_entries: usize,
    /// Longest stay of a negative answer. Default 5 min.
    pub negative_ttl: Duration,
    /// Longest stay of a positive answer. Default 1 day.
    pub max_ttl: Duration,
    pub validation: Validation,
    /// DNSKEY records; default: the root's keys that are built in.
    pub trust_anchor: Option<PathBuf>,
}

/// Who validates by DNSSEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// The resolver.
    Local,
    /// The name servers, who say so by the AD bit (RFC 4035 section 3.2.3).
    TrustAd,
    Off,
}

/// `[server]`: the SMTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Bytes. Default 50 MiB.
    pub max_message_size: u64,
    /// Default 10,000 (RFC 5321 section 4.5.3.1.8: at least 100).
    pub max_recipients: u32,
    /// Received lines before a loop is assumed. Default 50.
    pub max_hops: u32,
    /// Waiting for a command. Default 5 min (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// Between pieces of data. Default 10 min.
    pub data_timeout: Duration,
    /// Until the client takes our reply. Default 5 min.
    pub write_timeout: Duration,
    /// Wrong commands before 421. Default 20.
    pub max_errors: u32,
    /// Commands without transaction progress (NOOP, RSET, VRFY...) before 421. Default 100.
    pub max_idle_commands: u32,
    /// Bytes of message headers. Default 256 KiB.
    pub max_header_bytes: u64,
    /// Longest line of the message content in bytes. Default 1 MiB... longer: 552.
    pub max_line: u64,
    pub bare_newline: BareNewline,
    /// Text after the host name in the 220 greeting. Default `ESMTP zpost`.
    pub banner: String,
    /// Free bytes below which MAIL gets 452. Default 100 MiB.
    pub min_free_bytes: u64,
    /// Clients that may say ETRN beside those of `[relay]`. Default: none.
    pub etrn: Vec<Network>,
    /// Question to router, filter or tracker: longest wait. Default 30 s.
    pub helper_timeout: Duration,
}

/// What happens to a message with a CR or LF that is no CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNewline {
    /// 550 5.5.2 at the end of data. The default.
    Reject,
    /// Each stray CR or LF becomes a blank.
    Blank,
}

/// `[connections]`
#[derive(Debug, Clone, PartialEq)]
pub struct Connections {
    /// Default 20,000.
    pub total: u32,
    /// Default 100.
    pub per_address: u32,
    /// IPv4 /24, IPv6 /64. Default 1,000.
    pub per_network: u32,
    /// Of the total: not for strangers.
    pub reserve: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailMode {
    /// 4xx.
    Defer,
    Accept,
    /// 5xx.
    Reject,
}

/// `[filter]`
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Program and arguments; empty: no content filter.
    pub program: Vec<String>,
    /// Processes of it. Default 2.
    pub processes: u32,
    /// For one message. Default 2 min.
    pub timeout: Duration,
    /// Default defer.
    pub failure: FailMode,
}
