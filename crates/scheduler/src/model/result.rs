//! What comes back from agents, and what follows: marks, the next attempt, giving up.

use super::dispatch::JobState;
use super::entry::{Course, Members, State, Wish};
use super::note::Note;
use super::window::Signal;
use super::{Action, Model, Now};
use envelope::{Diagnostic, Happened, RecipientState};
use ipc::agents::{Learned, RecipientResult, Report};
use status::{Enhanced, Outcome, Phase};
use std::rc::Rc;

/// Longest text kept of an answer, in bytes.
const TEXT: usize = 512;
/// In-place marks and diagnostics that one event causes in one control file.
#[derive(Debug, Default)]
pub struct Marks {
    pub states: Vec<(u32, RecipientState)>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Why a recipient is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its age, or the moment that the sender set (RFC 2852).
    Time,
    Administrator,
}

/// One recipient as the functions below name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub message: u32,
    pub share: u32,
    pub position: u32,
}

impl Model {
    /// Results of (part of) a job. What does not belong to a job of this agent is ignored: an agent can only speak
    /// about what it was given.
    pub fn report(&mut self, agent: u64, report: &Report, now: Now) {
        let own = self.jobs.get(&report.job).is_some_and(|job| job.agent == agent);
        let Some(mut job) = own.then(|| self.jobs.remove(&report.job)).flatten() else {
            daemon::event!(Debug, "stray_report", job = report.job);
            return;
        };
        let mut marks = Marks::default();
        let roll = self.dice.roll();
        for result in &report.results {
            let offset = |position: &u32| self.recipient(job.message, *position).map(|recipient| recipient.offset);
            let Some(at) = job.members.iter().position(|position| offset(position) == Some(result.index)) else { continue };
            let place = Place { message: job.message, share: job.share, position: job.members.remove(at) };
            job.learn(report.phase, result.outcome);
            if result.text.len() > TEXT || result.remote.len() > TEXT || result.tls.len() > TEXT {
                self.result(place, &shortened(result), roll, now, &mut marks);
            } else {
                self.result(place, result, roll, now, &mut marks);
            }
            if job.signal == Signal::Unreachable {
                job.wish = result.retry_after;
                job.note = Some(self.notes.intern(result.status, &result.remote, &result.text, 0));
            }
        }
        if report.learned != Learned::default() {
            self.site_told(&mut job, &report.learned);
        }
        self.close(report.job, job, marks, now);
    }

    /// Puts a job back, or ends it when nobody in it waits for a result; then the marks go out and the message settles.
    pub(super) fn close(&mut self, number: u64, job: JobState, marks: Marks, now: Now) {
        let (message, share) = (job.message, job.share);
        if job.members.is_empty() {
            self.end_job(&job, now);
        } else {
            self.jobs.insert(number, job);
        }
        self.finish(message, share, marks, now);
    }

    fn finish(&mut self, message: u32, share: u32, marks: Marks, now: Now) {
        // The removal of both files is the mark. A crash before it repeats the delivery exactly as a crash before an
        // unsynced mark would, so marking first would only cost a write.
        if self.messages.get(message).is_some_and(|m| m.open > 0) {
            self.emit(message, marks);
        }
        if !self.settle(message, now) {
            self.queue_share(share, now);
        }
    }

    pub(super) fn emit(&mut self, message: u32, marks: Marks) {
        let Some(message) = self.messages.get(message) else { return };
        if !marks.states.is_empty() || !marks.diagnostics.is_empty() {
            let Marks { states, diagnostics } = marks;
            self.actions.push_back(Action::Mark { id: message.id, states, diagnostics });
        }
    }

    fn end_job(&mut self, job: &JobState, now: Now) {
        if let Some(agent) = self.agents.get_mut(&job.agent) {
            agent.active = agent.active.saturating_sub(1);
            agent.idle_since = now.tick();
        }
        self.leave_ring(job.ring, now);
        self.site_learns(job, now);
    }

    fn result(&mut self, place: Place, result: &RecipientResult, roll: f64, now: Now, marks: &mut Marks) {
        let Some(recipient) = self.recipient_mut(place.message, place.position) else { return };
        let course = recipient.course;
        if course == Course::Warning {
            return self.warned(place, result, now, marks);
        }
        recipient.attempts = recipient.attempts.saturating_add(1);
        match (result.outcome, course.is_over()) {
            (Outcome::Delivered, false) => self.delivered(place, result, now, marks),
            (Outcome::Delivered | Outcome::Failed, true) => self.reported(place, course, marks),
            (Outcome::Deferred, over) => {
                self.counters.add("deferred", 1);
                if !over {
                    let note = self.notes.intern(result.status, &result.remote, &result.text, 0);
                    self.set_note(place, note);
                }
                self.record("deferred", place, result, now);
                let attempts = self.recipient(place.message, place.position).map_or(1, |recipient| u32::from(recipient.attempts));
                let next = self.next_attempt(place.share, attempts, result.retry_after, roll, now);
                self.deferred(place, result, next, now, marks);
            }
            (Outcome::Failed, false) => {
                if self.wish(place) == Wish::Delete {
                    self.end(place, State::Failed, marks);
                } else {
                    let note = self.notes.intern(result.status, &result.remote, &result.text, now.wall_seconds());
                    self.fail(place.share, place.position, note, now, marks);
                }
            }
        }
    }

    fn delivered(&mut self, place: Place, result: &RecipientResult, now: Now, marks: &mut Marks) {
        self.counters.add("delivered", 1);
        self.record("delivered", place, result, now);
        match self.success(place, result.handed) {
            Some(success) => self.tell(place, success, result, now, marks),
            None => self.end(place, State::Delivered, marks),
        }
    }

    fn deferred(&mut self, place: Place, result: &RecipientResult, next: u32, now: Now, marks: &mut Marks) {
        let over = self.recipient(place.message, place.position).is_some_and(|recipient| recipient.course.is_over());
        if !over && self.wish(place) == Wish::None && self.left(place.share, now).is_zero() {
            self.expire(place.share, place.position, Cause::Time, now, marks);
            return;
        }
        if let Some(share) = self.shares.get_mut(place.share) {
            share.warned = false;
        }
        let diagnostic = self.diagnostic(place, Happened::Deferred, result, now.wall_of(next), now);
        marks.diagnostics.extend(diagnostic);
        self.put_back(place, next, now, marks);
    }

    pub(super) fn diagnostic(
        &self,
        place: Place,
        happened: Happened,
        result: &RecipientResult,
        next_attempt: u64,
        now: Now,
    ) -> Option<Diagnostic> {
        let recipient = self.recipient(place.message, place.position)?;
        Some(Diagnostic {
            recipient: recipient.offset,
            time: now.wall_seconds(),
            happened,
            attempts: u32::from(recipient.attempts),
            next_attempt,
            status: result.status,
            remote: result.remote.clone(),
            text: result.text.clone(),
        })
    }

    pub(super) fn wish(&self, place: Place) -> Wish {
        self.recipient(place.message, place.position).map_or(Wish::None, |recipient| recipient.wish)
    }

    fn set_note(&mut self, place: Place, note: Rc<Note>) {
        if let Some(recipient) = self.recipient_mut(place.message, place.position) {
            recipient.note = Some(note);
        }
    }

    /// A recipient that leaves a job undelivered waits until `next`, unless the administrator has asked for something
    /// else meanwhile.
    pub(super) fn put_back(&mut self, place: Place, next: u32, now: Now, marks: &mut Marks) {
        let wish = self.wish(place);
        let course = self.recipient(place.message, place.position).map_or(Course::Own, |recipient| recipient.course);
        if course == Course::Warning {
            return self.come_home(place, wish, now, marks);
        }
        if let Some(recipient) = self.recipient_mut(place.message, place.position) {
            recipient.next = next;
            recipient.wish = Wish::None;
        }
        match wish {
            Wish::None => {
                self.set_state(place.share, place.position, State::Deferred);
                self.arm_at(place.share, next);
            }
            Wish::Hold => self.set_state(place.share, place.position, State::Held),
            Wish::Expire => self.expire(place.share, place.position, Cause::Administrator, now, marks),
            Wish::Delete if matches!(course, Course::Telling(_)) => self.end(place, State::Delivered, marks),
            Wish::Delete => self.end(place, State::Failed, marks),
            Wish::Reroute => self.transfer(place.share, place.position, Course::Rerouted, now),
        }
    }

    pub(super) fn end(&mut self, place: Place, state: State, marks: &mut Marks) {
        let mark = if state == State::Delivered { RecipientState::Delivered } else { RecipientState::Failed };
        self.set_state(place.share, place.position, state);
        if let Some(recipient) = self.recipient_mut(place.message, place.position) {
            recipient.note = None;
            marks.states.push((recipient.offset, mark));
        }
    }

    /// The recipient failed: marked, with its diagnostic, and handed to the error share for the report.
    pub(super) fn fail(&mut self, share: u32, position: u32, note: Rc<Note>, now: Now, marks: &mut Marks) {
        let Some(message) = self.shares.get(share).map(|share| share.message) else { return };
        let place = Place { message, share, position };
        let Some(index) = self.recipient(message, position).map(|recipient| recipient.offset) else { return };
        let (remote, text) = (note.remote.to_string(), note.text.to_string());
        let result = RecipientResult::new(index, Outcome::Failed, note.status, remote, text);
        self.counters.add("failed", 1);
        self.record("failed", place, &result, now);
        marks.states.push((index, RecipientState::Failing));
        marks.diagnostics.extend(self.diagnostic(place, Happened::Failed, &result, 0, now));
        self.join_error_share(share, position, note, now);
    }

    /// Gives a recipient up because of the time, or because the administrator says so.
    pub(super) fn expire(&mut self, share: u32, position: u32, cause: Cause, now: Now, marks: &mut Marks) {
        let Some((message, destination)) = self.shares.get(share).map(|s| (s.message, s.destination)) else { return };
        let own = self.recipient(message, position).and_then(|recipient| recipient.note.clone());
        let last = own.or_else(|| self.destinations.get(destination).and_then(|d| self.site_of(d)).and_then(|site| site.last.clone()));
        let mut text = self.why_given_up(message, cause, now);
        match last.as_deref() {
            Some(last) => text.extend([", last answer: ", &last.text]),
            None => text.push_str(", it was never tried"),
        }
        text.truncate(text.floor_char_boundary(TEXT));
        let remote = last.as_deref().map_or("-", |last| &last.remote);
        let note = self.notes.intern(Enhanced::permanent(4, 7), remote, &text, now.wall_seconds());
        if let (Some(entry), Some(recipient)) = (self.messages.get(message), self.recipient(message, position)) {
            daemon::event!(Info, "expired", id = entry.id, to = recipient.address());
        }
        self.counters.add("expired", 1);
        self.fail(share, position, note, now, marks);
    }

    /// Moves a recipient from its share to the one of another course, where it is ready.
    pub(super) fn transfer(&mut self, from: u32, position: u32, course: Course, now: Now) {
        let Some(message) = self.shares.get(from).map(|share| share.message) else { return };
        let Some((channel, host)) = course.destination() else { return };
        let form = self.form_on(message, position, course);
        let same = |share: &super::Share| share.members.course() == course && share.form == form;
        let existing = self.shares_of(message).into_iter().find(|key| self.shares.get(*key).is_some_and(same));
        let target = existing.unwrap_or_else(|| {
            let destination = self.destination(channel, host, now);
            self.new_share(message, destination, form, Members::Moved { course, gather: 0, list: Vec::new() })
        });
        self.gather(target, now);
        // Out of the old share: as if final there, without touching the message's own count.
        self.set_state(from, position, State::Failed);
        if let Some(entry) = self.messages.get_mut(message) {
            entry.open += 1;
        }
        self.open_recipients += 1;
        if let Some(recipient) = self.recipient_mut(message, position) {
            recipient.course = course;
            recipient.wish = Wish::None;
        }
        if let Some(share) = self.shares.get_mut(target) {
            if let Members::Moved { list, .. } = &mut share.members {
                list.push(position);
            }
            share.open += 1;
        }
        self.set_state(target, position, State::Ready);
        self.queue_share(target, now);
    }

    /// The form in which a recipient is told of, or goes back: successes are told to whoever asked for that, which is the
    /// sender, and other reports go where failures of the form go.
    fn form_on(&self, message: u32, position: u32, course: Course) -> u16 {
        let form = self.recipient(message, position).map_or(0, |recipient| recipient.form);
        match course {
            Course::Own | Course::Rerouted => form,
            Course::Telling(_) => 0,
            Course::Failing | Course::Warning => {
                self.messages.get(message).and_then(|message| message.shape(form)).map_or(0, |shape| shape.reports)
            }
        }
    }

    /// One recipient's line in the log.
    fn record(&self, event: &'static str, place: Place, result: &RecipientResult, now: Now) {
        let Some(message) = self.messages.get(place.message) else { return };
        let Some(recipient) = message.recipients.get(place.position as usize) else { return };
        let destination = self.shares.get(place.share).and_then(|share| self.destinations.get(share.destination));
        let Some(destination) = destination else { return };
        let channel = self.lanes.get(destination.lane as usize).map_or("", |lane| lane.name.as_str());
        let delay = now.wall_ms.saturating_sub(message.arrived);
        let Some(line) = daemon::log::Line::begin(daemon::log::LogLevel::Info, event) else { return };
        let line = line.field("id", &message.id).field("to", &recipient.address());
        // Of a list: which of its members.
        let line = if recipient.address() == &*recipient.user { line } else { line.field("user", &recipient.user) };
        let line = line.field("channel", &channel);
        let line = line.field("host", &destination.host).field("remote", &result.remote).field("status", &result.status);
        let line = if result.tls.is_empty() { line } else { line.field("tls", &result.tls) };
        let line = match message.sender_to(recipient) {
            Some(sender) => line.field("from", &sender),
            None => line,
        };
        line.field("attempts", &recipient.attempts).field("delay", &delay).field("text", &result.text).end();
    }
}

/// Agents keep to the limits; one that does not gets its texts cut.
fn shortened(result: &RecipientResult) -> RecipientResult {
    let mut result = result.clone();
    result.text.truncate(result.text.floor_char_boundary(TEXT));
    result.remote.truncate(result.remote.floor_char_boundary(TEXT));
    result.tls.truncate(result.tls.floor_char_boundary(TEXT));
    result
}

impl JobState {
    /// The strongest thing any of its results says about the destination.
    fn learn(&mut self, phase: Phase, outcome: Outcome) {
        let said = match (outcome, phase) {
            (Outcome::Delivered, _) => Signal::Success,
            (Outcome::Deferred, Phase::Lookup | Phase::Connect) => Signal::Unreachable,
            (_, Phase::Transaction) => Signal::Alive,
            (Outcome::Failed, _) => Signal::Nothing,
        };
        if self.signal == Signal::Nothing || said == Signal::Success || (said == Signal::Alive && self.signal == Signal::Unreachable) {
            self.signal = said;
        }
    }
}
