//! `canonical`: another form of an address, whatever its domain; for recipients here, for senders when the envelope is read.

use super::{Hit, Stepped, Subject, bare_key, read_addresses};
use crate::expansion::{Context, Expansion};
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::Verdict;
use crate::via::CANONICAL;
use address::{Address, Path, normalise};
use lookup::{TableError, Value};
use settings::RoutingStep;

impl Expansion<'_> {
    /// Once: what was rewritten goes on as it is, until an alias names others.
    pub(super) fn by_canonical_form(&mut self, subject: &Subject<'_>) -> Stepped {
        let rules = self.rules;
        let tables = &rules.steps.tables.canonical;
        let rewritten = |(parent, _): &(String, usize)| parent.starts_with(CANONICAL);
        if tables.is_empty() || subject.context.parent.as_ref().is_some_and(rewritten) {
            return Stepped::Passed;
        }
        let hit = match self.seek(tables, keys(subject.address, subject.domain, rules)) {
            Ok(Some(hit)) => hit,
            Ok(None) => return Stepped::Passed,
            Err(error) => return self.table_trouble(subject, error),
        };
        let form = match form(&hit, subject.address, subject.domain) {
            Ok(form) if form.as_str() == subject.address.as_str() => return Stepped::Passed,
            Ok(form) => form,
            Err(reason) => return self.verdict(subject, Verdict::Temporary(reason)),
        };
        self.note(|| format!("{}: canonical: {} in {}: {form}", subject.address, hit.key, hit.found.place));
        let mark = subject.mark(RoutingStep::Canonical);
        if !self.seen.insert(mark.clone()) {
            self.looped = true;
            self.note(|| format!("{}: canonical: already rewritten", subject.address));
            return Stepped::Settled;
        }
        let context = Context { parent: Some((mark, 1)), ..subject.context.clone() };
        self.push([Value::Address(form.as_str().to_owned())].into(), context);
        Stepped::Settled
    }
}

/// The form of an envelope's sender by `[routing] sender_canonical`, where it is another.
pub(crate) fn canonical_sender(sender: &Path, rules: &Rules, tables: &mut dyn Tables) -> Result<Option<Path>, TableError> {
    let names = &rules.steps.tables.sender_canonical;
    let Some(address) = sender.address().filter(|_| !names.is_empty()) else { return Ok(None) };
    let Some(domain) = address.domain().and_then(|domain| normalise(domain).ok()) else { return Ok(None) };
    for key in keys(address, &domain, rules) {
        for table in names {
            if let Some(found) = tables.find(table, &key).map_err(|error| error.of_table(table))? {
                return form(&Hit { key, found }, address, &domain).map(Path::Mailbox).map(Some).map_err(TableError::Temporary);
            }
        }
    }
    Ok(None)
}

fn keys(address: &Address, domain: &str, rules: &Rules) -> impl Iterator<Item = String> + use<> {
    let exact = format!("{}@{domain}", address.unquoted_local());
    std::iter::once(exact).chain(bare_key(address, domain, rules)).chain(std::iter::once(format!("@{domain}")))
}

/// One address; where the key was without the detail, with it again.
fn form(hit: &Hit<String>, address: &Address, domain: &str) -> Result<Address, String> {
    let fault = |reason: String| format!("{}: {reason}", hit.found.place);
    let values = read_addresses(&hit.found.values, address).map_err(fault)?;
    let [Value::Address(text)] = values.as_slice() else { return Err(fault("it is not one address".to_owned())) };
    let local = address.unquoted_local();
    let detail =
        hit.key.strip_suffix(&format!("@{domain}")).and_then(|bare| local.strip_prefix(bare)).filter(|_| !hit.key.starts_with('@'));
    let text = match (detail.unwrap_or_default(), text.rsplit_once('@')) {
        ("", _) | (_, None) => text.clone(),
        (detail, Some((local, domain))) if detail.chars().all(|c| c.is_alphanumeric() || "+-_.=#".contains(c)) => {
            format!("{local}{detail}@{domain}")
        }
        _ => text.clone(),
    };
    match Address::parse(&text) {
        Ok(address) if address.domain().is_some() => Ok(address),
        _ => Err(fault(format!("`{text}` is no address with a domain"))),
    }
}
