//! Files of addresses: aliases, virtual and canonical tables, lists of domains, routes.

use crate::draft::Draft;
use crate::lines::{domain, logical, pair};
use crate::regexps::substitutions;
use crate::transport::Route;

/// An alias file in Sendmail's form, which is ours too; commands that a shell would have to read are remarked on.
pub(crate) fn aliases(file: &str, text: &str, draft: &mut Draft) {
    for (line, text) in logical(text) {
        let Some((name, values)) = text.split_once(':') else {
            draft.remark(file, line, "no colon after the name; mend it, or the name is unknown");
            continue;
        };
        if values.contains('|') && values.contains(['$', '`', ';', '&', '>', '<', '*', '?']) {
            draft.remark(file, line, format!("{}: its command needs a shell, and none is run: put it into a script", name.trim()));
        }
    }
    let name = crate::maps::file_name(file);
    let path = draft.file(&name, text.to_owned(), false);
    draft.add("local", "aliases", path);
}

/// Values stay, but for `$1`.
pub(crate) fn plain(_file: &str, text: &str, _draft: &mut Draft) -> String {
    rewritten(text, substitutions)
}

/// Lines of a key and a value.
pub(crate) fn rewritten(text: &str, value: fn(&str) -> String) -> String {
    let line = |(key, old): (&str, &str)| format!("{key} {}\n", value(old));
    logical(text).iter().map(|(_, text)| line(pair(text))).collect()
}

/// Keys are domains, and stand for those below them too.
pub(crate) fn with_subdomains(_file: &str, text: &str, _draft: &mut Draft) -> String {
    let line = |(key, value): (&str, &str)| format!("{key} {0}\n.{key} {0}\n", if value.is_empty() { "yes" } else { value });
    logical(text).iter().map(|(_, text)| line(pair(text))).collect()
}

/// Postfix virtual(5): a domain alone says that it is virtual; `@a @b` keeps the local part.
pub(crate) fn virtual_aliases(file: &str, text: &str, draft: &mut Draft) -> String {
    aliases_of_addresses(file, text, substitutions, draft)
}

/// The same, and Sendmail's virtusertable.
pub(crate) fn aliases_of_addresses(file: &str, text: &str, values: fn(&str) -> String, draft: &mut Draft) -> String {
    let mut out = String::new();
    for (line, text) in logical(text) {
        let (key, value) = pair(&text);
        if !key.contains('@') {
            match domain(key).filter(|_| key.contains('.')) {
                Some(domain) => draft.add("virtual", "alias_domains", domain),
                None => draft.remark(file, line, format!("{key}: a name without a domain; move it into an alias file")),
            }
            continue;
        }
        if let Some(domain) = key.rsplit_once('@').and_then(|(_, name)| domain(name)) {
            draft.add("virtual", "mentioned", domain);
        }
        let mut members = Vec::new();
        for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            match (member.strip_prefix('@'), member.strip_prefix("error:")) {
                (Some(domain), _) => members.push(format!("%1@{domain}")),
                (_, Some(_)) => draft.remark(file, line, format!("{key}: refusals stand in [[access]] or in routes; left out")),
                _ => members.push(values(member)),
            }
        }
        if !members.is_empty() {
            out.push_str(&format!("{key} {}\n", members.join(", ")));
        }
    }
    out
}

/// Domains, one a line; what stands after them does not matter.
pub(crate) fn domains(file: &str, text: &str, section: &'static str, key: &'static str, draft: &mut Draft) {
    for (line, text) in logical(text) {
        let word = pair(&text).0;
        match domain(word) {
            Some(domain) => draft.add(section, key, domain),
            None => draft.remark(file, line, format!("`{word}` is no domain")),
        }
    }
}

/// Domains, and all below them.
pub(crate) fn domains_with_subdomains(file: &str, text: &str, section: &'static str, key: &'static str, draft: &mut Draft) {
    for (line, text) in logical(text) {
        let word = pair(&text).0;
        match domain(word) {
            Some(domain) => {
                if !domain.starts_with('.') {
                    draft.add(section, key, format!(".{domain}"));
                }
                draft.add(section, key, domain);
            }
            None => draft.remark(file, line, format!("`{word}` is no domain")),
        }
    }
}

/// Domains and routes.
pub(crate) fn routes(file: &str, text: &str, read: fn(&str) -> Route, draft: &mut Draft) -> String {
    let mut out = String::new();
    for (line, text) in logical(text) {
        let (key, value) = pair(&text);
        let key = if key == "*" { ".".to_owned() } else { key.to_owned() };
        if key.contains('@') {
            draft.remark(file, line, format!("{key}: routes are of domains, not of addresses; an alias to another domain may do"));
            continue;
        }
        match read(value) {
            Ok(route) => out.push_str(&format!("{key} {route}\n")),
            Err(reason) => draft.remark(file, line, format!("{key}: {reason}")),
        }
    }
    out
}
