//! A job: still held, or back to the routers.

use crate::probe::clean;
use crate::{Condition, Probe, Tables};
use address::{Address, Path};
use agent::Deliver;
use daemon::Counters;
use envelope::{Envelope, EnvelopeRecipient, MessageId, SENT_ON, UNFORMED};
use ipc::agents::{Handed, Job, JobRecipient, RecipientResult, Report};
use spool::{Notifier, Spool, Submitter};
use status::{Enhanced, Outcome, Phase};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a message is in the queue before it is resubmitted.
#[derive(Debug, Clone, Copy)]
pub struct Stay {
    /// At least.
    pub shortest: Duration,
    /// Where it waits for a table: after so long it is tried whatever the table says.
    pub longest: Duration,
    /// How often a table is asked.
    pub probe: Duration,
}

/// What came for a table that answers stays so long at least: a router may find trouble where no look does.
const SETTLED: Duration = Duration::from_secs(5);

/// Why a message does not go yet.
#[derive(Debug)]
struct Waits {
    text: String,
    /// Until it is looked at again; `None`: by the channel's policy.
    again: Option<Duration>,
    /// All that has this condition waits, until one look finds otherwise.
    together: bool,
}

impl From<String> for Waits {
    fn from(text: String) -> Self {
        Self { text, again: None, together: false }
    }
}

/// Holds and resubmits.
#[derive(Debug)]
pub struct Hold {
    probe: Probe,
    tables: Tables,
    stay: Stay,
    counters: Counters,
    submitter: Submitter,
    notifier: Notifier,
}
/// The trouble, if it is one, is here and not at the destination (RFC 3463 section 3.4).
const HELD: Enhanced = Enhanced::transient(3, 0);

impl Deliver for Hold {
    fn deliver(&mut self, job: &Job, message: &File) -> Report {
        self.counters.add("jobs", 1);
        let now = daemon::clock::unix_micros();
        let (mut again, mut phase) = (None, Phase::Transaction);
        let (outcome, status, text) = match self.decide(job, now) {
            Err(waits) => {
                self.counters.add("waiting", 1);
                if waits.together {
                    phase = Phase::Lookup;
                }
                again = waits.again.map(|wait| u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX));
                (Outcome::Deferred, HELD, waits.text)
            }
            Ok(()) => match self.resubmit(job, message) {
                Ok(id) => (Outcome::Delivered, Enhanced::success(0, 0), format!("routed again as {id}")),
                Err(e) => {
                    daemon::event!(Warning, "resubmission_failed", id = job.message, reason = e);
                    (Outcome::Deferred, HELD, format!("could not be routed again: {e}"))
                }
            },
        };
        // The new message carries the recipients' NOTIFY: whoever delivers it reports.
        let result = |r: &JobRecipient| RecipientResult {
            handed: Handed::Passed,
            retry_after: again,
            ..RecipientResult::new(r.index, outcome, status, "-", text.clone())
        };
        Report::new(job.number, phase, job.recipients.iter().map(result).collect())
    }
}

impl Hold {
    pub fn new(probe: Probe, tables: Tables, stay: Stay, counters: Counters, spool: Arc<Spool>, notifier: Notifier) -> Self {
        Self { probe, tables, stay, counters, submitter: Submitter::new(spool), notifier }
    }

    /// `Ok`: route it again. `Err`: what it waits for.
    fn decide(&mut self, job: &Job, now_micros: u64) -> Result<(), Waits> {
        let reason = match Condition::parse(&job.host) {
            Err(e) => return Err(e.to_string().into()),
            Ok(Condition::Admin) => return Err("held for the administrator".to_owned().into()),
            Ok(Condition::Until(moment)) if now_micros / 1_000_000 < moment => {
                return Err(format!("held until {}", message::date(moment)).into());
            }
            Ok(Condition::Table { name, reason }) => return self.for_table(job, &name, reason.as_deref(), now_micros),
            Ok(Condition::Now) => return Ok(()),
            Ok(Condition::Until(_)) => "its time has come".to_owned(),
            Ok(Condition::Age(age)) => {
                let until = (job.arrived / 1000).saturating_add(age);
                if now_micros / 1_000_000 < until {
                    return Err(format!("held until {}", message::date(until)).into());
                }
                "it is old enough".to_owned()
            }
            Ok(Condition::Lookup { name, kind }) => self.probe.lookup(&name, kind)?,
            Ok(Condition::Home(user)) => Probe::home(&user)?,
            Ok(Condition::Script { name, argument }) => self.probe.script(&name, argument.as_deref())?,
            // ZMailer's odds; each message has its own.
            Ok(Condition::Rest) if !now_micros.is_multiple_of(10) => {
                return Err("held while the disk is busy (one attempt in ten goes)".to_owned().into());
            }
            Ok(Condition::Rest) => "its turn has come".to_owned(),
            Ok(Condition::Retry(reason)) => reason.unwrap_or_else(|| "no reason given".to_owned()),
        };
        if stayed(job, now_micros) < self.stay.shortest {
            return Err(format!("held until the next attempt: {}", clean(&reason)).into());
        }
        Ok(())
    }

    /// What a table said no more of is asked for one of the recipients: any key will do.
    fn for_table(&mut self, job: &Job, name: &str, reason: Option<&str>, now_micros: u64) -> Result<(), Waits> {
        let stayed = stayed(job, now_micros);
        let key = job.recipients.first().map_or("", |recipient| recipient.user.as_str());
        match self.tables.answer(name, key) {
            Err(_) if stayed >= self.stay.longest => Ok(()),
            Err(text) => Err(Waits { text, again: Some(self.stay.probe), together: true }),
            Ok(answers) => {
                // Where the routers hold it again and again, it comes ever more rarely.
                let age = Duration::from_micros(now_micros).saturating_sub(Duration::from_millis(job.arrived));
                let least = (age / 8).clamp(SETTLED, self.stay.shortest.max(SETTLED));
                if stayed >= least {
                    return Ok(());
                }
                let text = format!("held for a moment: {answers}; before: {}", clean(reason.unwrap_or("no reason given")));
                Err(Waits { text, again: Some(least.saturating_sub(stayed)), together: false })
            }
        }
    }

    fn resubmit(&mut self, job: &Job, message: &File) -> io::Result<MessageId> {
        let envelope = envelope_of(job)?;
        let id = self.submitter.next_id();
        let mut draft = self.submitter.draft(id, &envelope)?;
        job.content(message)?.pass(message, &mut |bytes| draft.write(bytes))?;
        draft.commit()?;
        self.counters.add("resubmitted", 1);
        self.notifier.notice(id.as_str());
        daemon::event!(Info, "resubmitted", id = job.message, new = id, recipients = job.recipients.len());
        Ok(id)
    }
}

/// Since this copy came into the spool, which its id tells; `arrived` is older after a resubmission.
fn stayed(job: &Job, now_micros: u64) -> Duration {
    Duration::from_micros(now_micros.saturating_sub(MessageId::parse(&job.message).map_or(0, |id| id.unix_micros())))
}

fn envelope_of(job: &Job) -> io::Result<Envelope> {
    let address = |text: &str| Address::parse(text).map_err(|e| io::Error::other(format!("{e}: {text}")));
    let from = if job.sender.is_empty() { Path::Null } else { Path::Mailbox(address(&job.sender)?) };
    let recipient = |r: &JobRecipient| {
        let (text, via) = again(r);
        Ok(EnvelopeRecipient { address: address(text)?, dsn: r.dsn.clone(), via: via.map(str::to_owned) })
    };
    Ok(Envelope {
        bodytype: job.bodytype,
        smtputf8: job.smtputf8,
        envid: job.envid.clone(),
        ret: job.ret,
        terms: job.terms,
        arrived: Some(job.arrived),
        formed: !job.recipients.iter().any(|recipient| recipient.attributes == UNFORMED),
        from: Some(from),
        recipients: job.recipients.iter().map(recipient).collect::<io::Result<_>>()?,
        ..Envelope::default()
    })
}

/// The address to route again: what routing made of the original, unless that is no address, or only lost its detail
/// (`user+detail`). Never a list: it would be expanded for all its members. And what was done to come to it, which is not to
/// be done again.
fn again(recipient: &JobRecipient) -> (&str, Option<&str>) {
    let via = recipient.via.as_deref();
    let (user, Some(original)) = (recipient.user.as_str(), recipient.original.as_deref()) else { return (&recipient.user, via) };
    let Some((name, domain)) = user.rsplit_once('@') else {
        let same = original.rsplit_once('@').is_some_and(|(local, _)| local.eq_ignore_ascii_case(user));
        return (original, via.filter(|_| same));
    };
    let detailed = original.rsplit_once('@').is_some_and(|(long, at)| {
        let same = long.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        same && !long.get(name.len()..).unwrap_or_default().starts_with(|c: char| c.is_alphanumeric()) && at.eq_ignore_ascii_case(domain)
    });
    if detailed { (original, via) } else { (user, via.or(Some(SENT_ON))) }
}

#[cfg(test)]
#[path = "resubmit_tests.rs"]
mod tests;
