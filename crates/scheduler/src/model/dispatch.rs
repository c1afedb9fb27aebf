//! Which job is next: round robin over the destinations of a channel, and inside a destination over its messages.

use super::destination::Park;
use super::entry::{Message, Share, State};
use super::line::Standing;
use super::note::Note;
use super::retry::Wake;
use super::window::Signal;
use super::{Model, Now};
use envelope::MessageId;
use ipc::agents::{RecipientResult, Report};
use status::{Enhanced, Outcome, Phase};
use std::hash::BuildHasher;
use std::rc::Rc;

/// Seconds before its moment at which a message becomes urgent.
const NEAR: u64 = 900;
/// Jobs of channel `discard` done in one turn.
const DISCARD: usize = 200;
/// Turns of one channel's destinations in one turn that may end without a job: freezes put aside what stood in line.
const IDLE_TURNS: usize = 1000;

/// A job that has begun: the loop opens the message and sends [`Model::frame`] to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedJob {
    pub number: u64,
    pub agent: u64,
    pub id: MessageId,
    /// Header edits that the job's form has, to be read with the message.
    pub edits: Option<EditsPlace>,
    /// More of the message waits for other jobs.
    pub more: bool,
}

/// Where header edits are: the lines of the control file, and the header of the message that they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EditsPlace {
    pub first: u32,
    pub bytes: u32,
    pub header: u64,
}

#[derive(Debug)]
pub struct JobState {
    pub agent: u64,
    pub message: u32,
    pub share: u32,
    pub destination: u32,
    /// The tick of its begin.
    pub since: u32,
    /// Those without a result.
    pub members: Vec<u32>,
    /// The ring in which it has a place.
    pub ring: Option<usize>,
    pub signal: Signal,
    /// Why the destination could not be reached.
    pub note: Option<Rc<Note>>,
    /// The agent's wish for the next attempt, in seconds.
    pub wish: Option<u32>,
}

impl Model {
    /// A turn of [`Model::dispatch`] ended before the work did.
    pub fn discards_wait(&self) -> bool {
        let lane = self.lane_names.get("discard").and_then(|key| self.lanes.get(*key as usize));
        !self.frozen && !self.draining && (self.unfinished || lane.is_some_and(|lane| !lane.round.is_empty()))
    }

    /// Begins at most `room` jobs.
    pub fn dispatch(&mut self, room: usize, now: Now) -> Vec<StartedJob> {
        let mut started = Vec::new();
        if self.frozen || self.draining {
            return started;
        }
        self.unfinished = self.thaw_some(now);
        self.place_some(now);
        let lanes = self.lanes.len();
        for step in 0..lanes {
            self.serve_lane((self.next_lane + step) % lanes, room, &mut started, now);
        }
        self.next_lane = (self.next_lane + 1) % lanes.max(1);
        started
    }

    fn serve_lane(&mut self, lane_index: usize, room: usize, started: &mut Vec<StartedJob>, now: Now) {
        let discard = self.lanes.get(lane_index).is_some_and(|lane| lane.name == "discard");
        let (mut discarded, mut idle) = (0, 0);
        while started.len() < room && discarded < DISCARD {
            if idle >= IDLE_TURNS {
                self.unfinished = true;
                return;
            }
            let Some(site_key) = self.lanes.get_mut(lane_index).and_then(|lane| lane.round.pop_front()) else { return };
            let Some(last) = self.site_may_begin(site_key, lane_index, now) else { continue };
            let agent = if discard { Some(0) } else { self.pick_agent(lane_index, last) };
            let Some(agent) = agent else {
                self.put_first(lane_index, site_key);
                self.want_agent(lane_index, now);
                return;
            };
            if let Some(key) = self.next_member(site_key, now) {
                if let Some(job) = self.begin(key, agent, now) {
                    if discard {
                        discarded += 1;
                        self.discard(job.number, now);
                    } else {
                        started.push(job);
                    }
                } else {
                    idle += 1;
                }
                self.list(key, now);
            }
            self.list_site(site_key, now);
        }
    }

    fn put_first(&mut self, lane_index: usize, key: u32) {
        if let (Some(lane), Some(site)) = (self.lanes.get_mut(lane_index), self.sites.get_mut(key)) {
            lane.round.push_front(key);
            site.listed = true;
        }
    }

    /// The agent of the site's last job, if the site may have one more now. A site that has gone leaves its key in the round,
    /// and another may have the key by now, of another lane even: that one is not served with this lane's agents.
    fn site_may_begin(&mut self, key: u32, lane: usize, now: Now) -> Option<u64> {
        let site = self.sites.get_mut(key).filter(|site| site.lane as usize == lane && site.listed)?;
        site.listed = false;
        if !site.eligible(now.tick()) {
            return None;
        }
        let wait = site.paces.as_deref().map_or(0, |paces| paces.wait(&site.rules.policy, now.ms));
        if wait > 0 {
            // The tick at or after that moment, not before it.
            let pause = u32::try_from(now.ms.saturating_add(wait).div_ceil(100)).unwrap_or(super::NONE - 1);
            site.pause = pause;
            self.set_timer(pause, Wake::Site(key));
            return None;
        }
        Some(site.agent)
    }

    /// The site's member whose turn it is. One that may not be served now is put aside until it may.
    fn next_member(&mut self, site_key: u32, now: Now) -> Option<u32> {
        loop {
            let key = self.sites.get_mut(site_key)?.round.pop_front()?;
            let Some(destination) = self.destinations.get_mut(key) else { continue };
            if destination.site != site_key || !destination.listed {
                continue;
            }
            destination.listed = false;
            self.renew(key, now);
            if self.destinations.get(key).is_none_or(|d| d.site != site_key || !d.wants_turn()) {
                continue;
            }
            if !self.parked(key, now) {
                return Some(key);
            }
        }
    }

    /// Puts a destination aside whose own policy lets nothing go now.
    fn parked(&mut self, key: u32, now: Now) -> bool {
        let Some(destination) = self.destinations.get_mut(key) else { return true };
        if !self.freezes.is_empty() && self.freezes.keep_place(&self.lanes, destination, key) {
            destination.park = Park::Frozen;
            return true;
        }
        let policy = &destination.rules.policy;
        let closed = self.book.closed_for(policy, now);
        if closed > 0 {
            let until = now.tick().saturating_add(closed);
            destination.park = Park::Until(until);
            self.set_timer(until, Wake::Destination(key));
        } else if policy.queue_only && !destination.asked_for {
            destination.park = Park::Asking;
        } else if self.rings.full(policy.ring, key) {
            destination.park = Park::Ring;
        } else {
            return false;
        }
        true
    }

    /// The time of a destination that was put aside has come.
    pub(super) fn unpark(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        match destination.park {
            Park::Until(tick) if tick <= now.tick() => destination.park = Park::No,
            Park::Locating(tick) if tick <= now.tick() => return self.unlocated(key, now),
            _ => return,
        }
        self.list(key, now);
    }

    /// The share of a destination whose turn it is.
    fn next_share(&mut self, key: u32) -> Option<u32> {
        let Self { destinations, shares, messages, homes, .. } = self;
        let destination = destinations.get_mut(key)?;
        let per_job = destination.rules.policy.recipients_per_job.max(1);
        let turn = destination.line.next(&mut |candidate| {
            let Some(share) = shares.get_mut(candidate).filter(|share| share.destination == key && share.queued) else { return 0 };
            share.queued = share.ready > 0;
            if share.queued && messages.get(share.message).is_some_and(|message| homes.parks(message.id, candidate, key)) {
                return 0;
            }
            share.ready.div_ceil(per_job)
        });
        if destination.line.is_empty() {
            destination.asked_for = false;
        }
        let turn = turn?;
        if let Some(share) = shares.get_mut(turn.share) {
            share.queued = !turn.left;
            if let Some(message) = messages.get(share.message) {
                homes.begin(message.id);
            }
        }
        Some(turn.share)
    }

    /// Where a share stands: by the urgency and the sender of its message.
    pub(super) fn stand_in_line(&mut self, share_key: u32, now: Now) {
        let Some(share) = self.shares.get(share_key) else { return };
        let Some(message) = self.messages.get(share.message) else { return };
        let Some(destination) = self.destinations.get_mut(share.destination) else { return };
        let policy = &destination.rules.policy;
        let standing = Standing {
            priority: urgency(message, now).saturating_add(policy.priority).clamp(-9, 9),
            flow: self.flows.hash_one((sender_of_flow(&message.sender), share.turned)),
            // Moved up, so that what is older than this process stays in order below zero.
            age: u64::try_from(message.origin.saturating_add(i64::MAX / 2)).unwrap_or(0),
            jobs: share.ready.div_ceil(policy.recipients_per_job.max(1)),
            aged: policy.age_order,
        };
        destination.line.push(share_key, standing);
    }

    fn begin(&mut self, key: u32, agent: u64, now: Now) -> Option<StartedJob> {
        let share_key = self.next_share(key)?;
        let (members, frozen) = self.collect(share_key);
        self.put_aside(share_key, &frozen);
        // A job of nobody would never end.
        if members.is_empty() {
            return None;
        }
        for position in &members {
            self.set_state(share_key, *position, State::Active);
        }
        let share = self.shares.get_mut(share_key)?;
        share.turned = true;
        share.attempted = true;
        let (message, form) = (share.message, share.form);
        self.queue_share(share_key, now);
        let parted = self.messages.get(message).is_some_and(|message| message.is_parted(form));
        let recipients = u32::try_from(members.len()).unwrap_or(u32::MAX);
        self.occupy(key, agent, (if parted { recipients } else { 1 }, recipients), now);
        let ring = self.destinations.get(key).and_then(|destination| destination.rules.policy.ring).map(|(line, _)| line);
        ring.into_iter().for_each(|line| self.rings.enter(line));
        self.job_number += 1;
        self.counters.add("jobs", 1);
        let job = JobState {
            agent,
            message,
            share: share_key,
            destination: key,
            since: now.tick(),
            members,
            ring,
            signal: Signal::Nothing,
            note: None,
            wish: None,
        };
        self.jobs.insert(self.job_number, job);
        let message = self.messages.get(message)?;
        let more = self.shares_of_ready(message);
        let edits = self.edits_of(message, self.shares.get(share_key)?);
        let edits = edits.map(|(first, bytes, _)| EditsPlace { first, bytes, header: message.body_offset });
        Some(StartedJob { number: self.job_number, agent, id: message.id, edits, more })
    }

    /// The header edits of what a share's jobs carry. What goes back to the sender is as he wrote it; an owner, who stands in
    /// for him, gets what the members got.
    pub(super) fn edits_of(&self, message: &Message, share: &Share) -> Option<(u32, u32, i64)> {
        let shown = !share.members.course().reports() || message.owner(share.form).is_some();
        message.shape(share.form).filter(|_| shown).and_then(|shape| shape.edits)
    }

    /// Counts a job of so many messages and recipients that begins, at its destination, its site and its agent.
    fn occupy(&mut self, key: u32, agent: u64, (messages, recipients): (u32, u32), now: Now) {
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.active += 1;
            if let Some(site) = self.sites.get_mut(destination.site) {
                site.active += 1;
                site.agent = agent;
                site.window.used(site.active);
                if let Some(paces) = &mut site.paces {
                    paces.take(&site.rules.policy, messages, recipients, now.ms);
                }
            }
        }
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.credits = agent.credits.saturating_sub(1);
            agent.active += 1;
        }
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

    /// Channel `discard` needs no agent: delivered as soon as it would begin.
    fn discard(&mut self, number: u64, now: Now) {
        let Some(job) = self.jobs.get(&number) else { return };
        let offsets = job.members.iter().filter_map(|p| self.recipient(job.message, *p)).map(|r| r.offset);
        let results =
            offsets.map(|index| RecipientResult::new(index, Outcome::Delivered, Enhanced::success(0, 0), "-", "discarded")).collect();
        self.report(0, &Report::new(number, Phase::Transaction, results), now);
    }
}

/// The message's priority (RFC 6710), raised when the moment by which it is to be delivered is near (RFC 2852).
fn urgency(message: &Message, now: Now) -> i8 {
    let Some(terms) = message.rare.as_deref().map(|rare| rare.terms) else { return 0 };
    let near = terms.deliver_by.is_some_and(|by| by.until <= now.wall_seconds().saturating_add(NEAR));
    terms.priority.saturating_add(if near { 2 } else { 0 })
}

/// What counts as one sender: a list that puts the recipient into its sender (VERP) is still one list.
fn sender_of_flow(sender: &str) -> (&str, &str) {
    let (local, domain) = sender.rsplit_once('@').unwrap_or((sender, ""));
    (local.split(['+', '=']).next().unwrap_or_default(), domain)
}
