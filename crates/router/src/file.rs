//! One file of `router/` on its way to `queue/` (S2 to S3), or aside to `deferred/`.

use crate::callers::TableCallers;
use crate::forms::Leaving;
use crate::hand::Passed;
use crate::head::{Head, HeadFault, HeadReader};
use crate::parking::Pass;
use crate::recipients::{Recipients, refuse_all, route_all};
use crate::rules::Rules;
use crate::scripted::{Facts, rewritten_sender};
use crate::shadow::{Noted, Observer};
use crate::steps::canonical_sender;
use crate::submission::{self, is_raw};
use crate::tables::SystemTables;
use crate::trust::{SenderFault, Trusted, sender};
use crate::verdict::Verdict;
use address::{Address, Path};
use daemon::{Counters, clock, event};
use envelope::{BodyType, Control, IdSource, MessageId, TlsTerms, write_control};
use lookup::TableError;
use settings::Settings;
use spool::{InputFault, InputFile, Spool};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Everything that routing files needs.
#[derive(Debug)]
pub struct FileRouter {
    pub(crate) rules: Rules,
    pub(crate) tables: SystemTables,
    callers: TableCallers,
    trusted: Trusted,
    max_hops: u32,
    spool: Arc<Spool>,
    /// Ids that are in `queue/` and that the scheduler was not told of yet.
    pub(crate) arrived: Vec<String>,
    counters: Counters,
    ids: IdSource,
    heads: HeadReader,
    /// Kept between messages: the control file being written.
    control: Vec<u8>,
    /// Addresses routed in this process's life.
    pub(crate) addresses: u64,
    /// Where decisions are noted for a configuration that is tried.
    pub(crate) observer: Option<Observer>,
}

/// Why a file is not in `queue/` after all.
#[derive(Debug)]
enum Fault {
    /// Not there any more.
    Gone,
    /// To `deferred/`, with this reason.
    Aside(String),
    /// Stays in `router/`: the next scan brings it again.
    Later(String),
    /// Stays in `router/`: a table has not answered yet.
    Pending,
}

impl FileRouter {
    pub fn new(settings: &Arc<Settings>, callers: TableCallers, counters: Counters, spool: Arc<Spool>) -> Self {
        Self {
            rules: Rules::new(settings),
            tables: SystemTables::new(settings, &callers),
            callers,
            trusted: Trusted::new(settings),
            max_hops: settings.server.max_hops,
            spool,
            arrived: Vec::new(),
            counters,
            ids: IdSource::new((RandomState::new().hash_one(std::process::id()) & 0xffff_ffff) as u32),
            heads: HeadReader::default(),
            control: Vec::new(),
            addresses: 0,
            observer: None,
        }
    }

    pub(crate) fn callers(&self) -> &TableCallers {
        &self.callers
    }

    /// Takes new rules and tables into use.
    pub fn reload(&mut self, settings: &Arc<Settings>) {
        self.rules = Rules::new(settings);
        self.tables = SystemTables::new(settings, &self.callers);
        self.trusted = Trusted::new(settings);
        self.max_hops = settings.server.max_hops;
    }

    #[cfg(test)]
    pub fn trust(&mut self, trusted: Trusted) {
        self.trusted = trusted;
    }

    /// Routes one file. Whatever is wrong with it is dealt with here and never stops the next one.
    pub(crate) fn route_file(&mut self, name: &str, pass: Pass) -> Passed {
        self.tables.in_pass(pass);
        if pass.first {
            self.counters.add("files", 1);
        }
        match self.queue(name, pass) {
            Ok(()) | Err(Fault::Gone) => {}
            Err(Fault::Aside(reason)) => self.set_aside(name, &reason),
            Err(Fault::Later(reason)) => event!(Warning, "routing_delayed", name = name, reason = reason),
            Err(Fault::Pending) => return Passed::Pending,
        }
        Passed::Through
    }

    fn queue(&mut self, name: &str, pass: Pass) -> Result<(), Fault> {
        let input = self.spool.open_input(name).map_err(|fault| match fault {
            InputFault::Gone => Fault::Gone,
            InputFault::Unacceptable(reason) => Fault::Aside(reason),
            InputFault::Io(e) => Fault::Later(e.to_string()),
        })?;
        let head = self.heads.read(&input).map_err(|fault| match fault {
            HeadFault::Malformed(reason) => Fault::Aside(reason),
            HeadFault::Io(e) => Fault::Later(e.to_string()),
        })?;
        if head.envelope.length.is_some_and(|length| length != input.size) {
            return Err(Fault::Aside(format!("incomplete: the length line and the size of {} bytes differ", input.size)));
        }
        let trusted = self.trusted.contains(input.owner);
        let mut submitter = sender(&head.envelope, trusted, input.owner, &self.rules, &mut self.tables).map_err(|fault| match fault {
            SenderFault::Unknown(reason) => Fault::Aside(reason),
            SenderFault::Temporary(reason) => Fault::Later(reason),
            SenderFault::Pending if pass.last => Fault::Later("a table did not answer in time".to_owned()),
            SenderFault::Pending => Fault::Pending,
        })?;
        let facts = || Facts::of(&head.envelope, trusted, input.size.saturating_sub(head.offset as u64), arrival(&head, &input, trusted));
        if let Some(script) = &mut self.tables.script {
            script.facts = facts();
        }
        let noted = self.observer.as_ref().and_then(|_| Noted::message(&submitter.path, &head.envelope.recipients, facts()));
        submitter.path = match canonical_sender(submitter.path, &self.rules, &mut self.tables) {
            Ok(path) => path,
            Err(TableError::Pending) if !pass.last => return Err(Fault::Pending),
            Err(error) => return Err(Fault::Later(format!("the sender's canonical form: {error}"))),
        };
        let formed = rewritten_sender(submitter.path, &self.rules, &mut self.tables);
        submitter.path = match formed {
            Ok(path) => path,
            Err(TableError::Pending) if !pass.last => return Err(Fault::Pending),
            Err(error) => return Err(Fault::Later(format!("the sender's form by the script: {error}"))),
        };
        self.tables.age = head.envelope.arrived.filter(|_| trusted).map_or(Duration::ZERO, age);
        let now = clock::unix_micros();
        // A name that is an id is believed only of our own files: it fixes the time that expiry counts from.
        let named = MessageId::parse(&input.name).ok();
        let id = named.filter(|_| trusted).unwrap_or_else(|| self.ids.next(now));
        let unix_seconds = now / 1_000_000;
        // Where it is routed again, it is what it was.
        let message_id = is_raw(&head.envelope, trusted).then(|| format!("<{}@{}>", named.unwrap_or(id), self.rules.hostname));
        let content = self.heads.content(&head);
        let (base, eight_bit) = message_id.as_deref().map_or_else(Default::default, |message_id| {
            // In the form that his sender has by now.
            let user = submitter.user.as_ref().map(|own| submitter.path.address().unwrap_or(own)).map(Address::as_str);
            let from = submission::Sender { path: &submitter.path, user, message_id, unix_seconds };
            submission::changes(content, head.header, &head.envelope, &from, self.rules.submission)
        });
        let leaving = Leaving {
            header: content,
            base,
            crlf: head.envelope.bodytype == BodyType::Binary,
            forwarded: trusted && head.envelope.forwarded,
            unix_seconds,
        };
        let recipients = recipients(&head, &submitter.path, &leaving, self.max_hops, &self.rules, &mut self.tables);
        if recipients.pending && !pass.last {
            return Err(Fault::Pending);
        }
        if recipients.list.is_empty() {
            return Err(Fault::Aside("no recipient is left after routing".to_owned()));
        }
        if let Some((noted, observer)) = noted.zip(self.observer.as_ref()) {
            // Where there is no room, this one is not compared.
            let _ = observer.try_send(noted);
        }
        self.count(&recipients);
        let arrived = head.envelope.arrived.filter(|_| trusted).unwrap_or(id.unix_micros() / 1000);
        let control = control(id, arrived, input.size, head, submitter.path, recipients);
        let control = Control { smtputf8: control.smtputf8 || eight_bit, message_id: control.message_id.or(message_id), ..control };
        self.enqueue(&input, control)
    }

    fn count(&mut self, recipients: &Recipients) {
        let routed = recipients.list.len() as u64;
        self.addresses += routed;
        self.counters.add("addresses", routed);
        self.counters.add("errors", recipients.errors);
        self.counters.add("expanded", recipients.expanded);
    }

    fn enqueue(&mut self, input: &InputFile, mut control: Control) -> Result<(), Fault> {
        while let Err(e) = self.write(&input.name, &control) {
            match e.kind() {
                // An id that is in the queue already: this is another message, or the same one dropped again.
                io::ErrorKind::AlreadyExists => control.id = self.ids.next(clock::unix_micros()),
                io::ErrorKind::NotFound => return Err(Fault::Gone),
                _ => return Err(Fault::Later(e.to_string())),
            }
        }
        self.arrived.push(control.id.to_string());
        log(&control, &input.name, input.owner);
        Ok(())
    }

    fn write(&mut self, name: &str, control: &Control) -> io::Result<()> {
        self.control.clear();
        self.control.shrink_to(256 * 1024);
        write_control(control, &mut self.control);
        self.spool.enqueue(name, control.id, &self.control)
    }

    fn set_aside(&mut self, name: &str, reason: &str) {
        match self.spool.set_aside(name, reason) {
            Ok(()) => {
                self.counters.add("deferred_files", 1);
                event!(Warning, "deferred_file", id = name, reason = reason);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => event!(Error, "routing_delayed", name = name, reason = reason, error = e),
        }
    }
}

fn recipients(head: &Head, sender: &Path, leaving: &Leaving<'_>, max_hops: u32, rules: &Rules, tables: &mut SystemTables) -> Recipients {
    let wanted = &head.envelope.recipients;
    if u32::try_from(head.hops).unwrap_or(u32::MAX) >= max_hops {
        let text = format!("Too many hops: received {} times; a mail loop is likely", head.hops);
        return refuse_all(wanted, &Verdict::refused(4, 6, text));
    }
    route_all(wanted, sender, leaving, rules, tables)
}

fn control(id: MessageId, arrived: u64, size: u64, head: Head, sender: Path, recipients: Recipients) -> Control {
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
fn arrival(head: &Head, input: &InputFile, trusted: bool) -> u64 {
    let named = || MessageId::parse(&input.name).ok().map(|id| id.unix_micros() / 1000);
    let said = if trusted { head.envelope.arrived.or_else(named) } else { None };
    said.unwrap_or_else(|| clock::unix_micros() / 1000)
}

/// Since a moment in Unix milliseconds; none when clocks have jumped.
fn age(arrived: u64) -> Duration {
    Duration::from_millis((clock::unix_micros() / 1000).saturating_sub(arrived))
}

/// A dropped file begins its way here: its name, and whose it was.
fn log(control: &Control, name: &str, owner: u32) {
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
