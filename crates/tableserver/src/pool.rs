//! One table: its threads, the questions that wait for one, and how it has been doing.

use crate::bounds;
use crate::worker::{Done, Job};
use daemon::Counters;
use ipc::tables::Answer;
use settings::Table;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use subdaemon::Asker;

/// Questions that may wait: each is a decision's, so more than this is a flood.
const MOST_WAITING: usize = 4096;
/// After a failure, and doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection without a question is closed after so long.
const LONGEST_IDLE: Duration = Duration::from_secs(300);
/// A thread that has not come back so many timeouts after its question is given up.
const PATIENCE: u32 = 6;
/// What questions hear meanwhile. The asker knows of which table.
const PAUSED: &str = "it is in trouble, and is asked again soon";
/// Troubles of single questions are logged once in so long.
const QUIET: Duration = Duration::from_secs(10);

/// A router's question.
#[derive(Debug)]
pub struct Question {
    pub asker: Asker,
    pub number: u64,
    pub key: String,
    pub deadline: Instant,
}

/// What became of one.
pub type Outcome = (Asker, u64, Answer);

#[derive(Debug)]
struct Worker {
    number: u64,
    jobs: Sender<Job>,
    /// Its question; `None` in it: answered without it.
    hand: Option<(Option<Question>, Instant)>,
    idle_since: Instant,
    connected: bool,
}

/// Starts a thread of this number.
pub trait Start: FnMut(&Arc<Table>, u64) -> io::Result<Sender<Job>> {}

impl<F: FnMut(&Arc<Table>, u64) -> io::Result<Sender<Job>>> Start for F {}

#[derive(Debug)]
pub struct Pool {
    pub table: Arc<Table>,
    /// The configuration no longer has it so: it ends with its last question.
    pub retired: bool,
    workers: Vec<Worker>,
    /// Threads that never came back, by number.
    lost: Vec<u64>,
    waiting: VecDeque<Question>,
    outcomes: Vec<Outcome>,
    failures: u32,
    paused_until: Option<Instant>,
    quiet_until: Option<Instant>,
    counters: Counters,
}

impl Pool {
    pub fn new(table: Table, counters: Counters) -> Self {
        Self {
            table: Arc::new(table),
            retired: false,
            workers: Vec::new(),
            lost: Vec::new(),
            waiting: VecDeque::new(),
            outcomes: Vec::new(),
            failures: 0,
            paused_until: None,
            quiet_until: None,
            counters,
        }
    }

    pub fn ask(&mut self, question: Question, now: Instant) {
        if self.waiting.len() >= MOST_WAITING {
            return self.fail(&question, "it has too many questions".to_owned());
        }
        if self.is_paused(now) {
            return self.fail(&question, PAUSED.to_owned());
        }
        self.waiting.push_back(question);
    }

    /// A caller has gone: what it still waits for need not be asked.
    pub fn forget(&mut self, asker: Asker) {
        self.waiting.retain(|question| question.asker != asker);
    }

    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Threads with a connection, as far as they have said.
    pub fn connections(&self) -> usize {
        self.workers.iter().filter(|worker| worker.connected).count()
    }

    /// Threads that are in their place: all, those given up included; of a retired one those that end at once.
    pub fn threads(&self) -> usize {
        let idle = || self.workers.iter().filter(|worker| worker.hand.is_none()).count();
        if self.retired { idle() } else { self.workers.len() + self.lost.len() }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits for it.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.workers.iter().any(|worker| matches!(worker.hand, Some((Some(_), _))))
    }

    /// A thread has done its job; false: it is none of ours.
    pub fn done(&mut self, done: &Done, now: Instant) -> bool {
        if let Some(at) = self.lost.iter().position(|lost| *lost == done.worker) {
            self.lost.swap_remove(at);
            return true;
        }
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.number == done.worker) else { return false };
        (worker.idle_since, worker.connected) = (now, done.connected);
        let question = worker.hand.take().and_then(|(question, _)| question);
        self.counters.add("connects", done.connects);
        let broken = matches!(&done.said, Err(trouble) if trouble.broken);
        let answer = bounds::answer(done.said.clone());
        match &answer {
            Answer::Trouble(reason) if broken => self.broken(reason, now),
            Answer::Trouble(reason) => self.mention(reason, now),
            Answer::Found(_) | Answer::Absent => self.recovered(),
        }
        if let Some(question) = question {
            self.tell(&question, answer);
        }
        true
    }

    /// Gives out questions, and ends what has lasted too long.
    pub fn work(&mut self, now: Instant, start: &mut impl Start, next: &mut u64) {
        self.give_up(now);
        if self.is_paused(now) {
            for question in std::mem::take(&mut self.waiting) {
                self.fail(&question, PAUSED.to_owned());
            }
        }
        while let Some(question) = self.waiting.pop_front() {
            if let Some(question) = self.hand_out(question, now, start, next) {
                self.waiting.push_front(question);
                break;
            }
        }
        let retired = self.retired;
        self.workers.retain(|worker| worker.hand.is_some() || !retired && now < worker.idle_since + LONGEST_IDLE);
    }

    /// When [`Pool::work`] is wanted at the latest.
    pub fn wake(&self) -> Option<Instant> {
        let patience = self.patience();
        let workers = self.workers.iter().filter_map(|worker| match &worker.hand {
            Some((Some(question), _)) => Some(question.deadline),
            Some((None, since)) => since.checked_add(patience),
            None => worker.idle_since.checked_add(LONGEST_IDLE),
        });
        // One timeout for all of a table: the first that came is the first that is late.
        workers.chain(self.waiting.front().map(|question| question.deadline)).min()
    }

    /// `Some`: no thread is free, nor may be made.
    fn hand_out(&mut self, question: Question, now: Instant, start: &mut impl Start, next: &mut u64) -> Option<Question> {
        // The one used last, so that those not needed grow old.
        let free = self.workers.iter_mut().filter(|worker| worker.hand.is_none()).max_by_key(|worker| worker.idle_since);
        if let Some(worker) = free {
            let job = Job { key: question.key.clone(), deadline: question.deadline };
            if worker.jobs.send(job).is_ok() {
                worker.hand = Some((Some(question), now));
                return None;
            }
            // Its thread has ended, which only a panic does.
            let number = worker.number;
            self.workers.retain(|worker| worker.number != number);
            return Some(question);
        }
        if self.workers.len() >= self.table.connections {
            return Some(question);
        }
        *next = next.wrapping_add(1);
        match start(&self.table, *next) {
            Ok(jobs) => {
                self.workers.push(Worker { number: *next, jobs, hand: None, idle_since: now, connected: false });
                self.hand_out(question, now, start, next)
            }
            Err(_) if !self.workers.is_empty() => Some(question),
            Err(e) => {
                let why = format!("no thread for it: {e}");
                daemon::event!(Error, "table_failed", table = self.table.name, reason = why);
                self.fail(&question, why);
                None
            }
        }
    }

    /// Questions whose time is over, and threads that hang.
    fn give_up(&mut self, now: Instant) {
        let (patience, name) = (self.patience(), self.table.name.clone());
        let late = |hand: &mut (Option<Question>, Instant)| hand.0.take_if(|question| question.deadline <= now);
        let overdue: Vec<Question> = self.workers.iter_mut().filter_map(|worker| worker.hand.as_mut().and_then(late)).collect();
        for question in overdue {
            let why = format!("no answer in {} s", self.table.timeout.as_secs_f32());
            self.time_out(&question, why, now);
        }
        while let Some(question) = self.waiting.pop_front_if(|question| question.deadline <= now) {
            self.time_out(&question, "no connection was free in time".to_owned(), now);
        }
        let (most, lost) = (self.table.connections, &mut self.lost);
        self.workers.retain(|worker| {
            let hangs = matches!(worker.hand, Some((None, since)) if since + patience <= now) && lost.len() < most;
            if hangs {
                daemon::event!(Error, "table_thread_hangs", table = name, replaced = lost.len());
                lost.push(worker.number);
            }
            !hangs
        });
    }

    fn patience(&self) -> Duration {
        self.table.timeout.saturating_mul(PATIENCE)
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    fn recovered(&mut self) {
        if self.failures > 0 {
            daemon::event!(Info, "table_back", table = self.table.name);
        }
        (self.failures, self.paused_until) = (0, None);
    }

    /// No connection, or it broke: the server is left alone for a while.
    fn broken(&mut self, reason: &str, now: Instant) {
        // Several connections that break at once are one failure.
        if self.is_paused(now) {
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = now.checked_add(pause);
        daemon::event!(Warning, "table_failed", table = self.table.name, reason = reason, pause_s = pause.as_secs());
    }

    /// Trouble of a question, and none of the connection.
    fn mention(&mut self, reason: &str, now: Instant) {
        if self.quiet_until.is_none_or(|until| until <= now) {
            self.quiet_until = now.checked_add(QUIET);
            daemon::event!(Warning, "table_trouble", table = self.table.name, reason = reason);
        }
    }

    fn tell(&mut self, question: &Question, answer: Answer) {
        let counter = match &answer {
            Answer::Found(_) => "found",
            Answer::Absent => "absent",
            Answer::Trouble(reason) => return self.fail(question, reason.clone()),
        };
        self.counters.add(counter, 1);
        self.outcomes.push((question.asker, question.number, answer));
    }

    fn time_out(&mut self, question: &Question, why: String, now: Instant) {
        self.counters.add("timeouts", 1);
        self.mention(&why, now);
        self.fail(question, why);
    }

    fn fail(&mut self, question: &Question, why: String) {
        self.counters.add("failures", 1);
        self.outcomes.push((question.asker, question.number, Answer::Trouble(why)));
    }
}
