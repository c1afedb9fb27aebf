//! Sendmail: its tables. sendmail.cf is a program, and sendmail.mc that of m4: neither is read.

use crate::draft::Draft;
use crate::lines::{domain, logical, pair};
use crate::{Source, tables, transport};

/// One file; `Err`: what kinds there are.
pub(crate) fn file(source: &Source, text: &str, draft: &mut Draft) -> Result<(), &'static str> {
    let path = source.path.as_str();
    match source.word() {
        "aliases" => tables::aliases(path, text, draft),
        "virtusertable" => {
            let text = of_hosted_domains(path, text, draft);
            remark_details(path, &text, draft);
            let text = tables::aliases_of_addresses(path, &text, str::to_owned, draft);
            draft.text_table("virtusertable", "virtusertable", text, &["exact", "without_detail", "@domain"], ("routing", "fqdn_aliases"));
        }
        "mailertable" => {
            let text = tables::routes(path, &mailertable(path, text, draft), transport::sendmail, draft);
            draft.text_table("mailertable", "mailertable", text, &["exact"], ("routing", "routes"));
        }
        "genericstable" => {
            let text = tables::rewritten(text, str::to_owned);
            draft.text_table("genericstable", "genericstable", text, &["exact", "user"], ("routing", "sender_canonical"));
            draft.remark(path, 0, "it rewrites senders of the envelope; for header fields see [headers] in zpost.toml(5)");
        }
        "domaintable" => {
            let text = domain_table(path, text, draft);
            draft.text_table("domaintable", "domaintable", text, &["exact"], ("routing", "fqdn_aliases"));
        }
        "relay-domains" => {
            tables::domains_with_subdomains(path, text, "relay", "domains", draft);
            draft.remark(path, 0, "hosts of these domains may send anywhere there; here write their addresses into [relay] networks");
        }
        "sendmail.cf" | "sendmail.mc" | "submit.cf" | "submit.mc" => {
            draft.remark(path, 0, "it is a program, and is not read: give the tables that it names");
        }
        "virtuserdomains" => {
            draft.virtual_hosts.extend(logical(text).iter().filter_map(|(_, text)| domain(pair(text).0)));
            tables::domains(path, text, "relay", "domains", draft);
            draft.remark(
                path,
                0,
                "mail to these domains is taken from everybody ([relay] domains), and who is not in virtusertable goes by MX",
            );
        }
        "local-host-names" | "localnames" => tables::domains(path, text, "local", "domains", draft),
        "access" => access(path, text, draft),
        _ => {
            return Err(
                "aliases, virtusertable, virtuserdomains, mailertable, genericstable, domaintable, relay-domains, local-host-names, access",
            );
        }
    }
    Ok(())
}

/// Whether the meaning of a file depends on the others.
pub(crate) fn depends(source: &Source) -> bool {
    source.word() == "virtusertable"
}

/// Sendmail looks for addresses of its own domains only, here all are looked for: what it would never have found is left out.
/// Lines keep their numbers.
fn of_hosted_domains(path: &str, text: &str, draft: &mut Draft) -> String {
    let hosted: Vec<String> = draft.list("local", "domains").iter().chain(&draft.virtual_hosts).cloned().collect();
    if hosted.is_empty() {
        let why = "Sendmail looks here for addresses of class w (local-host-names) and of VIRTUSER_DOMAIN (virtuserdomains) only; here all \
            are looked for, of any domain. Import those files with it, and what is of other domains is left out";
        draft.remark(path, 0, why);
        return text.to_owned();
    }
    let mut out = String::new();
    for (line, text) in logical(text) {
        let key = pair(&text).0;
        if key.rsplit_once('@').and_then(|(_, name)| domain(name)).is_some_and(|name| !hosted.contains(&name)) {
            let why = "its domain is neither in local-host-names nor in virtuserdomains, so Sendmail does not look for it; left out";
            draft.remark(path, line, format!("{key}: {why}"));
            continue;
        }
        out.push_str(&"\n".repeat(line.saturating_sub(out.lines().count() + 1)));
        out.push_str(&text);
        out.push('\n');
    }
    out
}

/// `%1` of `@domain` means the same there and here; `%2` and `%3` do not.
fn remark_details(path: &str, text: &str, draft: &mut Draft) {
    for (line, text) in logical(text).into_iter().filter(|(_, text)| text.contains("%2") || text.contains("%3")) {
        draft.remark(path, line, format!("{}: %2 and %3 are not known: details stay with %1", pair(&text).0));
    }
}

/// What is written otherwise there: of the whole domain `%1%0` below a suffix, and further hosts after a colon.
fn mailertable(path: &str, text: &str, draft: &mut Draft) -> String {
    let mut out = String::new();
    for (line, text) in logical(text) {
        let (key, value) = pair(&text);
        let (mailer, hop) = value.split_once(':').unwrap_or((value, ""));
        let (first, _) = transport::first_host(hop);
        let value = match (mailer, first) {
            ("error", _) => value.replace("%1%0", "%0"),
            // The domain itself.
            (_, "%1%0" | "[%1%0]" | "%0" | "[%0]") if key.starts_with('.') => {
                draft.remark(path, line, format!("{key}: to the domain itself: here by its MX"));
                format!("{mailer}:")
            }
            _ => value.to_owned(),
        };
        if mailer != "error" && transport::first_host(hop).1 {
            draft.remark(path, line, format!("{key}: only its first host is taken; a host with several addresses, or MX, has more"));
        }
        // Lines keep their numbers, for the remarks that follow.
        out.push_str(&"\n".repeat(line.saturating_sub(out.lines().count() + 1)));
        out.push_str(&format!("{key} {value}\n"));
    }
    out
}

/// `old.domain new.domain`
fn domain_table(path: &str, text: &str, draft: &mut Draft) -> String {
    let mut out = String::new();
    for (line, text) in logical(text) {
        let (old, new) = pair(&text);
        match (domain(old), domain(new)) {
            (Some(old), Some(new)) if !old.starts_with('.') => out.push_str(&format!("@{old} %1@{new}\n")),
            _ => draft.remark(path, line, format!("{old}: only whole domains are carried over")),
        }
    }
    out
}

/// The access table as a source of policy: `Connect:10 RELAY` and the like.
fn access(path: &str, text: &str, draft: &mut Draft) {
    let mut out = String::from("# zpost newdb makes a table of this: zpost-policy(5)\n");
    for (line, text) in logical(text) {
        let (key, value) = pair(&text);
        let (tag, key) = key.split_once(':').filter(|(tag, _)| tag.bytes().all(|b| b.is_ascii_alphabetic())).unwrap_or(("", key));
        let kinds: &[&str] = match tag.to_ascii_lowercase().as_str() {
            "connect" => &["client"],
            "from" => &["sender"],
            "to" => &["recipient"],
            "" if key.contains('@') => &["sender"],
            "" => &["client", "sender"],
            _ => {
                draft.remark(path, line, format!("{tag}: is not carried over"));
                continue;
            }
        };
        let said = attributes(value);
        let Some(said) = said else {
            draft.remark(path, line, format!("{key}: `{value}` is not carried over"));
            continue;
        };
        for kind in kinds {
            let relays = said == "relay=true";
            match (*kind, network(key)) {
                ("client", Some(network)) => out.push_str(&format!("client:{network} {said}\n")),
                ("client", None) if !key.contains('@') => out.push_str(&format!("name:{key} {said}\nname:.{key} {said}\n")),
                ("sender", None) if relays => draft.remark(path, line, format!("{key}: a sender gives no right to relay; left out")),
                ("sender" | "recipient", None) => out.push_str(&format!("{kind}:{key} {said}\n")),
                _ => {}
            }
        }
    }
    let file = draft.file("access.policy", out, false);
    draft.remark(path, 0, format!("compile it: zpost newdb {file}.cdb {file}, then [policy] tables = [\"{file}.cdb\"]"));
}

fn attributes(value: &str) -> Option<String> {
    let (word, rest) = value.split_once(':').unwrap_or((value, ""));
    let text = |text: &str| text.trim_matches('"').chars().filter(|c| *c != '"' && !c.is_control()).collect::<String>();
    Some(match word.to_ascii_uppercase().as_str() {
        "OK" => "trust=true".to_owned(),
        "RELAY" => "relay=true".to_owned(),
        "REJECT" => "refuse=\"Access denied\"".to_owned(),
        "ERROR" => format!("refuse=\"{}\"", text(transport::error(rest).trim_start_matches("error!"))),
        "QUARANTINE" => "freeze=true".to_owned(),
        _ if word.starts_with(['5', '4']) && word.len() > 3 => format!("refuse=\"{}\"", text(word.get(3..)?.trim())),
        _ => return None,
    })
}

/// `10.1` means 10.1.0.0/16 there, `IPv6:2001:db8` a prefix of it.
fn network(key: &str) -> Option<String> {
    if let Some(v6) = key.strip_prefix("IPv6:") {
        let groups = v6.split(':').filter(|group| !group.is_empty()).count();
        let whole = v6.parse::<std::net::Ipv6Addr>().is_ok();
        return Some(if whole { v6.to_owned() } else { format!("{}::/{}", v6.trim_end_matches(':'), groups * 16) });
    }
    let parts: Vec<&str> = key.split('.').collect();
    if parts.len() > 4 || !parts.iter().all(|part| part.parse::<u8>().is_ok()) {
        return None;
    }
    let bits = parts.len() * 8;
    Some(if bits == 32 { key.to_owned() } else { format!("{key}{}/{bits}", ".0".repeat(4 - parts.len())) })
}
