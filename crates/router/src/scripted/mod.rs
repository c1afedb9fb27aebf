//! The administrator's script in a decision: its file, what it is told of the message, and what becomes of its answers.
//!
//! Where none is configured nothing here is called. A fault of the script is a temporary failure of the address or of the
//! question, never a refusal.

mod check;
mod file;
mod hooks;
mod pairs;
mod rcpt;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;

pub(crate) use check::check_asked;
pub(crate) use file::ScriptFile;
pub(crate) use pairs::crossed;
pub(crate) use rcpt::{policy, rewritten_sender};

use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::Verdict;
use address::{Address, Path, normalise};
use daemon::event;
use lookup::TableError;
use script::{Envelope, Hook, Script, Trouble, World};
use status::Enhanced;
use std::path::Path as FilePath;

/// What is known of the message in hand beside its sender; of a question nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub size: Option<u64>,
    pub client: Option<String>,
    pub helo: Option<String>,
    pub user: Option<String>,
    pub protocol: Option<String>,
    /// Unix seconds.
    pub arrived: Option<u64>,
    pub recipients: Option<u64>,
}

impl Facts {
    /// Of an envelope; where it is not believed, only what everybody can see. `arrived`: Unix milliseconds.
    pub fn of(envelope: &envelope::Envelope, believed: bool, size: u64, arrived: u64) -> Self {
        let recipients = Some(envelope.recipients.len() as u64);
        let seen = Self { size: Some(size), arrived: Some(arrived / 1000), recipients, ..Self::default() };
        if !believed {
            return seen;
        }
        let (helo, client) = envelope.rcvdfrom.as_deref().map_or((None, None), from);
        Self {
            client: client.map(str::to_owned),
            helo: helo.map(str::to_owned),
            user: envelope.authinfo.clone().or_else(|| envelope.loginname.clone()),
            protocol: envelope.with.clone(),
            ..seen
        }
    }

    fn envelope<'a>(&'a self, sender: &'a Path) -> Envelope<'a> {
        Envelope {
            sender: sender.address().map_or("", Address::as_str),
            size: self.size,
            client: self.client.as_deref(),
            helo: self.helo.as_deref(),
            user: self.user.as_deref(),
            protocol: self.protocol.as_deref(),
            arrived: self.arrived,
            recipients: self.recipients,
        }
    }
}

/// `name ([address])`, as our own servers write it.
fn from(text: &str) -> (Option<&str>, Option<&str>) {
    let Some((name, rest)) = text.split_once(" ([") else { return (None, None) };
    (Some(name), rest.strip_suffix("])"))
}

/// The script while it is asked; given back afterwards.
#[derive(Debug)]
pub struct Lent {
    pub(crate) script: Box<Script>,
    pub(crate) facts: Facts,
}

/// The declared tables, as scripts see them.
struct Relations<'t>(&'t mut dyn Tables);

impl World for Relations<'_> {
    fn lookup(&mut self, table: &str, key: &str) -> Result<Option<Vec<String>>, TableError> {
        Ok(self.0.find(table, key)?.map(|found| found.values))
    }
}

/// An address in its parts, kept for as long as it is asked about.
struct Parts {
    text: String,
    user: String,
    domain: Option<String>,
    detail: Option<String>,
}

impl Parts {
    fn of(address: &Address, rules: &Rules) -> Self {
        let local = address.unquoted_local();
        let bare = rules.without_detail(&local);
        let detail = bare.and_then(|bare| local.get(bare.len()..)).map(|rest| rest.chars().skip(1).collect());
        Self {
            text: address.as_str().to_owned(),
            user: bare.unwrap_or(&local).to_owned(),
            domain: address.domain().map(|domain| normalise(domain).unwrap_or_else(|_| domain.to_lowercase())),
            detail,
        }
    }

    fn seen(&self) -> script::Address<'_> {
        script::Address { text: &self.text, user: &self.user, domain: self.domain.as_deref(), detail: self.detail.as_deref() }
    }
}

/// Asks a hook. `None`: there is no such hook. `Err`: what becomes of the address for want of an answer. What the hook logged
/// goes to the log, and to `steps`.
fn ask<T>(
    tables: &mut dyn Tables,
    hook: Hook,
    steps: &mut Vec<String>,
    call: impl FnOnce(&mut Script, &Facts, &mut dyn World) -> Result<T, Trouble>,
) -> Result<Option<T>, Verdict> {
    // Why there is none was logged when it was looked for.
    let Some(Lent { mut script, facts }) = tables.lend_script(hook).map_err(Verdict::ScriptFailed)? else { return Ok(None) };
    let result = call(&mut script, &facts, &mut Relations(tables));
    for line in script.take_log().into_iter().filter(|_| !matches!(result, Err(Trouble::Pending))) {
        if !tables.quiet() {
            event!(Info, "script_log", hook = hook.name(), text = line);
        }
        steps.push(line);
    }
    tables.give_back(Lent { script, facts });
    result.map(Some).map_err(|trouble| match trouble {
        Trouble::Pending => Verdict::Pending,
        Trouble::Temporary(reason) => Verdict::Temporary(reason),
        Trouble::Fault(fault) => failed(tables, hook, fault.to_string()),
    })
}

/// A fault of the script goes to the log, with its line, and what was asked about waits.
fn failed(tables: &dyn Tables, hook: Hook, reason: String) -> Verdict {
    if !tables.quiet() {
        event!(Warning, "script_failed", hook = hook.name(), reason = reason);
    }
    Verdict::ScriptFailed(reason)
}

/// What `defer` of `route` and `crossbar` means.
fn deferred(text: String) -> Verdict {
    Verdict::Deferred { status: Enhanced::transient(7, 1), text }
}

/// The name that is shown for a script.
fn shown(path: &FilePath) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod parts_tests {
    use super::*;

    #[test]
    fn clients_are_read_from_our_own_words() {
        assert_eq!(from("mail.example ([192.0.2.1])"), (Some("mail.example"), Some("192.0.2.1")));
        assert_eq!(from("localhost (uid 5)"), (None, None));
        assert_eq!(from("x ([y"), (Some("x"), None));
    }
}
