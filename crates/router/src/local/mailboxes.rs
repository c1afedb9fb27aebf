//! `[local] mailboxes` (ZMailer's mboxmap): mailboxes of names that are no accounts.

use super::{Name, mailbox_text};
use crate::expansion::{Context, Expansion};
use crate::local_user::{LocalUser, escaped};
use lookup::{Found, TableError};

impl Expansion<'_> {
    /// By full address, then by name; the same without detail.
    pub(super) fn by_mailbox(&mut self, name: Name<'_>, context: &Context) -> bool {
        let rules = self.rules;
        for candidate in name.candidates() {
            let detail = name.full.get(candidate.len()..).unwrap_or_default();
            for key in [format!("{candidate}@{}", name.domain), candidate.to_owned()] {
                for table in &rules.local.mailboxes {
                    let user = match self.tables.find(table, &key) {
                        Ok(None) => continue,
                        Ok(Some(found)) => self.mailbox_of(candidate, &found),
                        Err(error) => Err(error),
                    };
                    let address = mailbox_text(name.full, name.domain);
                    match user {
                        Ok(user) => self.deliver_to(&address, &user.with_detail(detail.get(1..).unwrap_or_default()), name.domain, context),
                        Err(error) => self.trouble(&address, error, context),
                    }
                    return true;
                }
            }
        }
        false
    }

    /// The mailbox that a table's value describes: words of `home=PATH` and `user=NAME`, or nothing.
    pub(crate) fn mailbox_of(&mut self, name: &str, found: &Found) -> Result<LocalUser, TableError> {
        let trouble = |text: String| TableError::Temporary(format!("{}: {text}", found.place));
        let (mut home, mut account) = (None, None);
        for word in found.values.iter().flat_map(|value| value.split_whitespace()) {
            match word.split_once('=') {
                Some(("home", path)) if path.starts_with('/') => home = Some(path),
                Some(("user", user)) if !user.is_empty() => account = Some(user),
                _ => return Err(trouble(format!("`{word}` is neither home=/path nor user=name"))),
            }
        }
        let mut attributes = Vec::new();
        if let Some(user) = account {
            let account = self.tables.account(user)?.ok_or_else(|| trouble(format!("there is no account {user}")))?;
            attributes.push(format!("uid={},account={}", account.uid, escaped(user)));
        }
        attributes.extend(home.map(|home| format!("home={}", escaped(home))));
        let attributes = if attributes.is_empty() { "-".to_owned() } else { attributes.join(",") };
        Ok(LocalUser { name: name.to_owned(), attributes, place: found.place.clone() })
    }
}
