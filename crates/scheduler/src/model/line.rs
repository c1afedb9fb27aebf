//! Who is next at one destination.
//!
//! Three rules, one inside the other:
//! - **Classes.** A higher priority goes first (MT-PRIORITY, RFC 6710); one turn in [`LOWER_TURN`] goes to a lower class, so
//!   that none starves.
//! - **Flows.** Inside a class the senders take turns, and for each sender new mail and mail that was tried before.
//! - **Slots.** Inside a flow the oldest goes first, but every four jobs of a message that needs many earn a slot for one
//!   that needs few (Postfix's preemption): however many small ones come, a big one takes at most 1.25 times as long,
//!   and a small one waits for a few jobs, not for all of them. Up to [`LOAN`] slots are lent before they are earned.
//!
//! Shares that were held, deleted or done meanwhile leave lazily: whoever takes asks each how many jobs it still needs, and none
//! means that it is gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// One of so many turns goes to the next lower class.
const LOWER_TURN: u8 = 8;
/// Jobs of a big message that earn one slot: the slow-down is bounded by (EARN + 1) / EARN.
const EARN: u32 = 4;
/// Slots lent at most.
const LOAN: u32 = 3;

/// Where a share stands in line.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// -9 to 9; higher goes first.
    pub priority: i8,
    /// Shares with the same number share turns: the sender's.
    pub flow: u64,
    /// Arrival of the message; smaller is older.
    pub age: u64,
    /// Jobs it needs.
    pub jobs: u32,
    /// Strictly by age, before everything else.
    pub aged: bool,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub share: u32,
    /// This is its last job: it stands in line no more, and is to be pushed again if it needs another after all.
    pub left: bool,
}

#[derive(Debug, Default)]
pub struct Line {
    aged: BinaryHeap<Reverse<(u64, u32)>>,
    /// By priority, highest first.
    classes: Vec<Class>,
    /// Turns since a lower class had one.
    turns: u8,
}

#[derive(Debug)]
struct Class {
    priority: i8,
    flows: HashMap<u64, Flow>,
    /// Flows with shares, each once, in the order of their turns.
    round: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Flow {
    /// The oldest, under way.
    current: Option<Current>,
    waiting: Vec<Bucket>,
}

/// Shares that need 1, 2, 3-4, 5-8... jobs, in the order they came.
#[derive(Debug)]
struct Bucket {
    size: u32,
    shares: VecDeque<(u64, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    share: u32,
    /// Jobs it needed when its turn came.
    total: u32,
    sent: u32,
    /// Slots given to others.
    given: u32,
}

impl Line {
    pub fn is_empty(&self) -> bool {
        self.aged.is_empty() && self.classes.is_empty()
    }

    pub fn push(&mut self, share: u32, standing: Standing) {
        let Standing { priority, flow, age, jobs, aged } = standing;
        if aged {
            return self.aged.push(Reverse((age, share)));
        }
        let at = self.classes.partition_point(|class| class.priority > priority);
        if self.classes.get(at).is_none_or(|class| class.priority != priority) {
            // One by one: most destinations have one class, one flow and one share, and there are very many of them.
            self.classes.reserve_exact(1);
            self.classes.insert(at, Class { priority, flows: HashMap::new(), round: VecDeque::with_capacity(1) });
        }
        if let Some(class) = self.classes.get_mut(at) {
            class.push(flow, share, age, jobs);
        }
    }

    /// The share whose turn it is: one job of it begins now. `jobs` says how many jobs a share still needs; with 0 it
    /// leaves the line, and is to be pushed again when it needs some.
    pub fn next(&mut self, jobs: &mut dyn FnMut(u32) -> u32) -> Option<Turn> {
        let turn = self.aged_turn(jobs).or_else(|| self.fair_turn(jobs));
        if self.is_empty() {
            // A burst must not keep its memory in each of 100,000 destinations.
            *self = Self::default();
        }
        turn
    }

    /// Takes every share out.
    pub fn drain(&mut self) -> Vec<u32> {
        let Self { aged, classes, .. } = std::mem::take(self);
        let flows = classes.into_iter().flat_map(|class| class.flows.into_values());
        let fair = flows.flat_map(|flow| {
            let waiting = flow.waiting.into_iter().flat_map(|bucket| bucket.shares.into_iter().map(|(_, share)| share));
            flow.current.map(|current| current.share).into_iter().chain(waiting).collect::<Vec<_>>()
        });
        aged.into_iter().map(|Reverse((_, share))| share).chain(fair).collect()
    }

    fn aged_turn(&mut self, jobs: &mut dyn FnMut(u32) -> u32) -> Option<Turn> {
        while let Some(Reverse((_, share))) = self.aged.peek().copied() {
            let need = jobs(share);
            if need <= 1 {
                self.aged.pop();
            }
            if need > 0 {
                return Some(Turn { share, left: need == 1 });
            }
        }
        None
    }

    fn fair_turn(&mut self, jobs: &mut dyn FnMut(u32) -> u32) -> Option<Turn> {
        loop {
            let lower = self.turns + 1 >= LOWER_TURN && self.classes.len() > 1;
            let at = usize::from(lower);
            let class = self.classes.get_mut(at)?;
            let found = class.next(jobs);
            if class.round.is_empty() {
                self.classes.remove(at);
            }
            if found.is_some() {
                self.turns = if lower { 0 } else { (self.turns + 1).min(LOWER_TURN) };
                return found;
            }
        }
    }
}

impl Class {
    fn push(&mut self, number: u64, share: u32, age: u64, jobs: u32) {
        let round = &mut self.round;
        let flow = self.flows.entry(number).or_insert_with(|| {
            round.push_back(number);
            Flow::default()
        });
        flow.push(share, age, jobs);
    }

    fn next(&mut self, jobs: &mut dyn FnMut(u32) -> u32) -> Option<Turn> {
        while let Some(number) = self.round.pop_front() {
            let Some(flow) = self.flows.get_mut(&number) else { continue };
            let turn = flow.next(jobs);
            if flow.is_empty() {
                self.flows.remove(&number);
            } else {
                self.round.push_back(number);
            }
            if turn.is_some() {
                return turn;
            }
        }
        None
    }
}

impl Flow {
    fn push(&mut self, share: u32, age: u64, jobs: u32) {
        let size = jobs.max(1).next_power_of_two();
        let at = self.waiting.partition_point(|bucket| bucket.size < size);
        if self.waiting.get(at).is_none_or(|bucket| bucket.size != size) {
            self.waiting.reserve_exact(1);
            self.waiting.insert(at, Bucket { size, shares: VecDeque::with_capacity(1) });
        }
        if let Some(bucket) = self.waiting.get_mut(at) {
            bucket.shares.push_back((age, share));
        }
    }

    fn is_empty(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    fn next(&mut self, jobs: &mut dyn FnMut(u32) -> u32) -> Option<Turn> {
        self.sweep(jobs);
        if self.current.is_some_and(|current| jobs(current.share) == 0) {
            self.current = None;
        }
        if self.current.is_none() {
            let share = self.take(Self::oldest(&self.waiting)?)?;
            self.current = Some(Current { share, total: jobs(share), sent: 0, given: 0 });
        }
        let slots = self.current.as_ref().map_or(0, Current::slots);
        if let Some(at) = self.candidate(slots, jobs) {
            return self.lend(at, jobs);
        }
        let current = self.current.as_mut()?;
        current.sent += 1;
        let turn = Turn { share: current.share, left: jobs(current.share) <= 1 };
        if turn.left {
            self.current = None;
        }
        Some(turn)
    }

    /// A small one goes first. It stays at the head of its bucket while it needs more.
    fn lend(&mut self, at: usize, jobs: &mut dyn FnMut(u32) -> u32) -> Option<Turn> {
        let share = self.waiting.get(at)?.shares.front()?.1;
        let left = jobs(share) <= 1;
        if left {
            self.take(at);
        }
        if let Some(current) = &mut self.current {
            current.given += 1;
        }
        Some(Turn { share, left })
    }

    /// Drops shares at the heads of the buckets that are gone.
    fn sweep(&mut self, jobs: &mut dyn FnMut(u32) -> u32) {
        for bucket in &mut self.waiting {
            while bucket.shares.front().is_some_and(|(_, share)| jobs(*share) == 0) {
                bucket.shares.pop_front();
            }
        }
        self.waiting.retain(|bucket| !bucket.shares.is_empty());
    }

    /// The bucket whose head came first.
    fn oldest(waiting: &[Bucket]) -> Option<usize> {
        let heads = waiting.iter().enumerate().filter_map(|(at, bucket)| Some((bucket.shares.front()?.0, at)));
        heads.min().map(|(_, at)| at)
    }

    /// The best of those that fit into the slots: the one that has waited longest for what it needs.
    fn candidate(&self, slots: u32, jobs: &mut dyn FnMut(u32) -> u32) -> Option<usize> {
        let newest = self.waiting.iter().filter_map(|bucket| bucket.shares.back()).map(|(age, _)| *age).max()?;
        let mut best: Option<(u64, usize)> = None;
        for (at, bucket) in self.waiting.iter().enumerate() {
            let Some((age, share)) = bucket.shares.front() else { continue };
            let need = jobs(*share);
            if need == 0 || need > slots {
                continue;
            }
            let worth = newest.saturating_sub(*age).saturating_add(1) / u64::from(need);
            if best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, at));
            }
        }
        best.map(|(_, at)| at)
    }

    fn take(&mut self, at: usize) -> Option<u32> {
        let bucket = self.waiting.get_mut(at)?;
        let share = bucket.shares.pop_front().map(|(_, share)| share);
        if bucket.shares.is_empty() {
            self.waiting.remove(at);
        }
        share
    }
}

impl Current {
    /// Slots that may be given now: what is earned and lent, within what it will earn in all.
    fn slots(&self) -> u32 {
        (self.sent / EARN + LOAN).min(self.total / EARN).saturating_sub(self.given)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// A line and what its shares still need.
    #[derive(Default)]
    struct Queue {
        line: Line,
        need: HashMap<u32, u32>,
        age: u64,
    }

    impl Queue {
        fn push(&mut self, share: u32, jobs: u32, flow: u64, priority: i8) {
            self.age += 1;
            self.need.insert(share, jobs);
            self.line.push(share, Standing { priority, flow, age: self.age, jobs, aged: false });
        }

        fn next(&mut self) -> Option<u32> {
            let need = &self.need;
            let turn = self.line.next(&mut |share| need.get(&share).copied().unwrap_or(0))?;
            let need = self.need.get_mut(&turn.share).unwrap();
            *need -= 1;
            assert_eq!(turn.left, *need == 0);
            Some(turn.share)
        }

        /// Turns until `share` has its first job.
        fn turns_until(&mut self, share: u32) -> usize {
            (0..).find(|_| self.next() == Some(share)).unwrap()
        }
    }

    #[test]
    fn the_oldest_goes_first_among_equals() {
        let mut queue = Queue::default();
        for share in 0..5 {
            queue.push(share, 1, 7, 0);
        }
        assert_eq!((0..5).map(|_| queue.next().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(queue.next().is_none() && queue.line.is_empty());
    }

    #[test]
    fn a_small_one_waits_for_nothing_of_a_big_one() {
        let mut queue = Queue::default();
        queue.push(1, 1000, 7, 0);
        queue.next();
        queue.push(2, 1, 7, 0);
        assert_eq!(queue.turns_until(2), 0);
    }

    #[test]
    fn a_small_one_does_not_wait_behind_many_big_ones() {
        let mut queue = Queue::default();
        for share in 0..200 {
            queue.push(share, 10 + share, 7, 0);
        }
        queue.push(500, 1, 7, 0);
        assert!(queue.turns_until(500) <= 12);
    }

    #[test]
    fn small_ones_slow_a_big_one_by_a_quarter_at_most() {
        let mut queue = Queue::default();
        queue.push(0, 1000, 7, 0);
        let (mut turns, mut fresh) = (0, 1);
        while queue.need.get(&0).is_some_and(|need| *need > 0) {
            // More come than can go.
            for _ in 0..2 {
                queue.push(fresh, 1, 7, 0);
                fresh += 1;
            }
            queue.next();
            turns += 1;
        }
        assert!(turns <= 1250, "{turns}");
        assert!(turns >= 1240, "the slots are used: {turns}");
    }

    #[test]
    fn senders_take_turns() {
        let mut queue = Queue::default();
        for share in 0..1000 {
            queue.push(share, 1, 7, 0);
        }
        queue.push(2000, 1, 8, 0);
        queue.push(2001, 1, 8, 0);
        assert!(queue.turns_until(2000) <= 1);
        assert!(queue.turns_until(2001) <= 1);
    }

    #[test]
    fn urgent_mail_goes_first_and_bulk_does_not_starve() {
        let mut queue = Queue::default();
        for share in 0..100 {
            queue.push(share, 1, 7, -5);
        }
        for share in 100..200 {
            queue.push(share, 1, 7, 4);
        }
        let first: Vec<u32> = (0..80).map(|_| queue.next().unwrap()).collect();
        assert_eq!(first.iter().filter(|share| **share < 100).count(), 10, "one of eight");
    }

    #[test]
    fn strictly_by_age_where_asked() {
        let mut line = Line::default();
        for (share, age) in [(1, 30), (2, 10), (3, 20)] {
            line.push(share, Standing { priority: 0, flow: u64::from(share), age, jobs: 5, aged: true });
        }
        let mut need: HashMap<u32, u32> = [(1, 1), (2, 2), (3, 1)].into();
        let mut order = Vec::new();
        while let Some(turn) = line.next(&mut |share| need[&share]) {
            *need.get_mut(&turn.share).unwrap() -= 1;
            order.push(turn.share);
        }
        assert_eq!(order, [2, 2, 3, 1]);
    }

    proptest! {
        /// Whatever comes, everything leaves exactly once, and nothing twice.
        #[test]
        fn everything_has_its_turns(all in proptest::collection::vec((1..40u32, 0..4u64, -2..3i8, any::<bool>()), 1..60)) {
            let mut queue = Queue::default();
            let mut taken: HashMap<u32, u32> = HashMap::new();
            for (share, (jobs, flow, priority, between)) in (0..).zip(&all) {
                queue.push(share, *jobs, *flow, *priority);
                if *between && let Some(share) = queue.next() {
                    *taken.entry(share).or_default() += 1;
                }
            }
            while let Some(share) = queue.next() {
                *taken.entry(share).or_default() += 1;
            }
            for (share, (jobs, ..)) in (0..).zip(&all) {
                prop_assert_eq!(taken.get(&share), Some(jobs));
            }
            prop_assert!(queue.line.is_empty());
        }
    }
}
