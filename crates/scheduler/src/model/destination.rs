//! One destination: its queues, its concurrency window, and whether it is dead.

use super::entry::{NONE, State};
use super::note::Note;
use std::collections::VecDeque;
use std::rc::Rc;

/// Jobs in a row that found no server until the destination counts as dead. Fewer would take one refused connection
/// for an outage; more would let every waiting message find out for itself.
pub const DEAD_AFTER: u32 = 3;

#[derive(Debug)]
pub struct Destination {
    pub lane: u32,
    pub host: Rc<str>,
    /// Shares that have not had a job yet, and those that have: taken in turn, so a newcomer waits behind other
    /// newcomers and at most as many jobs of the bulk.
    fresh: VecDeque<u32>,
    turned: VecDeque<u32>,
    fresh_next: bool,
    /// Jobs now.
    pub active: u32,
    /// Jobs allowed at once.
    window: u32,
    failures: u32,
    /// Probes that failed since it died; 0: alive.
    probes: u32,
    /// Dead until this tick.
    pub until: u32,
    pub last: Option<Rc<Note>>,
    /// The agent that had the last job: it may still have a session open.
    pub agent: u64,
    /// Stands in its lane's round.
    pub listed: bool,
    /// Shares that exist.
    pub shares: u32,
    /// Recipients ready, active, deferred, held.
    counts: [u64; 4],
    /// Tick of the last job's end, for forgetting.
    pub used: u32,
}

/// How a job ended, as far as it tells about the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Something was delivered.
    Success,
    /// The server answered.
    Alive,
    /// No server was found or reached.
    Unreachable,
    /// The job says nothing about the destination.
    Nothing,
}

/// What a signal means for whoever keeps the timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Alive,
    /// Dead; this many probes have failed.
    Dead(u32),
}

impl Destination {
    pub fn new(lane: u32, host: Rc<str>, window: u32) -> Self {
        Self {
            lane,
            host,
            fresh: VecDeque::new(),
            turned: VecDeque::new(),
            fresh_next: true,
            active: 0,
            window: window.max(1),
            failures: 0,
            probes: 0,
            until: 0,
            last: None,
            agent: 0,
            listed: false,
            shares: 0,
            counts: [0; 4],
            used: 0,
        }
    }

    pub fn enqueue(&mut self, share: u32, turned: bool) {
        if turned { self.turned.push_back(share) } else { self.fresh.push_back(share) }
    }

    /// The share whose turn it is.
    pub fn dequeue(&mut self) -> Option<u32> {
        let fresh_first = self.fresh_next;
        self.fresh_next = !fresh_first;
        let share = if fresh_first {
            self.fresh.pop_front().or_else(|| self.turned.pop_front())
        } else {
            self.turned.pop_front().or_else(|| self.fresh.pop_front())
        };
        if self.fresh.is_empty() && self.turned.is_empty() {
            // A burst must not keep its memory in each of 100,000 destinations.
            self.fresh.shrink_to(4);
            self.turned.shrink_to(4);
        }
        share
    }

    /// Probes that have failed.
    pub const fn probes(&self) -> u32 {
        self.probes
    }

    pub fn is_dead(&self) -> bool {
        self.probes > 0
    }

    /// Could a job begin now?
    pub fn eligible(&self, tick: u32) -> bool {
        (!self.fresh.is_empty() || !self.turned.is_empty()) && self.active < self.window() && (!self.is_dead() || tick >= self.until)
    }

    pub fn window(&self) -> u32 {
        if self.is_dead() { 1 } else { self.window }
    }

    /// Feedback: up by one for each success, down by one for each job that found no server, so that a window of N is
    /// back at 1 before N failures; dead after [`DEAD_AFTER`] in a row.
    pub fn learn(&mut self, signal: Signal, first: u32, most: u32) -> Verdict {
        match signal {
            Signal::Success | Signal::Alive => {
                if self.is_dead() {
                    self.window = first.max(1);
                } else if signal == Signal::Success {
                    self.window = self.window.saturating_add(1).min(most.max(1));
                }
                self.failures = 0;
                self.probes = 0;
                self.last = None;
            }
            Signal::Unreachable => {
                self.window = self.window.saturating_sub(1).max(1);
                self.failures = self.failures.saturating_add(1);
                if self.is_dead() || self.failures >= DEAD_AFTER {
                    // Jobs that were under way when it died are no probes.
                    if !self.is_dead() || self.active == 0 {
                        self.probes = self.probes.saturating_add(1);
                    }
                    return Verdict::Dead(self.probes);
                }
            }
            Signal::Nothing => {}
        }
        if self.is_dead() { Verdict::Dead(self.probes) } else { Verdict::Alive }
    }

    pub fn count(&mut self, state: State, up: bool) {
        let column = match state {
            State::Ready => 0,
            State::Active => 1,
            State::Deferred => 2,
            State::Held => 3,
            State::Delivered | State::Failed => return,
        };
        if let Some(count) = self.counts.get_mut(column) {
            *count = if up { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    pub const fn counts(&self) -> [u64; 4] {
        self.counts
    }

    /// Nothing refers to it.
    pub fn is_unused(&self) -> bool {
        self.shares == 0 && self.active == 0 && !self.listed && self.fresh.is_empty() && self.turned.is_empty()
    }

    /// The next tick at which it is tried again, when dead.
    pub fn next_probe(&self) -> u32 {
        if self.is_dead() { self.until } else { NONE }
    }
}
