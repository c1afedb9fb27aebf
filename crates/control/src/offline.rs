//! The queue as the spool tells it: for a stopped suite, and for what the scheduler has not got.
//!
//! Only reads. A message that is gone between two looks has moved on and is left out.

use crate::moment::now_seconds;
use crate::output::complain;
use crate::trouble::Trouble;
use envelope::{Control, ControlRecipient, Diagnostic, Envelope, Happened, MessageId, Parsed, RecipientState};
use ipc::control::{QueuedMessage, QueuedRecipient};
use settings::Settings;
use spool::{Place, Spool, Volumes};
use std::io::{self, Read};

/// Bytes of a message file that are looked at for envelope and headers.
const HEAD: u64 = 8 << 20;

/// All volumes. One that is missing is complained of: what is on it does not show.
pub fn open(settings: &Settings) -> Result<Volumes, Trouble> {
    let root = &settings.paths.postoffice;
    let volumes =
        Volumes::open(root, settings.volume_roots()).map_err(|e| Trouble::io(format!("cannot open the spool {}", root.display()), &e))?;
    for volume in volumes.all() {
        if let Err(reason) = &volume.spool {
            complain(&format!("zpost: volume {} ({}) is left out: {reason}\n", volume.name, volume.path.display()));
        }
    }
    Ok(volumes)
}

/// All routed messages, by id.
pub fn routed(volumes: &Volumes) -> Result<impl Iterator<Item = QueuedMessage> + use<'_>, Trouble> {
    let mut found: Vec<(MessageId, &Spool)> = Vec::new();
    for (_, spool) in volumes.usable() {
        let names = spool.read_names(Place::Queue).map_err(|e| Trouble::io("cannot read the queue", &e))?;
        found.extend(names.iter().filter_map(|name| Some((MessageId::parse(name).ok()?, &**spool))));
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(found.into_iter().filter_map(|(id, spool)| control(spool, id).ok().flatten()).map(|parsed| message(&parsed)))
}

/// Where a message or a dropped file is that is not in `queue/`.
pub fn find_name<'v>(volumes: &'v Volumes, name: &str, places: &[Place]) -> Option<(&'v Spool, Place)> {
    let there = |spool: &&'v std::sync::Arc<Spool>, place: &Place| spool.read_message(*place, name).is_ok();
    let mut all = volumes.usable().map(|(_, spool)| spool);
    all.find_map(|spool| places.iter().find(|place| there(&spool, place)).map(|place| (&**spool, *place)))
}

/// The control file of a message; `None` when there is no (valid) one.
pub fn control(spool: &Spool, id: MessageId) -> io::Result<Option<Parsed>> {
    match spool.read_control(id) {
        Ok(bytes) => Ok(envelope::parse_control(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// A control file as the scheduler would show it.
pub fn message(parsed: &Parsed) -> QueuedMessage {
    let Control { id, size, arrived, sender, recipients, forms, .. } = &parsed.control;
    let form = |r: &ControlRecipient| usize::from(r.form).checked_sub(1).and_then(|at| forms.get(at));
    let recipients: Vec<QueuedRecipient> = recipients
        .iter()
        .map(|r| {
            let own = || parsed.diagnostics.iter().rev().filter(|d| d.recipient == r.offset);
            let last = own().find(|d| d.happened != Happened::Delayed);
            let told = own().any(|d| d.happened == Happened::Delayed);
            QueuedRecipient {
                address: r.original.clone().unwrap_or_else(|| r.quad.user.clone()),
                channel: r.quad.channel.clone(),
                host: r.quad.host.clone(),
                state: state(r.state, last).to_owned(),
                attempts: last.map_or(0, |d| d.attempts),
                next_attempt: last.filter(|_| !r.state.is_final()).map_or(0, |d| d.next_attempt),
                last: last.map_or_else(String::new, |d| d.text.clone()),
                report: report(r, last, told).to_owned(),
                sender: form(r)
                    .filter(|_| *sender != address::Path::Null)
                    .and_then(|form| form.sender.to(&r.quad.user))
                    .unwrap_or_default(),
            }
        })
        .collect();
    let state = overall(&recipients).to_owned();
    QueuedMessage { id: id.to_string(), sender: sender.as_str().to_owned(), size: *size, arrived: *arrived, state, recipients, more: false }
}

fn state(state: RecipientState, last: Option<&Diagnostic>) -> &'static str {
    match state {
        RecipientState::Queued if last.is_some_and(|d| d.happened == Happened::Deferred) => "deferred",
        RecipientState::Queued => "queued",
        RecipientState::Held => "held",
        RecipientState::Failing | RecipientState::Failed => "failed",
        RecipientState::Telling | RecipientState::Delivered => "delivered",
    }
}

/// The report that is to be sent, or that the sender has been told of the delay.
fn report(recipient: &ControlRecipient, last: Option<&Diagnostic>, told: bool) -> &'static str {
    match recipient.state {
        RecipientState::Failing => "failed",
        // What the router put there has no diagnostic: its host says it.
        RecipientState::Telling => match last.map(|d| d.happened).or_else(|| Happened::parse(&recipient.quad.host)) {
            Some(happened @ (Happened::Delivered | Happened::Expanded)) => happened.word(),
            _ => Happened::Relayed.word(),
        },
        RecipientState::Queued | RecipientState::Held if told => "told",
        RecipientState::Queued | RecipientState::Held | RecipientState::Delivered | RecipientState::Failed => "",
    }
}

/// The most urgent state of its recipients.
fn overall(recipients: &[QueuedRecipient]) -> &'static str {
    let any = |state: &str| recipients.iter().any(|r| r.state == state);
    ["active", "queued", "deferred", "held", "failed"].into_iter().find(|s| any(s)).unwrap_or("delivered")
}

/// Messages that have not been routed: waiting in `router/`, set aside in `deferred/`, frozen in `freezer/`.
pub fn unrouted(volumes: &Volumes) -> Result<Vec<QueuedMessage>, Trouble> {
    let mut all = Vec::new();
    for (_, spool) in volumes.usable() {
        for (place, state) in [(Place::Router, "routing"), (Place::Deferred, "set-aside"), (Place::Freezer, "frozen")] {
            let names = spool.read_names(place).map_err(|e| Trouble::io(format!("cannot read {}/", place.name()), &e))?;
            all.extend(names.iter().filter_map(|name| waiting(spool, place, name, state).ok()));
        }
    }
    Ok(all)
}

fn waiting(spool: &Spool, place: Place, name: &str, state: &str) -> io::Result<QueuedMessage> {
    let file = spool.read_message(place, name)?;
    let size = file.metadata()?.len();
    let envelope = head(&file).map(|h| h.envelope).unwrap_or_default();
    let last = spool.read_reason(place, name).unwrap_or_default();
    let arrived = MessageId::parse(name).map_or_else(|_| now_seconds().saturating_mul(1000), |id| id.unix_micros() / 1000);
    let mut addresses: Vec<String> = envelope.recipients.iter().map(|r| r.address.to_string()).collect();
    // What is no envelope names nobody, and is to be seen all the same, with its reason.
    if addresses.is_empty() {
        addresses.push(String::new());
    }
    let recipients = addresses.into_iter().map(|address| QueuedRecipient {
        address,
        channel: "-".to_owned(),
        host: "-".to_owned(),
        state: if place == Place::Router { "queued" } else { "held" }.to_owned(),
        attempts: 0,
        next_attempt: 0,
        last: last.clone(),
        report: String::new(),
        sender: String::new(),
    });
    let recipients = recipients.collect();
    let sender = envelope.from.as_ref().map_or("", |p| p.as_str()).to_owned();
    Ok(QueuedMessage { id: name.to_owned(), sender, size, arrived, state: state.to_owned(), recipients, more: false })
}

/// The first part of a message file.
#[derive(Debug)]
pub struct Head {
    pub envelope: Envelope,
    /// Where the headers begin in the file.
    pub body_offset: u64,
    /// The headers, without the blank line that ends them.
    pub headers: Vec<u8>,
}

/// Reads envelope and headers; a text when they are none.
pub fn head(file: &std::fs::File) -> Result<Head, String> {
    let mut bytes = Vec::new();
    file.take(HEAD).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let (envelope, offset) = envelope::parse_envelope(&bytes).map_err(|e| format!("line {}: {}", e.line, e.reason))?;
    let rest = bytes.get(offset..).unwrap_or_default();
    let length = header_length(rest);
    let headers = rest.get(..length).unwrap_or_default().to_vec();
    Ok(Head { envelope, body_offset: u64::try_from(offset).unwrap_or(u64::MAX), headers })
}

/// Bytes of the headers at the start of a message, up to and without the blank line.
pub fn header_length(content: &[u8]) -> usize {
    let mut length = 0;
    for line in content.split_inclusive(|b| *b == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
        length += line.len();
    }
    length
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub mod tests {
    use super::*;
    use ::status::Enhanced;
    use address::{Address, Path};
    use envelope::{BodyType, EnvelopeRecipient, Quad, RecipientDsn};
    use spool::{Owners, Submitter};
    use std::path::Path as Folder;

    fn recipient(user: &str, state: RecipientState) -> ControlRecipient {
        let quad = Quad { channel: "smtp".to_owned(), host: "mx.example".to_owned(), user: user.to_owned(), attributes: "-".to_owned() };
        ControlRecipient { offset: 0, state, quad, original: None, via: None, dsn: RecipientDsn::default(), form: 0 }
    }

    fn sender() -> Path {
        Path::Mailbox(Address::parse("s@b.example").unwrap())
    }

    /// A spool with one message in `router/`; its id.
    fn submitted(folder: &Folder) -> MessageId {
        Spool::create(folder, &Owners::default()).unwrap();
        let mut submitter = Submitter::new(std::sync::Arc::new(Spool::open(folder).unwrap()));
        let id = submitter.next_id();
        let to = EnvelopeRecipient::new(Address::parse("a@b.example").unwrap(), RecipientDsn::default());
        let envelope = Envelope { from: Some(sender()), recipients: vec![to], ..Envelope::default() };
        submitter.submit(id, &envelope, b"Subject: x\n\nbody\n").unwrap();
        id
    }

    /// The message of [`submitted`] routed, its first recipient deferred once, its second held.
    pub fn queued(folder: &Folder) -> MessageId {
        let id = submitted(folder);
        let spool = Spool::open(folder).unwrap();
        let recipients = vec![recipient("a@b.example", RecipientState::Queued), recipient("h@b.example", RecipientState::Held)];
        let control = Control {
            id,
            body_offset: 10,
            size: 17,
            arrived: 1_000_000,
            sender: sender(),
            edits: Vec::new(),
            forms: Vec::new(),
            bodytype: BodyType::SevenBit,
            smtputf8: false,
            envid: None,
            ret: None,
            terms: Default::default(),
            message_id: None,
            recipients,
        };
        let mut bytes = Vec::new();
        envelope::write_control(&control, &mut bytes);
        spool.enqueue(id.as_str(), id, &bytes).unwrap();
        let offset = envelope::parse_control(&bytes).unwrap().control.recipients[0].offset;
        let diagnostic = Diagnostic {
            recipient: offset,
            time: 1_500,
            happened: Happened::Deferred,
            attempts: 2,
            next_attempt: 9_000,
            status: Enhanced::transient(4, 1),
            remote: "-".to_owned(),
            text: "connection refused".to_owned(),
        };
        spool.mark(id, &[], &[diagnostic]).unwrap();
        id
    }

    #[test]
    fn the_spool_tells_what_the_scheduler_would() {
        let folder = tempfile::tempdir().unwrap();
        let id = queued(folder.path());
        let volumes = Volumes::open(folder.path(), []).unwrap();
        let all: Vec<_> = routed(&volumes).unwrap().collect();
        let message = &all[0];
        assert_eq!(
            (all.len(), message.id.as_str(), message.state.as_str(), message.sender.as_str()),
            (1, id.as_str(), "deferred", "s@b.example")
        );
        let [first, second] = &message.recipients[..] else { panic!() };
        assert_eq!(
            (first.state.as_str(), first.attempts, first.next_attempt, first.last.as_str()),
            ("deferred", 2, 9_000, "connection refused")
        );
        assert_eq!((second.state.as_str(), second.attempts), ("held", 0));
    }

    #[test]
    fn what_is_not_routed_is_listed_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let id = submitted(folder.path());
        let spool = Spool::open(folder.path()).unwrap();
        spool.set_aside(id.as_str(), "line 1: nonsense").unwrap();
        let all = unrouted(&Volumes::open(folder.path(), []).unwrap()).unwrap();
        assert_eq!((all.len(), all[0].state.as_str()), (1, "set-aside"));
        assert_eq!((all[0].recipients[0].address.as_str(), all[0].recipients[0].last.as_str()), ("a@b.example", "line 1: nonsense"));
    }

    #[test]
    fn what_is_no_envelope_is_listed_too() {
        let folder = tempfile::tempdir().unwrap();
        submitted(folder.path());
        std::fs::write(folder.path().join("router/y"), "frm <a@b.example>\nenv-end\n\n").unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.set_aside("y", "line 1: unknown keyword").unwrap();
        let all = unrouted(&Volumes::open(folder.path(), []).unwrap()).unwrap();
        let mut found = all.into_iter().find(|message| message.id == "y").unwrap();
        assert!(crate::selection::matches(&ipc::control::Selection::default(), &mut found, 0));
        assert_eq!(found.recipients[0].last, "line 1: unknown keyword");
    }

    #[test]
    fn headers_end_at_the_blank_line() {
        assert_eq!(header_length(b"A: b\nC: d\n\nbody\n"), 10);
        assert_eq!(header_length(b"A: b\r\n\r\nbody"), 6);
        assert_eq!((header_length(b"\nbody"), header_length(b"A: b"), header_length(b"")), (0, 4, 0));
    }
}
