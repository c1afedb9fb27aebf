//! `policy` at RCPT, and `rewrite` of the sender.

use super::{Parts, ask, failed};
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::Verdict;
use address::{Address, Path};
use script::Hook;
use status::Reply;

/// What the script replies to a recipient that would be taken; `None`: nothing.
pub(crate) fn policy(recipient: &Address, sender: &Path, rules: &Rules, tables: &mut dyn Tables) -> Result<Option<Reply>, Verdict> {
    if !tables.scripted(Hook::Policy) {
        return Ok(None);
    }
    let recipient = Parts::of(recipient, rules);
    let said =
        ask(tables, Hook::Policy, &mut Vec::new(), |script, facts, world| script.policy(facts.envelope(sender), recipient.seen(), world));
    said.map(Option::flatten)
}

/// The form that the script gives an envelope's sender, where it is another.
pub(crate) fn rewritten_sender(sender: &Path, rules: &Rules, tables: &mut dyn Tables) -> Result<Option<Path>, Verdict> {
    let Some(address) = sender.address().filter(|_| tables.scripted(Hook::Rewrite)) else { return Ok(None) };
    let parts = Parts::of(address, rules);
    let said = ask(tables, Hook::Rewrite, &mut Vec::new(), |script, facts, world| {
        script.rewrite(parts.seen(), facts.envelope(sender), "sender", world)
    });
    let Some(form) = said?.flatten() else { return Ok(None) };
    match Address::parse(&form) {
        Ok(address) if address.domain().is_some() => Ok(Some(Path::Mailbox(address))),
        _ => Err(failed(tables, Hook::Rewrite, format!("script: rewrite: `{form}` is no address with a domain"))),
    }
}
