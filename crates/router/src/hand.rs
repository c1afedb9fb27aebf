//! Files in hand: those of the routermux's frames, in their order, and those that wait for tables.

use crate::parking::{MAX_FILES, Pass, Wait};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What came of a pass over one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Dealt with, one way or another.
    Through,
    /// A table has not answered yet.
    Pending,
}

/// Some files of one frame; reported together.
#[derive(Debug)]
struct Batch {
    waiting: VecDeque<String>,
    done: Vec<String>,
    parked: Vec<String>,
}

/// What the routermux is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub done: Vec<String>,
    /// They wait for tables, and take no room from others meanwhile.
    pub parked: Vec<String>,
}

/// The files.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    batches: VecDeque<Batch>,
    parked: Vec<(String, Wait)>,
}

impl Hand {
    pub fn take(&mut self, names: Vec<String>) {
        let done = Vec::with_capacity(names.len());
        self.batches.push_back(Batch { waiting: names.into(), done, parked: Vec::new() });
    }

    /// Files that can be begun now.
    pub fn has_work(&self) -> bool {
        !self.batches.is_empty() && self.has_room()
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.parked.is_empty()
    }

    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    fn has_room(&self) -> bool {
        self.parked.len() < MAX_FILES
    }

    /// Begins with the next file; a report when it was the last of its frame. `now` is read only when it is needed.
    pub fn next(&mut self, route: &mut dyn FnMut(&str, Pass) -> Passed) -> Option<Report> {
        if !self.has_room() {
            return None;
        }
        let batch = self.batches.front_mut()?;
        if let Some(name) = batch.waiting.pop_front() {
            let pass = Pass::first(Instant::now());
            match route(&name, pass) {
                Passed::Through => batch.done.push(name),
                Passed::Pending => {
                    self.parked.push((name.clone(), Wait::since(pass.began)));
                    batch.parked.push(name);
                }
            }
        }
        if !batch.waiting.is_empty() {
            return None;
        }
        let batch = self.batches.pop_front()?;
        Some(Report { done: batch.done, parked: batch.parked })
    }

    /// Tables have said something.
    pub fn heard(&mut self) {
        self.parked.iter_mut().for_each(|(_, wait)| wait.heard());
    }

    /// Decides again about what is due.
    pub fn again(&mut self, now: Instant, patience: Duration, route: &mut dyn FnMut(&str, Pass) -> Passed) -> Option<Report> {
        let mut report = Report::default();
        self.parked.retain_mut(|(name, wait)| {
            let Some(pass) = wait.pass(now, patience) else { return true };
            if route(name, pass) == Passed::Pending && !pass.last {
                wait.again(Instant::now());
                return true;
            }
            report.done.push(std::mem::take(name));
            false
        });
        (!report.done.is_empty()).then_some(self.apart(report))
    }

    /// A parked file whose frame is not through is reported with it.
    fn apart(&mut self, mut report: Report) -> Report {
        for batch in &mut self.batches {
            if !batch.parked.is_empty() {
                let (now_done, rest) = report.done.into_iter().partition::<Vec<_>, _>(|name| batch.parked.contains(name));
                batch.parked.retain(|name| !now_done.contains(name));
                batch.done.extend(now_done);
                report.done = rest;
            }
        }
        report
    }

    /// When a parked file is looked at again though nothing comes.
    pub fn due(&self, patience: Duration) -> Option<Instant> {
        self.parked.iter().map(|(_, wait)| wait.due(patience)).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_waits_takes_no_room_and_is_reported_when_it_is_through() {
        let mut hand = Hand::default();
        hand.take(names(&["a", "b", "c"]));
        let mut route = |name: &str, pass: Pass| if name == "b" && pass.first { Passed::Pending } else { Passed::Through };
        assert_eq!((hand.next(&mut route), hand.next(&mut route)), (None, None));
        assert_eq!(hand.next(&mut route), Some(Report { done: names(&["a", "c"]), parked: names(&["b"]) }));
        assert!(!hand.has_work() && !hand.is_empty());
        let now = Instant::now();
        assert_eq!(hand.again(now, PATIENCE, &mut route), None);
        hand.heard();
        assert_eq!(hand.again(now, PATIENCE, &mut route), Some(Report { done: names(&["b"]), parked: vec![] }));
        assert!(hand.is_empty());
    }

    #[test]
    fn a_file_that_comes_back_before_its_frame_is_through_is_reported_with_it() {
        let mut hand = Hand::default();
        hand.take(names(&["a", "b"]));
        let mut route = |_: &str, pass: Pass| if pass.first { Passed::Pending } else { Passed::Through };
        assert_eq!(hand.next(&mut route), None);
        hand.heard();
        let report = hand.again(Instant::now(), PATIENCE, &mut route).unwrap_or_default();
        assert_eq!(report, Report::default());
        assert_eq!(hand.next(&mut route), Some(Report { done: names(&["a"]), parked: names(&["b"]) }));
    }

    #[test]
    fn a_silent_table_ends_with_the_last_pass() {
        let mut hand = Hand::default();
        hand.take(names(&["a"]));
        let mut route = |_: &str, _: Pass| Passed::Pending;
        hand.next(&mut route).unwrap();
        let late = Instant::now() + PATIENCE;
        assert_eq!(hand.again(late, PATIENCE, &mut route).unwrap().done, names(&["a"]));
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut hand = Hand::default();
        hand.take((0..MAX_FILES + 10).map(|n| n.to_string()).collect());
        let mut route = |_: &str, _: Pass| Passed::Pending;
        while hand.has_work() {
            assert!(hand.next(&mut route).is_none());
        }
        assert_eq!(hand.parked(), MAX_FILES);
        assert!(hand.next(&mut route).is_none());
    }
}
