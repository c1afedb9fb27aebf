//! Faults that one parameter alone does not show.

use crate::build::mbox_lock;
use crate::glob::Glob;
use crate::nearest::nearest;
use crate::sheet::{Group, Sheet};
use crate::value::Value;
use crate::{Bind, Fault};
use std::net::IpAddr;

/// Channels that the suite serves itself.
pub const CHANNELS: [&str; 7] = ["smtp", "lmtp", "local", "pipe", "error", "hold", "discard"];

/// Looks at values together; each fault at the place of the value that is to be changed.
pub fn check(sheet: &mut Sheet) {
    let mut faults = Vec::new();
    listeners(sheet.groups("listener"), sheet.groups("certificate").is_empty(), &mut faults);
    crate::clients::check(sheet, &mut faults);
    volumes(sheet, &mut faults);
    let mut own = own_channels(sheet, &mut faults);
    own.extend(crate::programs::check(sheet, &own, &mut faults));
    for route in sheet.groups("route") {
        check_route(route, &own, &mut faults);
        crate::programs::check_route(sheet, route, &mut faults);
    }
    for (section, key) in [("channel", "name"), ("destination", "channel"), ("destination", "host"), ("destination", "mx")] {
        for group in sheet.groups(section) {
            patterns(section, group, key, &mut faults);
        }
    }
    for (section, key, named, name) in [
        ("channel", "credentials", "credentials", "name"),
        ("destination", "credentials", "credentials", "name"),
        ("channel", "source", "source", "pool"),
        ("destination", "source", "source", "pool"),
    ] {
        for group in sheet.groups(section) {
            refers(sheet, section, group, key, (named, name), &mut faults);
        }
    }
    egress(sheet, &mut faults);
    for group in sheet.groups("auth") {
        crate::auth::check(group, &mut faults);
    }
    crate::access::check(sheet, &mut faults);
    crate::inquiries::check(sheet, &mut faults);
    crate::lookups::check(sheet, &mut faults);
    crate::routing::check(sheet, &mut faults);
    crate::lists::check(sheet, &mut faults);
    crate::headers::check(sheet, &mut faults);
    crate::lanes::check(sheet, &mut faults);
    for group in sheet.groups("bounce") {
        copies(group, &mut faults);
    }
    for group in sheet.groups("local") {
        local(group, &mut faults);
    }
    for group in sheet.groups("tls_report") {
        for key in ["contact", "sender"] {
            an_address("tls_report", group, key, &mut faults);
        }
    }
    for group in sheet.groups("tls") {
        let given = |key: &str| text(group, key).is_some_and(|path| !path.is_empty());
        match (given("certificate"), given("key")) {
            (true, false) => faults.push(at(group, "certificate", "tls.certificate: key must be given too".to_owned())),
            (false, true) => faults.push(at(group, "key", "tls.key: certificate must be given too".to_owned())),
            _ => {}
        }
    }
    for group in sheet.groups("users") {
        users(group, &mut faults);
    }
    for (section, less, more) in [
        ("queue", "concurrency_first", "concurrency_most"),
        ("queue", "retry_first", "retry_longest"),
        ("processes", "restart_first", "restart_longest"),
    ] {
        ordered(sheet, section, less, more, &mut faults);
    }
    sheet.faults.append(&mut faults);
    sheet.faults.sort_by(|a, b| (a.line, a.column, &a.text).cmp(&(b.line, b.column, &b.text)));
}

/// Empty, or an address with its domain.
fn an_address(section: &str, group: &Group, key: &str, faults: &mut Vec<Fault>) {
    let Some(value) = text(group, key).filter(|value| !value.is_empty()) else { return };
    if value.contains('@') && address::Address::parse(value).is_ok() {
        return;
    }
    if let Some(entry) = group.entry(key) {
        faults.push(Fault {
            line: entry.line,
            column: entry.column,
            text: format!("[{section}] {key}: `{value}` is no address with its domain"),
        });
    }
}

pub(crate) fn text<'g>(group: &'g Group, key: &str) -> Option<&'g str> {
    match group.entry(key).map(|e| &e.value) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// A fault at the value of `key`, or where its section begins.
pub(crate) fn at(group: &Group, key: &str, text: String) -> Fault {
    let (line, column) = group.entry(key).filter(|e| e.line > 0).map_or((group.line, group.column), |e| (e.line, e.column));
    Fault { line, column, text }
}

/// With a submit group `public/` and `router/` are sticky: only their owner, the default user, may move others' files.
fn users(group: &Group, faults: &mut Vec<Fault>) {
    let named = |key: &str| text(group, key).filter(|name| !name.is_empty());
    if named("submit_group").is_none() {
        return;
    }
    for key in ["router", "routermux"] {
        if named(key).is_some_and(|user| Some(user) != named("default")) {
            let text = format!(
                "users.{key} must be users.default where users.submit_group is set: only the owner of router/ may move others' files"
            );
            faults.push(at(group, key, text));
        }
    }
}

/// Kinds of reports (RFC 3464 section 2.3.3).
const REPORTS: [&str; 5] = ["failed", "delayed", "delivered", "relayed", "expanded"];

fn copies(group: &Group, faults: &mut Vec<Fault>) {
    let Some(Value::Texts(kinds)) = group.entry("copy_to_postmaster").map(|e| &e.value) else { return };
    for kind in kinds.iter().filter(|kind| !REPORTS.contains(&kind.as_str())) {
        let near = nearest(kind, REPORTS.into_iter()).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
        let text = format!("bounce.copy_to_postmaster: \"{kind}\" is no kind of report ({}){near}", REPORTS.join(", "));
        faults.push(at(group, "copy_to_postmaster", text));
    }
}

fn listeners(groups: &[Group], uncertified: bool, faults: &mut Vec<Fault>) {
    let mut seen: Vec<(&Bind, usize)> = Vec::new();
    for group in groups {
        if text(group, "kind") == Some("submissions") {
            let unix = matches!(group.entry("bind").map(|e| &e.value), Some(Value::Bind(Bind::Unix(_))));
            if uncertified {
                faults.push(at(group, "kind", "listener.kind: submissions needs a [[certificate]] with chain and key".to_owned()));
            } else if unix {
                faults.push(at(group, "kind", "listener.kind: submissions is for the network, not for unix: sockets".to_owned()));
            }
        }
        let tls_wanted = group.entry("require_tls").is_some_and(|e| e.value == Value::Bool(true));
        if tls_wanted && (uncertified || matches!(group.entry("bind").map(|e| &e.value), Some(Value::Bind(Bind::Unix(_))))) {
            let text =
                "listener.require_tls: TLS needs a [[certificate]] with chain and key, and is for the network, not for unix: sockets";
            faults.push(at(group, "require_tls", text.to_owned()));
        }
        let Some((Value::Bind(bind), line)) = group.entry("bind").map(|e| (&e.value, e.line)) else { continue };
        if let Bind::Tcp(address) = bind
            && address.port() == 0
        {
            faults.push(at(group, "bind", "listener.bind: port 0 would be another one at each start; give the port".to_owned()));
        }
        if let Some((_, first)) = seen.iter().find(|(b, _)| *b == bind) {
            faults.push(at(group, "bind", format!("listener.bind: the listener of line {first} has this address already")));
        }
        seen.push((bind, line));
    }
}

/// Names stand in datagrams before a file's name, where `router` means the postoffice's.
fn volumes(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let groups = sheet.groups("volume");
    if groups.len() > 60 {
        faults.extend(groups.last().map(|group| at(group, "name", "volume: at most 60 volumes".to_owned())));
    }
    let mut names = vec!["postoffice", "public", "router", "queue", "transport", "deferred", "freezer"];
    let mut paths: Vec<&str> = sheet.groups("paths").iter().filter_map(|group| text(group, "postoffice")).collect();
    for group in groups {
        let (Some(name), Some(path)) = (text(group, "name"), text(group, "path")) else { continue };
        let safe = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.len() <= 32
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !safe {
            faults.push(at(group, "name", format!("volume.name: `{name}` is not made of a-z, 0-9 and -, at most 32 of them")));
        } else if names.contains(&name) {
            faults.push(at(group, "name", format!("volume.name: `{name}` is another volume's or a folder of the spool")));
        }
        if paths.contains(&path) {
            faults.push(at(group, "path", format!("volume.path: `{path}` is the postoffice or another volume")));
        }
        names.push(name);
        paths.push(path);
    }
}

fn patterns(section: &str, group: &Group, key: &str, faults: &mut Vec<Fault>) {
    let texts = match group.entry(key).map(|e| &e.value) {
        Some(Value::Text(text)) => text.split('/').collect(),
        Some(Value::Texts(list)) => list.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    for reason in texts.into_iter().filter_map(|text| Glob::parse(text).err()) {
        faults.push(at(group, key, format!("{section}.{key}: {reason}")));
    }
}

/// A clause that names credentials or a pool that nobody describes would send mail from elsewhere, or without login.
fn refers(sheet: &Sheet, section: &str, group: &Group, key: &str, (named, name): (&str, &str), faults: &mut Vec<Fault>) {
    let Some(wanted) = text(group, key).filter(|wanted| !wanted.is_empty()) else { return };
    let known = || sheet.groups(named).iter().filter_map(|g| text(g, name));
    if !known().any(|known| known == wanted) {
        let hint = nearest(wanted, known()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        faults.push(at(group, key, format!("{section}.{key}: no [[{named}]] has {name} = \"{wanted}\"{hint}")));
    }
}

fn egress(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let mut seen: Vec<&str> = Vec::new();
    for group in sheet.groups("credentials") {
        let name = text(group, "name").unwrap_or_default();
        if seen.contains(&name) || name.is_empty() {
            faults.push(at(group, "name", format!("credentials.name: `{name}` must be given once")));
        }
        seen.push(name);
        if text(group, "password_file") == Some("") {
            faults.push(at(group, "password_file", "credentials.password_file must be given".to_owned()));
        }
    }
    let secrets =
        seen.len() + sheet.groups("source").iter().filter(|g| text(g, "proxy_password_file").is_some_and(|p| !p.is_empty())).count();
    // Each is one descriptor in an agent's first frame, and the kernel passes at most 253.
    if secrets > MOST_SECRETS {
        let fault =
            Fault { line: 0, column: 0, text: format!("more than {MOST_SECRETS} password files; an agent cannot be given them all") };
        faults.push(fault);
    }
    for group in sheet.groups("source") {
        if text(group, "pool") == Some("") {
            faults.push(at(group, "pool", "source.pool must be given".to_owned()));
        }
        let given = |key: &str| text(group, key).is_some_and(|value| !value.is_empty());
        let user = text(group, "proxy").is_some_and(|proxy| proxy.contains('@'));
        if user && !given("proxy_password_file") {
            faults.push(at(group, "proxy", "source.proxy: its user needs a proxy_password_file".to_owned()));
        }
        for key in ["hello", "interface"] {
            if text(group, key).is_some_and(|word| word.contains(' ') || (key == "interface" && word.len() > 15)) {
                faults.push(at(group, key, format!("source.{key}: this cannot be a name")));
            }
        }
    }
}

/// Most password files of a configuration.
const MOST_SECRETS: usize = 200;

fn own_channels(sheet: &Sheet, faults: &mut Vec<Fault>) -> Vec<String> {
    let Some(queue) = sheet.groups("queue").first() else { return Vec::new() };
    let Some(Value::Texts(names)) = queue.entry("channels").map(|e| &e.value) else { return Vec::new() };
    for name in names {
        if !crate::programs::is_name(name) || CHANNELS.contains(&name.as_str()) {
            faults.push(at(
                queue,
                "channels",
                format!("queue.channels: `{name}` is a channel of the suite, or not made of a-z, 0-9 and -"),
            ));
        }
    }
    names.clone()
}

fn check_route(route: &Group, own: &[String], faults: &mut Vec<Fault>) {
    let Some(channel) = text(route, "channel") else { return };
    let host = text(route, "host").unwrap_or("-");
    let absent = host == "-" || host.is_empty();
    match channel {
        "lmtp" if absent => faults.push(at(route, "host", "route.host must be given for channel lmtp: unix:/path or host:port".to_owned())),
        "smtp" | "lmtp" if !absent => {
            if let Err(reason) = next_hop(host, channel == "lmtp") {
                faults.push(at(route, "host", format!("route.host: {reason}")));
            }
        }
        known if CHANNELS.contains(&known) || own.iter().any(|c| c == known) => {}
        unknown => {
            let hint = nearest(unknown, CHANNELS.into_iter()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_else(|| ".".to_owned());
            let text = format!(
                "route.channel: unknown channel `{unknown}`{hint} Known: {}, and those of [[pipe]], [[agent]] and queue.channels",
                CHANNELS.join(", ")
            );
            faults.push(at(route, "channel", text));
        }
    }
}

/// `example.org[:port]`, `[literal or name][:port]`, a bare address with or without a port, `unix:/path`.
pub(crate) fn next_hop(host: &str, lmtp: bool) -> Result<(), String> {
    if let Some(path) = host.strip_prefix("unix:") {
        return match (lmtp, path.starts_with('/') && path.len() <= 107) {
            (true, true) => Ok(()),
            (true, false) => Err("unix: needs an absolute path of at most 107 bytes".to_owned()),
            (false, _) => Err("unix: is for channel lmtp".to_owned()),
        };
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, rest)) => (inner, rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("?") })),
        None => host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    if port.is_some_and(|p| p.parse::<u16>().map_or(true, |n| n == 0)) {
        return Err(format!("`{host}`: what follows the colon is no port"));
    }
    let tagged = name.strip_prefix("IPv6:").unwrap_or(name);
    if tagged.parse::<IpAddr>().is_ok() || (!name.is_empty() && address::normalise(name).is_ok_and(|n| !n.starts_with('['))) {
        return Ok(());
    }
    Err(format!("`{host}` is no next hop such as mx.example.org, [10.0.0.1]:2525 or unix:/path"))
}

fn local(group: &Group, faults: &mut Vec<Fault>) {
    let lmtp = text(group, "lmtp").unwrap_or("");
    if text(group, "delivery") == Some("lmtp") && lmtp.is_empty() {
        faults.push(at(group, "delivery", "local.lmtp must be given for delivery = \"lmtp\": unix:/path or host:port".to_owned()));
    }
    if !lmtp.is_empty()
        && let Err(reason) = next_hop(lmtp, true)
    {
        faults.push(at(group, "lmtp", format!("local.lmtp: {reason}")));
    }
    if let Some(Value::Texts(locks)) = group.entry("mbox_locks").map(|e| &e.value)
        && (locks.is_empty()
            || locks.iter().enumerate().any(|(at, word)| mbox_lock(word).is_none() || locks.iter().take(at).any(|w| w == word)))
    {
        faults.push(at(group, "mbox_locks", "local.mbox_locks: some of dot, fcntl and flock, each once".to_owned()));
    }
    let notify = text(group, "notify").unwrap_or("");
    let socket = notify.strip_prefix("unix:").is_some_and(|path| path.starts_with('/'));
    if !(notify.is_empty() || socket || notify.strip_prefix("udp:").is_some_and(|at| at.parse::<std::net::SocketAddr>().is_ok())) {
        faults.push(at(group, "notify", format!("local.notify: `{notify}` is neither unix:/path nor udp:address:port")));
    }
    if text(group, "detail").is_some_and(|d| d.contains(|c: char| c == '@' || c.is_ascii_alphanumeric() || !c.is_ascii_graphic())) {
        faults.push(at(group, "detail", "local.detail: letters, digits, blanks and @ cannot begin a detail".to_owned()));
    }
}

/// `less` must not be greater than `more`; the fault stands at the one that the administrator wrote.
fn ordered(sheet: &Sheet, section: &str, less: &str, more: &str, faults: &mut Vec<Fault>) {
    let Some(group) = sheet.groups(section).first() else { return };
    let amount = |key: &str| match group.entry(key).map(|e| &e.value) {
        Some(Value::Integer(n)) => Some(u128::from(*n)),
        Some(Value::Duration(d)) => Some(d.as_millis()),
        _ => None,
    };
    if let (Some(a), Some(b)) = (amount(less), amount(more))
        && a > b
    {
        let key = if group.entry(less).is_some_and(|e| e.line > 0) { less } else { more };
        faults.push(at(group, key, format!("{section}.{less} is greater than {section}.{more}")));
    }
}
