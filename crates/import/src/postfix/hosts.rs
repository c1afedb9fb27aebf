//! Who the host is, where it listens, and which domains are its own.

use super::DOMAINS;
use super::parameters::Main;
use crate::draft::{Draft, quoted};
use crate::lines::{domain, elements};
use crate::maps::{At, PLAIN, declare};
use crate::{Reader, tables};

pub(super) fn identity(main: &mut Main<'_>, draft: &mut Draft) {
    let hostname = main.get("myhostname").map(|(_, name)| name);
    main.used.push("mydomain".to_owned());
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
    } else if !main.has("mynetworks") {
        ["127.0.0.0/8", "::1"].into_iter().for_each(|own| draft.add("relay", "networks", own));
        draft.remark(main.path, 0, "mynetworks is not set: only this host itself may send anywhere; Postfix may also trust its networks");
    }
    listeners(main, draft);
}

fn listeners(main: &mut Main<'_>, draft: &mut Draft) {
    let (line, interfaces) = main.get("inet_interfaces").unwrap_or((0, "all".to_owned()));
    let listen = |bind: &str, draft: &mut Draft| draft.section("listener", vec![("kind", quoted("smtp")), ("bind", quoted(bind))]);
    // A listener has one family here: [::] alone would take no mail over IPv4.
    let (_, protocols) = main.get("inet_protocols").unwrap_or((0, "all".to_owned()));
    let wanted = |bind: &str| {
        let family = if bind.starts_with('[') { "ipv6" } else { "ipv4" };
        elements(&protocols).any(|word| word == "all" || word == family)
    };
    let each = |binds: [&str; 2], draft: &mut Draft| binds.into_iter().filter(|bind| wanted(bind)).for_each(|bind| listen(bind, draft));
    for interface in elements(&interfaces) {
        let bare = interface.trim_matches(['[', ']']);
        match (interface, bare.parse::<std::net::IpAddr>()) {
            ("all", _) => each(["0.0.0.0:25", "[::]:25"], draft),
            ("loopback-only" | "localhost", _) => each(["127.0.0.1:25", "[::1]:25"], draft),
            (_, Ok(address)) => listen(&std::net::SocketAddr::new(address, 25).to_string(), draft),
            _ => draft.remark(main.path, line, format!("inet_interfaces: write a [[listener]] with the address of {interface}")),
        }
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
    let Some((line, value)) = main.assumed(name) else {
        if name == "mydestination" && main.has(name) {
            // Nothing is local there; here the hostname is, unless something else is said.
            draft.bare("local", "domains", "[]");
        }
        return;
    };
    // The domains below those that are relayed to are relayed to (parent_domain_matches_subdomains).
    let below = name == "relay_domains";
    for element in elements(&value) {
        if let Some(domain) = domain(element) {
            if below {
                draft.add(at.0, at.1, format!(".{domain}"));
            }
            draft.add(at.0, at.1, domain);
        } else if element.contains(':') {
            let (place, keys) = (At { file: main.path, line }, if below { &["exact", "suffixes"][..] } else { &["exact"] });
            if let Some(table) = declare(element, name, keys, if below { DOMAINS } else { PLAIN }, place, draft, reader) {
                draft.add(maps.0, maps.1, table);
            }
        } else if let Ok(text) = reader(element) {
            let read = if below { tables::domains_with_subdomains } else { tables::domains };
            read(element, &text, at.0, at.1, draft);
        } else {
            draft.remark(main.path, line, format!("{name}: {element} is no domain"));
        }
    }
}

pub(super) fn domains(main: &mut Main<'_>, draft: &mut Draft, reader: &Reader<'_>) {
    origin(main, draft, reader);
    domain_list(main, "mydestination", ("local", "domains"), ("routing", "local_domains"), draft, reader);
    domain_list(main, "relay_domains", ("relay", "domains"), ("routing", "relay_domains"), draft, reader);
    domain_list(main, "virtual_alias_domains", ("virtual", "alias_domains"), ("virtual", "alias_domain_tables"), draft, reader);
    domain_list(main, "virtual_mailbox_domains", ("virtual", "mailbox_domains"), ("virtual", "mailbox_domain_tables"), draft, reader);
}

/// The domain of names that have none.
fn origin(main: &mut Main<'_>, draft: &mut Draft, reader: &Reader<'_>) {
    let Some((line, value)) = main.get("myorigin") else { return };
    let named = match value.starts_with('/') {
        true => reader(&value).map_err(|reason| format!("{value}: {reason}")),
        false => Ok(value),
    };
    let found = named.and_then(|text| domain(text.trim()).ok_or_else(|| format!("`{}` is no domain", text.trim())));
    let (host, local) = (domain(&main.value("myhostname", 0)), main.value("mydestination", 0));
    let is_local = |name: &str| elements(&local).filter_map(domain).any(|local| local == name);
    match found {
        Ok(origin) if host.as_ref() == Some(&origin) => {}
        Ok(origin) if is_local(&origin) && !host.as_deref().is_some_and(is_local) => draft.add("local", "domains", origin),
        Ok(origin) => {
            let text = "names without a domain get the hostname here where that is local, else the first of [local] domains";
            draft.remark(main.path, line, format!("myorigin: {text}; not {origin}"));
        }
        Err(reason) => draft.remark(main.path, line, format!("myorigin: {reason}")),
    }
}
