//! The configuration as the programs see it: checked, complete, defaults filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::egress::{Convert, Credentials, Source};

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub paths: Paths,
    pub volumes: Vec<Volume>,
    pub identity: Identity,
    pub listeners: Vec<Listener>,
    pub certificates: Vec<Certificate>,
    pub client_certificates: Vec<crate::ClientCertificate>,
    pub relay: Relay,
    pub routes: Vec<Route>,
    pub local: Local,
    pub dns: Dns,
    pub server: Server,
    pub patience: crate::Patience,
    pub extensions: crate::Extensions,
    pub submission: crate::Submission,
    pub first_contact: crate::FirstContact,
    pub overload: crate::Overload,
    pub connections: Connections,
    pub rates: crate::Rates,
    pub greylist: crate::Greylist,
    pub overload_signs: crate::OverloadSigns,
    pub auth: crate::Auth,
    pub access: crate::AccessPolicy,
    pub policy_services: Vec<crate::PolicyService>,
    pub call_ahead: crate::CallAhead,
    pub tables: Vec<crate::Table>,
    pub routing: crate::Routing,
    pub virtual_domains: crate::Virtual,
    pub lists: crate::Lists,
    pub srs: crate::Srs,
    pub headers: crate::Headers,
    pub lanes: Vec<crate::Lane>,
    pub filter: Filter,
    pub processes: Processes,
    pub queue: Queue,
    pub client: Client,
    pub credentials: Vec<Credentials>,
    pub sources: Vec<Source>,
    pub tls: Tls,
    pub sts: Sts,
    pub tls_report: TlsReport,
    pub pipes: Vec<Pipe>,
    pub agents: Vec<ForeignAgent>,
    pub scripts: Vec<Script>,
    pub bounce: Bounce,
    /// `[[channel]]` and `[[destination]]`.
    pub policies: crate::Policies,
    pub log: Log,
    pub users: Users,
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    Maildir,
    Mbox,
    Lmtp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSource {
    /// System accounts.
    Passwd,
    /// Every local part is a user.
    Any,
    /// A text table: one user a line, optional blanks and home folder after it; `#` comments.
    Table(PathBuf),
    /// A declared table; its values are home folders, or empty.
    Declared(String),
}

/// One of `[local] aliases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasSource {
    /// In Sendmail's form.
    File(PathBuf),
    /// A declared table; its values are addresses with commas between.
    Declared(String),
}

/// `[local]`
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// Normalised. Default: the hostname.
    pub domains: Vec<String>,
    pub delivery: DeliveryKind,
    /// Pattern with %u user, %d domain, %h home, %% percent.
    pub maildir: String,
    pub mbox: String,
    /// Next hop of `delivery = "lmtp"`: `unix:/path` or `host:port`.
    pub lmtp: String,
    pub users: UserSource,
    /// Looked up in this order.
    pub aliases: Vec<AliasSource>,
    /// Declared tables of mailboxes (ZMailer's mboxmap).
    pub mailboxes: Vec<String>,
    /// Characters that begin the detail of `user+detail`; empty: none. Default `+`.
    pub detail: String,
    /// Mail that a root suite delivers for users without system account belongs to this user. Default: none.
    pub user: Option<String>,
    /// Runs the administrator's programs of aliases in an agent that is root. Default `nobody`.
    pub alias_user: Option<String>,
    /// Follow `.forward`. Default true.
    pub forward: bool,
    /// Run programs that a `.forward` names. Default true.
    pub forward_programs: bool,
    /// What such a program may take. Default 5 min.
    pub forward_time: Duration,
    /// Wait for a home folder that is missing. Default true.
    pub require_home: bool,
    /// Default never.
    pub detail_folders: DetailFolders,
    /// Bytes of a Maildir; 0: no limit. Default 0.
    pub quota: u64,
    /// Over quota fails instead of being deferred. Default false.
    pub quota_fails: bool,
    /// In the order they are taken in. Default dot, fcntl.
    pub mbox_locks: Vec<MboxLock>,
    /// Default 30 s.
    pub mbox_lock_time: Duration,
    /// Default 5 min.
    pub mbox_lock_stale: Duration,
    /// `unix:/path` or `udp:address:port`. Default: none.
    pub notify: String,
}

/// `[local] detail_folders`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetailFolders {
    Never,
    Existing,
    Made,
}

/// `[local] mbox_locks`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MboxLock {
    Dot,
    Fcntl,
    Flock,
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

/// `[[pipe]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    pub name: String,
    /// Program and arguments with %-words.
    pub program: Vec<String>,
    /// `pipe`, or a channel of its own.
    pub channel: String,
    pub user: Option<String>,
    pub group: Option<String>,
    pub folder: Option<PathBuf>,
    pub umask: u32,
    pub timeout: Duration,
    /// Bytes.
    pub max_output: usize,
    pub processes: usize,
    pub flags: String,
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
