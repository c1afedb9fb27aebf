//! The checked sheet as typed [`Settings`].

use crate::sheet::{Group, Sheet};
use crate::typed::*;
use crate::value::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Typed reads. A key that is not in the table or of another kind is a slip in this crate (the tests build from every
/// default); a release build goes on with an empty value.
impl Group {
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        let value = self.entry(key).map(|e| &e.value);
        debug_assert!(value.is_some(), "no parameter {key}");
        value
    }
    pub(crate) fn text(&self, key: &str) -> String {
        if let Some(Value::Text(text)) = self.value(key) { text.clone() } else { String::new() }
    }
    pub(crate) fn filled(&self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|t| !t.is_empty())
    }
    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        self.filled(key).map(PathBuf::from)
    }
    pub(crate) fn duration(&self, key: &str) -> Duration {
        if let Some(Value::Duration(d)) = self.value(key) { *d } else { Duration::ZERO }
    }
    pub(crate) fn u64(&self, key: &str) -> u64 {
        if let Some(Value::Integer(n) | Value::Size(n)) = self.value(key) { *n } else { 0 }
    }
    pub(crate) fn u32(&self, key: &str) -> u32 {
        u32::try_from(self.u64(key)).unwrap_or(u32::MAX)
    }
    pub(crate) fn u16(&self, key: &str) -> u16 {
        u16::try_from(self.u64(key)).unwrap_or(u16::MAX)
    }
    pub(crate) fn usize(&self, key: &str) -> usize {
        usize::try_from(self.u64(key)).unwrap_or(usize::MAX)
    }
    pub(crate) fn limit(&self, key: &str) -> Option<u32> {
        Some(self.u32(key)).filter(|n| *n > 0)
    }
    pub(crate) fn number(&self, key: &str) -> f64 {
        if let Some(Value::Number(n)) = self.value(key) { *n } else { 0.0 }
    }
    pub(crate) fn is(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Value::Bool(true)))
    }
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        if let Some(Value::Texts(list)) = self.value(key) { list.clone() } else { Vec::new() }
    }
    pub(crate) fn networks(&self, key: &str) -> Vec<Network> {
        if let Some(Value::Networks(list)) = self.value(key) { list.clone() } else { Vec::new() }
    }
    pub(crate) fn fail_mode(&self, key: &str) -> FailMode {
        match self.text(key).as_str() {
            "accept" => FailMode::Accept,
            "reject" => FailMode::Reject,
            _ => FailMode::Defer,
        }
    }
}

/// Builds the settings from a sheet without faults.
pub fn build(sheet: &Sheet) -> Settings {
    let empty = Group::default();
    let one = |section: &str| sheet.groups(section).first().unwrap_or(&empty);
    let identity = identity(one("identity"));
    Settings {
        paths: paths(one("paths")),
        volumes: sheet.groups("volume").iter().map(volume).collect(),
        listeners: sheet.groups("listener").iter().map(listener).collect(),
        certificates: sheet.groups("certificate").iter().map(certificate).collect(),
        client_certificates: sheet.groups("client_certificate").iter().map(crate::clients::client_certificate).collect(),
        relay: Relay { networks: one("relay").networks("networks"), domains: one("relay").texts("domains") },
        routes: sheet.groups("route").iter().map(route).collect(),
        local: local(one("local"), &identity.hostname),
        dns: dns(one("dns")),
        server: server(one("server")),
        patience: crate::contact::patience(one("server")),
        extensions: crate::extensions::extensions(one("server")),
        submission: crate::extensions::submission(one("submission")),
        first_contact: crate::contact::first_contact(one("first_contact")),
        overload: crate::contact::overload(one("overload")),
        connections: connections(one("connections")),
        rates: crate::rates::rates(one("rates")),
        greylist: crate::rates::greylist(one("greylist")),
        overload_signs: crate::rates::overload_signs(one("overload")),
        auth: crate::auth::auth(one("auth")),
        access: crate::access::build(sheet),
        policy_services: sheet.groups("policy_service").iter().map(crate::inquiries::policy_service).collect(),
        call_ahead: crate::inquiries::call_ahead(one("call_ahead")),
        tables: sheet.groups("table").iter().map(crate::lookups::table).collect(),
        routing: crate::routing::routing(one("routing")),
        virtual_domains: crate::routing::virtual_domains(one("virtual")),
        lists: crate::lists::lists(one("lists")),
        srs: crate::lists::srs(one("srs")),
        headers: crate::headers::headers(one("headers")),
        lanes: sheet.groups("lane").iter().map(crate::lanes::lane).collect(),
        filter: filter(one("filter")),
        processes: processes(one("processes")),
        queue: queue(one("queue"), sheet.groups("agent")),
        client: client(one("client"), &identity.hostname),
        tls: tls(one("tls")),
        credentials: sheet.groups("credentials").iter().map(credentials).collect(),
        sources: sheet.groups("source").iter().map(source).collect(),
        sts: Sts { port: one("sts").u16("port") },
        tls_report: tls_report(one("tls_report"), &identity),
        pipes: sheet.groups("pipe").iter().map(crate::programs::pipe).collect(),
        agents: sheet.groups("agent").iter().map(crate::programs::agent).collect(),
        scripts: sheet.groups("script").iter().map(crate::programs::script).collect(),
        bounce: bounce(one("bounce")),
        policies: crate::Policies::build(sheet),
        log: log(one("log")),
        users: users(one("users")),
        identity,
    }
}

fn paths(g: &Group) -> Paths {
    let postoffice = g.path("postoffice").unwrap_or_default();
    Paths {
        run: g.path("run").unwrap_or_else(|| postoffice.join("run")),
        log: g.path("log").unwrap_or_else(|| postoffice.join("log")),
        libexec: g.path("libexec"),
        weight: g.u32("weight"),
        postoffice,
    }
}

fn volume(g: &Group) -> Volume {
    Volume { name: g.text("name"), path: g.path("path").unwrap_or_default(), weight: g.u32("weight") }
}

fn identity(g: &Group) -> Identity {
    let hostname = g.text("hostname");
    Identity { postmaster: g.filled("postmaster").unwrap_or_else(|| format!("postmaster@{hostname}")), hostname }
}

fn listener(g: &Group) -> Listener {
    let kind = match g.text("kind").as_str() {
        "submission" => ListenerKind::Submission,
        "submissions" => ListenerKind::Submissions,
        "lmtp" => ListenerKind::Lmtp,
        _ => ListenerKind::Smtp,
    };
    let bind = match g.value("bind") {
        Some(Value::Bind(bind)) => bind.clone(),
        _ => Bind::Unix(PathBuf::new()),
    };
    Listener {
        kind,
        bind,
        backlog: g.u32("backlog"),
        proxy: g.is("proxy"),
        require_tls: g.is("require_tls"),
        client_certificates: crate::clients::demand(g),
        client_ca: g.path("client_ca"),
    }
}

fn certificate(g: &Group) -> Certificate {
    Certificate { chain: g.path("chain").unwrap_or_default(), key: g.path("key").unwrap_or_default() }
}

fn route(g: &Group) -> Route {
    Route {
        domain: g.text("domain"),
        sender: g.text("sender"),
        channel: g.text("channel"),
        host: g.filled("host").unwrap_or_else(|| "-".to_owned()),
        line: g.line,
    }
}

fn local(g: &Group, hostname: &str) -> Local {
    let domains = g.texts("domains");
    Local {
        domains: if g.entry("domains").is_some_and(|e| e.line == 0) { vec![hostname.to_owned()] } else { domains },
        delivery: match g.text("delivery").as_str() {
            "mbox" => DeliveryKind::Mbox,
            "lmtp" => DeliveryKind::Lmtp,
            _ => DeliveryKind::Maildir,
        },
        maildir: g.text("maildir"),
        mbox: g.text("mbox"),
        lmtp: g.text("lmtp"),
        users: match g.text("users").as_str() {
            "any" => UserSource::Any,
            "passwd" => UserSource::Passwd,
            path if path.starts_with('/') => UserSource::Table(PathBuf::from(path)),
            name => UserSource::Declared(name.to_owned()),
        },
        aliases: g.texts("aliases").into_iter().map(alias_source).collect(),
        mailboxes: g.texts("mailboxes"),
        detail: g.text("detail"),
        user: g.filled("user"),
        alias_user: g.filled("alias_user"),
        forward: g.is("forward"),
        forward_programs: g.is("forward_programs"),
        forward_time: g.duration("forward_time"),
        require_home: g.is("require_home"),
        detail_folders: match g.text("detail_folders").as_str() {
            "existing" => DetailFolders::Existing,
            "made" => DetailFolders::Made,
            _ => DetailFolders::Never,
        },
        quota: g.u64("quota"),
        quota_fails: g.text("quota_action") == "fail",
        mbox_locks: g.texts("mbox_locks").iter().filter_map(|word| mbox_lock(word)).collect(),
        mbox_lock_time: g.duration("mbox_lock_time"),
        mbox_lock_stale: g.duration("mbox_lock_stale"),
        notify: g.text("notify"),
    }
}

fn alias_source(text: String) -> AliasSource {
    if text.starts_with('/') { AliasSource::File(PathBuf::from(text)) } else { AliasSource::Declared(text) }
}

/// The lock that a word names.
pub fn mbox_lock(word: &str) -> Option<MboxLock> {
    Some(match word {
        "dot" => MboxLock::Dot,
        "fcntl" => MboxLock::Fcntl,
        "flock" => MboxLock::Flock,
        _ => return None,
    })
}

fn dns(g: &Group) -> Dns {
    Dns {
        servers: if let Some(Value::Servers(list)) = g.value("servers") { list.clone() } else { Vec::new() },
        deadline: g.duration("deadline"),
        cache_entries: g.usize("cache_entries"),
        negative_ttl: g.duration("negative_ttl"),
        max_ttl: g.duration("max_ttl"),
        validation: match g.text("validation").as_str() {
            "trust_ad" => Validation::TrustAd,
            "off" => Validation::Off,
            _ => Validation::Local,
        },
        trust_anchor: g.path("trust_anchor"),
    }
}

fn server(g: &Group) -> Server {
    Server {
        max_message_size: g.u64("max_message_size"),
        max_recipients: g.u32("max_recipients"),
        max_hops: g.u32("max_hops"),
        command_timeout: g.duration("command_timeout"),
        data_timeout: g.duration("data_timeout"),
        write_timeout: g.duration("write_timeout"),
        max_errors: g.u32("max_errors"),
        max_idle_commands: g.u32("max_idle_commands"),
        max_header_bytes: g.u64("max_header_bytes"),
        max_line: g.u64("max_line"),
        bare_newline: if g.text("bare_newline") == "blank" { BareNewline::Blank } else { BareNewline::Reject },
        banner: g.text("banner"),
        min_free_bytes: g.u64("min_free_bytes"),
        etrn: g.networks("etrn"),
        helper_timeout: g.duration("helper_timeout"),
    }
}

fn connections(g: &Group) -> Connections {
    let total = g.u32("total");
    Connections { total, per_address: g.u32("per_address"), per_network: g.u32("per_network"), reserve: g.u32("reserve").min(total / 4) }
}

fn filter(g: &Group) -> Filter {
    Filter { program: g.texts("program"), processes: g.u32("processes"), timeout: g.duration("timeout"), failure: g.fail_mode("failure") }
}

/// Cores this process may run on.
fn cores() -> u16 {
    std::thread::available_parallelism().map_or(1, |n| u16::try_from(n.get()).unwrap_or(u16::MAX))
}

fn processes(g: &Group) -> Processes {
    let least = g.u16("smtpserver_min");
    let automatic = |given: u16, or: u16| if given == 0 { or.max(1) } else { given };
    Processes {
        smtpserver_min: least,
        smtpserver_max: automatic(g.u16("smtpserver_max"), cores().saturating_mul(2)).max(least),
        spare_sessions: g.u32("spare_sessions"),
        sessions_per_worker: g.u32("sessions_per_worker"),
        sessions_per_life: g.u64("sessions_per_life"),
        sync_threads: g.u16("sync_threads"),
        routers: automatic(g.u16("routers"), cores().min(100)),
        addresses_per_router: g.u64("addresses_per_router"),
        router_memory: g.u64("router_memory"),
        router_silence: g.duration("router_silence"),
        restart_first: g.duration("restart_first"),
        restart_longest: g.duration("restart_longest"),
        drain: g.duration("drain"),
        sandbox: match g.text("sandbox").as_str() {
            "off" => Sandbox::Off,
            "require" => Sandbox::Require,
            _ => Sandbox::Try,
        },
        environment: if let Some(Value::Map(map)) = g.value("environment") { map.clone() } else { Default::default() },
    }
}

fn queue(g: &Group, agents: &[Group]) -> Queue {
    let from_outside = agents.iter().map(crate::programs::agent).filter(|agent| agent.program.is_empty()).map(|agent| agent.channel);
    Queue {
        retry_first: g.duration("retry_first"),
        retry_factor: g.number("retry_factor"),
        retry_longest: g.duration("retry_longest"),
        retry_jitter: g.number("retry_jitter"),
        expiry: g.duration("expiry"),
        concurrency_first: g.u32("concurrency_first"),
        concurrency_most: g.u32("concurrency_most"),
        recipients_per_job: g.u32("recipients_per_job"),
        agents_per_channel: g.u16("agents_per_channel"),
        router_scan: g.duration("router_scan"),
        transport_scan: g.duration("transport_scan"),
        public_age: g.duration("public_age"),
        io_threads: g.u16("io_threads"),
        channels: g.texts("channels").into_iter().chain(from_outside).collect(),
    }
}

fn client(g: &Group, hostname: &str) -> Client {
    Client {
        port: g.u16("port"),
        connect_timeout: g.duration("connect_timeout"),
        greeting_timeout: g.duration("greeting_timeout"),
        hello_timeout: g.duration("hello_timeout"),
        mail_timeout: g.duration("mail_timeout"),
        rcpt_timeout: g.duration("rcpt_timeout"),
        data_timeout: g.duration("data_timeout"),
        block_timeout: g.duration("block_timeout"),
        final_timeout: g.duration("final_timeout"),
        reply_deadline: g.duration("reply_deadline"),
        idle: g.duration("idle"),
        messages_per_session: g.u32("messages_per_session"),
        sessions: g.u32("sessions"),
        hosts: g.u32("hosts"),
        hello: g.filled("hello").unwrap_or_else(|| hostname.to_owned()),
        chunking: g.is("chunking"),
        convert: match g.text("convert").as_str() {
            "never" => crate::Convert::Never,
            "send_anyway" => crate::Convert::SendAnyway,
            _ => crate::Convert::Auto,
        },
        connect_stagger: g.duration("connect_stagger"),
    }
}

fn credentials(g: &Group) -> crate::Credentials {
    crate::Credentials {
        name: g.text("name"),
        user: g.text("user"),
        password_file: g.path("password_file").unwrap_or_default(),
        without_tls: g.is("without_tls"),
    }
}

fn source(g: &Group) -> crate::Source {
    crate::Source {
        pool: g.text("pool"),
        address: g.text("address").parse().unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        weight: g.u32("weight"),
        hello: g.filled("hello"),
        interface: g.filled("interface"),
        proxy: g.text("proxy").parse().ok(),
        proxy_password_file: g.path("proxy_password_file"),
        line: g.line,
    }
}

fn tls_report(g: &Group, identity: &Identity) -> TlsReport {
    TlsReport {
        enabled: g.is("enabled"),
        contact: g.filled("contact").unwrap_or_else(|| identity.postmaster.clone()),
        sender: g.filled("sender").unwrap_or_else(|| format!("tls-reports@{}", identity.hostname)),
    }
}

fn tls(g: &Group) -> Tls {
    Tls {
        roots: g.path("roots"),
        certificate: g.path("certificate"),
        key: g.path("key"),
        handshake_timeout: g.duration("handshake_timeout"),
    }
}

fn bounce(g: &Group) -> Bounce {
    Bounce {
        max_returned: g.u64("max_returned"),
        double_to_postmaster: g.is("double_to_postmaster"),
        gather: g.duration("gather"),
        copy_to_postmaster: g.texts("copy_to_postmaster"),
        templates: g.filled("templates").map(PathBuf::from),
    }
}

fn log(g: &Group) -> Log {
    Log {
        format: if g.text("format") == "json" { LogFormat::Json } else { LogFormat::Text },
        level: match g.text("level").as_str() {
            "error" => LogLevel::Error,
            "warning" => LogLevel::Warning,
            "debug" => LogLevel::Debug,
            _ => LogLevel::Info,
        },
        to_file: g.text("to") == "file",
    }
}

/// Keys of `[users]` that name no service.
const NOT_SERVICES: [&str; 4] = ["default", "group", "submit_group", "admin_group"];

fn users(g: &Group) -> Users {
    let services = crate::table::parameters()
        .filter(|p| p.section == "users" && !NOT_SERVICES.contains(&p.key))
        .filter_map(|p| Some((p.key.to_owned(), g.filled(p.key)?)))
        .collect();
    Users {
        default: g.text("default"),
        services,
        group: g.filled("group"),
        submit_group: g.filled("submit_group"),
        admin_group: g.filled("admin_group"),
    }
}
