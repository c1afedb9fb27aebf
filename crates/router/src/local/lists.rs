//! Lists of `[lists] folder`: members, owners, moderators. zpost-lists(5) is their description.

use super::{Name, mailbox_text};
use crate::decision::Want;
use crate::expansion::{Context, Expansion, Holder};
use address::{Address, Path};
use lookup::{ListEntry, TableError, Value, key};
use std::rc::Rc;

/// Who gets mail for the owner of a file whose user has no mail of his own.
const NOBODYS_OWNER: &str = "postmaster";

impl Expansion<'_> {
    /// A list of that name, or the owner of one.
    pub(super) fn by_list(&mut self, name: Name<'_>, written: &str, context: &Context) -> bool {
        match self.list_named(name) {
            Ok(None) => return false,
            Ok(Some((list, entry, false))) => self.list(&list, &entry, name.domain, context),
            Ok(Some((list, entry, true))) => self.for_owners(&list, &entry, name.domain, context),
            Err(error) => self.trouble(written, error, context),
        }
        true
    }

    /// The list, and whether the name is its owner's. A list by just that name goes before the owner of another.
    fn list_named(&mut self, name: Name<'_>) -> Result<Option<(String, ListEntry, bool)>, TableError> {
        for candidate in name.candidates() {
            if let Some(entry) = self.tables.list_entry(candidate)? {
                return Ok(Some((candidate.to_owned(), entry, false)));
            }
        }
        // A failure comes back to `NAME-owner+user=domain`, whatever begins a detail otherwise.
        let verp = name.full.split_once('+').map(|(before, _)| before).filter(|before| name.bare != Some(*before));
        for list in name.candidates().chain(verp).filter_map(owned) {
            if let Some(entry) = self.tables.list_entry(list)? {
                return Ok(Some((list.to_owned(), entry, true)));
            }
        }
        Ok(None)
    }

    fn list(&mut self, list: &str, entry: &ListEntry, domain: &str, context: &Context) {
        let address = mailbox_text(list, domain);
        if matches!(self.want, Want::First | Want::Members) {
            self.note(|| format!("{address}: list {}", entry.path));
            return self.unopened(&address, context);
        }
        if !self.seen.insert(format!(":list:{list}")) {
            self.looped = true;
            return self.note(|| format!("{address}: list {} is already expanded", entry.path));
        }
        if entry.manner.moderated && !self.is_moderator(entry, domain) {
            self.note(|| format!("{address}: list {} is moderated: to its moderators", entry.path));
            return self.for_people(list, moderators(entry).to_vec(), entry, domain, context);
        }
        let members = match self.tables.list(&entry.path) {
            Ok(members) => members,
            Err(error) => return self.trouble(&address, error, context),
        };
        self.note(|| format!("{address}: list {}: {} addresses", entry.path, members.values.len()));
        let context = self.of_list(list, &address, entry, domain, context);
        self.push(members.values, Context { keeper: members.keeper, ..context });
    }

    /// How mail goes on to the members: failures to this list's owner, whatever other list has led here.
    fn of_list(&self, list: &str, address: &str, entry: &ListEntry, domain: &str, context: &Context) -> Context {
        let rules = self.rules.local.lists.as_ref();
        let owner = if rules.is_some_and(|rules| rules.owner_first) { format!("owner-{list}") } else { format!("{list}-owner") };
        let mut way = context.way.clone();
        way.verp = entry.manner.verp.unwrap_or_else(|| rules.is_some_and(|rules| rules.verp));
        let headers = entry.manner.headers.unwrap_or_else(|| rules.is_some_and(|rules| rules.headers));
        way.list = headers.then(|| match &entry.manner.description {
            Some(description) => Rc::from(format!("{description} <{address}>")),
            None => Rc::from(address),
        });
        Context {
            domain: Some(domain.to_owned()),
            parent: None,
            owner: Address::parse(&mailbox_text(&owner, domain)).ok().map(Path::Mailbox),
            way,
            holder: Some(Rc::new(Holder { address: address.to_owned(), file: Rc::from(entry.path.as_str()) })),
            ..context.clone()
        }
    }

    /// By the envelope's sender. It is known to be true of local and authenticated senders only; strangers can forge it.
    fn is_moderator(&self, entry: &ListEntry, domain: &str) -> bool {
        let Some(sender) = self.sender.address() else { return false };
        let own = |name: &str, domain: &str| if name.contains('@') { key(name) } else { key(&format!("{name}@{domain}")) };
        let sender = own(sender.as_str(), &self.rules.users_domain);
        // A name without domain is the list's neighbour, or a user of this host.
        moderators(entry).iter().any(|name| [domain, &self.rules.users_domain].iter().any(|domain| own(name, domain) == sender))
    }

    fn for_owners(&mut self, list: &str, entry: &ListEntry, domain: &str, context: &Context) {
        self.note(|| format!("the owner of list {}", entry.path));
        self.for_people(list, entry.manner.owners.clone(), entry, domain, context);
    }

    /// Where nobody is named, to whoever owns the list's file.
    fn for_people(&mut self, list: &str, mut people: Vec<String>, entry: &ListEntry, domain: &str, context: &Context) {
        if !self.seen.insert(format!(":people:{list}")) {
            self.looped = true;
            return self.note(|| format!("the owner of list {} is already expanded", entry.path));
        }
        if people.is_empty() {
            match self.tables.file_owner(entry.uid) {
                Ok(name) => people.push(name.unwrap_or_else(|| NOBODYS_OWNER.to_owned())),
                Err(error) => return self.trouble(&mailbox_text(list, domain), error, context),
            }
        }
        let people: Rc<[Value]> = people.into_iter().map(Value::Address).collect();
        self.push(people, Context { domain: Some(domain.to_owned()), parent: None, ..context.clone() });
    }
}

fn moderators(entry: &ListEntry) -> &[String] {
    let manner = &entry.manner;
    if manner.moderators.is_empty() { &manner.owners } else { &manner.moderators }
}

/// The list whose owner has this name.
fn owned(name: &str) -> Option<&str> {
    name.strip_suffix("-owner").or_else(|| name.strip_suffix("-request")).or_else(|| name.strip_prefix("owner-"))
}
