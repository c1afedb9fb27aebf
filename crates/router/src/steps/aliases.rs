//! `fqdn_aliases`: whole addresses of any domain that stand for others.

use super::{Stepped, Subject, bare_key};
use crate::expansion::Expansion;
use settings::RoutingStep;

impl Expansion<'_> {
    pub(super) fn by_fqdn_alias(&mut self, subject: &Subject<'_>) -> Stepped {
        let rules = self.rules;
        let tables = &rules.steps.tables.fqdn_aliases;
        if tables.is_empty() {
            return Stepped::Passed;
        }
        let bare = bare_key(subject.address, subject.domain, rules);
        let keys = [Some(subject.key()), bare, Some(format!("@{}", subject.domain))];
        match self.seek(tables, keys.into_iter().flatten()) {
            Ok(Some(hit)) => self.replace(subject, RoutingStep::FqdnAliases, &hit),
            Ok(None) => Stepped::Passed,
            Err(error) => self.table_trouble(subject, error),
        }
    }
}
