//! Where an address goes: local domains, then `[[route]]`, then address literals and MX.
//!
//! Pure but for the [`Tables`] it is given: whoever replaces the router later replaces [`route`], or only the tables.

use crate::expansion::{Context, Expansion};
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict};
use address::{Address, Path, literal_address};
use settings::Route;
use status::{Class, Enhanced};

/// How much of a decision is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Every recipient, without explanation: for messages.
    Recipients,
    /// Only whether there is one place to deliver to: for RCPT. Ends at the first.
    First,
    /// The addresses that an alias names, for EXPN: lists among them are not opened.
    Members,
    /// Every recipient, and the step that led to each.
    Explanation,
}

/// The result of routing one address.
#[derive(Debug, Default)]
pub struct Routing {
    /// Never empty.
    pub outcomes: Vec<Routed>,
    /// Only with [`Want::Explanation`].
    pub steps: Vec<String>,
    /// The address was an alias.
    pub expanded: bool,
}

/// Routes one address, for mail from `sender`.
pub fn route(address: &Address, sender: &Path, want: Want, rules: &Rules, tables: &mut dyn Tables) -> Routing {
    Expansion::new(address, sender, rules, tables, want).run()
}

impl Expansion<'_> {
    /// One address, of the envelope or of an alias.
    pub(crate) fn resolve(&mut self, address: &Address, context: &Context) {
        let Some(written) = address.domain() else {
            let domain = context.domain.clone().unwrap_or_else(|| self.rules.hostname.clone());
            self.note(|| format!("{address}: no domain, so local at {domain}"));
            return self.local(address, &domain, context);
        };
        let Ok(domain) = address::normalise(written) else {
            return self.settle(address.as_str(), Verdict::refused(1, 3, "Bad domain in the address"), context);
        };
        let rules = self.rules;
        if rules.is_local(&domain) {
            self.note(|| format!("{address}: {domain} is in [local] domains"));
            return self.local(address, &domain, context);
        }
        if literal_address(&domain).is_some_and(|ip| rules.own_addresses.contains(&ip)) {
            self.note(|| format!("{address}: {domain} is this machine"));
            return self.local(address, &rules.hostname, context);
        }
        if let Some(route) = rules.route(&domain, self.sender) {
            return self.by_route(address, &domain, route, context);
        }
        if domain == rules.hostname {
            self.note(|| format!("{address}: {domain} is this host"));
            return self.local(address, &domain, context);
        }
        self.by_domain(address, &domain, context);
    }

    fn by_route(&mut self, address: &Address, domain: &str, route: &Route, context: &Context) {
        self.note(|| {
            let sender = if route.sender.is_empty() { String::new() } else { format!(", sender = \"{}\"", route.sender) };
            format!(
                "{address}: [[route]] at line {} (domain = \"{}\"{sender}): channel {}, host {}",
                route.line, route.domain, route.channel, route.host
            )
        });
        let verdict = match route.channel.as_str() {
            "local" => return self.local(address, domain, context),
            "error" => refusal(&route.host),
            "smtp" if route.host == "-" => Verdict::quad("smtp", domain, address.as_str()),
            channel => Verdict::quad(channel, &route.host, address.as_str()),
        };
        self.settle(address.as_str(), verdict, context);
    }

    fn by_domain(&mut self, address: &Address, domain: &str, context: &Context) {
        let verdict = match (address::is_literal(domain), literal_address(domain)) {
            (true, Some(ip)) => {
                self.note(|| format!("{address}: no rule; an address literal, by SMTP to it"));
                Verdict::quad("smtp", &format!("[{ip}]"), address.as_str())
            }
            (true, None) => Verdict::refused(1, 2, "No such kind of address literal"),
            (false, _) => {
                self.note(|| format!("{address}: no rule; by MX of {domain}"));
                Verdict::quad("smtp", domain, address.as_str())
            }
        };
        self.settle(address.as_str(), verdict, context);
    }
}

/// The text of a route to channel `error`; it may begin with its own enhanced status code.
fn refusal(text: &str) -> Verdict {
    match Enhanced::split(text) {
        Some((status, text)) if status.class == Class::Permanent => Verdict::Refused { status, text: text.to_owned() },
        Some((status, text)) if status.class == Class::Transient => Verdict::Temporary(text.to_owned()),
        _ if text == "-" || text.is_empty() => Verdict::refused(1, 0, "Address refused by the administrator"),
        _ => Verdict::refused(1, 0, text),
    }
}
