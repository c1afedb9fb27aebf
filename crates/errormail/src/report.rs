//! From a job to a report in the spool.

use address::{Address, Path};
use agent::Deliver;
use daemon::Counters;
use dsn::{Action, Notification, Original, Returned, Templates};
use envelope::{BodyType, Envelope, EnvelopeRecipient, MessageId, Notify, RecipientDsn, Ret};
use ipc::agents::{Job, JobRecipient, RecipientResult, Report};
use settings::Settings;
use spool::{Notifier, Spool, Submitter};
use status::{Class, Enhanced, Outcome, Phase};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Sends reports.
#[derive(Debug)]
pub struct Errormail {
    settings: Arc<Settings>,
    templates: Templates,
    counters: Counters,
    submitter: Submitter,
    notifier: Notifier,
}
/// What one report is sent with.
struct Letter {
    to: Address,
    /// The sender, where this is the postmaster's copy.
    copy_of: Option<String>,
    double: bool,
}
/// The original's header is looked at this far for its Message-ID.
const HEADER_LOOK: usize = 64 * 1024;

/// Who gets the report, or why nobody does.
enum Addressee {
    Sender(Address),
    Postmaster(Address),
    Nobody(&'static str),
}
/// The headers and body of the message of a job.
struct Content<'a> {
    file: &'a File,
    content: ipc::Content,
}

impl Deliver for Errormail {
    fn deliver(&mut self, job: &Job, message: &File) -> Report {
        self.counters.add("jobs", 1);
        let content = match job.content(message) {
            Ok(content) => Content { file: message, content },
            Err(e) => return self.result(job, Err(e)),
        };
        let action = action(&job.host);
        let traced = job.terms.deliver_by.is_some_and(|by| by.trace);
        let due: Vec<&JobRecipient> = job.recipients.iter().filter(|r| wants(action, traced, &r.dsn)).collect();
        let sent = match self.addressee(job, action, &content) {
            _ if due.is_empty() => Ok(self.suppress(job, action, "NOTIFY does not ask for it")),
            Ok(Addressee::Nobody(reason)) => Ok(self.suppress(job, action, reason)),
            Ok(Addressee::Sender(to)) => self.tell(job, action, &content, &due, to),
            Ok(Addressee::Postmaster(to)) => self.send(job, action, &content, &due, &Letter { to, copy_of: None, double: true }),
            Err(e) => Err(e),
        };
        self.result(job, sent)
    }
}

impl Errormail {
    pub fn new(settings: Arc<Settings>, templates: Templates, counters: Counters, spool: Arc<Spool>, notifier: Notifier) -> Self {
        Self { settings, templates, counters, submitter: Submitter::new(spool), notifier }
    }

    fn addressee(&self, job: &Job, action: Action, content: &Content<'_>) -> io::Result<Addressee> {
        if !job.sender.is_empty() {
            return Ok(Address::parse(&job.sender).map_or(Addressee::Nobody("the sender is no address"), Addressee::Sender));
        }
        if action != Action::Failed || !self.settings.bounce.double_to_postmaster {
            return Ok(Addressee::Nobody("the sender is <>"));
        }
        let header = content.header()?;
        if message::fields(&header).any(|field| field.is(Notification::DOUBLE_BOUNCE)) {
            return Ok(Addressee::Nobody("a report about a report failed"));
        }
        Ok(Address::parse(&self.settings.identity.postmaster).map_or(Addressee::Nobody("no postmaster"), Addressee::Postmaster))
    }

    /// The sender's report, and the postmaster's copy where he wants it. A copy that cannot be submitted is let go: the
    /// sender would get his report twice.
    fn tell(&mut self, job: &Job, action: Action, content: &Content<'_>, due: &[&JobRecipient], to: Address) -> io::Result<String> {
        let sender = to.to_string();
        let text = self.send(job, action, content, due, &Letter { to, copy_of: None, double: false })?;
        let wanted = self.settings.bounce.copy_to_postmaster.iter().any(|kind| kind == action.word());
        if let (true, Ok(to)) = (wanted, Address::parse(&self.settings.identity.postmaster)) {
            let letter = Letter { to, copy_of: Some(sender), double: false };
            if let Err(e) = self.send(job, action, content, due, &letter) {
                daemon::event!(Warning, "copy_failed", id = job.message, reason = e);
            }
        }
        Ok(text)
    }

    /// Composes and submits; the text for the recipients' results.
    fn send(&mut self, job: &Job, action: Action, content: &Content<'_>, due: &[&JobRecipient], letter: &Letter) -> io::Result<String> {
        let id = self.submitter.next_id();
        let hostname = self.settings.identity.hostname.clone();
        let recipients: Vec<dsn::Recipient> = due.iter().map(|recipient| described(recipient, action, &hostname)).collect();
        let message_id = content.message_id()?;
        let templates = self.templates.clone();
        let notification = Notification {
            hostname: &hostname,
            id: id.as_str(),
            original_id: &job.message,
            to: letter.to.as_str(),
            copy_of: letter.copy_of.as_deref(),
            date: daemon::clock::unix_seconds(),
            arrived: job.arrived / 1000,
            envid: job.envid.as_deref(),
            message_id: message_id.as_deref(),
            smtputf8: job.smtputf8,
            returned: self.returned(job, action, letter),
            double_bounce: letter.double,
            recipients: &recipients,
            templates: &templates,
        };
        self.submit(id, &notification, content)?;
        self.notifier.notice(id.as_str());
        self.sent(job, action, id, letter, due.len());
        Ok(format!("report sent as {id}"))
    }

    fn sent(&self, job: &Job, action: Action, id: MessageId, letter: &Letter, recipients: usize) {
        let (event, counter) = match action {
            _ if letter.copy_of.is_some() => ("report_copied", "copies"),
            Action::Failed => ("bounced", "bounces"),
            Action::Delayed => ("reported", "delays"),
            Action::Delivered | Action::Relayed | Action::Expanded => ("reported", "successes"),
        };
        self.counters.add(counter, 1);
        daemon::event!(Info, event, id = job.message, new = id, kind = action.word(), to = letter.to, recipients = recipients);
    }

    fn submit(&mut self, id: MessageId, notification: &Notification<'_>, content: &Content<'_>) -> io::Result<()> {
        let prepared = dsn::prepare(notification, content)?;
        let to = Address::parse(notification.to).map_err(io::Error::other)?;
        let envelope = Envelope {
            channel: Some("error".to_owned()),
            errormsg: true,
            from: Some(Path::Null),
            bodytype: if prepared.eight_bit() { BodyType::EightBit } else { BodyType::SevenBit },
            smtputf8: prepared.smtputf8(),
            recipients: vec![EnvelopeRecipient::new(to, RecipientDsn::default())],
            ..Envelope::default()
        };
        let mut draft = self.submitter.draft(id, &envelope)?;
        prepared.write(&mut |bytes| draft.write(bytes))?;
        draft.commit().map(|_| ())
    }

    /// Whole only after a failure (RFC 3461 section 4.3), as RET and `[bounce] max_returned` let it.
    fn returned(&self, job: &Job, action: Action, letter: &Letter) -> Returned {
        let limit = self.settings.bounce.max_returned;
        let short = job.ret == Some(Ret::Headers) || job.size > limit || letter.copy_of.is_some();
        if short || action != Action::Failed { Returned::Headers { limit } } else { Returned::Full }
    }

    fn suppress(&self, job: &Job, action: Action, reason: &str) -> String {
        self.counters.add("suppressed", 1);
        daemon::event!(Info, "bounce_suppressed", id = job.message, kind = action.word(), reason = reason);
        format!("no report: {reason}")
    }

    /// All recipients share what became of the report.
    fn result(&self, job: &Job, sent: io::Result<String>) -> Report {
        let (outcome, status, text) = match sent {
            Ok(text) => (Outcome::Delivered, Enhanced::success(0, 0), text),
            Err(e) => {
                self.counters.add("deferred", 1);
                daemon::event!(Warning, "bounce_failed", id = job.message, reason = e);
                (Outcome::Deferred, Enhanced::transient(3, 0), format!("the report could not be submitted: {e}"))
            }
        };
        let result = |r: &JobRecipient| RecipientResult::new(r.index, outcome, status, "-", text.clone());
        Report::new(job.number, Phase::Transaction, job.recipients.iter().map(result).collect())
    }
}

/// What a host of channel `error` asks for.
fn action(host: &str) -> Action {
    match host {
        "delay" => Action::Delayed,
        "delivered" => Action::Delivered,
        "relayed" => Action::Relayed,
        "expanded" => Action::Expanded,
        _ => Action::Failed,
    }
}

/// Does the sender want such a report (RFC 3461 section 4.1)? Where nothing is said: of failures, and of delays where
/// the scheduler's policy says so. A trace (RFC 2852) is wanted of relays whatever NOTIFY says but NEVER.
fn wants(action: Action, traced: bool, dsn: &RecipientDsn) -> bool {
    let said = |flag: fn(&Notify) -> bool, otherwise: bool| dsn.notify.as_ref().map_or(otherwise, flag);
    let never = said(|notify| notify.never, false);
    !never
        && match action {
            Action::Failed => said(|notify| notify.failure, true),
            Action::Delayed => said(|notify| notify.delay, true),
            Action::Relayed => traced || said(|notify| notify.success, false),
            Action::Delivered | Action::Expanded => said(|notify| notify.success, false),
        }
}

fn described(recipient: &JobRecipient, action: Action, hostname: &str) -> dsn::Recipient {
    let failure = recipient.failure.as_ref();
    let address = match (&recipient.original, recipient.user.contains('@')) {
        (_, true) => recipient.user.clone(),
        (Some(original), false) => original.clone(),
        // A user name without domain: local here.
        (None, false) => format!("{}@{hostname}", recipient.user),
    };
    // The class of the status goes by the action (RFC 3464 section 2.3.4).
    let class = match action {
        Action::Failed => Class::Permanent,
        Action::Delayed => Class::Transient,
        Action::Delivered | Action::Relayed | Action::Expanded => Class::Success,
    };
    dsn::Recipient {
        address,
        original: recipient.original.clone(),
        orcpt: recipient.dsn.orcpt.clone(),
        action,
        status: Enhanced { class, ..failure.map_or(Enhanced::permanent(0, 0), |f| f.status) },
        remote: failure.map_or_else(|| "-".to_owned(), |f| f.remote.clone()),
        text: failure.map_or_else(|| "no reason was given".to_owned(), |f| f.text.clone()),
        last_attempt: failure.map_or(0, |f| f.time),
        retry_until: failure.map_or(0, |f| f.retry_until),
    }
}

impl Content<'_> {
    /// The beginning of the message, where its header is.
    fn header(&self) -> io::Result<Vec<u8>> {
        let mut header = vec![0; HEADER_LOOK.min(usize::try_from(self.content.size()).unwrap_or(HEADER_LOOK))];
        let length = self.content.read_at(self.file, &mut header, 0)?;
        header.truncate(length);
        Ok(header)
    }
    fn message_id(&self) -> io::Result<Option<String>> {
        let header = self.header()?;
        Ok(message::fields(&header).find(|field| field.is("Message-ID")).map(|field| field.text()))
    }
}
impl Original for Content<'_> {
    fn pass(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.content.pass(self.file, sink)
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
