//! Waiting: back-off with jitter, timers, expiry, and the slow walk that forgets and expires.

use super::entry::{NONE, State};
use super::result::{Cause, Marks};
use super::{Model, Now};
use settings::Policy;
use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

/// What a timer wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    Share(u32),
    Destination(u32),
    Site(u32),
    Lane(u32),
    /// The moment by which it is to be delivered.
    Message(u32),
}

/// Messages looked at by one step of the slow walk. A million messages take some minutes of steps, each far under a
/// millisecond.
const WALK: u32 = 4000;
/// Between two steps.
const TIDY_MS: u64 = 1000;
/// A destination without mail is remembered this long (ticks), with its window and its state.
const REMEMBERED: u32 = 6000;
/// An agent without work is drained after this long (ticks).
const IDLE_AGENT: u32 = 3000;

/// Not for secrets: spreads retries.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// 0 to 1.
    pub fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // 32 bits are exact in a double.
        f64::from(u32::try_from(self.0 >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}

/// The wait after so many attempts: the policy's factor for that attempt, or first, times factor for each further one, at
/// most longest; then half the jitter up or down, so that what failed together does not come back together.
pub fn backoff(policy: &Policy, attempts: u32, roll: f64) -> Duration {
    let exponent = attempts.saturating_sub(1);
    let listed = policy.retries.get(exponent as usize).or(policy.retries.last());
    let factor = listed.copied().unwrap_or_else(|| policy.retry_factor.max(1.0).powi(i32::try_from(exponent).unwrap_or(i32::MAX)));
    let wait = policy.retry_first.as_secs_f64() * factor;
    let wait = wait.min(policy.retry_longest.as_secs_f64());
    let wait = wait * (1.0 + policy.retry_jitter.clamp(0.0, 1.0) * (roll - 0.5));
    Duration::try_from_secs_f64(wait).unwrap_or(policy.retry_longest).max(Duration::from_millis(100))
}

/// A wait in ticks, rounded up.
pub fn ticks(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(100)).unwrap_or(NONE / 2)
}

impl Model {
    /// The tick of the next attempt after `attempts` for a share's destination, or after as many seconds as the agent wishes;
    /// not past the expiry, so that the last attempt and the report come in time.
    pub(super) fn next_attempt(&self, share: u32, attempts: u32, wish: Option<u32>, roll: f64, now: Now) -> u32 {
        let Some(rules) = self.rules_of_share(share) else { return now.tick() };
        let wished = wish.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))));
        let wait = wished.unwrap_or_else(|| backoff(&rules.policy, attempts, roll));
        let next = now.tick().saturating_add(ticks(wait));
        let left = self.left(share, now);
        if left.is_zero() { next } else { next.min(now.tick().saturating_add(ticks(left)).saturating_add(1)) }
    }

    /// Time until the recipients of a share expire.
    pub(super) fn left(&self, share: u32, now: Now) -> Duration {
        self.left_beyond(share, Duration::ZERO, now)
    }

    fn left_beyond(&self, share: u32, more: Duration, now: Now) -> Duration {
        let Some(share) = self.shares.get(share) else { return Duration::ZERO };
        let (Some(message), Some(destination)) = (self.messages.get(share.message), self.destinations.get(share.destination)) else {
            return Duration::ZERO;
        };
        let age = i64::try_from(now.ms).unwrap_or(i64::MAX).saturating_sub(message.origin);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        let left = destination.rules.policy.expiry.saturating_add(more).saturating_sub(age);
        message.return_in(now).map_or(left, |until| left.min(until))
    }

    pub(super) fn set_timer(&mut self, tick: u32, wake: Wake) {
        self.timers.push(Reverse((tick, wake)));
    }

    /// Sets a share's timer for its earliest deferred member or the end of its gathering, unless an earlier one is set.
    pub(super) fn arm(&mut self, share_key: u32, now: Now) {
        let Some(share) = self.shares.get(share_key) else { return };
        let Some(message) = self.messages.get(share.message) else { return };
        let earliest = self
            .members(share)
            .iter()
            .filter(|(_, state)| *state == State::Deferred)
            .filter_map(|(position, _)| message.recipients.get(*position as usize).map(|recipient| recipient.next))
            .min();
        let gathers = Some(share.members.gathers_until()).filter(|until| *until > now.tick());
        if let Some(earliest) = earliest.into_iter().chain(gathers).min() {
            self.arm_at(share_key, earliest.max(now.tick()));
        }
    }

    pub(super) fn arm_at(&mut self, share_key: u32, tick: u32) {
        let Some(share) = self.shares.get_mut(share_key) else { return };
        if tick < share.armed {
            share.armed = tick;
            self.set_timer(tick, Wake::Share(share_key));
        }
    }

    /// Milliseconds until something is due by itself.
    pub fn sleep_ms(&self, now: Now) -> u64 {
        if self.renewing() {
            return 0;
        }
        let timer = self.timers.peek().map_or(u64::MAX, |Reverse((tick, _))| (u64::from(*tick) * 100).saturating_sub(now.ms));
        timer.min(if self.messages.len() == 0 && self.agents.is_empty() { 60_000 } else { self.next_tidy.saturating_sub(now.ms) })
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Now) {
        while let Some(Reverse((tick, wake))) = self.timers.peek().copied() {
            if tick > now.tick() {
                break;
            }
            self.timers.pop();
            match wake {
                Wake::Share(key) => self.revive(key, tick, now),
                Wake::Destination(key) => self.unpark(key, now),
                Wake::Site(key) => self.list_site(key, now),
                Wake::Lane(key) => self.unblock_lane(key, now),
                Wake::Message(key) => self.late(key, now),
            }
        }
        self.renew_some(now);
        if now.ms >= self.next_tidy {
            self.next_tidy = now.ms + TIDY_MS;
            self.tidy(now);
        }
    }

    /// Deferred members whose time has come are ready again. A share of many takes those of the next seconds along,
    /// so that it is not walked once for each.
    fn revive(&mut self, share_key: u32, tick: u32, now: Now) {
        let Some(share) = self.shares.get_mut(share_key) else { return };
        if share.armed != tick {
            return;
        }
        share.armed = NONE;
        let message = share.message;
        self.call_late_home(share_key, now);
        let Some(share) = self.shares.get(share_key) else { return };
        let until = now.tick().saturating_add(share.members.len() / 100);
        for (position, state) in self.members(share) {
            let due = self.recipient(message, position).is_some_and(|recipient| recipient.next <= until);
            if state == State::Deferred && due {
                self.set_state(share_key, position, State::Ready);
            }
        }
        self.arm(share_key, now);
        self.queue_share(share_key, now);
    }

    fn tidy(&mut self, now: Now) {
        self.expire_some(now);
        self.forget_some(now);
        self.tidy_rings(now);
        let idle: Vec<u64> = self.agents.iter().filter(|(_, agent)| agent.idle(now.tick(), IDLE_AGENT)).map(|(key, _)| *key).collect();
        for key in idle {
            if let Some(agent) = self.agents.get_mut(&key) {
                agent.draining = true;
                self.actions.push_back(super::Action::DrainAgent(key));
            }
        }
    }

    /// Expires what no attempt will: mail for a dead destination, or for a channel without agents. Tells senders of delays.
    fn expire_some(&mut self, now: Now) {
        let end = self.messages.end();
        for _ in 0..WALK.min(end) {
            let key = self.expiry_cursor;
            self.expiry_cursor = if key + 1 >= end { 0 } else { key + 1 };
            self.late(key, now);
        }
    }

    /// What follows from a message's age.
    fn late(&mut self, key: u32, now: Now) {
        self.expire_message(key, now);
        self.warn(key, now);
    }

    fn expire_message(&mut self, message: u32, now: Now) {
        let mut next = self.messages.get(message).map_or(NONE, |message| message.shares);
        let mut marks = Marks::default();
        let mut any = false;
        while let Some(share) = self.shares.get(next) {
            let key = next;
            next = share.sibling;
            if !share.members.course().reports() && self.left(key, now).is_zero() && self.may_expire(key, now) {
                any = true;
                self.expire_share(message, key, now, &mut marks);
            }
        }
        if any {
            self.emit(message, marks);
            self.settle(message, now);
        }
    }

    /// Old enough and tried; or nobody tried it because nobody could, or for so long that nobody will.
    fn may_expire(&self, key: u32, now: Now) -> bool {
        let Some(share) = self.shares.get(key) else { return false };
        let Some(destination) = self.destinations.get(share.destination) else { return false };
        let dead = self.site_of(destination).is_some_and(|site| site.window.is_dead());
        share.attempted || dead || self.left_beyond(key, destination.rules.policy.expiry_untried, now).is_zero()
    }

    fn expire_share(&mut self, message: u32, key: u32, now: Now, marks: &mut Marks) {
        let members = self.shares.get(key).map(|share| self.members(share)).unwrap_or_default();
        for (position, state) in members {
            if matches!(state, State::Ready | State::Frozen | State::Deferred) && self.messages.get(message).is_some() {
                self.expire(key, position, Cause::Time, now, marks);
            }
        }
    }

    /// Destinations that nothing refers to go after some time; sooner when there are very many.
    fn forget_some(&mut self, now: Now) {
        let end = self.destinations.end();
        let wait = if self.destinations.len() > 100_000 { 100 } else { REMEMBERED };
        for _ in 0..WALK.min(end) {
            let key = self.forget_cursor;
            self.forget_cursor = if key + 1 >= end { 0 } else { key + 1 };
            let Some(destination) = self.destinations.get(key) else { continue };
            if !destination.is_unused() || destination.used.saturating_add(wait) > now.tick() {
                continue;
            }
            let (lane, host) = (destination.lane, Rc::clone(&destination.host));
            self.leave_site(key, now);
            self.destinations.remove(key);
            if let Some(lane) = self.lanes.get_mut(lane as usize) {
                lane.hosts.remove(&host);
            }
        }
    }
}
