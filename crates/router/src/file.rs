//! One file of `router/` on its way to `queue/` (S2 to S3), or aside to `deferred/`.

use crate::callers::TableCallers;
use crate::hand::Passed;
use crate::head::{Head, HeadFault, HeadReader};
use crate::parking::Pass;
use crate::queued;
use crate::recipients::Recipients;
use crate::rules::Rules;
use crate::scripted::Facts;
use crate::sender_form::formed_sender;
use crate::shadow::{Noted, Observer};
use crate::submission::is_raw;
use crate::tables::SystemTables;
use crate::trust::{SenderFault, Submitter, Trusted, sender};
use crate::verdict::Verdict;
use daemon::{Counters, clock, event};
use envelope::{Control, IdSource, MessageId, write_control};
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
        self.tables.reload(settings, &self.callers);
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
        let (input, mut head) = self.read(name)?;
        let trusted = self.trusted.contains(input.owner);
        if !trusted {
            head.of_a_stranger();
        }
        let mut submitter = self.submitter(&input, &head, trusted, pass)?;
        let arrival = || queued::arrival(&head, &input, trusted);
        let facts = || Facts::of(&head.envelope, trusted, input.size.saturating_sub(head.offset as u64), arrival());
        if let Some(script) = &mut self.tables.script {
            script.facts = facts();
        }
        let noted = self.observer.as_ref().and_then(|_| Noted::message(&submitter.path, &head.envelope.recipients, facts()));
        let mut verdict = None;
        let formed = match head.envelope.formed {
            true => Ok(None),
            false => formed_sender(&submitter.path, &self.rules, &mut self.tables),
        };
        match formed {
            Ok(form) => submitter.path = form.unwrap_or(submitter.path),
            Err(Verdict::Pending) if !pass.last => return Err(Fault::Pending),
            // Nothing can be decided by a sender who is not known: all recipients wait together.
            Err(trouble) => verdict = Some(trouble),
        }
        self.tables.age = head.envelope.arrived.filter(|_| trusted).map_or(Duration::ZERO, queued::age);
        let now = clock::unix_micros();
        // A name that is an id is believed only of our own files: it fixes the time that expiry counts from.
        let named = MessageId::parse(&input.name).ok();
        let id = named.filter(|_| trusted).unwrap_or_else(|| self.ids.next(now));
        // Where it is routed again, it is what it was.
        let message_id = is_raw(&head.envelope, trusted).then(|| format!("<{}@{}>", named.unwrap_or(id), self.rules.hostname));
        let unix_seconds = now / 1_000_000;
        let from = message_id.as_deref().map(|message_id| submitter.of_submission(message_id, unix_seconds));
        let content = self.heads.content(&head);
        let (leaving, eight_bit) = queued::leaving(content, &head, (trusted, unix_seconds), from, self.rules.submission);
        let recipients = queued::recipients(&head, &submitter.path, &leaving, (self.max_hops, verdict), &self.rules, &mut self.tables);
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
        if let Some(denied) = &submitter.denied {
            let owner = head.envelope.submitter.filter(|_| trusted).unwrap_or(input.owner);
            event!(Info, "sender_denied", id = id, claimed = denied, from = submitter.path, owner = owner);
        }
        let control = queued::control(id, arrived, input.size, head, submitter.path, recipients);
        let control = Control { smtputf8: control.smtputf8 || eight_bit, message_id: control.message_id.or(message_id), ..control };
        self.enqueue(&input, control)
    }

    fn read(&mut self, name: &str) -> Result<(InputFile, Head), Fault> {
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
        Ok((input, head))
    }

    /// Whose message it is. While that is not known the file stays where it is: what leaves `router/` is the suite's own, and
    /// could say anything.
    fn submitter(&mut self, input: &InputFile, head: &Head, trusted: bool, pass: Pass) -> Result<Submitter, Fault> {
        // Of what came over the socket it is that of who was at its other end.
        let (owner, believed) = match head.envelope.submitter.filter(|_| trusted) {
            Some(uid) => (uid, self.trusted.contains(uid)),
            None => (input.owner, trusted),
        };
        sender(&head.envelope, believed, owner, &self.rules, &mut self.tables).map_err(|fault| match fault {
            SenderFault::Unknown(reason) => Fault::Aside(reason),
            SenderFault::Temporary(reason) => Fault::Later(reason),
            SenderFault::Pending if pass.last => Fault::Later("a table did not answer in time".to_owned()),
            SenderFault::Pending => Fault::Pending,
        })
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
        queued::log(&control, &input.name, input.owner);
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
