//! What an agent is told of a job.

use super::destination::Destination;
use super::entry::{Course, Recipient};
use super::{Model, Now};
use envelope::{Edits, Sender};
use ipc::agents::{Failure, Job, JobRecipient, Sharing};
use status::Enhanced;

impl Model {
    /// What the agent keeps to: jobs beyond the window wait there for a session.
    fn sharing(&self, destination: &Destination) -> Sharing {
        let site = self.sites.get(destination.site);
        Sharing {
            site: destination.site,
            sessions: site.map_or(0, |site| site.window.size()),
            messages: destination.rules.policy.messages_per_session,
        }
    }

    /// The frame of a job that has begun, without its header edits, and its approximate size.
    pub fn frame(&self, number: u64, now: Now) -> Option<(Job, usize)> {
        let job = self.jobs.get(&number)?;
        let message = self.messages.get(job.message)?;
        let destination: &Destination = self.destinations.get(job.destination)?;
        let members: Vec<&Recipient> = job.members.iter().filter_map(|p| message.recipients.get(*p as usize)).collect();
        let weight = members.iter().map(|recipient| recipient.weight()).sum::<usize>() + message.sender.len() + 300;
        let rare = message.rare.as_deref();
        // The owner of a list stands in for the sender (RFC 5321 section 3.9.2), in what goes out and for reports; but
        // what came from nobody must not yield reports to anybody, and a success is told to whoever asked for it.
        let course = self.shares.get(job.share).map_or(Course::Own, |share| share.members.course());
        let share = self.shares.get(job.share)?;
        let owner = message.owner(share.form);
        let alias = match message.shape(share.form).map(|shape| &shape.sender) {
            Some(Sender::Alias(address)) if course == Course::Own && !message.sender.is_empty() => Some(address.as_str()),
            _ => None,
        };
        // ENVID and RET are the sender's: another sender has not said them.
        let own = rare.filter(|_| owner.is_none());
        let retry_until = if course == Course::Warning { self.tried_until(job.message, &job.members, now) } else { 0 };
        let frame = Job {
            number,
            message: message.id.to_string(),
            channel: self.lanes.get(destination.lane as usize)?.name.clone(),
            host: destination.host.to_string(),
            sender: owner.map(|(owner, _)| owner).or(alias).unwrap_or(&message.sender).to_owned(),
            verp: owner.is_some_and(|(_, verp)| verp),
            body_offset: message.body_offset,
            size: message.size.saturating_add_signed(self.edits_of(message, share).map_or(0, |(_, _, more)| more)),
            edits: Edits::default(),
            arrived: message.arrived,
            bodytype: message.bodytype,
            smtputf8: message.smtputf8,
            envid: own.and_then(|rare| rare.envid.clone()),
            ret: own.and_then(|rare| rare.ret),
            terms: rare.map(|rare| rare.terms).unwrap_or_default(),
            sharing: self.sharing(destination),
            recipients: members.into_iter().map(|recipient| job_recipient(recipient, retry_until, now)).collect(),
        };
        Some((frame, weight))
    }
}

fn job_recipient(recipient: &Recipient, retry_until: u64, now: Now) -> JobRecipient {
    let extra = recipient.extra.as_deref();
    JobRecipient {
        index: recipient.offset,
        user: recipient.user.to_string(),
        attributes: extra.map_or("-", |extra| &extra.attributes).to_owned(),
        original: extra.and_then(|extra| extra.original.as_deref()).map(str::to_owned),
        via: extra.and_then(|extra| extra.via.as_deref()).map(str::to_owned),
        dsn: extra.map(|extra| extra.dsn.clone()).unwrap_or_default(),
        failure: recipient.course.reports().then(|| reported(recipient, retry_until, now)),
    }
}

/// What the report is to say about a recipient.
fn reported(recipient: &Recipient, retry_until: u64, now: Now) -> Failure {
    let late = recipient.course == Course::Warning;
    let Some(note) = recipient.note.as_deref() else {
        let text = if late { "it has not been tried yet" } else { "no reason is known" };
        return Failure { status: Enhanced::transient(0, 0), remote: "-".to_owned(), text: text.to_owned(), time: 0, retry_until };
    };
    // Equal answers are kept once, without their moments: of a delay it is not known.
    let time = if note.time == 0 && !late { now.wall_seconds() } else { note.time };
    Failure { status: note.status, remote: note.remote.to_string(), text: note.text.to_string(), time, retry_until }
}
