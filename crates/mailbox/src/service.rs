//! The agent: jobs in, one result for each recipient out.

use crate::as_user;
use crate::delivery::{Copy, Mailbox};
use crate::original::Original;
use crate::pattern;
use crate::recipient::Recipient;
use crate::threads;
use crate::verdict::Verdict;
use daemon::Counters;
use ipc::agents::{Job, JobRecipient, RecipientResult, Report};
use nix::sys::signal::{SigSet, Signal};
use settings::{DeliveryKind, Settings, UserSource};
use status::{Outcome, Phase};
use std::fs::File;
use std::process::ExitCode;
use std::sync::Arc;

/// The program ta-mailbox, and its own child for deliveries as a user.
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((as_user::FLAG, rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return as_user::child(rest);
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

#[derive(Debug)]
pub struct Mailboxes {
    settings: Arc<Settings>,
    counters: Counters,
    rights: Rights,
}

impl Mailboxes {
    pub fn new(settings: Arc<Settings>, counters: Counters) -> Self {
        let rights = match (nix::unistd::geteuid().is_root(), &settings.local.users) {
            (false, _) => Rights::Own,
            (true, UserSource::Passwd) => Rights::EachRecipients,
            (true, _) => Rights::Nobodys,
        };
        Self { settings, counters, rights }
    }

    /// Delivers as the user who runs the tests, whoever that is.
    #[cfg(test)]
    pub fn as_own_user(settings: Arc<Settings>, counters: Counters) -> Self {
        Self { settings, counters, rights: Rights::Own }
    }

    fn recipient(&self, job: &Job, recipient: &JobRecipient, file: &File, original: &Original<'_>) -> (String, Verdict) {
        match self.mailbox(recipient) {
            Err(verdict) => ("-".to_owned(), verdict),
            Ok((mailbox, parsed)) => {
                let verdict = self.copy(job, recipient, &mailbox, &parsed, file, original);
                (mailbox.path().display().to_string(), verdict)
            }
        }
    }

    fn mailbox(&self, recipient: &JobRecipient) -> Result<(Mailbox, Recipient), Verdict> {
        let local = &self.settings.local;
        let mut parsed = Recipient::parse(&recipient.user, &recipient.attributes)?;
        if self.rights == Rights::EachRecipients {
            let (_, user) = as_user::identity(&parsed)?;
            parsed.home = Some(user.dir.to_string_lossy().into_owned());
        }
        let pattern = if local.delivery == DeliveryKind::Mbox { &local.mbox } else { &local.maildir };
        let path = pattern::expand(pattern, &parsed)?;
        let mailbox = Mailbox::new(local.delivery, path).ok_or_else(|| Verdict::deferred(3, 5, "local delivery goes by LMTP now"))?;
        Ok((mailbox, parsed))
    }

    fn copy(
        &self,
        job: &Job,
        recipient: &JobRecipient,
        mailbox: &Mailbox,
        parsed: &Recipient,
        file: &File,
        original: &Original<'_>,
    ) -> Verdict {
        let hostname = &self.settings.identity.hostname;
        match self.rights {
            Rights::Own => {
                let now = daemon::clock::unix_seconds();
                mailbox.deliver(&Copy { original, sender: &job.sender, address: &recipient.user, hostname, now })
            }
            Rights::EachRecipients => match as_user::identity(parsed) {
                Ok((identity, _)) => as_user::deliver(identity, mailbox, job, &recipient.user, hostname, file),
                Err(verdict) => verdict,
            },
            Rights::Nobodys => Verdict::deferred(3, 5, "nothing is delivered as root; set [local] user"),
        }
    }
}

impl Mailboxes {
    /// Delivers a job; every recipient gets a result.
    pub fn deliver(&self, job: &Job, message: &File) -> Report {
        self.counters.add("jobs", 1);
        let original = Original::open(message, job.body_offset, job.size);
        let mut results = Vec::with_capacity(job.recipients.len());
        for recipient in &job.recipients {
            let (remote, verdict) = match &original {
                Ok(original) => self.recipient(job, recipient, message, original),
                Err(e) => ("-".to_owned(), Verdict::of_error("the message", e)),
            };
            let verdict = verdict.clean();
            self.counters.add(counter(verdict.outcome), 1);
            if verdict.outcome == Outcome::Delivered {
                self.counters.add("bytes", job.size);
            }
            daemon::event!(
                Debug,
                "mailbox",
                id = job.message,
                to = recipient.user,
                path = remote,
                status = verdict.status,
                text = verdict.text
            );
            let Verdict { outcome, status, text } = verdict;
            results.push(RecipientResult::new(recipient.index, outcome, status, remote, text));
        }
        Report::new(job.number, Phase::Transaction, results)
    }
}

const fn counter(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Deferred => "deferred",
        Outcome::Failed => "failed",
    }
}
