//! The servers, asked through hickory-resolver.

use crate::files::{Files, SYSTEM};
use crate::lookups::Key;
use crate::records::Records;
use crate::validation::Validator;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf;
use ipc::dns::Trouble;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an absence holds that came without SOA (RFC 2308 section 5 says not at all; a flood of such would be).
const TTL_WITHOUT_SOA: Duration = Duration::from_secs(30);
/// How long a failure holds (RFC 9520 section 3.2: at least one second, at most five minutes).
pub const TROUBLE_TTL: Duration = Duration::from_secs(5);

/// What the servers said.
#[derive(Debug, Clone)]
pub struct Reply {
    pub records: Result<Records, Trouble>,
    pub ttl: Duration,
    /// A limit cut something off.
    pub over_limit: bool,
    pub timed_out: bool,
    /// DNSSEC proves it.
    pub secure: bool,
}

pub struct Upstream {
    resolver: TokioResolver,
    validator: Validator,
    /// How many servers are asked.
    pub servers: usize,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}

impl Upstream {
    pub fn new(settings: &settings::Dns, mut files: Files) -> Result<Self, String> {
        let config = if settings.servers.is_empty() {
            let text = files.resolv_conf().map_err(|e| format!("{SYSTEM}: {e}"))?;
            let (system, _) = system_conf::parse_resolv_conf(text).map_err(|e| format!("{SYSTEM}: {e}"))?;
            ResolverConfig::from_name_servers(system.name_servers().to_vec())
        } else {
            ResolverConfig::from_name_servers(settings.servers.iter().map(server).collect())
        };
        let validator = Validator::new(settings, &mut files, config.name_servers().to_vec())?;
        let servers = config.name_servers().len();
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        options(builder.options_mut(), settings.deadline);
        Ok(Self { resolver: builder.build().map_err(|e| e.to_string())?, validator, servers })
    }

    pub async fn ask(&self, key: &Key) -> Reply {
        let Some(name) = absolute(&key.name) else { return Reply::trouble(Trouble::Invalid) };
        if key.validate && self.validator.works().await { self.validator.ask(key, name).await } else { self.ask_plainly(key, name).await }
    }

    async fn ask_plainly(&self, key: &Key, name: Name) -> Reply {
        match self.resolver.lookup(name, key.kind.record_type()).await {
            Ok(lookup) => {
                let (records, over_limit) = Records::read(key.kind, lookup.answers());
                let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0);
                Reply { records: Ok(records), ttl: Duration::from_secs(ttl.into()), over_limit, timed_out: false, secure: false }
            }
            Err(error) => Reply::of_error(&key.name, &error),
        }
    }
}

impl Reply {
    pub fn trouble(trouble: Trouble) -> Self {
        Self { records: Err(trouble), ttl: TROUBLE_TTL, over_limit: false, timed_out: false, secure: false }
    }

    pub fn timed_out(name: &str) -> Self {
        Self { timed_out: true, ..Self::trouble(Trouble::Temporary(format!("no answer from DNS in time for {name}"))) }
    }

    pub fn of_error(name: &str, error: &NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(absent)) => {
                let trouble = match absent.response_code {
                    ResponseCode::NXDomain => Trouble::NoSuchName,
                    ResponseCode::NoError => Trouble::NoRecords,
                    code => return Self::failure(name, code),
                };
                Self::absent(trouble, absent.negative_ttl)
            }
            NetError::Dns(DnsError::ResponseCode(code)) => Self::failure(name, *code),
            NetError::Timeout => Self::timed_out(name),
            NetError::NoConnections => Self::trouble(Trouble::Temporary(format!("no name server can be reached, asked for {name}"))),
            other => Self::trouble(Trouble::Temporary(format!("DNS failure for {name}: {other:.100}"))),
        }
    }

    /// `ttl`: what the SOA record says.
    pub fn absent(trouble: Trouble, ttl: Option<u32>) -> Self {
        Self { ttl: ttl.map_or(TTL_WITHOUT_SOA, |ttl| Duration::from_secs(ttl.into())), ..Self::trouble(trouble) }
    }

    pub fn failure(name: &str, code: ResponseCode) -> Self {
        Self::trouble(Trouble::Temporary(format!("DNS server failure for {name}: {code}")))
    }
}

/// A name that no search domain is added to. Names of SPF's macros hold bytes that no host name does.
fn absolute(name: &str) -> Option<Name> {
    let mut absolute = Name::from_ascii(name).or_else(|_| Name::from_labels(name.split('.').map(str::as_bytes))).ok()?;
    absolute.set_fqdn(true);
    Some(absolute)
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

pub fn options(options: &mut ResolverOpts, deadline: Duration) {
    options.use_hosts_file = ResolveHosts::Never;
    // Ours is the cache: this one keeps no failures and serves nothing stale.
    options.cache_size = 0;
    // `attempts` counts the repetitions: three tries fit the deadline.
    options.attempts = 2;
    options.timeout = (deadline / 3).clamp(Duration::from_millis(100), Duration::from_secs(5));
    options.ndots = 0;
    options.edns0 = true;
    // Of one TCP connection; the default of 32 refuses the 33rd question.
    options.max_active_requests = 1024;
}
