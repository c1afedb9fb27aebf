//! One service: its connections, the questions that wait for one, and how it has been doing.

use crate::connection::{Connection, Progress};
use daemon::Counters;
use mio::Token;
use nexthop::Socket;
use settings::PolicyService;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use subdaemon::Asker;

/// Questions that may wait: each is a session's, so more than this is a flood.
const MOST_WAITING: usize = 10_000;
/// After a failure, and doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection is closed when it had nothing to do for so long, or is so old: as Postfix does, and services count on it.
const LONGEST_IDLE: Duration = Duration::from_secs(300);
const LONGEST_LIFE: Duration = Duration::from_secs(1000);

/// A session's question.
#[derive(Debug, Clone)]
pub struct Question {
    pub asker: Asker,
    pub number: u64,
    pub bytes: Vec<u8>,
    pub deadline: Instant,
    /// It was on a connection that turned out to be closed.
    pub again: bool,
}

/// What became of one: the action, or why there is none.
pub type Outcome = (Asker, u64, Result<String, String>);

/// Begins a connection: its token and socket.
pub trait Connect: FnMut(&PolicyService) -> std::io::Result<(Token, Socket)> {}

impl<F: FnMut(&PolicyService) -> std::io::Result<(Token, Socket)>> Connect for F {}

#[derive(Debug)]
pub struct Pool {
    pub service: PolicyService,
    connections: HashMap<Token, Connection>,
    waiting: VecDeque<Question>,
    outcomes: Vec<Outcome>,
    /// Failures in a row.
    failures: u32,
    paused_until: Option<Instant>,
    /// The configuration no longer has it: it ends with its last question.
    pub retired: bool,
    counters: Counters,
}

impl Pool {
    pub fn new(service: PolicyService, counters: Counters) -> Self {
        Self {
            service,
            connections: HashMap::new(),
            waiting: VecDeque::new(),
            outcomes: Vec::new(),
            failures: 0,
            paused_until: None,
            retired: false,
            counters,
        }
    }

    pub fn ask(&mut self, question: Question, now: Instant) {
        if let Some(until) = self.paused_until.filter(|until| now < *until) {
            let why = format!("{} does not answer; asked again in {} s", self.service.name, (until - now).as_secs() + 1);
            return self.fail(question, why);
        }
        if self.waiting.len() >= MOST_WAITING {
            let why = format!("{} has too many questions", self.service.name);
            return self.fail(question, why);
        }
        self.waiting.push_back(question);
    }

    /// A caller has gone: what it still waits for need not be asked.
    pub fn forget(&mut self, asker: Asker) {
        self.waiting.retain(|question| question.asker != asker);
    }

    pub fn owns(&self, token: Token) -> bool {
        self.connections.contains_key(&token)
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// No question is in hand.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.connections.values().all(|connection| connection.question.is_none())
    }

    /// One of the connections can go on.
    pub fn event(&mut self, token: Token, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&token) {
            let progress = connection.advance();
            self.heed(token, progress, now);
        }
    }

    /// Gives out questions and ends what has lasted too long.
    pub fn work(&mut self, now: Instant, begin: &mut impl Connect) {
        self.give_up(now);
        while let Some(question) = self.waiting.pop_front() {
            if let Some(token) = self.free() {
                let progress = self.connections.get_mut(&token).map_or(Progress::Waiting, |connection| connection.put(question));
                self.heed(token, progress, now);
            } else if self.connections.len() < self.service.connections {
                self.connect(question, now, begin);
            } else {
                self.waiting.push_front(question);
                break;
            }
        }
        self.close_idle(now);
    }

    /// When [`Pool::work`] is wanted at the latest.
    pub fn wake(&self) -> Option<Instant> {
        let connections = self.connections.values().map(|connection| match &connection.question {
            Some(question) => question.deadline,
            None => connection.ends(),
        });
        // One timeout for all of a service: the first that came is the first that is late.
        connections.chain(self.waiting.front().map(|question| question.deadline)).min()
    }

    /// The one used last, so that those not needed grow old.
    fn free(&self) -> Option<Token> {
        let idle = self.connections.iter().filter(|(_, connection)| connection.question.is_none());
        idle.max_by_key(|(_, connection)| connection.idle_since).map(|(token, _)| *token)
    }

    fn connect(&mut self, question: Question, now: Instant, begin: &mut impl Connect) {
        match begin(&self.service) {
            Ok((token, socket)) => {
                self.connections.insert(token, Connection::new(socket, question, now));
            }
            Err(e) => self.broken(question, &format!("no connection: {e}"), now),
        }
    }

    fn heed(&mut self, token: Token, progress: Progress, now: Instant) {
        match progress {
            Progress::Waiting => {}
            Progress::Answered(answer) => {
                let Some(connection) = self.connections.get_mut(&token) else { return };
                let question = connection.question.take();
                connection.answered = connection.answered.saturating_add(1);
                connection.idle_since = now;
                if answer.more || self.retired {
                    self.connections.remove(&token);
                }
                if self.failures > 0 {
                    daemon::event!(Info, "policy_service_back", service = self.service.name);
                }
                (self.failures, self.paused_until) = (0, None);
                if let Some(Question { asker, number, .. }) = question {
                    self.counters.add("answered", 1);
                    self.outcomes.push((asker, number, Ok(answer.action)));
                }
            }
            Progress::Broken(why) => {
                let Some(mut connection) = self.connections.remove(&token) else { return };
                let was_idle = connection.was_idle();
                match connection.question.take() {
                    Some(question) if was_idle && !question.again => {
                        // Others that are idle were closed with it, most likely.
                        self.close_idle_of(|_| true);
                        self.waiting.push_front(Question { again: true, ..question });
                    }
                    Some(question) => self.broken(question, &why, now),
                    None => {}
                }
            }
        }
    }

    /// Questions whose time is over, with the connections they are on.
    fn give_up(&mut self, now: Instant) {
        let late = |connection: &Connection| connection.question.as_ref().is_some_and(|question| question.deadline <= now);
        let tokens: Vec<Token> = self.connections.iter().filter(|(_, c)| late(c)).map(|(token, _)| *token).collect();
        for token in tokens {
            if let Some(question) = self.connections.remove(&token).and_then(|mut connection| connection.question.take()) {
                let why = format!("no answer in {} s", self.service.timeout.as_secs_f32());
                self.broken(question, &why, now);
            }
        }
        while let Some(question) = self.waiting.pop_front_if(|question| question.deadline <= now) {
            let why = format!("no connection to {} was free in time", self.service.name);
            self.fail(question, why);
        }
    }

    fn close_idle(&mut self, now: Instant) {
        let retired = self.retired;
        self.close_idle_of(|connection| retired || connection.ends() <= now);
    }

    fn close_idle_of(&mut self, which: impl Fn(&Connection) -> bool) {
        self.connections.retain(|_, connection| connection.question.is_some() || !which(connection));
    }

    /// The service has failed with this question: it is left alone for a while, and those that wait need not wait.
    fn broken(&mut self, question: Question, why: &str, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        // Several connections that break at once are one failure.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.failures = self.failures.saturating_add(1);
            self.paused_until = now.checked_add(pause);
            let server = &self.service.server;
            daemon::event!(
                Warning,
                "policy_service_failed",
                service = self.service.name,
                server = server,
                reason = why,
                pause_s = pause.as_secs()
            );
        }
        self.fail(question, format!("{}: {why}", self.service.name));
        for waiting in std::mem::take(&mut self.waiting) {
            self.fail(waiting, format!("{}: {why}", self.service.name));
        }
    }

    fn fail(&mut self, question: Question, why: String) {
        self.counters.add("failures", 1);
        self.outcomes.push((question.asker, question.number, Err(why)));
    }
}

impl Connection {
    fn ends(&self) -> Instant {
        (self.idle_since + LONGEST_IDLE).min(self.begun + LONGEST_LIFE)
    }
}
