//! Users, and the postmaster where there is none.

use super::{Name, mailbox_text};
use crate::decision::Want;
use crate::expansion::{Context, Expansion};
use crate::local_user::LocalUser;
use crate::verdict::Verdict;
use address::Address;
use lookup::TableError;
use settings::LocalStep;

impl Expansion<'_> {
    pub(super) fn exists(&mut self, name: Name<'_>) -> bool {
        !matches!(self.find_user(name), Ok(None))
    }

    fn find_user(&mut self, name: Name<'_>) -> Result<Option<LocalUser>, TableError> {
        let Some(bare) = name.bare else { return self.tables.user(name.full) };
        if !self.rules.any_user
            && let Some(user) = self.tables.user(name.full)?
        {
            return Ok(Some(user));
        }
        // What follows is for the mailbox: its folder, or the user's `.forward+detail`.
        let detail = name.full.get(bare.len()..).unwrap_or_default().chars().skip(1).collect::<String>();
        Ok(self.tables.user(bare)?.map(|user| user.with_detail(&detail)))
    }

    pub(super) fn by_user(&mut self, name: Name<'_>, context: &Context) -> bool {
        match self.find_user(name) {
            Err(error) => self.trouble(&mailbox_text(name.full, name.domain), error, context),
            Ok(Some(user)) => self.deliver_to(&mailbox_text(name.full, name.domain), &user, name.domain, context),
            Ok(None) => return false,
        }
        true
    }

    pub(crate) fn deliver_to(&mut self, address: &str, user: &LocalUser, domain: &str, context: &Context) {
        self.note(|| format!("{address}: user {} ({})", user.name, user.place));
        let verdict = self.delivery(address, user, domain);
        self.settle(address, verdict, context);
    }

    /// No step knows the name.
    pub(super) fn nobody(&mut self, name: Name<'_>, context: &Context) {
        let address = mailbox_text(name.full, name.domain);
        if name.full == "postmaster" || context.for_postmaster {
            return self.postmaster(&address, context);
        }
        if self.want == Want::Explanation && self.rules.local.order.contains(&LocalStep::Users) {
            let users = self.tables.users();
            self.note(|| format!("{address}: no user {} in {users}", name.full));
        }
        self.settle(&address, Verdict::refused(1, 1, "User unknown"), context);
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
