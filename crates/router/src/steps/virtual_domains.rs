//! `virtual`: domains whose addresses are in tables, or nowhere. Aliases go before mailboxes, and both before what stands for
//! all others of the domain.

use super::{Hit, Stepped, Subject, bare_key};
use crate::expansion::Expansion;
use crate::local::mailbox_text;
use crate::local_user::{LocalUser, escaped};
use crate::verdict::Verdict;
use address::Address;
use lookup::{Keeper, TableError};
use settings::RoutingStep;

/// What an entry may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Alias,
    Mailbox,
}

impl Expansion<'_> {
    pub(super) fn by_virtual_domain(&mut self, subject: &Subject<'_>) -> Stepped {
        let steps = &self.rules.steps;
        if steps.without_virtual() {
            return Stepped::Passed;
        }
        let tables = &steps.virtual_tables;
        let aliases = self.is_among(&steps.alias_domains, &tables.alias_domain_tables, subject.domain);
        if let Ok(Some(place)) = aliases {
            self.note(|| format!("{}: virtual: {} is a domain of aliases ({place})", subject.address, subject.domain));
            return self.virtual_address(subject, false);
        }
        match aliases.and(self.is_among(&steps.mailbox_domains, &tables.mailbox_domain_tables, subject.domain)) {
            Ok(Some(place)) => {
                self.note(|| format!("{}: virtual: {} is a domain of mailboxes ({place})", subject.address, subject.domain));
                self.virtual_address(subject, true)
            }
            Ok(None) => Stepped::Passed,
            Err(error) => self.table_trouble(subject, error),
        }
    }

    fn virtual_address(&mut self, subject: &Subject<'_>, mailboxes: bool) -> Stepped {
        let rules = self.rules;
        let tables = &rules.steps.virtual_tables;
        let own = || std::iter::once(subject.key()).chain(bare_key(subject.address, subject.domain, rules)).collect::<Vec<_>>();
        let others = || vec![format!("@{}", subject.domain)];
        // What its own alias names is the mailbox.
        let itself = subject.names_itself(&subject.mark(RoutingStep::Virtual));
        let mut pending = false;
        for (wanted, keys) in [(Use::Alias, own()), (Use::Mailbox, own()), (Use::Alias, others()), (Use::Mailbox, others())] {
            let skipped = if wanted == Use::Alias { itself } else { !mailboxes };
            if skipped {
                continue;
            }
            let list = if wanted == Use::Alias { &tables.aliases } else { &tables.mailboxes };
            match self.seek(list, keys) {
                Ok(Some(hit)) if !pending && wanted == Use::Alias => return self.replace(subject, RoutingStep::Virtual, &hit),
                Ok(Some(hit)) if !pending => return self.virtual_mailbox(subject, &hit),
                Ok(_) => {}
                Err(TableError::Pending) => pending = true,
                Err(error) if !pending => return self.table_trouble(subject, error),
                Err(_) => {}
            }
        }
        if pending {
            return self.table_trouble(subject, TableError::Pending);
        }
        self.virtual_unknown(subject, itself)
    }

    fn virtual_unknown(&mut self, subject: &Subject<'_>, itself: bool) -> Stepped {
        if subject.address.unquoted_local().eq_ignore_ascii_case("postmaster")
            && let Ok(postmaster) = Address::parse("postmaster")
        {
            self.note(|| format!("{}: virtual: no such address, but a postmaster there must be", subject.address));
            let domain = self.rules.users_domain.clone();
            self.local(&postmaster, &domain, subject.context);
            return Stepped::Settled;
        }
        if itself {
            self.looped = true;
            self.note(|| format!("{}: virtual: an alias of itself, and no mailbox", subject.address));
            return Stepped::Settled;
        }
        self.note(|| format!("{}: virtual: in none of the tables", subject.address));
        self.verdict(subject, Verdict::refused(1, 1, "User unknown"))
    }

    fn virtual_mailbox(&mut self, subject: &Subject<'_>, hit: &Hit<String>) -> Stepped {
        self.note(|| format!("{}: virtual: mailbox: {} in {}", subject.address, hit.key, hit.found.place));
        let local = subject.address.unquoted_local().to_lowercase();
        let bare = self.rules.without_detail(&local).filter(|_| hit.key != subject.key());
        let name = mailbox_text(bare.unwrap_or(&local), subject.domain);
        if let Some(host) = &self.rules.lmtp {
            return self.verdict(subject, Verdict::quad("lmtp", host, mailbox_text(&local, subject.domain)));
        }
        let attributes = match self.account_of(hit) {
            Ok(attributes) => attributes,
            Err(error) => return self.table_trouble(subject, error),
        };
        let detail = bare.and_then(|bare| local.get(bare.len()..)).unwrap_or_default().chars().skip(1).collect::<String>();
        let user = LocalUser { name: String::new(), attributes, place: String::new() }.with_detail(&detail);
        let mut verdict = Verdict::quad("local", "-", name);
        if let Verdict::Deliver(quad) = &mut verdict {
            quad.attributes = user.attributes;
        }
        self.verdict(subject, verdict)
    }
}

impl Expansion<'_> {
    /// The attributes of a mailbox. `account=` is among them for every mailbox of a virtual domain: with nothing after it, it is
    /// `[local] user` who delivers, and never an account that happens to have the mailbox's name.
    fn account_of(&mut self, hit: &Hit<String>) -> Result<String, TableError> {
        let trouble = |reason: String| TableError::Temporary(format!("{}: {reason}", hit.found.place));
        let (home, user) = words(&hit.found.values, hit.found.keeper).map_err(trouble)?;
        let mut attributes = "account=".to_owned();
        if let Some(user) = user {
            let account = self.tables.account(user)?.ok_or_else(|| trouble(format!("there is no account {user}")))?;
            attributes = format!("uid={},account={}", account.uid, escaped(user));
        }
        if let Some(path) = home {
            attributes.push_str(",home=");
            attributes.push_str(&escaped(path));
        }
        Ok(attributes)
    }
}

/// `home=PATH user=NAME`.
fn words(values: &[String], keeper: Keeper) -> Result<(Option<&str>, Option<&str>), String> {
    let (mut home, mut user) = (None, None);
    for word in values.iter().flat_map(|value| value.split_whitespace()) {
        if keeper == Keeper::Nobody {
            return Err("others can write it, so it names no place and no user".to_owned());
        }
        match word.split_once('=') {
            Some(("home", path)) if path.starts_with('/') => home = Some(path),
            Some(("user", name)) if !name.is_empty() && keeper == Keeper::Administrator => user = Some(name),
            Some(("user", _)) => return Err("it is not the administrator's, so it names no user".to_owned()),
            // What Postfix has in such tables: where [local] maildir says.
            None => {}
            Some(_) => return Err(format!("`{word}` is neither home=/path nor user=NAME")),
        }
    }
    Ok((home, user))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_of_mailboxes() {
        let of = |text: &str, keeper| {
            let values = [text.to_owned()];
            words(&values, keeper).map(|(home, user)| (home.map(str::to_owned), user.map(str::to_owned)))
        };
        let root = Keeper::Administrator;
        assert_eq!(of("", root).unwrap(), (None, None));
        assert_eq!(of("home=/srv/a user=vmail", root).unwrap(), (Some("/srv/a".into()), Some("vmail".into())));
        assert_eq!(of("example.org/joe/", root).unwrap(), (None, None));
        assert_eq!(of("home=/srv/x", Keeper::User(5)).unwrap(), (Some("/srv/x".into()), None));
        assert!(of("user=vmail", Keeper::User(5)).is_err() && of("home=/x", Keeper::Nobody).is_err());
        assert!(of("home=x", root).is_err() && of("hone=/x", root).is_err());
    }
}
