//! `local`: domains of `[local] domains` and of tables, and literals that are this machine.

use super::{Stepped, Subject};
use crate::expansion::Expansion;
use address::literal_address;

impl Expansion<'_> {
    pub(super) fn by_local_domain(&mut self, subject: &Subject<'_>) -> Stepped {
        let Subject { address, domain, context } = *subject;
        let rules = self.rules;
        if rules.is_local(domain) {
            self.note(|| format!("{address}: {domain} is in [local] domains"));
        } else if literal_address(domain).is_some_and(|ip| rules.own_addresses.contains(&ip)) {
            self.note(|| format!("{address}: {domain} is this machine"));
            self.local(address, &rules.hostname, context);
            return Stepped::Settled;
        } else {
            let tables = &rules.steps.tables.local_domains;
            if tables.is_empty() {
                return Stepped::Passed;
            }
            match self.seek(tables, [domain]) {
                Ok(Some(hit)) => self.note(|| format!("{address}: local: {domain} in {}", hit.found.place)),
                Ok(None) => return Stepped::Passed,
                Err(error) => return self.table_trouble(subject, error),
            }
        }
        self.local(address, domain, context);
        Stepped::Settled
    }
}
