//! One destination: its queue, its counts, and what keeps it from being served. What it shares with others is its
//! [`super::site::Site`].

use super::entry::{NONE, State};
use super::policy::Rules;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

/// Why a destination with mail stands in no round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Park {
    No,
    /// Its hours begin at this tick.
    Until(u32),
    /// Its ring has no place.
    Ring,
    /// Until somebody asks for its mail.
    Asking,
    /// Until its mail exchangers are known; not longer than to this tick.
    Locating(u32),
}

#[derive(Debug)]
pub struct Destination {
    pub lane: u32,
    pub host: Rc<str>,
    pub rules: Rc<Rules>,
    /// `NONE`: not known yet.
    pub site: u32,
    queue: Queue,
    /// Jobs now.
    pub active: u32,
    /// Stands in its site's round, or among those to be located.
    pub listed: bool,
    pub park: Park,
    /// With `queue_only`: somebody has asked, and not all of it has gone yet.
    pub asked_for: bool,
    /// Goes by MX, so that its site depends on the DNS.
    pub by_exchangers: bool,
    /// A question about it is under way.
    pub locating: bool,
    /// What the DNS said is good until this tick.
    pub located: u32,
    /// The best mail exchangers, for policies and sites; empty: not known.
    pub exchangers: Rc<[String]>,
    /// Shares that exist.
    pub shares: u32,
    /// Recipients ready, active, deferred, held.
    counts: [u64; 4],
    /// Tick of the last job's end, for forgetting.
    pub used: u32,
}

/// Shares that have something to do.
#[derive(Debug)]
enum Queue {
    /// Those that have not had a job yet, and those that have: taken in turn, so a newcomer waits behind other
    /// newcomers and at most as many jobs of the bulk.
    Turns { fresh: VecDeque<u32>, turned: VecDeque<u32>, fresh_next: bool },
    /// By the arrival of the message.
    Aged(BinaryHeap<Reverse<(i64, u32)>>),
}

impl Queue {
    fn new(aged: bool) -> Self {
        if aged { Self::Aged(BinaryHeap::new()) } else { Self::Turns { fresh: VecDeque::new(), turned: VecDeque::new(), fresh_next: true } }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Turns { fresh, turned, .. } => fresh.is_empty() && turned.is_empty(),
            Self::Aged(heap) => heap.is_empty(),
        }
    }

    fn pop(&mut self) -> Option<u32> {
        match self {
            Self::Turns { fresh, turned, fresh_next } => {
                let fresh_first = std::mem::replace(fresh_next, !*fresh_next);
                let share = if fresh_first {
                    fresh.pop_front().or_else(|| turned.pop_front())
                } else {
                    turned.pop_front().or_else(|| fresh.pop_front())
                };
                if fresh.is_empty() && turned.is_empty() {
                    // A burst must not keep its memory in each of 100,000 destinations.
                    fresh.shrink_to(4);
                    turned.shrink_to(4);
                }
                share
            }
            Self::Aged(heap) => heap.pop().map(|Reverse((_, share))| share),
        }
    }
}

impl Destination {
    pub fn new(lane: u32, host: Rc<str>, rules: Rc<Rules>, by_exchangers: bool) -> Self {
        Self {
            lane,
            host,
            queue: Queue::new(rules.policy.age_order),
            rules,
            site: NONE,
            active: 0,
            listed: false,
            park: Park::No,
            asked_for: false,
            by_exchangers,
            locating: false,
            located: 0,
            exchangers: Rc::new([]),
            shares: 0,
            counts: [0; 4],
            used: 0,
        }
    }

    /// `origin`: the arrival of the share's message.
    pub fn enqueue(&mut self, share: u32, turned: bool, origin: i64) {
        match &mut self.queue {
            Queue::Turns { turned: list, .. } if turned => list.push_back(share),
            Queue::Turns { fresh, .. } => fresh.push_back(share),
            Queue::Aged(heap) => heap.push(Reverse((origin, share))),
        }
    }

    /// The share whose turn it is.
    pub fn dequeue(&mut self) -> Option<u32> {
        let share = self.queue.pop();
        if self.queue.is_empty() {
            self.asked_for = false;
        }
        share
    }

    /// Takes everything out, for another order: the policy has changed.
    pub fn reorder(&mut self) -> Vec<u32> {
        let mut queue = std::mem::replace(&mut self.queue, Queue::new(self.rules.policy.age_order));
        std::iter::from_fn(|| queue.pop()).collect()
    }

    pub const fn is_aged(&self) -> bool {
        matches!(self.queue, Queue::Aged(_))
    }

    /// Something waits and nothing keeps it.
    pub fn wants_turn(&self) -> bool {
        !self.queue.is_empty() && self.park == Park::No
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
        self.shares == 0 && self.active == 0 && !self.listed && !self.locating && self.queue.is_empty()
    }
}
