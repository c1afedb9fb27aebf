//! The routers: who has what in hand, and who gets the next piece.

use ipc::Channel;
use ipc::routing::{FromRouter, ToRouter};
use mio::Token;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Instant;

/// Frames of files of one volume that one router has in hand: one it works on, one that waits, so that it never idles between them.
const WINDOW: usize = 2;
/// Questions one router has in hand.
const QUESTIONS: usize = 32;
/// Files in one frame.
pub const BATCH: usize = 16;

/// One router process.
#[derive(Debug)]
pub struct Router {
    pub channel: Channel<ToRouter, FromRouter>,
    pub index: u64,
    pub pid: u32,
    pub batches: Batches,
    pub questions: usize,
    /// Has one suspect file and gets nothing else meanwhile: a death then tells whose fault it was.
    pub exclusive: bool,
    /// Gets no more work and is closed once it is idle.
    pub retiring: bool,
    /// When it last said something, or got work while it had none.
    pub heard: Instant,
    /// The file it has named last (`FromRouter::Begun`).
    pub begun: Option<String>,
    /// The master has been asked to kill it.
    pub accused: bool,
    /// Knows the configuration of this generation: its answers may be given again while that is the one in use.
    pub generation: u64,
}

/// Some files of one lane.
#[derive(Debug)]
pub struct Batch {
    pub names: Vec<String>,
    pub lane: usize,
}

/// Frames of files in hand by volume: a router works on each volume with a thread of its own.
#[derive(Debug, Default)]
pub struct Batches {
    volumes: Vec<VecDeque<Batch>>,
    /// Files that wait for tables: in hand, but nothing is done for them.
    parked: HashSet<String>,
}

impl Batches {
    pub fn push(&mut self, volume: usize, batch: Batch) {
        if self.volumes.len() <= volume {
            self.volumes.resize_with(volume.saturating_add(1), VecDeque::new);
        }
        if let Some(batches) = self.volumes.get_mut(volume) {
            batches.push_back(batch);
        }
    }

    /// These are done; false: one of them is not in hand. Any may be first.
    pub fn done(&mut self, volume: usize, files: &[String]) -> bool {
        if let Some(batches) = self.volumes.get_mut(volume)
            && batches.front().is_some_and(|oldest| oldest.names == files)
        {
            batches.pop_front();
            return true;
        }
        files.iter().all(|file| self.parked.remove(file) || self.take(volume, file))
    }

    /// These wait for tables; false: one of them is not in hand.
    pub fn park(&mut self, volume: usize, files: Vec<String>) -> bool {
        files.into_iter().all(|file| self.take(volume, &file) && self.parked.insert(file))
    }

    fn take(&mut self, volume: usize, file: &str) -> bool {
        let Some(batches) = self.volumes.get_mut(volume) else { return false };
        for (at, batch) in batches.iter_mut().enumerate() {
            if let Some(found) = batch.names.iter().position(|name| name == file) {
                batch.names.remove(found);
                if batch.names.is_empty() {
                    batches.remove(at);
                }
                return true;
            }
        }
        false
    }

    fn len(&self, volume: usize) -> usize {
        self.volumes.get(volume).map_or(0, VecDeque::len)
    }

    fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.volumes.iter().all(VecDeque::is_empty)
    }

    /// Those that are worked on.
    fn all(&self) -> impl Iterator<Item = &Batch> {
        self.volumes.iter().flatten()
    }

    pub fn names(self) -> Vec<String> {
        self.volumes.into_iter().flatten().flat_map(|batch| batch.names).chain(self.parked).collect()
    }
}

impl Router {
    pub fn new(channel: Channel<ToRouter, FromRouter>, index: u64, pid: u32, generation: u64) -> Self {
        Self {
            channel,
            index,
            pid,
            batches: Batches::default(),
            questions: 0,
            exclusive: false,
            retiring: false,
            heard: Instant::now(),
            begun: None,
            accused: false,
            generation,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.questions == 0
    }

    /// It gets work: its silence counts from now if it had none.
    pub fn busy(&mut self, now: Instant) {
        if self.is_idle() {
            self.heard = now;
        }
    }

    fn files(&self) -> usize {
        self.batches.all().map(|batch| batch.names.len()).sum()
    }

    fn takes_work(&self) -> bool {
        !self.exclusive && !self.retiring
    }

    fn has(&self, lane: usize) -> bool {
        self.batches.all().any(|batch| batch.lane == lane)
    }
}

/// All routers attached.
#[derive(Debug, Default)]
pub struct Farm {
    pub routers: BTreeMap<Token, Router>,
    /// By lane, how many routers may work on it at a time; 0: all.
    pub bounds: Vec<usize>,
}

impl Farm {
    /// The least loaded router with room for a question.
    pub fn for_question(&self, suspects: bool) -> Option<Token> {
        self.candidates(suspects).filter(|(_, r)| r.questions < QUESTIONS).min_by_key(|(_, r)| (r.questions, r.files())).map(|(t, _)| t)
    }

    /// The least loaded router with credit for files of a volume and a lane. Behind files of a lane that few routers may
    /// have nothing else waits.
    pub fn for_files(&self, volume: usize, lane: usize, suspects: bool) -> Option<Token> {
        let bound = self.bound(lane);
        let full = bound > 0 && self.routers.values().filter(|r| r.has(lane)).count() >= bound;
        let free = |r: &Router| {
            r.batches.len(volume) < WINDOW
                && (!full || r.has(lane))
                && r.batches.all().all(|batch| batch.lane == lane || self.bound(batch.lane) == 0)
        };
        self.candidates(suspects).filter(|(_, r)| free(r)).min_by_key(|(_, r)| r.files()).map(|(t, _)| t)
    }

    fn bound(&self, lane: usize) -> usize {
        self.bounds.get(lane).copied().unwrap_or(0)
    }

    /// Files of a volume that could be handed out now.
    pub fn room(&self, volume: usize, suspects: bool) -> usize {
        self.candidates(suspects).map(|(_, r)| WINDOW.saturating_sub(r.batches.len(volume)).saturating_mul(BATCH)).sum()
    }

    /// An idle router, for a suspect.
    pub fn idle(&self) -> Option<Token> {
        self.routers.iter().find(|(_, r)| r.is_idle() && r.takes_work()).map(|(t, _)| *t)
    }

    /// While suspects wait and no router has one, the first router gets nothing new, so that it becomes idle for them.
    fn candidates(&self, suspects: bool) -> impl Iterator<Item = (Token, &Router)> {
        let kept = usize::from(suspects && !self.routers.values().any(|r| r.exclusive));
        self.routers.iter().filter(|(_, r)| r.takes_work()).skip(kept).map(|(t, r)| (*t, r))
    }

    /// How many files of `waiting` one router gets now: shared out while there are few.
    pub fn share(&self, waiting: usize) -> usize {
        let routers = self.routers.values().filter(|r| r.takes_work()).count().max(1);
        waiting.div_ceil(routers).clamp(1, BATCH)
    }

    /// Takes a router out of service for its age or size, one at a time.
    pub fn retire(&mut self, token: Token) {
        let another = self.routers.values().any(|r| r.retiring);
        if let (false, Some(router)) = (another, self.routers.get_mut(&token)) {
            router.retiring = true;
        }
    }

    pub fn is_idle(&self) -> bool {
        self.routers.values().all(Router::is_idle)
    }

    pub fn with_index(&self, index: u64) -> Option<Token> {
        self.routers.iter().find(|(_, r)| r.index == index).map(|(t, _)| *t)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lanes::USUAL;

    fn farm(routers: u64) -> Farm {
        let router = |index| Router::new(Channel::new(ipc::channel::pair().unwrap().0).unwrap(), index, 0, 0);
        let routers = (0..routers).map(|n| (Token(usize::try_from(n).unwrap()), router(n))).collect();
        Farm { routers, bounds: Vec::new() }
    }

    impl Farm {
        fn give(&mut self, token: usize, lane: usize, names: &[&str]) {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            self.routers.get_mut(&Token(token)).unwrap().batches.push(0, Batch { names, lane });
        }
    }

    #[test]
    fn the_least_loaded_gets_the_next_piece_within_its_window() {
        let mut farm = farm(2);
        assert_eq!(farm.room(0, false), 2 * WINDOW * BATCH);
        farm.give(0, USUAL, &["a", "b"]);
        assert_eq!(farm.for_files(0, USUAL, false), Some(Token(1)));
        farm.give(1, USUAL, &["c"]);
        farm.give(1, USUAL, &[]);
        assert_eq!(farm.for_files(0, USUAL, false), Some(Token(0)));
        farm.give(0, USUAL, &[]);
        assert_eq!((farm.for_files(0, USUAL, false), farm.for_files(1, USUAL, false)), (None, Some(Token(1))));
        assert_eq!((farm.for_question(false), farm.room(0, false)), (Some(Token(1)), 0));
    }

    #[test]
    fn a_suspect_gets_a_router_for_itself() {
        let mut farm = farm(2);
        farm.routers.get_mut(&Token(0)).unwrap().questions = 1;
        assert_eq!((farm.for_files(0, USUAL, true), farm.idle()), (Some(Token(1)), Some(Token(1))));
        farm.routers.get_mut(&Token(1)).unwrap().exclusive = true;
        assert_eq!((farm.for_files(0, USUAL, true), farm.for_question(true), farm.idle()), (Some(Token(0)), Some(Token(0)), None));
    }

    #[test]
    fn few_files_are_shared_and_only_one_router_retires_at_a_time() {
        let mut farm = farm(4);
        assert_eq!((farm.share(1), farm.share(10), farm.share(1000)), (1, 3, BATCH));
        farm.retire(Token(1));
        farm.retire(Token(2));
        assert_eq!(farm.routers.values().filter(|r| r.retiring).count(), 1);
    }

    #[test]
    fn a_lane_keeps_to_its_routers_and_nothing_waits_behind_it() {
        let mut farm = farm(3);
        farm.bounds = vec![0, 1, 0];
        farm.give(0, 1, &["bulk"]);
        assert_eq!((farm.for_files(0, 1, false), farm.for_files(0, USUAL, false)), (Some(Token(0)), Some(Token(1))));
        farm.give(0, 1, &["bulk2"]);
        assert_eq!((farm.for_files(0, 1, false), farm.for_files(0, 2, false)), (None, Some(Token(1))));
        farm.give(1, USUAL, &["a"]);
        assert_eq!(farm.for_files(0, 2, false), Some(Token(2)));
        farm.give(2, 2, &["b", "c"]);
        assert_eq!(farm.for_files(0, USUAL, false), Some(Token(1)), "not behind bulk, though that is one file as well");
    }

    #[test]
    fn what_waits_for_tables_leaves_room_for_others_and_any_may_be_done_first() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let mut farm = farm(1);
        farm.give(0, USUAL, &["a", "b"]);
        farm.give(0, 2, &["c"]);
        let batches = &mut farm.routers.get_mut(&Token(0)).unwrap().batches;
        assert!(batches.done(0, &names(&["c"])) && batches.park(0, names(&["a"])) && batches.len(0) == 1);
        assert!(batches.done(0, &names(&["b"])) && batches.len(0) == 0 && !batches.is_empty());
        assert!(!batches.done(0, &names(&["b"])) && !batches.park(0, names(&["x"])) && !batches.done(1, &names(&["x"])));
        assert!(batches.done(0, &names(&["a"])) && batches.is_empty());
    }
}
