//! The steps of a decision, in the order of `[routing] order`. Each settles an address, replaces it by others, which begin with
//! the first step again, or passes it on.
//!
//! A step that nothing is configured for looks at nothing. Whatever a step replaces is remembered by step and address
//! ([`Expansion::replace`]): no way through aliases, virtual domains, rewriting and routes comes by the same place twice.

mod aliases;
mod canonical;
mod directive;
mod kinship;
mod local_domains;
mod next_hops;
mod routes;
mod rules;
mod srs;
mod virtual_domains;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod measure;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;

pub(crate) use canonical::canonical_sender;
pub(crate) use directive::{Directive, is_word};
pub(crate) use kinship::kinship;
pub(crate) use rules::StepRules;

use crate::expansion::{Context, Expansion, Holder};
use crate::verdict::{Verdict, Way};
use address::Address;
use lookup::{Found, TableError, Value};
use settings::RoutingStep;
use std::borrow::Cow;
use std::rc::Rc;

/// What a step made of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// It has its verdict, or others stand for it.
    Settled,
    /// It is the next step's.
    Passed,
}

/// What a step looks at.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'s> {
    pub address: &'s Address,
    /// Normalised.
    pub domain: &'s str,
    pub context: &'s Context,
}

impl Subject<'_> {
    /// As tables write it: no quotes, the domain normalised.
    pub fn key(&self) -> String {
        format!("{}@{}", self.address.unquoted_local(), self.domain)
    }

    /// Its place in what was seen.
    fn mark(&self, step: RoutingStep) -> String {
        format!("{}\0{}@{}", step.word(), self.address.unquoted_local().to_lowercase(), self.domain)
    }

    /// It stands in the value that this step has put for this very address.
    fn names_itself(&self, mark: &str) -> bool {
        self.context.parent.as_ref().is_some_and(|(parent, _)| parent == mark)
    }
}

impl Expansion<'_> {
    /// Takes an address with a domain through the steps.
    pub(crate) fn steps(&mut self, subject: &Subject<'_>) {
        let rules = self.rules;
        for step in &rules.steps.order {
            let stepped = match step {
                RoutingStep::Script => self.by_script(subject),
                RoutingStep::FqdnAliases => self.by_fqdn_alias(subject),
                RoutingStep::Srs => self.by_srs(subject),
                RoutingStep::Virtual => self.by_virtual_domain(subject),
                RoutingStep::Canonical => self.by_canonical_form(subject),
                RoutingStep::Local => self.by_local_domain(subject),
                RoutingStep::Routes => self.by_routes(subject),
                RoutingStep::ThisHost => self.by_hostname(subject),
                RoutingStep::Literal => self.by_literal(subject),
                RoutingStep::SmartHost => self.by_smart_host(subject),
                RoutingStep::Mx => self.by_mx(subject),
            };
            if stepped == Stepped::Settled {
                return;
            }
        }
        self.unresolvable(subject);
    }

    /// Settles the subject.
    pub(crate) fn verdict(&mut self, subject: &Subject<'_>, verdict: Verdict) -> Stepped {
        self.settle(subject.address.as_str(), verdict, subject.context);
        Stepped::Settled
    }

    /// A table could not say.
    pub(crate) fn table_trouble(&mut self, subject: &Subject<'_>, error: TableError) -> Stepped {
        self.trouble(subject.address.as_str(), error, subject.context);
        Stepped::Settled
    }

    /// The first of some tables that knows the first of some keys: a narrower key in any table goes before a wider one. Where an
    /// answer is awaited the others are asked too, so that the next pass finds them all.
    fn seek<K: AsRef<str>>(&mut self, tables: &[String], keys: impl IntoIterator<Item = K>) -> Result<Option<Hit<K>>, TableError> {
        let mut pending = false;
        for key in keys {
            for table in tables {
                match self.tables.find(table, key.as_ref()) {
                    Ok(Some(found)) if !pending => return Ok(Some(Hit { key, found })),
                    Ok(_) => {}
                    Err(TableError::Pending) => pending = true,
                    Err(error) if !pending => return Err(error.of_table(table)),
                    Err(_) => {}
                }
            }
        }
        if pending { Err(TableError::Pending) } else { Ok(None) }
    }

    /// Whether a domain is one of those, or in one of these tables.
    fn is_among(&mut self, listed: &rules::Domains, tables: &[String], domain: &str) -> Result<Option<String>, TableError> {
        if let Some(pattern) = listed.find(domain) {
            return Ok(Some(pattern.to_owned()));
        }
        Ok(self.seek(tables, [domain])?.map(|hit| hit.found.place))
    }

    /// Puts the addresses that a table gives in the place of the subject, once; `Passed` where its own entry names it.
    fn replace(&mut self, subject: &Subject<'_>, step: RoutingStep, hit: &Hit<String>) -> Stepped {
        let Found { values, place, keeper } = &hit.found;
        let mark = subject.mark(step);
        if subject.names_itself(&mark) {
            self.note(|| format!("{}: {}: named by its own entry", subject.address, step.word()));
            return Stepped::Passed;
        }
        self.note(|| format!("{}: {}: {} in {place}: {}", subject.address, step.word(), hit.key, values.join(", ")));
        let parsed = match read_addresses(values, subject.address) {
            Ok(parsed) => parsed,
            Err(reason) => return self.verdict(subject, Verdict::Temporary(format!("{place}: {reason}"))),
        };
        if !self.seen.insert(mark.clone()) {
            self.looped = true;
            self.note(|| format!("{}: {}: already replaced", subject.address, step.word()));
            return Stepped::Settled;
        }
        let context = Context {
            parent: Some((mark, parsed.len())),
            domain: Some(self.rules.users_domain.clone()),
            keeper: *keeper,
            holder: Some(Rc::new(Holder { address: subject.address.to_string(), file: Rc::from(place.as_str()) })),
            way: Way { forwarded: true, ..subject.context.way.clone() },
            ..subject.context.clone()
        };
        self.push(parsed.into(), context);
        Stepped::Settled
    }
}

/// What a look-up has found, and by which key.
struct Hit<K> {
    key: K,
    found: Found,
}

/// The values of an entry; `@domain` keeps the local part.
fn read_addresses(values: &[String], address: &Address) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for text in values {
        for value in lookup::parse_list(text)? {
            all.push(match value {
                Value::Address(domain) if domain.starts_with('@') => Value::Address(format!("{}{domain}", address.local())),
                other => other,
            });
        }
    }
    Ok(all)
}

/// `user+detail@domain` without its detail.
fn bare_key(address: &Address, domain: &str, rules: &crate::rules::Rules) -> Option<String> {
    let local = address.unquoted_local();
    rules.without_detail(&local).map(|bare| format!("{bare}@{domain}"))
}

/// Of senders and addresses: as one word of an explanation.
fn shown(text: &str) -> Cow<'_, str> {
    if text.is_empty() { Cow::Borrowed("<>") } else { Cow::Borrowed(text) }
}
