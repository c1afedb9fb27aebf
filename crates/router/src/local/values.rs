//! What aliases and lists hold: addresses, mailboxes, `:include:` files, programs and files.

use crate::decision::Want;
use crate::expansion::{Context, Expansion, Holder};
use crate::verdict::Verdict;
use address::Address;
use lookup::{TableError, Value};
use std::rc::Rc;

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
                return self.mailbox(&name.to_lowercase(), &domain, context);
            }
            Value::Include(path) => return self.include(path, context),
            Value::File(path) if path == "/dev/null" => Verdict::quad("discard", "-", self.original.as_str()),
            Value::File(path) => return self.act("file", path, context),
            Value::Program(command) => return self.act("program", command, context),
        };
        self.settle(self.original.as_str(), verdict, context);
    }

    fn include(&mut self, path: &str, context: &Context) {
        if !self.seen.insert(format!(":include:{path}")) {
            self.looped = true;
            return self.note(|| format!(":include:{path}: already expanded"));
        }
        if matches!(self.want, Want::First | Want::Members) {
            return match self.tables.has_list(path) {
                Ok(()) => self.unopened(self.original.as_str(), context),
                Err(error) => self.trouble(self.original.as_str(), error, context),
            };
        }
        let list = match self.tables.list(path) {
            Ok(list) if list.is_open_to(context.keeper) => list,
            Ok(_) => {
                let why = format!("{path}: not everybody may read it, and neither the administrator nor its owner alone has named it");
                return self.trouble(self.original.as_str(), TableError::Temporary(why), context);
            }
            Err(error) => return self.trouble(self.original.as_str(), error, context),
        };
        self.note(|| format!(":include:{path}: {} addresses", list.values.len()));
        let address = context.holder.as_ref().map_or_else(String::new, |holder| holder.address.clone());
        let holder = Some(Rc::new(Holder { address, file: Rc::from(path) }));
        // Never more than whoever named the file.
        let keeper = context.keeper.and(list.keeper);
        self.push(list.values, Context { keeper, holder, ..context.clone() });
    }

    /// A list that is there: who its members are is not asked.
    pub(super) fn unopened(&mut self, address: &str, context: &Context) {
        self.settle(address, Verdict::quad("list", "-", address), context);
    }
}
