//! Postfix: main.cf, and the tables that it names.

use crate::draft::{Draft, quoted};
use crate::lines::{domain, elements, logical};
use crate::maps::{At, PLAIN, Rewrite, declare};
use crate::{Reader, Source, tables, transport};
use std::collections::HashMap;

/// Forms in which addresses are looked up there.
const ADDRESS: &[&str] = &["exact", "without_detail", "@domain"];
const ROUTE: &[&str] = &["exact", "suffixes", "default"];

const VIRTUAL: Rewrite = Rewrite { text: tables::virtual_aliases, ..PLAIN };
const TRANSPORT: Rewrite =
    Rewrite { text: |file, text, draft| tables::routes(file, text, transport::postfix, draft), value: transport::postfix };

/// One file; `Err`: what kinds there are.
pub(crate) fn file(source: &Source, text: &str, draft: &mut Draft, reader: &Reader<'_>) -> Result<(), &'static str> {
    let path = source.path.as_str();
    match source.word() {
        "main" | "main.cf" => main_cf(path, text, draft, reader),
        "aliases" => tables::aliases(path, text, draft),
        "virtual" => {
            let text = tables::virtual_aliases(path, text, draft);
            draft.text_table(&crate::maps::file_name(path), "virtual", text, ADDRESS, ("virtual", "aliases"));
        }
        "transport" => {
            let text = tables::routes(path, text, transport::postfix, draft);
            draft.text_table(&crate::maps::file_name(path), "transport", text, ROUTE, ("routing", "routes"));
        }
        "canonical" | "recipient_canonical" => {
            let text = tables::plain(path, text, draft);
            draft.text_table(&crate::maps::file_name(path), "canonical", text, ADDRESS, ("routing", "canonical"));
        }
        "sender_canonical" => {
            let text = tables::plain(path, text, draft);
            draft.text_table(&crate::maps::file_name(path), "sender-canonical", text, ADDRESS, ("routing", "sender_canonical"));
        }
        "relay" | "relay_domains" => tables::domains(path, text, "relay", "domains", draft),
        "localnames" | "mydestination" => tables::domains(path, text, "local", "domains", draft),
        _ => return Err("main, aliases, virtual, transport, canonical, sender_canonical, relay, localnames"),
    }
    Ok(())
}

/// main.cf: parameters with `$name` filled in.
struct Main<'a> {
    path: &'a str,
    values: HashMap<String, (usize, String)>,
    used: Vec<String>,
}

/// Nothing is lost with these.
const HARMLESS: &[&str] = &[
    "compatibility_level",
    "mail_owner",
    "setgid_group",
    "biff",
    "append_dot_mydomain",
    "inet_protocols",
    "smtp_tls_CApath",
    "smtp_tls_CAfile",
];

/// What Postfix assumes of parameters that others refer to.
const DEFAULTS: &[(&str, &str)] = &[("myorigin", "$myhostname"), ("mydestination", "$myhostname, localhost.$mydomain, localhost")];

impl Main<'_> {
    /// A parameter that was set, filled in.
    fn get(&mut self, name: &str) -> Option<(usize, String)> {
        self.used.push(name.to_owned());
        let (line, value) = self.values.get(name)?.clone();
        Some((line, self.expand(&value, 0))).filter(|(_, value)| !value.is_empty())
    }

    fn value(&self, name: &str, depth: u32) -> String {
        if let Some((_, value)) = self.values.get(name) {
            return self.expand(value, depth);
        }
        if name == "mydomain" {
            let host = self.value("myhostname", depth);
            return host.split_once('.').map_or_else(String::new, |(_, domain)| domain.to_owned());
        }
        DEFAULTS.iter().find(|(known, _)| *known == name).map_or_else(String::new, |(_, value)| self.expand(value, depth))
    }

    /// `$name`, `${name}`, `$(name)`.
    fn expand(&self, text: &str, depth: u32) -> String {
        if depth > 10 {
            return String::new();
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let braced =
                after.strip_prefix('{').and_then(|a| a.split_once('}')).or_else(|| after.strip_prefix('(').and_then(|a| a.split_once(')')));
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            let (name, after) = braced.unwrap_or_else(|| after.split_at(end));
            out.push_str(&self.value(name, depth + 1));
            rest = after;
        }
        out + rest
    }
}

fn main_cf(path: &str, text: &str, draft: &mut Draft, reader: &Reader<'_>) {
    let mut main = Main { path, values: HashMap::new(), used: Vec::new() };
    for (line, text) in logical(text) {
        match text.split_once('=') {
            Some((name, value)) => drop(main.values.insert(name.trim().to_owned(), (line, value.trim().to_owned()))),
            None => draft.remark(path, line, "not NAME = VALUE"),
        }
    }
    identity(&mut main, draft);
    domains(&mut main, draft, reader);
    routing(&mut main, draft, reader);
    delivery(&mut main, draft);
    serving(&mut main, draft);
    let harmless = |name: &str| HARMLESS.contains(&name) || name.ends_with("_database") || name.ends_with("_directory");
    let mut left: Vec<(usize, &String)> =
        main.values.iter().filter(|(name, _)| !main.used.contains(name)).map(|(name, (line, _))| (*line, name)).collect();
    left.sort();
    for (line, name) in left.into_iter().filter(|(_, name)| !harmless(name)) {
        draft.remark(path, line, format!("{name} is not carried over"));
    }
}

fn identity(main: &mut Main<'_>, draft: &mut Draft) {
    let hostname = main.get("myhostname").map(|(_, name)| name);
    main.used.extend(["mydomain".to_owned(), "myorigin".to_owned()]);
    match hostname {
        Some(name) => draft.text("identity", "hostname", &name),
        None => draft.remark(main.path, 0, "myhostname is not set: put the host's full name into [identity] hostname"),
    }
    draft.text("paths", "postoffice", "/var/spool/zpost");
    if let Some((line, networks)) = main.get("mynetworks") {
        for network in elements(&networks) {
            let bare = network.replace(['[', ']'], "");
            if bare.parse::<settings::Network>().is_ok() {
                draft.add("relay", "networks", bare);
            } else {
                draft.remark(main.path, line, format!("mynetworks: {network} is no network"));
            }
        }
    }
    if let Some((line, interfaces)) = main.get("inet_interfaces") {
        match interfaces.as_str() {
            "all" => {}
            "loopback-only" => draft.remark(main.path, line, "inet_interfaces: a listener on loopback only was made"),
            _ => draft.remark(main.path, line, "inet_interfaces: write a [[listener]] for each"),
        }
        let bind = if interfaces == "loopback-only" { "127.0.0.1:25" } else { "[::]:25" };
        draft.section("listener", vec![("kind", quoted("smtp")), ("bind", quoted(bind))]);
    } else {
        draft.section("listener", vec![("kind", quoted("smtp")), ("bind", quoted("[::]:25"))]);
    }
}

/// A list of domains whose elements may be maps.
fn domain_list(
    main: &mut Main<'_>,
    name: &str,
    at: (&'static str, &'static str),
    maps: (&'static str, &'static str),
    draft: &mut Draft,
    reader: &Reader<'_>,
) {
    let Some((line, value)) = main.get(name) else { return };
    for element in elements(&value) {
        if let Some(domain) = domain(element) {
            draft.add(at.0, at.1, domain);
        } else if element.contains(':') {
            let place = At { file: main.path, line };
            if let Some(table) = declare(element, name, &["exact"], PLAIN, place, draft, reader) {
                draft.add(maps.0, maps.1, table);
            }
        } else if let Ok(text) = reader(element) {
            tables::domains(element, &text, at.0, at.1, draft);
        } else {
            draft.remark(main.path, line, format!("{name}: {element} is no domain"));
        }
    }
}

fn domains(main: &mut Main<'_>, draft: &mut Draft, reader: &Reader<'_>) {
    domain_list(main, "mydestination", ("local", "domains"), ("routing", "local_domains"), draft, reader);
    domain_list(main, "relay_domains", ("relay", "domains"), ("routing", "relay_domains"), draft, reader);
    domain_list(main, "virtual_alias_domains", ("virtual", "alias_domains"), ("virtual", "alias_domain_tables"), draft, reader);
    domain_list(main, "virtual_mailbox_domains", ("virtual", "mailbox_domains"), ("virtual", "mailbox_domain_tables"), draft, reader);
}

/// A parameter that names maps.
fn maps(
    main: &mut Main<'_>,
    name: &str,
    keys: &[&str],
    rewrite: Rewrite,
    at: (&'static str, &'static str),
    draft: &mut Draft,
    reader: &Reader<'_>,
) {
    let Some((line, value)) = main.get(name) else { return };
    let references: Vec<&str> = if value.contains('{') { vec![value.as_str()] } else { elements(&value).collect() };
    for reference in references {
        let short = name.trim_end_matches("_maps").replace('_', "-");
        if let Some(table) = declare(reference, &short, keys, rewrite, At { file: main.path, line }, draft, reader) {
            draft.add(at.0, at.1, table);
        }
    }
}

fn routing(main: &mut Main<'_>, draft: &mut Draft, reader: &Reader<'_>) {
    if let Some((line, value)) = main.get("alias_maps") {
        main.used.push("alias_database".to_owned());
        for reference in elements(&value) {
            match reference.split_once(':') {
                Some(("hash" | "lmdb" | "btree" | "cdb" | "dbm" | "texthash", path)) => match reader(path) {
                    Ok(text) => tables::aliases(path, &text, draft),
                    Err(reason) => draft.remark(main.path, line, format!("{path}: {reason}")),
                },
                _ => {
                    let at = At { file: main.path, line };
                    if let Some(table) = declare(reference, "aliases", &["exact"], PLAIN, at, draft, reader) {
                        draft.add("local", "aliases", table);
                    }
                }
            }
        }
    }
    for name in ["virtual_alias_maps", "virtual_maps"] {
        maps(main, name, ADDRESS, VIRTUAL, ("virtual", "aliases"), draft, reader);
    }
    maps(main, "virtual_mailbox_maps", ADDRESS, PLAIN, ("virtual", "mailboxes"), draft, reader);
    maps(main, "transport_maps", ROUTE, TRANSPORT, ("routing", "routes"), draft, reader);
    for name in ["canonical_maps", "recipient_canonical_maps"] {
        maps(main, name, ADDRESS, PLAIN, ("routing", "canonical"), draft, reader);
    }
    for name in ["canonical_maps", "sender_canonical_maps"] {
        maps(main, name, ADDRESS, PLAIN, ("routing", "sender_canonical"), draft, reader);
    }
    maps(main, "sender_dependent_relayhost_maps", &["exact", "@domain"], PLAIN, ("routing", "sender_smart_hosts"), draft, reader);
    if let Some((_, host)) = main.get("relayhost") {
        draft.text("routing", "smart_host", &transport::host(&host));
    }
}

fn delivery(main: &mut Main<'_>, draft: &mut Draft) {
    if let Some((_, detail)) = main.get("recipient_delimiter") {
        draft.text("local", "detail", &detail);
    }
    if let Some((_, mailbox)) = main.get("home_mailbox") {
        match mailbox.strip_suffix('/') {
            Some(folder) => draft.text("local", "maildir", &format!("%h/{folder}")),
            None => {
                draft.text("local", "delivery", "mbox");
                draft.text("local", "mbox", &format!("%h/{mailbox}"));
            }
        }
    } else if let Some((_, spool)) = main.get("mail_spool_directory") {
        let (delivery, key) = if spool.ends_with('/') { ("maildir", "maildir") } else { ("mbox", "mbox") };
        draft.text("local", "delivery", delivery);
        draft.text("local", key, &format!("{}/%u", spool.trim_end_matches('/')));
    }
    for name in ["mailbox_transport", "virtual_transport"] {
        let Some((line, value)) = main.get(name) else { continue };
        match transport::postfix(&value) {
            Ok(route) if route.starts_with("lmtp!") && name == "mailbox_transport" => {
                draft.text("local", "delivery", "lmtp");
                draft.text("local", "lmtp", route.trim_start_matches("lmtp!"));
            }
            Ok(route) => draft.remark(main.path, line, format!("{name}: give the domains a [[route]] of {route}")),
            Err(reason) => draft.remark(main.path, line, format!("{name}: {reason}")),
        }
    }
    main.used.push("mailbox_command".to_owned());
    if let Some((line, command)) = main.values.get("mailbox_command").cloned() {
        let text = format!("mailbox_command: give `{command}` a [[pipe]], or let users name it in .forward");
        draft.remark(main.path, line, text);
    }
}

fn serving(main: &mut Main<'_>, draft: &mut Draft) {
    if let Some((line, size)) = main.get("message_size_limit") {
        match size.parse::<u64>() {
            Ok(0) => draft.remark(main.path, line, "message_size_limit: there is no unlimited size; the default was left"),
            Ok(size) => draft.bare("server", "max_message_size", size),
            Err(_) => draft.remark(main.path, line, format!("message_size_limit: {size} is no number")),
        }
    }
    if let Some((line, time)) = main.get("maximal_queue_lifetime") {
        let time = if time.bytes().all(|b| b.is_ascii_digit()) { format!("{time}d") } else { time };
        match settings::duration(&time) {
            Some(_) => draft.text("queue", "expiry", &time),
            None => draft.remark(main.path, line, format!("maximal_queue_lifetime: {time} is no time")),
        }
    }
    let files = (main.get("smtpd_tls_cert_file"), main.get("smtpd_tls_key_file"));
    if let (Some((_, chain)), Some((_, key))) = files {
        draft.section("certificate", vec![("chain", quoted(&chain)), ("key", quoted(&key))]);
    } else if let Some((line, files)) = main.get("smtpd_tls_chain_files") {
        draft.remark(main.path, line, format!("smtpd_tls_chain_files: part {files} into key and chain of a [[certificate]]"));
    }
    main.used.extend(["smtpd_use_tls", "smtpd_tls_security_level", "smtpd_tls_session_cache_database"].map(str::to_owned));
    if let Some((line, level)) = main.get("smtp_tls_security_level") {
        let ours = match level.as_str() {
            "none" => Some("none"),
            "may" => Some("may"),
            "encrypt" => Some("encrypt"),
            "verify" | "secure" => Some("verify"),
            "dane" => Some("dane"),
            _ => None,
        };
        match ours {
            Some(ours) => draft.section("channel", vec![("name", quoted("smtp")), ("tls", quoted(ours))]),
            None => draft.remark(main.path, line, format!("smtp_tls_security_level: {level} is not known")),
        }
    }
    restrictions(main, draft);
}

/// Of restrictions only policy services and DNS lists mean the same here as there.
fn restrictions(main: &mut Main<'_>, draft: &mut Draft) {
    for name in [
        "smtpd_client_restrictions",
        "smtpd_helo_restrictions",
        "smtpd_sender_restrictions",
        "smtpd_recipient_restrictions",
        "smtpd_relay_restrictions",
    ] {
        let Some((line, value)) = main.get(name) else { continue };
        let mut words = elements(&value);
        while let Some(word) = words.next() {
            match word {
                "permit_mynetworks" | "permit_sasl_authenticated" | "reject_unauth_destination" | "permit" | "defer_unauth_destination" => {
                }
                "reject_rbl_client" => match words.next() {
                    Some(zone) => draft.section("dns_list", vec![("zone", quoted(zone.split('=').next().unwrap_or(zone)))]),
                    None => draft.remark(main.path, line, "reject_rbl_client without a list"),
                },
                "check_policy_service" => {
                    let server = words.next().unwrap_or_default();
                    let bind = server.strip_prefix("inet:").unwrap_or(server);
                    draft.section("policy_service", vec![("name", quoted(&format!("service-{line}"))), ("server", quoted(bind))]);
                    draft.remark(main.path, line, format!("{server}: name the service in [[access]] policy_services"));
                }
                other => draft.remark(main.path, line, format!("{name}: {other} is not carried over; see zpost-policy(5)")),
            }
        }
    }
}
