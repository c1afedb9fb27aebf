//! Which job is next: round robin over the destinations of a channel, and inside a destination over its messages.

use super::destination::{Destination, Signal};
use super::entry::{Message, Recipient, State};
use super::note::Note;
use super::{Model, Now};
use envelope::MessageId;
use ipc::agents::{Failure, Job, JobRecipient, RecipientResult, Report};
use status::{Enhanced, Outcome, Phase};
use std::rc::Rc;

/// A job's recipients take at most so many bytes: with the rest of it, one always fits into a frame.
const MOST_BYTES: usize = 80 * 1024;
/// Jobs of channel `discard` done in one turn.
const DISCARD: usize = 200;

/// A job that has begun: the loop opens the message and sends [`Model::frame`] to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedJob {
    pub number: u64,
    pub agent: u64,
    pub id: MessageId,
    /// More of the message waits for other jobs.
    pub more: bool,
}

#[derive(Debug)]
pub struct JobState {
    pub agent: u64,
    pub message: u32,
    pub share: u32,
    pub destination: u32,
    /// Those without a result.
    pub members: Vec<u32>,
    pub signal: Signal,
    /// Why the destination could not be reached.
    pub note: Option<Rc<Note>>,
}

impl Model {
    /// A turn of [`Model::dispatch`] ended before the work did.
    pub fn discards_wait(&self) -> bool {
        let lane = self.lane_names.get("discard").and_then(|key| self.lanes.get(*key as usize));
        !self.frozen && !self.draining && lane.is_some_and(|lane| !lane.round.is_empty())
    }

    /// Begins at most `room` jobs.
    pub fn dispatch(&mut self, room: usize, now: Now) -> Vec<StartedJob> {
        let mut started = Vec::new();
        if self.frozen || self.draining {
            return started;
        }
        let lanes = self.lanes.len();
        for step in 0..lanes {
            self.serve_lane((self.next_lane + step) % lanes, room, &mut started, now);
        }
        self.next_lane = (self.next_lane + 1) % lanes.max(1);
        started
    }

    fn serve_lane(&mut self, lane_index: usize, room: usize, started: &mut Vec<StartedJob>, now: Now) {
        let discard = self.lanes.get(lane_index).is_some_and(|lane| lane.name == "discard");
        let mut discarded = 0;
        while started.len() < room && discarded < DISCARD {
            let Some(key) = self.lanes.get_mut(lane_index).and_then(|lane| lane.round.pop_front()) else { return };
            let Some(destination) = self.destinations.get_mut(key) else { continue };
            destination.listed = false;
            if !destination.eligible(now.tick()) {
                continue;
            }
            let (lane, last) = (destination.lane, destination.agent);
            let agent = if discard { Some(0) } else { self.pick_agent(lane, last) };
            let Some(agent) = agent else {
                self.put_first(lane_index, key);
                self.want_agent(lane_index, now);
                return;
            };
            if let Some(job) = self.begin(key, agent, now) {
                if discard {
                    discarded += 1;
                    self.discard(job.number, now);
                } else {
                    started.push(job);
                }
            }
            self.list(key, now);
        }
    }

    fn put_first(&mut self, lane_index: usize, key: u32) {
        if let (Some(lane), Some(destination)) = (self.lanes.get_mut(lane_index), self.destinations.get_mut(key)) {
            lane.round.push_front(key);
            destination.listed = true;
        }
    }

    /// The next share of a destination that still has something to do. Shares are taken out of the queue lazily: one
    /// that was held, deleted or done meanwhile is passed over here.
    fn next_share(&mut self, key: u32) -> Option<u32> {
        let destination = self.destinations.get_mut(key)?;
        while let Some(candidate) = destination.dequeue() {
            let Some(share) = self.shares.get_mut(candidate) else { continue };
            if share.destination != key || !share.queued {
                continue;
            }
            share.queued = false;
            if share.ready > 0 {
                return Some(candidate);
            }
        }
        None
    }

    fn begin(&mut self, key: u32, agent: u64, now: Now) -> Option<StartedJob> {
        let share_key = self.next_share(key)?;
        let members = self.collect(share_key);
        for position in &members {
            self.set_state(share_key, *position, State::Active);
        }
        let share = self.shares.get_mut(share_key)?;
        share.turned = true;
        share.attempted = true;
        let message = share.message;
        self.queue_share(share_key, now);
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.active += 1;
            destination.agent = agent;
        }
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.credits = agent.credits.saturating_sub(1);
            agent.active += 1;
        }
        self.job_number += 1;
        self.counters.add("jobs", 1);
        let job = JobState { agent, message, share: share_key, destination: key, members, signal: Signal::Nothing, note: None };
        self.jobs.insert(self.job_number, job);
        let message = self.messages.get(message)?;
        let more = self.shares_of_ready(message);
        Some(StartedJob { number: self.job_number, agent, id: message.id, more })
    }

    fn shares_of_ready(&self, message: &Message) -> bool {
        let mut next = message.shares;
        while let Some(share) = self.shares.get(next) {
            if share.ready > 0 {
                return true;
            }
            next = share.sibling;
        }
        false
    }

    /// The next ready members of a share, as many as a job takes.
    fn collect(&mut self, share_key: u32) -> Vec<u32> {
        let most = self.limits.recipients_per_job.max(1) as usize;
        let Some(share) = self.shares.get_mut(share_key) else { return Vec::new() };
        let Some(message) = self.messages.get(share.message) else { return Vec::new() };
        let (count, course, want) = (share.members.len(), share.members.course(), most.min(share.ready as usize));
        let mut found = Vec::with_capacity(want);
        let mut bytes = 0;
        for _ in 0..count {
            let position = share.members.at(share.cursor);
            let recipient = position.and_then(|position| message.recipients.get(position as usize));
            if let (Some(position), Some(recipient)) = (position, recipient)
                && recipient.state == State::Ready
                && recipient.course == course
            {
                bytes += recipient.weight();
                if bytes > MOST_BYTES && !found.is_empty() {
                    break;
                }
                found.push(position);
            }
            share.cursor = if share.cursor + 1 >= count { 0 } else { share.cursor + 1 };
            if found.len() >= want {
                break;
            }
        }
        found
    }

    /// Channel `discard` needs no agent: delivered as soon as it would begin.
    fn discard(&mut self, number: u64, now: Now) {
        let Some(job) = self.jobs.get(&number) else { return };
        let offsets = job.members.iter().filter_map(|p| self.recipient(job.message, *p)).map(|r| r.offset);
        let results =
            offsets.map(|index| RecipientResult::new(index, Outcome::Delivered, Enhanced::success(0, 0), "-", "discarded")).collect();
        self.report(0, &Report::new(number, Phase::Transaction, results), now);
    }

    /// The frame of a job that has begun, with its approximate size.
    pub fn frame(&self, number: u64, now: Now) -> Option<(Job, usize)> {
        let job = self.jobs.get(&number)?;
        let message = self.messages.get(job.message)?;
        let destination: &Destination = self.destinations.get(job.destination)?;
        let members: Vec<&Recipient> = job.members.iter().filter_map(|p| message.recipients.get(*p as usize)).collect();
        let weight = members.iter().map(|recipient| recipient.weight()).sum::<usize>() + message.sender.len() + 300;
        let rare = message.rare.as_deref();
        // The owner of a list stands in for the sender (RFC 5321 section 3.9.2), in what goes out and for reports; but
        // what came from nobody must not yield reports to anybody.
        let owner = rare.and_then(|rare| rare.errors_to.as_deref()).filter(|_| !message.sender.is_empty());
        let frame = Job {
            number,
            message: message.id.to_string(),
            channel: self.lanes.get(destination.lane as usize)?.name.clone(),
            host: destination.host.to_string(),
            sender: owner.unwrap_or(&message.sender).to_owned(),
            body_offset: message.body_offset,
            size: message.size,
            arrived: message.arrived,
            bodytype: message.bodytype,
            smtputf8: message.smtputf8,
            envid: rare.and_then(|rare| rare.envid.clone()),
            ret: rare.and_then(|rare| rare.ret),
            terms: rare.map(|rare| rare.terms).unwrap_or_default(),
            recipients: members.into_iter().map(|recipient| job_recipient(recipient, now)).collect(),
        };
        Some((frame, weight))
    }
}

fn job_recipient(recipient: &Recipient, now: Now) -> JobRecipient {
    let extra = recipient.extra.as_deref();
    let failure = recipient.note.as_deref().filter(|_| recipient.failing()).map(|note| Failure {
        status: note.status,
        remote: note.remote.to_string(),
        text: note.text.to_string(),
        time: if note.time == 0 { now.wall_seconds() } else { note.time },
    });
    JobRecipient {
        index: recipient.offset,
        user: recipient.user.to_string(),
        attributes: extra.map_or("-", |extra| &extra.attributes).to_owned(),
        original: extra.and_then(|extra| extra.original.as_deref()).map(str::to_owned),
        dsn: extra.map(|extra| extra.dsn.clone()).unwrap_or_default(),
        failure,
    }
}
