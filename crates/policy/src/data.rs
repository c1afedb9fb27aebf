//! The end of data: what holds for the message, and for which recipients the content filter's verdict does.

use crate::book::Policy;
use crate::decision::Decision;
use crate::facts::Facts;
use crate::session::{End, Session};
use status::{Enhanced, Reply};

/// To a client that could not be told of each recipient.
const APART: &str = "this recipient takes mail that is refused for the others: send it in a transaction of its own";

impl Session {
    /// What holds for the message, once its recipients are known.
    pub fn end(&self, recipients: usize) -> End {
        let Some(more) = &self.more else { return End::default() };
        // Of one that was refused after all, for a reason that is not ours, there is no number.
        let exempt: Vec<usize> = more.end.exempt.iter().copied().filter(|number| *number < recipients).collect();
        End { unfiltered: recipients > 0 && exempt.len() == recipients, exempt, ..more.end.clone() }
    }

    /// Does the filter's verdict hold for this recipient? One transaction has recipients of one kind, unless each gets a
    /// reply of its own.
    pub(crate) fn class(&mut self, policy: &Policy, facts: &Facts<'_>) {
        let Some(more) = &mut self.more else { return };
        let by_rule = more.rule.as_ref().and_then(|rule| rule.attributes.filter.map(|filter| (filter, rule.place.clone())));
        let filtered = by_rule.as_ref().map_or(!more.end.unfiltered, |(filter, _)| *filter);
        more.end.exempt.retain(|number| *number < facts.recipients);
        let others = if filtered { more.end.exempt.len() } else { facts.recipients.saturating_sub(more.end.exempt.len()) };
        let mixed = policy.filters && !facts.verdicts && others > 0;
        if mixed && facts.is_submission() {
            // Mail programs of users give up at a recipient that is put off: the filter has the word on all of them.
            return more.end.exempt.clear();
        }
        if mixed {
            let place = by_rule.map(|(_, place)| place).unwrap_or_default();
            let reply = Reply::new(452, Enhanced::transient(5, 3), APART);
            return self.conclude(Decision::refuse(reply, "filter", &place));
        }
        if !filtered {
            more.end.exempt.push(facts.recipients);
        }
    }

    /// Header lines to be added.
    pub fn prepend(&self) -> &[String] {
        self.more.as_ref().map_or(&[], |more| &more.end.prepend)
    }

    /// The content is complete: is it larger than a rule allows?
    pub fn content(&self, size: u64) -> Option<Decision> {
        let (_, rule) = self.more.as_ref()?.end.max_size.as_ref().filter(|(most, _)| size > *most)?;
        Some(Decision::refuse(Reply::new(552, Enhanced::permanent(3, 4), "message too large"), "size", rule))
    }
}
