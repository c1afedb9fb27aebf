//! The agent: jobs in, one result for each recipient out.

use crate::deliverers::{Deliverers, IDLE};
use crate::onward::Onward;
use crate::recipient::Recipient;
use crate::task::{self, Prepared};
use crate::verdict::Verdict;
use crate::{account, as_user, local, manner, pattern, threads};
use address::Address;
use daemon::Counters;
use ipc::agents::{Handed, Job, JobRecipient, RecipientResult, Report};
use ipc::deliveries::{Answer, Copy, Manner};
use nix::sys::signal::{SigSet, Signal};
use settings::{DeliveryKind, Settings, UserSource};
use status::{Outcome, Phase};
use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use sys::Identity;

/// The program ta-mailbox, and its own child for deliveries as a user.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == as_user::FLAG) {
        return as_user::run();
    }
    let started = match daemon::start("ta-mailbox") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    survive_file_size_limit();
    let mailboxes = Mailboxes::new(Arc::clone(&started.settings), started.counters.clone());
    match threads::serve(started, mailboxes) {
        Ok(code) => code,
        Err(e) => {
            daemon::event!(Error, "agent_failed", reason = e);
            daemon::log::flush();
            ExitCode::from(daemon::EX_SOFTWARE)
        }
    }
}

/// A mailbox at the file size limit is an error of `write`, not the end of the process (SIGXFSZ).
pub fn survive_file_size_limit() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGXFSZ);
    let _ = set.thread_block();
}

/// How deliveries are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    /// As the user this process runs as.
    Own,
    /// As each recipient.
    EachRecipients,
    /// Root may not deliver, and there is nobody to become.
    Nobodys,
}

const NOT_AS_ROOT: &str = "nothing is delivered as root; set [local] user";

#[derive(Debug)]
pub struct Mailboxes {
    settings: Arc<Settings>,
    manner: Manner,
    counters: Counters,
    rights: Rights,
    deliverers: Deliverers,
    onward: Onward,
}

impl Mailboxes {
    pub fn new(settings: Arc<Settings>, counters: Counters) -> Self {
        let rights = match (nix::unistd::geteuid().is_root(), &settings.local.users) {
            (false, _) => Rights::Own,
            (true, UserSource::Passwd) => Rights::EachRecipients,
            (true, _) => Rights::Nobodys,
        };
        Self::with(settings, counters, rights)
    }

    fn with(settings: Arc<Settings>, counters: Counters, rights: Rights) -> Self {
        let manner = manner::of(&settings);
        let (deliverers, onward) = (Deliverers::new(manner.clone()), Onward::new(Arc::clone(&settings)));
        Self { settings, manner, counters, rights, deliverers, onward }
    }

    /// Delivers as the user who runs the tests, whoever that is.
    #[cfg(test)]
    pub fn as_own_user(settings: Arc<Settings>, counters: Counters) -> Self {
        Self::with(settings, counters, Rights::Own)
    }

    /// Where the copy goes and whose rights it takes.
    fn prepare(&self, job: &Job, recipient: &JobRecipient) -> Result<(Copy, Option<Identity>, String), Verdict> {
        let local = &self.settings.local;
        let mut parsed = Recipient::parse(&recipient.user, &recipient.attributes)?;
        if let Some(wanted) = parsed.task.take() {
            let own = match self.rights {
                Rights::Own => true,
                Rights::EachRecipients => false,
                Rights::Nobodys => return Err(Verdict::deferred(3, 5, NOT_AS_ROOT)),
            };
            let Prepared { task, identity, user, home, shell } = task::prepare(wanted, own, &self.settings)?;
            let job = Job { recipients: vec![recipient.clone()], ..without_recipients(job) };
            let mailbox = task::place(&task);
            let copy = Copy { job, user, home, shell, detail: None, mailbox, forward: false, task: Some(task) };
            return Ok((copy, identity, parsed.domain));
        }
        let (identity, shell) = match self.rights {
            Rights::Own => (None, String::new()),
            Rights::Nobodys => return Err(Verdict::deferred(3, 5, NOT_AS_ROOT)),
            Rights::EachRecipients if parsed.account.as_deref() == Some("") => {
                (Some(account::of_local_user(local.user.as_deref())?), String::new())
            }
            Rights::EachRecipients => {
                let (identity, user) = account::of(&parsed)?;
                if parsed.account.is_none() || parsed.home.is_none() {
                    parsed.home = Some(user.dir.to_string_lossy().into_owned());
                }
                (Some(identity), user.shell.to_string_lossy().into_owned())
            }
        };
        let pattern = if local.delivery == DeliveryKind::Mbox { &local.mbox } else { &local.maildir };
        let path = pattern::expand(pattern, &parsed)?;
        let mailbox = manner::place(local.delivery, &path).ok_or_else(|| Verdict::deferred(3, 5, "local delivery goes by LMTP now"))?;
        let job = Job { recipients: vec![recipient.clone()], ..without_recipients(job) };
        let Recipient { user, domain, home, detail, account, .. } = parsed;
        // Nobody of a virtual domain has a login to write a `.forward` with.
        let forward = local.forward && account.as_deref() != Some("");
        Ok((Copy { job, user, home, shell, detail, mailbox, forward, task: None }, identity, domain))
    }

    fn recipient(&self, job: &Job, recipient: &JobRecipient, message: &File) -> Done {
        match self.prepare(job, recipient) {
            Err(verdict) => Done { answer: verdict.into(), handed: Handed::Delivered },
            Ok((copy, identity, domain)) => self.copy(job, recipient, copy, identity.as_ref(), &domain, message),
        }
    }

    fn copy(&self, job: &Job, recipient: &JobRecipient, copy: Copy, identity: Option<&Identity>, domain: &str, message: &File) -> Done {
        let user = copy.user.clone();
        let again = Copy { forward: false, ..copy.clone() };
        let mut answer = self.one(copy, identity, message);
        let addresses = std::mem::take(&mut answer.addresses);
        if addresses.is_empty() || answer.outcome == Outcome::Deferred {
            return Done { answer, handed: Handed::Delivered };
        }
        let (own, others) = match self.onward.split(addresses, &user, domain) {
            Ok(split) => split,
            Err(fault) => return Done { answer: self.instead(again, identity, message, fault), handed: Handed::Delivered },
        };
        if own {
            let mailbox = self.one(again.clone(), identity, message);
            if mailbox.outcome != Outcome::Delivered {
                return Done { answer: mailbox, handed: Handed::Delivered };
            }
            if answer.outcome != Outcome::Failed && !answer.kept {
                (answer.text, answer.place) = (mailbox.text, mailbox.place);
            }
            answer.kept = true;
        }
        self.send_on(job, recipient, others, answer, message)
            .unwrap_or_else(|why| Done { answer: self.instead(again, identity, message, why), handed: Handed::Delivered })
    }

    /// Durable before it is reported. `Err`: this agent has no way into the spool at all.
    fn send_on(&self, job: &Job, recipient: &JobRecipient, to: Vec<Address>, mut answer: Answer, file: &File) -> Result<Done, String> {
        let (count, alone) = (to.len(), to.len() == 1 && !answer.kept);
        if count == 0 {
            return Ok(Done { answer, handed: Handed::Delivered });
        }
        match self.onward.submit(job, recipient, to, alone, file) {
            Ok(id) => {
                self.counters.add("forwarded", count as u64);
                daemon::event!(Info, "forwarded", id = job.message, to = recipient.user, new = id, addresses = count);
                if answer.outcome == Outcome::Delivered {
                    let before = if answer.kept { format!("{}, ", answer.text) } else { String::new() };
                    answer.text = format!("{before}forwarded as {id}");
                }
                Ok(Done { answer, handed: if alone { Handed::Passed } else { Handed::Expanded } })
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                let why = format!("this agent may not send mail on: {e}");
                if !answer.kept {
                    return Err(why);
                }
                answer.warning = Some(why);
                Ok(Done { answer, handed: Handed::Delivered })
            }
            Err(e) => Ok(Done { answer: Verdict::of_error("sending on", &e).into(), handed: Handed::Delivered }),
        }
    }

    /// The mailbox instead of what the `.forward` says.
    fn instead(&self, copy: Copy, identity: Option<&Identity>, message: &File, why: String) -> Answer {
        Answer { warning: Some(format!(".forward: {why}")), ..self.one(copy, identity, message) }
    }

    fn one(&self, copy: Copy, identity: Option<&Identity>, message: &File) -> Answer {
        match identity {
            Some(identity) => self.deliverers.deliver(identity, copy, message),
            None => local::deliver(&copy, &self.manner, message),
        }
    }

    /// Ends processes that have waited long enough; when to come again.
    pub fn sweep(&self) -> Option<Duration> {
        self.deliverers.sweep(Instant::now()).then_some(IDLE)
    }
}

/// What became of a recipient.
struct Done {
    answer: Answer,
    handed: Handed,
}

/// The job of all recipients, for one of them.
fn without_recipients(job: &Job) -> Job {
    Job {
        number: job.number,
        message: job.message.clone(),
        channel: job.channel.clone(),
        host: job.host.clone(),
        sender: job.sender.clone(),
        verp: job.verp,
        body_offset: job.body_offset,
        size: job.size,
        edits: job.edits.clone(),
        arrived: job.arrived,
        bodytype: job.bodytype,
        smtputf8: job.smtputf8,
        envid: job.envid.clone(),
        ret: job.ret,
        terms: job.terms,
        sharing: job.sharing,
        recipients: Vec::new(),
    }
}

impl Mailboxes {
    /// Delivers a job; every recipient gets a result.
    pub fn deliver(&self, job: &Job, message: &File) -> Report {
        self.counters.add("jobs", 1);
        let results = job.recipients.iter().map(|recipient| self.result(job, recipient, message)).collect();
        Report::new(job.number, Phase::Transaction, results)
    }

    fn result(&self, job: &Job, recipient: &JobRecipient, message: &File) -> RecipientResult {
        let Done { answer, handed } = self.recipient(job, recipient, message);
        let Answer { outcome, status, text, place, warning, .. } = answer;
        self.counters.add(counter(outcome), 1);
        if outcome == Outcome::Delivered {
            self.counters.add("bytes", job.size);
        }
        if let Some(why) = warning {
            self.counters.add("forward_refused", 1);
            daemon::event!(Warning, "forward_not_used", id = job.message, to = recipient.user, reason = why);
        }
        daemon::event!(Debug, "mailbox", id = job.message, to = recipient.user, path = place, status = status, text = text);
        let mut result = RecipientResult::new(recipient.index, outcome, status, place, text);
        result.handed = handed;
        result
    }
}

const fn counter(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Deferred => "deferred",
        Outcome::Failed => "failed",
    }
}
