//! The last steps: `this_host`, `literal`, `smart_host`, `mx`, and what becomes of what none of them took.

use super::{Stepped, Subject, shown};
use crate::expansion::Expansion;
use crate::verdict::Verdict;
use address::literal_address;

impl Expansion<'_> {
    pub(super) fn by_hostname(&mut self, subject: &Subject<'_>) -> Stepped {
        let Subject { address, domain, context } = *subject;
        if domain != self.rules.hostname {
            return Stepped::Passed;
        }
        self.note(|| format!("{address}: {domain} is this host"));
        self.local(address, domain, context);
        Stepped::Settled
    }

    pub(super) fn by_literal(&mut self, subject: &Subject<'_>) -> Stepped {
        let Subject { address, domain, .. } = *subject;
        if !address::is_literal(domain) {
            return Stepped::Passed;
        }
        let Some(ip) = literal_address(domain) else {
            return self.verdict(subject, Verdict::refused(1, 2, "No such kind of address literal"));
        };
        self.note(|| format!("{address}: no rule; an address literal, by SMTP to it"));
        self.verdict(subject, Verdict::quad("smtp", &format!("[{ip}]"), address.as_str()))
    }

    pub(super) fn by_smart_host(&mut self, subject: &Subject<'_>) -> Stepped {
        let tables = &self.rules.steps.tables;
        if !tables.sender_smart_hosts.is_empty()
            && let Some(keys) = self.sender_keys()
        {
            match self.seek(&tables.sender_smart_hosts, keys) {
                Ok(Some(hit)) => {
                    let host = hit.found.values.first().map_or("", |host| host.trim());
                    let sender = shown(self.sender.as_str());
                    self.note(|| format!("{}: smart_host: {} in {} (from {sender}): {host}", subject.address, hit.key, hit.found.place));
                    return self.by_host(subject, host, &hit.found.place);
                }
                Ok(None) => {}
                Err(error) => return self.table_trouble(subject, error),
            }
        }
        if tables.smart_host.is_empty() {
            return Stepped::Passed;
        }
        self.note(|| format!("{}: [routing] smart_host = {}", subject.address, tables.smart_host));
        self.by_host(subject, &tables.smart_host, "[routing] smart_host")
    }

    /// `-`: by the next step after all.
    fn by_host(&mut self, subject: &Subject<'_>, host: &str, place: &str) -> Stepped {
        if host.is_empty() || host == "-" {
            return Stepped::Passed;
        }
        let verdict = match super::directive::is_word(host) {
            true => Verdict::quad("smtp", host, subject.address.as_str()),
            false => Verdict::Temporary(format!("{place}: `{host}` is no host")),
        };
        self.verdict(subject, verdict)
    }

    /// `user@domain` and `@domain` of the sender.
    pub(super) fn sender_keys(&self) -> Option<[String; 2]> {
        let address = self.sender.address()?;
        let domain = address.domain().map_or_else(|| self.rules.users_domain.clone(), crate::rules::normalised);
        Some([format!("{}@{domain}", address.unquoted_local()), format!("@{domain}")])
    }

    pub(super) fn by_mx(&mut self, subject: &Subject<'_>) -> Stepped {
        let Subject { address, domain, .. } = *subject;
        if address::is_literal(domain) {
            return Stepped::Passed;
        }
        self.note(|| format!("{address}: no rule; by MX of {domain}"));
        self.verdict(subject, Verdict::quad("smtp", domain, address.as_str()))
    }

    pub(super) fn unresolvable(&mut self, subject: &Subject<'_>) {
        let rules = self.rules;
        self.note(|| format!("{}: [routing] unresolvable = {}", subject.address, rules.steps.tables.unresolvable));
        match &rules.steps.unresolvable {
            Ok(directive) => {
                if self.follow(subject, directive, "[routing] unresolvable") == Stepped::Passed {
                    self.verdict(subject, Verdict::refused(4, 4, "No route to this domain"));
                }
            }
            Err(reason) => {
                self.verdict(subject, Verdict::Temporary(format!("[routing] unresolvable: {reason}")));
            }
        }
    }
}
