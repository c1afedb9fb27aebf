//! The pool: questions wait for a free program, programs are restarted with back-off.

use crate::program::Program;
use crate::protocol::Step;
use daemon::Counters;
use ipc::filter::Judgement;
use mio::{Registry, Token};
use settings::{FailMode, Filter};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Questions that may wait. Each is a message some session waits for, so more than this is a flood.
const MOST_WAITING: usize = 20_000;
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_LONGEST: Duration = Duration::from_secs(30);
/// A life this long makes earlier failures good.
const HEALTHY: Duration = Duration::from_secs(60);

/// A question of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The conversation it came from.
    pub caller: usize,
    pub number: u64,
    pub path: String,
    pub deadline: Instant,
}

/// One place for a program.
#[derive(Debug, Default)]
struct Place {
    program: Option<Program>,
    question: Option<Question>,
    failures: u32,
    /// Not before this moment again.
    start_at: Option<Instant>,
    /// The configuration has changed: end it once it is free.
    outdated: bool,
}

/// All programs, and the questions.
#[derive(Debug)]
pub struct Pool {
    settings: Filter,
    places: Vec<Place>,
    waiting: VecDeque<Question>,
    answers: Vec<(Question, Judgement)>,
    registry: Registry,
    first_token: usize,
    counters: Counters,
}

impl Pool {
    /// Programs get the tokens from `first_token` on.
    pub fn new(settings: Filter, registry: Registry, first_token: usize, counters: Counters) -> Self {
        let places = (0..settings.processes).map(|_| Place::default()).collect();
        Self { settings, places, waiting: VecDeque::new(), answers: Vec::new(), registry, first_token, counters }
    }

    /// Takes a new configuration; programs that are busy go on to the end of their question.
    pub fn reconfigure(&mut self, settings: Filter) {
        let same = settings.program == self.settings.program;
        let wanted = usize::try_from(settings.processes).unwrap_or(1);
        self.settings = settings;
        for (at, place) in self.places.iter_mut().enumerate() {
            place.outdated = !same || at >= wanted;
            place.start_at = None;
        }
        while self.places.len() < wanted {
            self.places.push(Place::default());
        }
    }

    pub fn ask(&mut self, question: Question) {
        self.counters.add("questions", 1);
        let hostile = question.path.is_empty() || question.path.bytes().any(|b| b.is_ascii_control());
        if hostile || self.waiting.len() >= MOST_WAITING {
            return self.unanswered(question);
        }
        self.waiting.push_back(question);
    }

    /// Nothing waits and nothing is being judged.
    pub fn idle(&self) -> bool {
        self.waiting.is_empty() && self.places.iter().all(|place| place.question.is_none())
    }

    /// The answers since the last call.
    pub fn answers(&mut self) -> Vec<(Question, Judgement)> {
        std::mem::take(&mut self.answers)
    }

    /// Starts programs, ends those that are too late, gives out questions.
    pub fn work(&mut self, now: Instant) {
        for at in 0..self.places.len() {
            self.tend(at, now);
        }
        while self.waiting.front().is_some_and(|question| question.deadline <= now) {
            if let Some(question) = self.waiting.pop_front() {
                self.unanswered(question);
            }
        }
        for at in 0..self.places.len() {
            self.give(at, now);
        }
    }

    /// When [`Pool::work`] must be called again at the latest.
    pub fn next(&self) -> Option<Instant> {
        let places = self.places.iter().filter_map(|place| match (&place.program, &place.question) {
            (None, _) => place.start_at,
            (Some(_), question) => question.as_ref().map(|q| q.deadline),
        });
        places.chain(self.waiting.front().map(|q| q.deadline)).min()
    }

    fn tend(&mut self, at: usize, now: Instant) {
        let wanted = usize::try_from(self.settings.processes).unwrap_or(1);
        let Some(place) = self.places.get_mut(at) else { return };
        if place.outdated && place.question.is_none() {
            place.outdated = false;
            if let Some(program) = place.program.take() {
                program.kill(&self.registry);
            }
        }
        let Some(place) = self.places.get(at) else { return };
        if place.program.is_none() && place.start_at.is_none_or(|start| start <= now) && at < wanted {
            self.start(at, now);
        } else if place.question.as_ref().is_some_and(|question| question.deadline <= now) {
            self.retire(at, "no answer in time", now);
        }
    }

    fn start(&mut self, at: usize, now: Instant) {
        let spawned = Program::spawn(&self.settings.program, &self.registry, Token(self.first_token + at));
        let Some(place) = self.places.get_mut(at) else { return };
        match spawned {
            Ok(program) => place.program = Some(program),
            Err(e) => {
                daemon::event!(Error, "filter_spawn_failed", error = e);
                self.back_off(at, now);
            }
        }
    }

    fn give(&mut self, at: usize, now: Instant) {
        let Some(place) = self.places.get_mut(at) else { return };
        if place.question.is_some() || place.outdated {
            return;
        }
        let Some(program) = &mut place.program else { return };
        let Some(question) = self.waiting.pop_front() else { return };
        let sent = program.ask(&question.path);
        place.question = Some(question);
        if sent.is_err() {
            self.retire(at, "closed its input", now);
        }
    }

    /// An event on the pipes of the program with this token, or on any child.
    pub fn heard(&mut self, token: usize, now: Instant) {
        let Some(at) = token.checked_sub(self.first_token) else { return };
        let Some(program) = self.places.get_mut(at).and_then(|place| place.program.as_mut()) else { return };
        let flushed = program.flush();
        match program.hear() {
            Ok(Step::Verdict(verdict)) => self.judged(at, verdict),
            Ok(Step::Garbage(why)) => self.retire(at, why, now),
            Ok(Step::Nothing) if flushed.is_err() => self.retire(at, "closed its input", now),
            Ok(Step::Nothing) => {}
            Err(_) => self.retire(at, "closed its output", now),
        }
    }

    /// A child has ended: which?
    pub fn reap(&mut self, now: Instant) {
        for at in 0..self.places.len() {
            // Its last words first.
            self.heard(self.first_token + at, now);
            let ended = self.places.get_mut(at).and_then(|place| place.program.as_mut()).and_then(Program::ended);
            if let Some(how) = ended {
                self.retire(at, &how, now);
            }
        }
    }

    fn judged(&mut self, at: usize, verdict: Judgement) {
        let Some(question) = self.places.get_mut(at).and_then(|place| place.question.take()) else { return };
        self.counters.add(
            match verdict {
                Judgement::Accept => "accepted",
                Judgement::Freeze(_) => "frozen",
                Judgement::Reject(_) | Judgement::Defer(_) => "rejected",
            },
            1,
        );
        self.answers.push((question, verdict));
    }

    /// Ends a program that broke the rules; its question follows the fail mode.
    fn retire(&mut self, at: usize, reason: &str, now: Instant) {
        daemon::event!(Warning, "filter_ended", program = self.settings.program.first().map_or("", String::as_str), reason = reason);
        self.counters.add("restarts", 1);
        let Some(place) = self.places.get_mut(at) else { return };
        place.outdated = false;
        if let Some(program) = place.program.take() {
            if now.saturating_duration_since(program.began) >= HEALTHY {
                place.failures = 0;
            }
            program.kill(&self.registry);
        }
        if let Some(question) = place.question.take() {
            self.unanswered(question);
        }
        self.back_off(at, now);
    }

    fn back_off(&mut self, at: usize, now: Instant) {
        let Some(place) = self.places.get_mut(at) else { return };
        let wait = RESTART_FIRST.saturating_mul(2u32.saturating_pow(place.failures.min(20))).min(RESTART_LONGEST);
        place.failures = place.failures.saturating_add(1);
        place.start_at = Some(now + wait);
    }

    fn unanswered(&mut self, question: Question) {
        self.counters.add("failures", 1);
        daemon::event!(Warning, "filter_failed", path = question.path);
        let verdict = match self.settings.failure {
            FailMode::Accept => Judgement::Accept,
            FailMode::Defer => Judgement::Defer("the content filter did not answer, try again later".into()),
            FailMode::Reject => Judgement::Reject("the content filter did not answer".into()),
        };
        self.answers.push((question, verdict));
    }

    /// Ends every program.
    pub fn end(&mut self) {
        for place in &mut self.places {
            if let Some(program) = place.program.take() {
                program.kill(&self.registry);
            }
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
