//! `sendmail`: the program that everything else on a system mails with.

mod addresses;
mod arguments;
mod content;
mod dialogue;
mod origin;
mod spooling;
mod submission;

use crate::link;
use crate::output::{print, shown};
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_USAGE, Trouble};
use crate::zpost::{queue, route};
use crate::{aliases, selection::Filters};
use address::{Address, Path};
use arguments::{Invocation, Mode};
use content::Content;
use envelope::{BodyType, Envelope, EnvelopeRecipient, RecipientDsn};
use ipc::control::{Action, Request, Selection};
use origin::Origin;
use spooling::Dropped;
use std::ffi::OsString;
use std::io::BufRead;

pub fn main(arguments: Vec<OsString>) -> Result<u8, Trouble> {
    let invocation = arguments::parse(arguments)?;
    let site = Site::load(None)?;
    match invocation.mode {
        Mode::Submit => submit(&site, &invocation, &mut std::io::stdin().lock()),
        Mode::Smtp => dialogue::run(&site.settings.paths.run),
        Mode::Queue => queue::run(&site, &Filters::default().selection(&[])?, false, false),
        Mode::Aliases => aliases::rebuild(&site.settings),
        Mode::Route => routes(&site, &invocation.recipients),
        Mode::Retry => {
            let selection = Selection::default();
            link::ask(&site.settings.paths.run, &Request::Change { action: Action::Retry, selection, dry_run: false }).map(|_| 0)
        }
    }
}

/// A message made ready: nothing in it is missing and nothing of it is wrong.
#[derive(Debug)]
struct Prepared {
    envelope: Envelope,
    content: Content,
}

/// Takes a message from standard input and hands it to the suite: into the spool where we may write, else over the
/// submission socket. Nothing is done before all of it is read and checked.
fn submit(site: &Site, invocation: &Invocation, input: &mut dyn BufRead) -> Result<u8, Trouble> {
    let origin = Origin::of_caller(&site.settings);
    let bytes = content::read(input, invocation.dot_ends, site.settings.server.max_message_size)?;
    let prepared = prepare(site, invocation, &origin, &bytes)?;
    match spooling::drop_file(site, &origin, &prepared)? {
        Dropped::Accepted => Ok(0),
        Dropped::NotAllowed => submission::submit(site, &prepared),
    }
}

fn prepare(site: &Site, invocation: &Invocation, origin: &Origin, bytes: &[u8]) -> Result<Prepared, Trouble> {
    let mut content = content::split(bytes);
    let recipients = recipients(invocation, &content, &origin.domain)?;
    content.remove_bcc();
    let from = sender(invocation, origin)?;
    origin::complete(&mut content, &from, invocation.fullname.as_deref(), origin, &site.settings.identity.hostname);
    let smtputf8 = !from.as_str().is_ascii() || recipients.iter().any(|r| !r.is_ascii());
    let dsn = RecipientDsn { notify: invocation.notify, orcpt: None };
    let envelope = Envelope {
        bodytype: if invocation.eight_bit || !content.is_ascii() { BodyType::EightBit } else { BodyType::SevenBit },
        smtputf8,
        from: Some(from),
        envid: invocation.envid.as_deref().map(origin::xtext),
        ret: invocation.ret,
        recipients: recipients.into_iter().map(|address| EnvelopeRecipient::new(address, dsn.clone())).collect(),
        ..Envelope::default()
    };
    Ok(Prepared { envelope, content })
}

/// Those of the command line, and with `-t` those of the headers too; each once.
fn recipients(invocation: &Invocation, content: &Content, domain: &str) -> Result<Vec<Address>, Trouble> {
    let mut all: Vec<Address> = Vec::new();
    let given = invocation.recipients.iter().map(|argument| given(argument, domain));
    let extracted = invocation.extract.then(|| content.recipients(domain));
    for list in given.chain(extracted) {
        for address in list? {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    match (all.is_empty(), invocation.extract) {
        (false, _) => Ok(all),
        (true, true) => Err(Trouble::new(EX_DATAERR, "no recipient in the To, Cc and Bcc headers; nothing was sent")),
        (true, false) => Err(Trouble::new(EX_USAGE, "no recipient: give addresses, or -t to take them from the headers")),
    }
}

/// An argument may be a list too; but no line end in it is a slip of the caller.
fn given(argument: &str, domain: &str) -> Result<Vec<Address>, Trouble> {
    if argument.chars().any(char::is_control) {
        return Err(Trouble::new(EX_DATAERR, format!("recipient `{}` has control characters; nothing was sent", shown(argument))));
    }
    addresses::list(argument, domain, "recipient")
}

/// `-f`, else the caller.
fn sender(invocation: &Invocation, origin: &Origin) -> Result<Path, Trouble> {
    let given = match invocation.sender.as_deref() {
        Some("") => return Ok(Path::Null),
        Some(given) => given,
        None => &origin.login,
    };
    let wrong = |e| Trouble::new(EX_DATAERR, format!("sender `{}`: {e}; nothing was sent", shown(given)));
    addresses::qualified(given, &origin.domain).map(Path::Mailbox).map_err(wrong)
}

/// `-bt`, `-bv`: where the addresses go, those of standard input when none are given.
fn routes(site: &Site, given: &[String]) -> Result<u8, Trouble> {
    let mut worst = 0;
    let mut one = |text: &str| -> Result<(), Trouble> {
        let answer = route::ask(site, text, "")?;
        worst = worst.max(route::code(&answer));
        print(route::text(text, &answer, true))
    };
    for address in given {
        one(address)?;
    }
    if given.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|e| Trouble::io("standard input", &e))?;
            if !line.trim().is_empty() {
                one(line.trim())?;
            }
        }
    }
    Ok(worst)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
