//! Programs and files in aliases and lists: given to the mailbox agent where those who can have written them have the right,
//! never run or opened here.

use crate::expansion::{Context, Expansion};
use crate::local_user::escaped;
use crate::verdict::{Keeper, Verdict};

/// Longest command or path in bytes.
const MAX_TEXT: usize = 1000;

impl Expansion<'_> {
    /// `what`: `program` or `file`. Without the right the address waits: whoever wrote to it is not at fault, and what is
    /// wrong is put right by the administrator (`chmod`).
    pub(super) fn act(&mut self, what: &str, text: &str, context: &Context) {
        let holder = context.holder.clone().unwrap_or_default();
        let file = if holder.file.is_empty() { "what named it" } else { &holder.file };
        let address = if holder.address.is_empty() { self.original.as_str() } else { &holder.address };
        let (keeper, source) = match context.keeper {
            Keeper::Administrator => ("administrator".to_owned(), String::new()),
            // The agent reads the file again, as that user: it takes nobody's word for what users want.
            Keeper::User(uid) => (uid.to_string(), format!(",source={}", escaped(&holder.file))),
            Keeper::Nobody => {
                let reason = format!("{file} names a {what}, but others than its owner can have written it");
                return self.settle(address, Verdict::Temporary(reason), context);
            }
        };
        if text.len() > MAX_TEXT {
            let reason = format!("{file}: a {what} of more than {MAX_TEXT} bytes");
            return self.settle(address, Verdict::Temporary(reason), context);
        }
        let mut verdict = Verdict::quad("local", "-", address);
        if let Verdict::Deliver(quad) = &mut verdict {
            quad.attributes = format!("{what}={},as={keeper}{source}", escaped(text));
        }
        self.settle(address, verdict, context);
    }
}
