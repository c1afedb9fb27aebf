//! Reports to the sender beside delivery: of success, of delay, of failure; several of one message in one report.
//!
//! A recipient travels to channel `error` by its [`Course`]. After a failure or a success that is its end, and the state
//! byte on disk (`f`, `s`) brings it back there after a crash. A delay is a trip between two attempts: the recipient goes
//! on counting in its own share, comes back with its next attempt unchanged, and a `delayed` line remembers that the
//! sender knows; a crash before that line tells once more.

use super::entry::{Course, Members, State, Success, Wish};
use super::note::Note;
use super::result::{Cause, Marks, Place};
use super::retry::ticks;
use super::{Model, Now};
use envelope::{Happened, RecipientState};
use ipc::agents::{Handed, RecipientResult};
use settings::Settings;
use status::Outcome;
use std::rc::Rc;
use std::time::Duration;

/// A sender who asked to be told of delays is told after this time where no policy says when (RFC 3461 leaves it open).
const ON_REQUEST: Duration = Duration::from_secs(4 * 3600);

/// What the configuration says about reports.
#[derive(Debug)]
pub struct Reporting {
    /// How long a report waits for other recipients of the message.
    gather: Duration,
    /// Nobody is told of a delay before it.
    earliest: Duration,
}

impl Default for Reporting {
    fn default() -> Self {
        Self { gather: Duration::ZERO, earliest: ON_REQUEST }
    }
}

impl Reporting {
    pub fn new(settings: &Settings) -> Self {
        let earliest = settings.policies.earliest_warning().map_or(ON_REQUEST, |earliest| earliest.min(ON_REQUEST));
        Self { gather: settings.bounce.gather, earliest }
    }
}

impl Model {
    /// Takes what the configuration says about reports into use.
    pub fn set_reporting(&mut self, reporting: Reporting) {
        self.reporting = reporting;
        for key in 0..self.shares.end() {
            if let Some(share) = self.shares.get_mut(key) {
                share.warned = false;
            }
        }
    }

    /// A share of reports waits for others to join, from the first one on. What joins a report that is due already
    /// goes with it.
    pub(super) fn gather(&mut self, target: u32, now: Now) {
        let wait = ticks(self.reporting.gather);
        let Some(share) = self.shares.get_mut(target) else { return };
        let begins = share.ready == 0 && share.members.gathers_until() <= now.tick();
        if wait > 0 && begins && share.members.course().is_over() {
            share.members.gather_until(now.tick().saturating_add(wait));
        }
    }

    /// Nobody is left who could join: the reports of a message are due.
    pub(super) fn hasten(&mut self, message: u32, now: Now) {
        for key in self.shares_of(message) {
            let Some(share) = self.shares.get_mut(key).filter(|share| share.members.gathers_until() > 0) else { continue };
            share.members.gather_until(0);
            self.queue_share(key, now);
        }
    }

    /// The report of success that a delivery makes due (RFC 3461 section 5.2, RFC 2852 section 4.1.4 for relays that
    /// trace).
    pub(super) fn success(&self, place: Place, handed: Handed) -> Option<Success> {
        let message = self.messages.get(place.message)?;
        let notify = self.recipient(place.message, place.position)?.extra.as_deref().and_then(|extra| extra.dsn.notify);
        let asked = notify.is_some_and(|notify| notify.success);
        let by = message.rare.as_deref().and_then(|rare| rare.terms.deliver_by);
        let traced = by.is_some_and(|by| by.trace) && notify.is_none_or(|notify| !notify.never);
        if message.sender.is_empty() || !(asked || traced) {
            return None;
        }
        match handed {
            Handed::Delivered if asked => Some(Success::Delivered),
            Handed::Expanded if asked => Some(Success::Expanded),
            Handed::Relayed => Some(Success::Relayed),
            Handed::Delivered | Handed::Expanded | Handed::Passed => None,
        }
    }

    /// Delivered, and the sender is to hear of it.
    pub(super) fn tell(&mut self, place: Place, success: Success, result: &RecipientResult, now: Now, marks: &mut Marks) {
        let note = self.notes.intern(result.status, &result.remote, &result.text, now.wall_seconds());
        marks.states.push((result.index, RecipientState::Telling));
        marks.diagnostics.extend(self.diagnostic(place, success.happened(), result, 0, now));
        self.join_success_share(place.share, place.position, success, note, now);
    }

    /// Moves a recipient from its share to the message's share for reports of success.
    pub(super) fn join_success_share(&mut self, share: u32, position: u32, success: Success, note: Rc<Note>, now: Now) {
        self.take_course(share, position, Course::Telling(success), note, now);
    }

    /// Moves a recipient from its share to the message's share for the report of failure.
    pub(super) fn join_error_share(&mut self, share: u32, position: u32, note: Rc<Note>, now: Now) {
        self.take_course(share, position, Course::Failing, note, now);
    }

    fn take_course(&mut self, share: u32, position: u32, course: Course, note: Rc<Note>, now: Now) {
        let Some(message) = self.shares.get(share).map(|share| share.message) else { return };
        self.transfer(share, position, course, now);
        if let Some(recipient) = self.recipient_mut(message, position) {
            recipient.attempts = 0;
            recipient.note = Some(note);
        }
    }

    /// The report is sent, or none was due.
    pub(super) fn reported(&mut self, place: Place, course: Course, marks: &mut Marks) {
        if matches!(course, Course::Telling(_)) {
            self.counters.add("successes", 1);
            self.end(place, State::Delivered, marks);
        } else {
            self.counters.add("bounces", 1);
            self.end(place, State::Failed, marks);
        }
    }

    /// Why a recipient is given up, without the last answer.
    pub(super) fn why_given_up(&self, message: u32, cause: Cause, now: Now) -> String {
        let Some(message) = self.messages.get(message) else { return String::new() };
        let age = age_words(now.wall_ms.saturating_sub(message.arrived) / 1000);
        let by = message.rare.as_deref().and_then(|rare| rare.terms.deliver_by);
        match (cause, by.filter(|by| by.or_return && by.until <= now.wall_seconds())) {
            (Cause::Administrator, _) => format!("given up by the administrator after {age}"),
            (Cause::Time, Some(by)) => format!("not delivered by the time that the sender set, {}", message::date(by.until)),
            (Cause::Time, None) => format!("expired after {age}"),
        }
    }

    /// Sends those recipients of a message who are late on their trip to tell the sender. Part of the slow walk: a
    /// message that is not late costs two comparisons.
    pub(super) fn warn(&mut self, message: u32, now: Now) {
        let Some(entry) = self.messages.get(message) else { return };
        let age = Duration::from_millis(u64::try_from(i64::try_from(now.ms).unwrap_or(i64::MAX).saturating_sub(entry.origin)).unwrap_or(0));
        // BY with mode N (RFC 2852): past its moment the sender is told, and delivery goes on.
        let by = entry.rare.as_deref().and_then(|rare| rare.terms.deliver_by);
        let overdue = by.is_some_and(|by| !by.or_return && by.until <= now.wall_seconds());
        if entry.sender.is_empty() || !(overdue || age >= self.reporting.earliest) {
            return;
        }
        for key in self.shares_of(message) {
            let Some(share) = self.shares.get(key).filter(|s| !s.warned && s.members.course() == Course::Own) else { continue };
            let after = self.destinations.get(share.destination).map_or(Duration::ZERO, |d| d.rules.policy.warn_after);
            let limit = if after.is_zero() { ON_REQUEST } else { after };
            if overdue || age >= limit {
                self.warn_share(key, overdue || !after.is_zero(), now);
            }
        }
    }

    /// `unasked`: also those whose sender has not said when to be told.
    fn warn_share(&mut self, key: u32, unasked: bool, now: Now) {
        let Some(share) = self.shares.get_mut(key) else { return };
        share.warned = true;
        let Some(share) = self.shares.get(key) else { return };
        let (message, destination) = (share.message, share.destination);
        let last = self.destinations.get(destination).and_then(|d| self.site_of(d)).and_then(|site| site.last.clone());
        for (position, state) in self.members(share) {
            let Some(recipient) = self.recipient_mut(message, position) else { continue };
            let notify = recipient.extra.as_deref().and_then(|extra| extra.dsn.notify);
            let wanted = notify.map_or(unasked, |notify| notify.delay && !notify.never);
            if recipient.told || !wanted || !matches!(state, State::Ready | State::Frozen | State::Deferred) {
                continue;
            }
            if recipient.note.is_none() {
                recipient.note.clone_from(&last);
            }
            self.transfer(key, position, Course::Warning, now);
            // It is still the own share's: that must not go while its member is away.
            if let Some(share) = self.shares.get_mut(key) {
                share.open += 1;
            }
        }
    }

    /// Until when the late recipients of a job are tried, Unix seconds: the longest, where their destinations differ.
    pub(super) fn tried_until(&self, message: u32, members: &[u32], now: Now) -> u64 {
        let own = members.iter().filter_map(|position| self.own_share(message, *position));
        let left = own.map(|share| self.left(share, now)).max().unwrap_or_default();
        now.wall_seconds().saturating_add(left.as_secs())
    }

    /// The trip is over. A report that could not be sent is tried again after the next deferral.
    pub(super) fn warned(&mut self, place: Place, result: &RecipientResult, now: Now, marks: &mut Marks) {
        if result.outcome != Outcome::Deferred {
            self.counters.add("warned", 1);
            let next = self.recipient(place.message, place.position).map_or(0, |recipient| now.wall_of(recipient.next));
            marks.diagnostics.extend(self.diagnostic(place, Happened::Delayed, result, next, now));
            if let Some(recipient) = self.recipient_mut(place.message, place.position) {
                recipient.told = true;
            }
        }
        let wish = self.wish(place);
        self.come_home(place, wish, now, marks);
    }

    /// Back from the trip, and what the administrator asked for meanwhile.
    pub(super) fn come_home(&mut self, place: Place, wish: Wish, now: Now, marks: &mut Marks) {
        let Some(share) = self.home(place.message, place.share, place.position, now) else { return };
        if wish != Wish::None {
            let next = self.recipient(place.message, place.position).map_or(0, |recipient| recipient.next);
            if let Some(recipient) = self.recipient_mut(place.message, place.position) {
                recipient.wish = wish;
            }
            self.put_back(Place { share, ..place }, next, now, marks);
        }
    }

    /// Returns a recipient to its own share, with its next attempt unchanged: the key of that share.
    fn home(&mut self, message: u32, from: u32, position: u32, now: Now) -> Option<u32> {
        let own = self.own_share(message, position)?;
        self.set_state(from, position, State::Failed);
        if let Some(entry) = self.messages.get_mut(message) {
            entry.open += 1;
        }
        self.open_recipients += 1;
        let recipient = self.recipient_mut(message, position)?;
        recipient.course = Course::Own;
        recipient.wish = Wish::None;
        let next = recipient.next;
        if next > now.tick() {
            self.set_state(own, position, State::Deferred);
            self.arm_at(own, next);
        } else {
            self.set_state(own, position, State::Ready);
            self.queue_share(own, now);
        }
        Some(own)
    }

    /// The share of the destination of its own that a recipient belongs to, wherever it is now.
    pub(super) fn own_share(&self, message: u32, position: u32) -> Option<u32> {
        let own = |share: &super::Share| matches!(share.members, Members::Run { .. }) && share.members.holds(position);
        self.shares_of(message).into_iter().find(|key| self.shares.get(*key).is_some_and(own))
    }

    /// The share that a change is about: who waits to tell of a delay comes home first.
    pub(super) fn share_of(&mut self, message: u32, share: u32, position: u32, now: Now) -> u32 {
        let away = self.recipient(message, position).is_some_and(|r| r.course == Course::Warning && r.state != State::Active);
        let home = if away { self.home(message, share, position, now) } else { None };
        home.unwrap_or(share)
    }

    /// All of a message who wait to tell of a delay come home.
    pub(super) fn call_home(&mut self, message: u32, now: Now) {
        for key in self.shares_of(message) {
            let Some(share) = self.shares.get(key).filter(|share| share.members.course() == Course::Warning) else { continue };
            for (position, state) in self.members(share) {
                if state != State::Active {
                    self.home(message, key, position, now);
                }
            }
        }
    }

    /// A share's timer has come while members of it wait to tell of a delay: their attempt goes first.
    pub(super) fn call_late_home(&mut self, share_key: u32, now: Now) {
        let Some(share) = self.shares.get(share_key) else { return };
        let Members::Run { first, count } = share.members else { return };
        let message = share.message;
        let Some(entry) = self.messages.get(message) else { return };
        let run = entry.recipients.get(first as usize..).unwrap_or_default().iter().take(count as usize);
        if run.into_iter().any(|recipient| recipient.course == Course::Warning) {
            self.call_home(message, now);
            self.settle(message, now);
        }
    }
}

/// `40s`, `12m`, `5h`, `3 days`: rounded down, for people.
fn age_words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::age_words;

    #[test]
    fn ages_are_rounded_down() {
        for (seconds, words) in [(0, "0 seconds"), (119, "119 seconds"), (7199, "119 minutes"), (172_799, "47 hours"), (432_000, "5 days")]
        {
            assert_eq!(age_words(seconds), words);
        }
    }
}
