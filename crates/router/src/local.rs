//! Whom a name at a local domain stands for: aliases, lists, mailboxes, users, in the order of `[routing] local_order`.

use crate::decision::Want;
use crate::expansion::{Context, Expansion};
use crate::tables::LocalUser;
use crate::verdict::Verdict;
use address::{Address, Path};
use lookup::{AliasEntry, TableError, Value};

impl Expansion<'_> {
    /// One value of an alias or list. A verdict about what is no address is about the address that led to it.
    pub(crate) fn value(&mut self, value: &Value, context: &Context) {
        let verdict = match value {
            Value::Address(text) => match Address::parse(text) {
                Ok(address) => return self.resolve(&address, context),
                Err(fault) => Verdict::refused(1, 3, format!("{text} is no address: {fault}")),
            },
            Value::Mailbox(name) => {
                let domain = context.domain.clone().unwrap_or_else(|| self.rules.hostname.clone());
                return self.user(&name.to_lowercase(), &domain, context);
            }
            Value::Include(path) => return self.include(path, context),
            Value::File(path) if path == "/dev/null" => Verdict::quad("discard", "-", self.original.as_str()),
            // Without the path: strangers read this.
            Value::File(_) => Verdict::refused(3, 3, "Delivery to files is not available"),
            Value::Program(_) => Verdict::refused(3, 3, "Delivery to programs is not available"),
        };
        self.settle(self.original.as_str(), verdict, context);
    }

    fn include(&mut self, path: &str, context: &Context) {
        if !self.seen.insert(format!(":include:{path}")) {
            self.looped = true;
            return self.note(|| format!(":include:{path}: already expanded"));
        }
        match self.tables.list(path) {
            Ok(values) => {
                self.note(|| format!(":include:{path}: {} addresses", values.len()));
                self.push(values, context.clone());
            }
            Err(error) => self.trouble(self.original.as_str(), error, context),
        }
    }

    /// A name at a local domain: aliases by full address, then by name; the same without detail; then users.
    pub(crate) fn local(&mut self, address: &Address, domain: &str, context: &Context) {
        let name = address.unquoted_local().to_lowercase();
        let bare = self.rules.without_detail(&name).map(str::to_owned);
        for candidate in std::iter::once(&name).chain(bare.as_ref()) {
            for key in [format!("{candidate}@{domain}"), candidate.clone()] {
                if self.seen.contains(&key) {
                    return self.again(&key, &name, domain, context);
                }
                match self.tables.alias(&key) {
                    Ok(None) => {}
                    Ok(Some(entry)) => return self.alias(key, entry, domain, context),
                    Err(error) => return self.trouble(address.as_str(), error, context),
                }
            }
        }
        self.user(&name, domain, context);
    }

    fn alias(&mut self, key: String, entry: AliasEntry, domain: &str, context: &Context) {
        self.note(|| format!("{key}: alias at {}:{}", entry.file, entry.line));
        let owner = self.owner(&key, domain).or_else(|| context.owner.clone());
        self.seen.insert(key.clone());
        let parent = Some((key.clone(), entry.values.len()));
        let domain = Some(domain.to_owned());
        let context = Context { domain, parent, owner, ..context.clone() };
        self.push(entry.values, context);
    }

    /// `owner-NAME` where there is such an alias: failures of the list's members go there (Sendmail's rule).
    fn owner(&mut self, name: &str, domain: &str) -> Option<Path> {
        let (local, at) = name.split_once('@').unwrap_or((name, domain));
        if local.starts_with("owner-") {
            return None;
        }
        let owner = if name.contains('@') { format!("owner-{local}@{at}") } else { format!("owner-{local}") };
        self.tables.alias(&owner).ok().flatten()?;
        self.note(|| format!("{name}: failures go to {owner}"));
        Address::parse(&format!("owner-{local}@{at}")).ok().map(Path::Mailbox)
    }

    /// A name that has been expanded already. Named directly by its own alias it means the mailbox (Sendmail's
    /// meaning of `joe: joe, archive`); any other way round is a loop and is cut.
    fn again(&mut self, key: &str, name: &str, domain: &str, context: &Context) {
        let siblings = context.parent.as_ref().filter(|(parent, _)| parent == key).map_or(0, |(_, values)| *values);
        // With users = "any" a lone `joe: joe` has no account to end at: it says nothing but the loop.
        let mailbox = if self.rules.any_user { siblings > 1 } else { siblings > 0 && self.exists(name) };
        if mailbox {
            self.note(|| format!("{name}: named by its own alias: the mailbox"));
            return self.user(name, domain, context);
        }
        self.looped = true;
        self.note(|| format!("{name}: {key} is already expanded"));
    }

    fn exists(&mut self, name: &str) -> bool {
        !matches!(self.find_user(name), Ok(None))
    }

    fn find_user(&mut self, name: &str) -> Result<Option<LocalUser>, TableError> {
        let Some(bare) = self.rules.without_detail(name) else { return self.tables.user(name) };
        if !self.rules.any_user
            && let Some(user) = self.tables.user(name)?
        {
            return Ok(Some(user));
        }
        // What follows is for the mailbox: its folder, or the user's `.forward+detail`.
        let detail = name.get(bare.len()..).unwrap_or_default().chars().skip(1).collect::<String>();
        Ok(self.tables.user(bare)?.map(|user| user.with_detail(&detail)))
    }

    fn user(&mut self, name: &str, domain: &str, context: &Context) {
        let address = mailbox_text(name, domain);
        match self.find_user(name) {
            Err(error) => self.trouble(&address, error, context),
            Ok(Some(user)) => {
                self.note(|| format!("{address}: user {} ({})", user.name, user.place));
                let verdict = self.delivery(&address, &user, domain);
                self.settle(&address, verdict, context);
            }
            Ok(None) if name == "postmaster" || context.for_postmaster => self.postmaster(&address, context),
            Ok(None) => {
                if self.want == Want::Explanation {
                    let users = self.tables.users();
                    self.note(|| format!("{address}: no user {name} in {users}"));
                }
                self.settle(&address, Verdict::refused(1, 1, "User unknown"), context);
            }
        }
    }

    fn delivery(&self, address: &str, user: &LocalUser, domain: &str) -> Verdict {
        if let Some(host) = &self.rules.lmtp {
            return Verdict::quad("lmtp", host, address);
        }
        let mut verdict = Verdict::quad("local", "-", mailbox_text(&user.name, domain));
        if let Verdict::Deliver(quad) = &mut verdict {
            quad.attributes.clone_from(&user.attributes);
        }
        verdict
    }

    /// A postmaster must exist (RFC 5321 section 4.5.1): the configured one, else root, else the mailbox anyway.
    fn postmaster(&mut self, address: &str, context: &Context) {
        let mut context = context.clone();
        if !context.for_postmaster {
            context.for_postmaster = true;
            if let Some(postmaster) = self.rules.postmaster.clone() {
                self.note(|| format!("{address}: no such user; [identity] postmaster = {postmaster}"));
                return self.resolve(&postmaster, &context);
            }
        }
        let hostname = self.rules.hostname.clone();
        if !self.asked_root {
            self.asked_root = true;
            if let Ok(root) = Address::parse("root") {
                self.note(|| format!("{address}: no such user; root"));
                return self.local(&root, &hostname, &context);
            }
        }
        let user = LocalUser { name: "postmaster".to_owned(), attributes: "-".to_owned(), place: String::new() };
        let verdict = self.delivery(&mailbox_text("postmaster", &hostname), &user, &hostname);
        self.settle(address, verdict, &context);
    }
}

/// `name@domain`, the name quoted where it must be.
fn mailbox_text(name: &str, domain: &str) -> String {
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !c.is_ascii();
    let plain = !name.is_empty() && name.chars().all(atom) && !name.starts_with('.') && !name.ends_with('.') && !name.contains("..");
    if plain {
        return format!("{name}@{domain}");
    }
    format!("\"{}\"@{domain}", name.replace('\\', "\\\\").replace('"', "\\\""))
}
