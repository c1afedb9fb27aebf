//! Aliases: of files in Sendmail's form, and of declared tables.

use super::{Name, mailbox_text};
use crate::expansion::{Context, Expansion, Holder};
use address::{Address, Path};
use lookup::{AliasEntry, TableError};
use std::rc::Rc;

impl Expansion<'_> {
    /// By full address, then by name; the same without detail.
    pub(super) fn by_alias(&mut self, name: Name<'_>, written: &str, context: &Context) -> bool {
        for candidate in name.candidates() {
            for key in [format!("{candidate}@{}", name.domain), candidate.to_owned()] {
                if self.seen.contains(&key) {
                    self.again(&key, name, context);
                    return true;
                }
                match self.tables.alias(&key) {
                    Ok(None) => {}
                    Ok(Some(entry)) => {
                        self.alias(key, candidate, entry, (name.domain, written), context);
                        return true;
                    }
                    Err(error) => {
                        self.trouble(written, error, context);
                        return true;
                    }
                }
            }
        }
        false
    }

    fn alias(&mut self, key: String, candidate: &str, entry: AliasEntry, (domain, written): (&str, &str), context: &Context) {
        self.note(|| format!("{key}: alias at {}:{}", entry.file, entry.line));
        let owner = match self.owner(&key, domain) {
            Ok(owner) => owner.or_else(|| context.owner.clone()),
            // Without him failures would go to whoever wrote to the list.
            Err(error) => return self.trouble(written, error, context),
        };
        self.seen.insert(key.clone());
        let parent = Some((key, entry.values.len()));
        // Anybody may write to an alias, so what it says has its own keeper's right, whoever named it.
        let holder = Some(Rc::new(Holder { address: mailbox_text(candidate, domain), file: entry.file }));
        let context = Context { domain: Some(domain.to_owned()), parent, owner, keeper: entry.keeper, holder, ..context.clone() };
        self.push(entry.values, context);
    }

    /// `owner-NAME` where there is such an alias: failures of the list's members go there (Sendmail's rule).
    fn owner(&mut self, name: &str, domain: &str) -> Result<Option<Path>, TableError> {
        let (local, at) = name.split_once('@').unwrap_or((name, domain));
        if local.starts_with("owner-") {
            return Ok(None);
        }
        let owner = if name.contains('@') { format!("owner-{local}@{at}") } else { format!("owner-{local}") };
        if self.tables.alias(&owner)?.is_none() {
            return Ok(None);
        }
        self.note(|| format!("{name}: failures go to {owner}"));
        Ok(Address::parse(&mailbox_text(&format!("owner-{local}"), at)).ok().map(Path::Mailbox))
    }

    /// A name that has been expanded already. Named directly by its own alias it means the mailbox (Sendmail's
    /// meaning of `joe: joe, archive`); any other way round is a loop and is cut.
    fn again(&mut self, key: &str, name: Name<'_>, context: &Context) {
        let siblings = context.parent.as_ref().filter(|(parent, _)| parent == key).map_or(0, |(_, values)| *values);
        // With users = "any" a lone `joe: joe` has no account to end at: it says nothing but the loop.
        let mailbox = if self.rules.any_user { siblings > 1 } else { siblings > 0 && self.exists(name) };
        if mailbox {
            self.note(|| format!("{}: named by its own alias: the mailbox", name.full));
            return self.mailbox(name.full, name.domain, context);
        }
        self.looped = true;
        self.note(|| format!("{}: {key} is already expanded", name.full));
    }
}
