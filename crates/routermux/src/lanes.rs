//! Names that wait, by lane: oldest first inside one, lanes in turn by their shares.
//!
//! A name waits unsorted until somebody has looked at its file, which nobody does while the routers keep up.

use settings::Lane;
use std::collections::VecDeque;

/// The lane of all that no `[[lane]]` takes.
pub const USUAL: usize = 0;
/// Files of the usual lane in a turn, of which `[[lane]] share` speaks.
const USUAL_SHARE: u64 = 10;
/// Way of a lane of share 1 for each file: divisible by most shares.
const WAY: u64 = 720_720;

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<String>,
    share: u64,
    /// How far it has come: the one that has come least is next.
    way: u64,
}

/// The names of one volume.
#[derive(Debug, Default)]
pub struct Lanes {
    unsorted: VecDeque<String>,
    /// Names that are being looked at.
    sorting: usize,
    /// Empty where there is no `[[lane]]`; else the usual one first.
    queues: Vec<Queue>,
    /// How far the lane had come that was served last.
    way: u64,
}

impl Lanes {
    pub fn new(lanes: &[Lane]) -> Self {
        let mut new = Self::default();
        new.renew(lanes);
        new
    }

    /// Takes other lanes into use. What waits is to be sorted again.
    pub fn renew(&mut self, lanes: &[Lane]) {
        let sorted = std::mem::take(&mut self.queues).into_iter().flat_map(|queue| queue.waiting);
        for name in sorted.collect::<Vec<_>>().into_iter().rev() {
            self.unsorted.push_front(name);
        }
        self.way = 0;
        if !lanes.is_empty() {
            let shares = std::iter::once(USUAL_SHARE).chain(lanes.iter().map(|lane| u64::from(lane.share).max(1)));
            self.queues = shares.map(|share| Queue { waiting: VecDeque::new(), share, way: 0 }).collect();
        }
    }

    pub fn push(&mut self, name: String) {
        self.unsorted.push_back(name);
    }

    pub fn len(&self) -> usize {
        self.unsorted.len() + self.sorting + self.sorted()
    }

    /// Names whose lane is known.
    pub fn sorted(&self) -> usize {
        self.queues.iter().map(|queue| queue.waiting.len()).sum()
    }

    pub fn unsorted(&self) -> usize {
        self.unsorted.len()
    }

    pub fn is_sorting(&self) -> bool {
        self.sorting > 0
    }

    /// Some names to look at; they come back by [`Lanes::put`].
    pub fn for_sorting(&mut self, most: usize) -> Vec<String> {
        let names = self.oldest(most);
        self.sorting = self.sorting.saturating_add(names.len());
        names
    }

    /// Names have been looked at. `None`: by rules that are out of date.
    pub fn put(&mut self, names: Vec<(String, Option<usize>)>) {
        self.sorting = self.sorting.saturating_sub(names.len());
        for (name, lane) in names {
            match lane.and_then(|lane| self.queues.get_mut(lane)) {
                Some(queue) => {
                    if queue.waiting.is_empty() {
                        // It has no claim for the time when it had nothing.
                        queue.way = queue.way.max(self.way);
                    }
                    queue.waiting.push_back(name);
                }
                None => self.unsorted.push_back(name),
            }
        }
    }

    /// At most `most` names nobody has looked at, oldest first.
    pub fn oldest(&mut self, most: usize) -> Vec<String> {
        let count = self.unsorted.len().min(most);
        self.unsorted.drain(..count).collect()
    }

    /// Lanes with names, the one whose turn it is first.
    pub fn turns(&self) -> Vec<usize> {
        let mut turns: Vec<(u64, usize)> =
            self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty()).map(|(lane, queue)| (queue.way, lane)).collect();
        turns.sort_unstable();
        turns.into_iter().map(|(_, lane)| lane).collect()
    }

    /// Takes the next names of a lane: at most `most`, and fewer of a lane of small share, so that no turn is long.
    pub fn take(&mut self, lane: usize, most: usize) -> Vec<String> {
        let Some(queue) = self.queues.get_mut(lane) else { return Vec::new() };
        let fair = usize::try_from(queue.share.saturating_mul(2)).unwrap_or(usize::MAX);
        let count = queue.waiting.len().min(most).min(fair);
        self.way = queue.way;
        queue.way = queue.way.saturating_add((WAY / queue.share).saturating_mul(count as u64));
        queue.waiting.drain(..count).collect()
    }

    /// How many wait in each lane, the usual one first.
    pub fn counts(&self) -> Vec<usize> {
        self.queues.iter().map(|queue| queue.waiting.len()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn lane(share: u32) -> Lane {
        Lane { name: String::new(), min_size: 0, precedence: Vec::new(), senders: Vec::new(), share, routers: 0, line: 0 }
    }

    fn filled(shares: &[u32], each: usize) -> Lanes {
        let mut lanes = Lanes::new(&shares.iter().map(|share| lane(*share)).collect::<Vec<_>>());
        for n in 0..each {
            for _ in 0..=shares.len() {
                lanes.push(n.to_string());
            }
        }
        let names = lanes.for_sorting(usize::MAX);
        let number = shares.len() + 1;
        lanes.put(names.into_iter().enumerate().map(|(n, name)| (name, Some(n % number))).collect());
        lanes
    }

    #[test]
    fn shares_hold_over_any_stretch() {
        let mut lanes = filled(&[1, 5], 5000);
        let mut served = [0_usize; 3];
        while served[USUAL] < 4000 {
            let lane = lanes.turns()[0];
            served[lane] += lanes.take(lane, 16).len();
            let usual = served[USUAL];
            assert!(served[1] <= usual / 10 + 4 && served[2] <= usual / 2 + 20, "{served:?}");
            assert!(usual <= served[1] * 10 + 40, "{served:?}");
        }
    }

    #[test]
    fn a_lane_that_comes_later_claims_nothing_for_the_past() {
        let mut lanes = filled(&[10], 0);
        lanes.put((0..1000).map(|n| (n.to_string(), Some(USUAL))).collect());
        for _ in 0..30 {
            lanes.take(USUAL, 16);
        }
        lanes.put((0..1000).map(|n| (n.to_string(), Some(1))).collect());
        let mut usual = 0;
        for _ in 0..10 {
            let lane = lanes.turns()[0];
            usual += usize::from(lane == USUAL);
            lanes.take(lane, 16);
        }
        assert!((4..=6).contains(&usual), "{usual}");
    }

    #[test]
    fn inside_a_lane_the_oldest_comes_first_and_new_rules_lose_nothing() {
        let mut lanes = filled(&[1], 3);
        assert_eq!((lanes.len(), lanes.counts()), (6, vec![3, 3]));
        assert_eq!(lanes.take(1, 16), ["0", "1"]);
        assert_eq!(lanes.take(USUAL, 1), ["0"]);
        lanes.push("new".into());
        lanes.renew(&[]);
        assert_eq!((lanes.len(), lanes.sorted()), (4, 0));
        assert_eq!(lanes.oldest(9), ["1", "2", "2", "new"]);
    }

    #[test]
    fn names_under_a_look_count_and_come_back() {
        let mut lanes = filled(&[1], 0);
        lanes.push("a".into());
        lanes.push("b".into());
        assert_eq!(lanes.for_sorting(1), ["a"]);
        assert!(lanes.is_sorting() && lanes.len() == 2);
        lanes.renew(&[lane(3)]);
        lanes.put(vec![("a".into(), None)]);
        assert!(!lanes.is_sorting() && lanes.oldest(9) == ["b", "a"]);
    }
}
