//! Whom a name at a local domain stands for: the steps of `[routing] local_order`, each of which knows the name or passes
//! it on. What no step knows is the postmaster, or nobody.

mod aliases;
mod lists;
mod mailboxes;
mod privilege;
mod rules;
mod users;
mod values;

pub use rules::LocalRules;

use crate::expansion::{Context, Expansion};
use address::Address;
use settings::LocalStep;

/// A local name, in lower case.
#[derive(Debug, Clone, Copy)]
struct Name<'n> {
    /// With its detail.
    full: &'n str,
    /// Without it, where it has one.
    bare: Option<&'n str>,
    domain: &'n str,
}

impl<'n> Name<'n> {
    /// As tables are asked: as it is, then without detail.
    fn candidates(self) -> impl Iterator<Item = &'n str> {
        std::iter::once(self.full).chain(self.bare)
    }
}

impl Expansion<'_> {
    /// A name at a local domain.
    pub(crate) fn local(&mut self, address: &Address, domain: &str, context: &Context) {
        let full = address.unquoted_local().to_lowercase();
        let name = Name { full: &full, bare: self.rules.without_detail(&full), domain };
        let rules = self.rules;
        if !rules.local.order.iter().any(|step| self.step(*step, name, address.as_str(), context)) {
            self.nobody(name, context);
        }
    }

    /// The mailbox of that name, without looking for aliases and lists.
    fn mailbox(&mut self, full: &str, domain: &str, context: &Context) {
        let name = Name { full, bare: self.rules.without_detail(full), domain };
        let rules = self.rules;
        let steps = rules.local.order.iter().filter(|step| matches!(step, LocalStep::Mailboxes | LocalStep::Users));
        if !steps.copied().any(|step| self.step(step, name, full, context)) {
            self.nobody(name, context);
        }
    }

    /// True: the step has settled the name, or pushed what it stands for. `written`: the address, for reports.
    fn step(&mut self, step: LocalStep, name: Name<'_>, written: &str, context: &Context) -> bool {
        match step {
            LocalStep::Script => self.by_expand(name.full, name.domain, written, context),
            LocalStep::Aliases => self.by_alias(name, written, context),
            LocalStep::Lists => self.rules.local.lists.is_some() && self.by_list(name, written, context),
            LocalStep::Mailboxes => !self.rules.local.mailboxes.is_empty() && self.by_mailbox(name, context),
            LocalStep::Users => self.by_user(name, context),
        }
    }
}

/// `name@domain`, the name quoted where it must be.
pub(crate) fn mailbox_text(name: &str, domain: &str) -> String {
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !c.is_ascii();
    let plain = !name.is_empty() && name.chars().all(atom) && !name.starts_with('.') && !name.ends_with('.') && !name.contains("..");
    if plain {
        return format!("{name}@{domain}");
    }
    format!("\"{}\"@{domain}", name.replace('\\', "\\\\").replace('"', "\\\""))
}
