//! Questions that wait for a router or for its answer: callers in turn, each bounded, each question with a deadline.

use ipc::routing::Question;
use mio::Token;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Until a question gets a 451.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Questions of one caller at a time.
const MAX_OF_CALLER: usize = 1000;
/// Routers a question is put to, should they die over it.
const MAX_TRIES: u8 = 2;

/// Whose question it is: the caller and the caller's number.
pub type Asker = (Token, u64);

#[derive(Debug)]
struct Pending {
    asker: Asker,
    question: Question,
    tries: u8,
    /// The router that has it.
    router: Option<Token>,
}

#[derive(Debug, Default)]
struct Caller {
    outstanding: usize,
    waiting: VecDeque<u64>,
}

/// All questions.
#[derive(Debug, Default)]
pub struct Questions {
    next: u64,
    pending: HashMap<u64, Pending>,
    callers: HashMap<Token, Caller>,
    /// Callers with waiting questions, in turn.
    ring: VecDeque<Token>,
    /// All questions have the same time, so they are due in the order they came.
    deadlines: VecDeque<(Instant, u64)>,
}

impl Questions {
    /// Takes a question; false when the caller has too many.
    pub fn ask(&mut self, asker: Asker, question: Question, now: Instant) -> bool {
        let caller = self.callers.entry(asker.0).or_default();
        if caller.outstanding >= MAX_OF_CALLER {
            return false;
        }
        caller.outstanding += 1;
        self.next += 1;
        if caller.waiting.is_empty() {
            self.ring.push_back(asker.0);
        }
        caller.waiting.push_back(self.next);
        self.pending.insert(self.next, Pending { asker, question, tries: 0, router: None });
        self.deadlines.push_back((now + DEADLINE, self.next));
        true
    }

    /// The next question for `router`, callers in turn.
    pub fn next(&mut self, router: Token) -> Option<(u64, Question)> {
        while let Some(token) = self.ring.pop_front() {
            let Some(caller) = self.callers.get_mut(&token) else { continue };
            let number = caller.waiting.pop_front();
            if !caller.waiting.is_empty() {
                self.ring.push_back(token);
            }
            if let Some((number, pending)) = number.and_then(|n| Some((n, self.pending.get_mut(&n)?))) {
                pending.router = Some(router);
                pending.tries = pending.tries.saturating_add(1);
                return Some((number, pending.question.clone()));
            }
        }
        None
    }

    /// A question is over; `None` when it was over before (deadline, caller gone).
    pub fn settle(&mut self, number: u64) -> Option<Asker> {
        let pending = self.pending.remove(&number)?;
        if let Some(caller) = self.callers.get_mut(&pending.asker.0) {
            caller.outstanding = caller.outstanding.saturating_sub(1);
        }
        Some(pending.asker)
    }

    /// A caller is gone, its questions with it.
    pub fn forget(&mut self, caller: Token) {
        self.callers.remove(&caller);
        self.pending.retain(|_, pending| pending.asker.0 != caller);
    }

    /// A router died: its questions wait again, once; those that had their second try are over.
    pub fn died(&mut self, router: Token) -> Vec<Asker> {
        let mut numbers: Vec<u64> = self.pending.iter().filter(|(_, p)| p.router == Some(router)).map(|(n, _)| *n).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let mut over = Vec::new();
        for number in numbers {
            let Some(pending) = self.pending.get_mut(&number) else { continue };
            pending.router = None;
            if pending.tries >= MAX_TRIES {
                over.extend(self.settle(number));
            } else if let Some(caller) = self.callers.get_mut(&pending.asker.0) {
                if caller.waiting.is_empty() {
                    self.ring.push_back(pending.asker.0);
                }
                caller.waiting.push_front(number);
            }
        }
        over
    }

    /// Questions whose time is over.
    pub fn expired(&mut self, now: Instant) -> Vec<Asker> {
        let mut over = Vec::new();
        while self.deadlines.front().is_some_and(|(at, n)| *at <= now || !self.pending.contains_key(n)) {
            if let Some((_, number)) = self.deadlines.pop_front() {
                over.extend(self.settle(number));
            }
        }
        over
    }

    /// The next deadline.
    pub fn due(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    pub fn is_waiting(&self) -> bool {
        !self.ring.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROUTER: Token = Token(9);

    fn verify(address: &str) -> Question {
        Question::Verify { address: address.into(), sender: String::new() }
    }

    #[test]
    fn callers_take_turns() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for n in 0..3 {
            assert!(questions.ask((Token(1), n), verify("a"), now));
        }
        assert!(questions.ask((Token(2), 7), verify("b"), now));
        let mut order = Vec::new();
        while let Some((number, _)) = questions.next(ROUTER) {
            order.push(questions.settle(number).unwrap());
        }
        assert_eq!(order, [(Token(1), 0), (Token(2), 7), (Token(1), 1), (Token(1), 2)]);
        assert!(questions.is_empty() && !questions.is_waiting());
    }

    #[test]
    fn a_caller_has_a_bound_and_a_question_a_deadline() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for n in 0..1000 {
            assert!(questions.ask((Token(1), n), verify("a"), now));
        }
        assert!(!questions.ask((Token(1), 1000), verify("a"), now));
        assert!(questions.ask((Token(2), 0), verify("a"), now));
        assert_eq!(questions.expired(now).len(), 0);
        assert_eq!(questions.expired(now + DEADLINE).len(), 1001);
        assert!(questions.next(ROUTER).is_none() && questions.is_empty() && questions.due().is_none());
    }

    #[test]
    fn a_question_survives_one_router() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.ask((Token(1), 5), verify("a"), now);
        let (number, _) = questions.next(ROUTER).unwrap();
        assert!(questions.died(ROUTER).is_empty());
        assert_eq!(questions.next(Token(10)).unwrap().0, number);
        assert_eq!(questions.died(Token(10)), [(Token(1), 5)]);
        assert!(questions.settle(number).is_none());
    }

    #[test]
    fn a_caller_that_is_gone_leaves_nothing() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.ask((Token(1), 5), verify("a"), now);
        questions.forget(Token(1));
        assert!(questions.next(ROUTER).is_none() && questions.is_empty());
        assert!(questions.expired(now).is_empty());
    }
}
