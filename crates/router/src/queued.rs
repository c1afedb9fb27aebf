//! One message: from what its file says to its control file.

use crate::forms::Leaving;
use crate::head::Head;
use crate::recipients::{Recipients, route_all};
use crate::rules::Rules;
use crate::submission::{Sender, changes};
use crate::tables::SystemTables;
use crate::verdict::Verdict;
use address::Path;
use daemon::{clock, event};
use envelope::{BodyType, Control, MessageId, TlsTerms};
use settings::Submission;
use spool::InputFile;
use std::time::Duration;

/// Where its recipients go. `verdict`: what is known of all of them already.
pub(crate) fn recipients(
    head: &Head,
    sender: &Path,
    leaving: &Leaving<'_>,
    (max_hops, verdict): (u32, Option<Verdict>),
    rules: &Rules,
    tables: &mut SystemTables,
) -> Recipients {
    let loops = u32::try_from(head.hops).unwrap_or(u32::MAX) >= max_hops;
    let looped = || Verdict::refused(4, 6, format!("Too many hops: received {} times; a mail loop is likely", head.hops));
    let verdict = if loops { Some(looped()) } else { verdict };
    route_all(&head.envelope.recipients, sender, leaving, verdict.as_ref(), rules, tables)
}

/// The message as it leaves, and whether its header needs SMTPUTF8. `from`: whose submission it is that nobody has looked at.
pub(crate) fn leaving<'a>(
    content: &'a [u8],
    head: &Head,
    (trusted, unix_seconds): (bool, u64),
    from: Option<Sender<'_>>,
    wanted: Submission,
) -> (Leaving<'a>, bool) {
    let made = from.map(|from| changes(content, head.header, &head.envelope, &from, wanted));
    let (base, eight_bit) = made.unwrap_or_default();
    let crlf = head.envelope.bodytype == BodyType::Binary;
    let forwarded = trusted && head.envelope.forwarded;
    (Leaving { header: content, base, crlf, forwarded, unix_seconds }, eight_bit)
}

/// The control file.
pub(crate) fn control(id: MessageId, arrived: u64, size: u64, head: Head, sender: Path, recipients: Recipients) -> Control {
    let (offset, envelope) = (head.offset as u64, head.envelope);
    let mut terms = envelope.terms;
    // What the envelope demands outweighs what a header field allows (RFC 8689 section 4.1).
    if terms.tls == TlsTerms::Usual && head.tls_not_required {
        terms.tls = TlsTerms::Optional;
    }
    Control {
        id,
        body_offset: offset,
        size: size.saturating_sub(offset),
        arrived,
        sender,
        edits: recipients.edits,
        forms: recipients.forms,
        bodytype: envelope.bodytype,
        smtputf8: envelope.smtputf8,
        envid: envelope.envid,
        ret: envelope.ret,
        terms,
        message_id: head.message_id,
        recipients: recipients.list,
    }
}

/// When the message came, in Unix milliseconds.
pub(crate) fn arrival(head: &Head, input: &InputFile, trusted: bool) -> u64 {
    let named = || MessageId::parse(&input.name).ok().map(|id| id.unix_micros() / 1000);
    let said = if trusted { head.envelope.arrived.or_else(named) } else { None };
    said.unwrap_or_else(|| clock::unix_micros() / 1000)
}

/// Since a moment in Unix milliseconds; none when clocks have jumped.
pub(crate) fn age(arrived: u64) -> Duration {
    Duration::from_millis((clock::unix_micros() / 1000).saturating_sub(arrived))
}

/// A dropped file begins its way here: its name, and whose it was.
pub(crate) fn log(control: &Control, name: &str, owner: u32) {
    let from = match &control.sender {
        Path::Null => "<>",
        Path::Mailbox(address) => address.as_str(),
    };
    let (id, nrcpt, size) = (control.id, control.recipients.len(), control.size);
    let message_id = control.message_id.as_deref().unwrap_or("");
    if name == id.as_str() {
        event!(Info, "routed", id = id, from = from, nrcpt = nrcpt, size = size, message_id = message_id);
    } else {
        event!(Info, "routed", id = id, from = from, nrcpt = nrcpt, size = size, message_id = message_id, dropped = name, owner = owner);
    }
}
