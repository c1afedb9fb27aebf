//! The routers: who has what in hand, and who gets the next piece.

use ipc::Channel;
use ipc::routing::{FromRouter, ToRouter};
use mio::Token;
use std::collections::{BTreeMap, HashSet, VecDeque};

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
}

/// Frames of files in hand, in order for each volume: a router works on each volume with a thread of its own.
#[derive(Debug, Default)]
pub struct Batches {
    volumes: Vec<VecDeque<Vec<String>>>,
    /// Files that wait for tables: in hand, but nothing is done for them.
    parked: HashSet<String>,
}

impl Batches {
    pub fn push(&mut self, volume: usize, names: Vec<String>) {
        if self.volumes.len() <= volume {
            self.volumes.resize_with(volume.saturating_add(1), VecDeque::new);
        }
        if let Some(batches) = self.volumes.get_mut(volume) {
            batches.push_back(names);
        }
    }

    /// These are done; false: one of them is not in hand.
    pub fn done(&mut self, volume: usize, files: &[String]) -> bool {
        if let Some(batches) = self.volumes.get_mut(volume)
            && batches.front().is_some_and(|oldest| oldest == files)
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
            if let Some(found) = batch.iter().position(|name| name == file) {
                batch.remove(found);
                if batch.is_empty() {
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

    pub fn all(self) -> Vec<String> {
        self.volumes.into_iter().flatten().flatten().chain(self.parked).collect()
    }
}

impl Router {
    pub fn new(channel: Channel<ToRouter, FromRouter>, index: u64, pid: u32) -> Self {
        Self { channel, index, pid, batches: Batches::default(), questions: 0, exclusive: false, retiring: false }
    }

    pub fn is_idle(&self) -> bool {
        self.batches.is_empty() && self.questions == 0
    }

    fn files(&self) -> usize {
        self.batches.volumes.iter().flatten().map(Vec::len).sum()
    }

    fn takes_work(&self) -> bool {
        !self.exclusive && !self.retiring
    }
}

/// All routers attached.
#[derive(Debug, Default)]
pub struct Farm(pub BTreeMap<Token, Router>);

impl Farm {
    /// The least loaded router with room for a question.
    pub fn for_question(&self, suspects: bool) -> Option<Token> {
        self.candidates(suspects).filter(|(_, r)| r.questions < QUESTIONS).min_by_key(|(_, r)| (r.questions, r.files())).map(|(t, _)| t)
    }

    /// The least loaded router with credit for files of a volume.
    pub fn for_files(&self, volume: usize, suspects: bool) -> Option<Token> {
        self.candidates(suspects).filter(|(_, r)| r.batches.len(volume) < WINDOW).min_by_key(|(_, r)| r.files()).map(|(t, _)| t)
    }

    /// An idle router, for a suspect.
    pub fn idle(&self) -> Option<Token> {
        self.0.iter().find(|(_, r)| r.is_idle() && r.takes_work()).map(|(t, _)| *t)
    }

    /// While suspects wait and no router has one, the first router gets nothing new, so that it becomes idle for them.
    fn candidates(&self, suspects: bool) -> impl Iterator<Item = (Token, &Router)> {
        let kept = usize::from(suspects && !self.0.values().any(|r| r.exclusive));
        self.0.iter().filter(|(_, r)| r.takes_work()).skip(kept).map(|(t, r)| (*t, r))
    }

    /// How many files of `waiting` one router gets now: shared out while there are few.
    pub fn share(&self, waiting: usize) -> usize {
        let routers = self.0.values().filter(|r| r.takes_work()).count().max(1);
        waiting.div_ceil(routers).clamp(1, BATCH)
    }

    /// Takes a router out of service for its age, one at a time.
    pub fn retire(&mut self, token: Token) {
        let another = self.0.values().any(|r| r.retiring);
        if let (false, Some(router)) = (another, self.0.get_mut(&token)) {
            router.retiring = true;
        }
    }

    pub fn is_idle(&self) -> bool {
        self.0.values().all(Router::is_idle)
    }

    pub fn with_index(&self, index: u64) -> Option<Token> {
        self.0.iter().find(|(_, r)| r.index == index).map(|(t, _)| *t)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn farm(routers: u64) -> Farm {
        let router = |index| Router::new(Channel::new(ipc::channel::pair().unwrap().0).unwrap(), index, 0);
        Farm((0..routers).map(|n| (Token(usize::try_from(n).unwrap()), router(n))).collect())
    }

    #[test]
    fn the_least_loaded_gets_the_next_piece_within_its_window() {
        let mut farm = farm(2);
        farm.0.get_mut(&Token(0)).unwrap().batches.push(0, vec!["a".into(), "b".into()]);
        assert_eq!(farm.for_files(0, false), Some(Token(1)));
        farm.0.get_mut(&Token(1)).unwrap().batches.push(0, vec!["c".into()]);
        farm.0.get_mut(&Token(1)).unwrap().batches.push(0, vec![]);
        assert_eq!(farm.for_files(0, false), Some(Token(0)));
        farm.0.get_mut(&Token(0)).unwrap().batches.push(0, vec![]);
        assert_eq!((farm.for_files(0, false), farm.for_files(1, false)), (None, Some(Token(1))));
        assert_eq!(farm.for_question(false), Some(Token(1)));
    }

    #[test]
    fn what_waits_for_tables_leaves_room_for_others() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let mut batches = Batches::default();
        batches.push(0, names(&["a", "b"]));
        batches.push(0, names(&["c"]));
        assert!(batches.done(0, &names(&["c"])) && batches.park(0, names(&["a"])) && batches.len(0) == 1);
        assert!(batches.done(0, &names(&["b"])) && batches.len(0) == 0 && !batches.is_empty());
        assert!(!batches.done(0, &names(&["b"])) && !batches.park(0, names(&["x"])));
        assert!(batches.done(0, &names(&["a"])) && batches.is_empty());
    }

    #[test]
    fn a_suspect_gets_a_router_for_itself() {
        let mut farm = farm(2);
        farm.0.get_mut(&Token(0)).unwrap().questions = 1;
        assert_eq!((farm.for_files(0, true), farm.idle()), (Some(Token(1)), Some(Token(1))));
        farm.0.get_mut(&Token(1)).unwrap().exclusive = true;
        assert_eq!((farm.for_files(0, true), farm.for_question(true), farm.idle()), (Some(Token(0)), Some(Token(0)), None));
    }

    #[test]
    fn few_files_are_shared_and_only_one_router_retires_at_a_time() {
        let mut farm = farm(4);
        assert_eq!((farm.share(1), farm.share(10), farm.share(1000)), (1, 3, BATCH));
        farm.retire(Token(1));
        farm.retire(Token(2));
        assert_eq!(farm.0.values().filter(|r| r.retiring).count(), 1);
    }
}
