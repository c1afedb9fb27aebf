//! Jobs whose recipients have senders of their own ([`Job::verp`]), for agents that know one sender for each job: their
//! recipients come one after the other. So such a job takes one credit and one place at its destination like any other, and
//! its parts find the session of those before them.

use ipc::agents::{Job, JobRecipient, RecipientResult, Report};
use status::Phase;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

/// A job, and the message it is about.
pub type Given = (Job, Arc<File>);

/// What has not begun of jobs that have.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// By the number of the job; its recipients in the reverse order.
    rest: HashMap<u64, Given>,
}

impl Parts {
    /// A job that has come, or its first part.
    pub fn begin(&mut self, (mut job, file): Given) -> Given {
        if !job.verp {
            return (job, file);
        }
        job.recipients.reverse();
        match part(&mut job) {
            None => (job, file),
            Some(first) => {
                let first = (first, Arc::clone(&file));
                self.keep((job, file));
                first
            }
        }
    }

    /// The part that follows the one of this report. Who was not reached would not be reached for the others either: then the
    /// report tells the same of them.
    pub fn ended(&mut self, report: &mut Report) -> Option<Given> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut job, file) = self.rest.remove(&report.job)?;
        if let Some(last) = report.results.last().filter(|_| report.phase != Phase::Transaction).cloned() {
            let same = |recipient: &JobRecipient| RecipientResult { index: recipient.index, ..last.clone() };
            report.results.extend(job.recipients.iter().map(same));
            return None;
        }
        let next = (part(&mut job)?, Arc::clone(&file));
        self.keep((job, file));
        Some(next)
    }

    fn keep(&mut self, (job, file): Given) {
        if !job.recipients.is_empty() {
            self.rest.insert(job.number, (job, file));
        }
    }
}

/// The last recipient of a job, as a job with the sender that is its own.
fn part(job: &mut Job) -> Option<Job> {
    let recipient = job.recipients.pop()?;
    let others = std::mem::take(&mut job.recipients);
    let sender = envelope::verp(&job.sender, &recipient.user);
    let part = Job { sender, verp: false, recipients: vec![recipient], ..job.clone() };
    job.recipients = others;
    Some(part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use status::{Enhanced, Outcome};

    fn job(number: u64, verp: bool) -> Given {
        let recipient = |index: u32| JobRecipient {
            index,
            user: format!("u{index}@d.example"),
            attributes: String::new(),
            original: None,
            via: None,
            dsn: Default::default(),
            failure: None,
        };
        let job = Job {
            number,
            message: "0123456789abcdef".into(),
            channel: "smtp".into(),
            host: "-".into(),
            sender: "l-owner@l.example".into(),
            verp,
            edits: envelope::Edits::default(),
            body_offset: 0,
            size: 0,
            arrived: 0,
            bodytype: Default::default(),
            smtputf8: false,
            envid: None,
            ret: None,
            terms: Default::default(),
            sharing: Default::default(),
            recipients: (1..=3).map(recipient).collect(),
        };
        (job, Arc::new(File::open("/dev/null").unwrap()))
    }

    fn report(part: &Job, phase: Phase) -> Report {
        let result = |r: &JobRecipient| RecipientResult::new(r.index, Outcome::Deferred, Enhanced::transient(4, 1), "-", "why");
        Report::new(part.number, phase, part.recipients.iter().map(result).collect())
    }

    #[test]
    fn one_after_the_other_each_with_its_sender() {
        let mut parts = Parts::default();
        let mut seen = Vec::new();
        let mut next = Some(parts.begin(job(7, true)).0);
        while let Some(part) = next {
            assert!(!part.verp && part.recipients.len() == 1);
            let mut report = report(&part, Phase::Transaction);
            next = parts.ended(&mut report).map(|(part, _)| part);
            assert_eq!(report.results.len(), 1);
            seen.push((part.sender, part.recipients.first().unwrap().index));
        }
        let of = |index: u32| (format!("l-owner+u{index}=d.example@l.example"), index);
        assert_eq!(seen, [of(1), of(2), of(3)]);
        assert!(parts.rest.is_empty());
    }

    #[test]
    fn who_was_not_reached_is_not_tried_for_each() {
        let mut parts = Parts::default();
        let first = parts.begin(job(7, true)).0;
        let mut report = report(&first, Phase::Connect);
        assert!(parts.ended(&mut report).is_none() && parts.rest.is_empty());
        let mut told: Vec<(u32, &str)> = report.results.iter().map(|result| (result.index, result.text.as_str())).collect();
        told.sort_unstable();
        assert_eq!(told, [(1, "why"), (2, "why"), (3, "why")]);
    }

    #[test]
    fn other_jobs_stay_whole() {
        let mut parts = Parts::default();
        let whole = parts.begin(job(8, false)).0;
        assert_eq!((whole.recipients.len(), parts.rest.len()), (3, 0));
        assert!(parts.ended(&mut report(&whole, Phase::Connect)).is_none());
    }
}
