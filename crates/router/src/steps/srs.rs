//! `srs`: mail to a sender that was rewritten here goes back to the first one.

use super::{Stepped, Subject};
use crate::expansion::{Context, Expansion};
use crate::verdict::Verdict;
use lookup::Value;
use settings::RoutingStep;

impl Expansion<'_> {
    pub(super) fn by_srs(&mut self, subject: &Subject<'_>) -> Stepped {
        let rules = self.rules;
        if rules.returning.domain() != Some(subject.domain) {
            return Stepped::Passed;
        }
        let back = match rules.returning.reverse(subject.address, subject.domain, self.tables.unix_seconds()) {
            None => return self.beside_srs(subject),
            Some(Err(verdict)) => return self.verdict(subject, verdict),
            Some(Ok(back)) => back,
        };
        self.note(|| format!("{}: srs: back to {back}", subject.address));
        let mark = subject.mark(RoutingStep::Srs);
        if !self.seen.insert(mark.clone()) {
            self.looped = true;
            return Stepped::Settled;
        }
        let context = Context { parent: Some((mark, 1)), ..subject.context.clone() };
        self.push([Value::Address(back.as_str().to_owned())].into(), context);
        Stepped::Settled
    }

    /// Another address of the domain: where the domain is nothing but the scheme's, there is only a postmaster.
    fn beside_srs(&mut self, subject: &Subject<'_>) -> Stepped {
        let rules = self.rules;
        if rules.is_local(subject.domain) || subject.domain == rules.hostname || rules.route(subject.domain, self.sender).is_some() {
            return Stepped::Passed;
        }
        if subject.address.unquoted_local().eq_ignore_ascii_case("postmaster") {
            self.note(|| format!("{}: srs: the postmaster", subject.address));
            self.local(subject.address, &rules.users_domain, subject.context);
            return Stepped::Settled;
        }
        self.note(|| format!("{}: srs: {} has only addresses that were given out", subject.address, subject.domain));
        self.verdict(subject, Verdict::refused(1, 1, "User unknown"))
    }
}
