//! Questions that wait for a router or for its answer: callers in turn, each bounded, each question with a deadline.
//! Equal questions that may share an answer are put to a router once.

use ipc::routing::Question;
use mio::Token;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Questions of one caller at a time.
const MAX_OF_CALLER: usize = 1000;
/// Routers a question is put to, should they die over it.
const MAX_TRIES: u8 = 2;

/// Who may wait for one answer.
const MOST_ASKERS: usize = 1000;

/// Whose question it is: the caller and the caller's number.
pub type Asker = (Token, u64);

#[derive(Debug)]
struct Pending {
    askers: Vec<Asker>,
    question: Question,
    asked: Instant,
    /// Until when others may join; none: never.
    shared: Option<Instant>,
    tries: u8,
    /// The router that has it.
    router: Option<Token>,
}

/// A question that is over.
#[derive(Debug)]
pub struct Settled {
    /// Those who asked it.
    pub askers: Vec<Asker>,
    pub question: Question,
    /// When it was asked first.
    pub asked: Instant,
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
    /// Of those that others may join.
    shared: HashMap<Question, u64>,
    callers: HashMap<Token, Caller>,
    /// Callers with waiting questions, in turn.
    ring: VecDeque<Token>,
    /// Deadlines of questions and askers in the order they came. All have the same time, but for a reload that changes it.
    deadlines: VecDeque<(Instant, u64, Asker)>,
}

impl Questions {
    /// Takes a question; false when the caller has too many. `shared`: how long another that is equal may join it.
    pub fn ask(&mut self, asker: Asker, question: Question, shared: Option<Duration>, now: Instant, patience: Duration) -> bool {
        let caller = self.callers.entry(asker.0).or_default();
        if caller.outstanding >= MAX_OF_CALLER {
            return false;
        }
        caller.outstanding += 1;
        let equal = if shared.is_some() { self.shared.get(&question).copied() } else { None };
        let joinable = |pending: &&mut Pending| pending.shared.is_some_and(|until| now < until) && pending.askers.len() < MOST_ASKERS;
        if let Some((number, pending)) = equal.and_then(|number| Some((number, self.pending.get_mut(&number).filter(joinable)?))) {
            pending.askers.push(asker);
            self.deadlines.push_back((now + patience, number, asker));
            return true;
        }
        self.next += 1;
        if caller.waiting.is_empty() {
            self.ring.push_back(asker.0);
        }
        caller.waiting.push_back(self.next);
        self.deadlines.push_back((now + patience, self.next, asker));
        let shared = shared.map(|time| now + time);
        if shared.is_some() {
            self.shared.insert(question.clone(), self.next);
        }
        let pending = Pending { askers: vec![asker], question, asked: now, shared, tries: 0, router: None };
        self.pending.insert(self.next, pending);
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

    /// A question is over; `None` when it was over before (deadline, callers gone).
    pub fn settle(&mut self, number: u64) -> Option<Settled> {
        let pending = self.pending.remove(&number)?;
        if self.shared.get(&pending.question) == Some(&number) {
            self.shared.remove(&pending.question);
        }
        for (caller, _) in &pending.askers {
            self.release(*caller);
        }
        Some(Settled { askers: pending.askers, question: pending.question, asked: pending.asked })
    }

    fn release(&mut self, caller: Token) {
        if let Some(caller) = self.callers.get_mut(&caller) {
            caller.outstanding = caller.outstanding.saturating_sub(1);
        }
    }

    /// Nobody joins a question that was asked before this: what it finds out may be out of date.
    pub fn part(&mut self) {
        self.shared.clear();
    }

    /// A caller is gone, its questions with it; one that others wait for too goes on as theirs.
    pub fn forget(&mut self, caller: Token) {
        self.callers.remove(&caller);
        let (callers, ring, shared) = (&mut self.callers, &mut self.ring, &mut self.shared);
        self.pending.retain(|number, pending| {
            let was_first = pending.askers.first().is_some_and(|(first, _)| *first == caller);
            pending.askers.retain(|(token, _)| *token != caller);
            match pending.askers.first() {
                // It waited in the turn of the one that is gone.
                Some((heir, _)) if was_first && pending.router.is_none() => {
                    wait(callers, ring, *heir, *number);
                    true
                }
                Some(_) => true,
                None => {
                    if shared.get(&pending.question) == Some(number) {
                        shared.remove(&pending.question);
                    }
                    false
                }
            }
        });
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
                over.extend(self.settle(number).map(|settled| settled.askers).unwrap_or_default());
            } else if let Some((first, _)) = pending.askers.first() {
                wait(&mut self.callers, &mut self.ring, *first, number);
            }
        }
        over
    }

    /// Askers whose time is over. Others who have joined later wait on.
    pub fn expired(&mut self, now: Instant) -> Vec<Asker> {
        let mut over = Vec::new();
        while self.deadlines.front().is_some_and(|(at, number, asker)| *at <= now || !self.waits(*number, *asker)) {
            let Some((_, number, asker)) = self.deadlines.pop_front() else { break };
            if !self.waits(number, asker) {
                continue;
            }
            over.push(asker);
            if self.pending.get(&number).is_some_and(|pending| pending.askers.len() == 1) {
                self.settle(number);
            } else {
                self.leave(number, asker);
            }
        }
        over
    }

    fn waits(&self, number: u64, asker: Asker) -> bool {
        self.pending.get(&number).is_some_and(|pending| pending.askers.contains(&asker))
    }

    fn leave(&mut self, number: u64, asker: Asker) {
        let Some(pending) = self.pending.get_mut(&number) else { return };
        let was_first = pending.askers.first() == Some(&asker);
        pending.askers.retain(|other| *other != asker);
        // Its place in the leaver's turn is passed over.
        if let Some((heir, _)) = pending.askers.first().filter(|_| was_first && pending.router.is_none()) {
            if let Some(caller) = self.callers.get_mut(&asker.0) {
                caller.waiting.retain(|waiting| *waiting != number);
            }
            wait(&mut self.callers, &mut self.ring, *heir, number);
        }
        self.release(asker.0);
    }

    /// The next deadline.
    pub fn due(&self) -> Option<Instant> {
        self.deadlines.front().map(|(at, _, _)| *at)
    }

    pub fn is_waiting(&self) -> bool {
        !self.ring.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Puts a question that has waited before to the front of a caller's.
fn wait(callers: &mut HashMap<Token, Caller>, ring: &mut VecDeque<Token>, token: Token, number: u64) {
    let Some(caller) = callers.get_mut(&token) else { return };
    if caller.waiting.is_empty() {
        ring.push_back(token);
    }
    caller.waiting.push_front(number);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ROUTER: Token = Token(9);
    const PATIENCE: Duration = Duration::from_secs(30);

    fn verify(address: &str) -> Question {
        Question::Verify { address: address.into(), sender: String::new() }
    }

    impl Questions {
        fn put(&mut self, asker: Asker, address: &str, shared: bool, now: Instant) -> bool {
            self.ask(asker, verify(address), shared.then_some(PATIENCE), now, PATIENCE)
        }
    }

    #[test]
    fn callers_take_turns() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for n in 0..3 {
            assert!(questions.put((Token(1), n), "a", false, now));
        }
        assert!(questions.put((Token(2), 7), "b", false, now));
        let mut order = Vec::new();
        while let Some((number, _)) = questions.next(ROUTER) {
            order.extend(questions.settle(number).unwrap().askers);
        }
        assert_eq!(order, [(Token(1), 0), (Token(2), 7), (Token(1), 1), (Token(1), 2)]);
        assert!(questions.is_empty() && !questions.is_waiting());
    }

    #[test]
    fn a_caller_has_a_bound_and_a_question_a_deadline() {
        for shared in [false, true] {
            let (mut questions, now) = (Questions::default(), Instant::now());
            for n in 0..1000 {
                assert!(questions.put((Token(1), n), "a", shared, now));
            }
            assert!(!questions.put((Token(1), 1000), "a", shared, now));
            assert!(questions.put((Token(2), 0), "a", shared, now));
            assert_eq!(questions.expired(now).len(), 0);
            assert_eq!(questions.expired(now + PATIENCE).len(), 1001);
            assert!(questions.next(ROUTER).is_none() && questions.is_empty() && questions.due().is_none());
            assert!(questions.put((Token(1), 1001), "a", shared, now));
        }
    }

    #[test]
    fn a_question_survives_one_router() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.put((Token(1), 5), "a", false, now);
        let (number, _) = questions.next(ROUTER).unwrap();
        assert!(questions.died(ROUTER).is_empty());
        assert_eq!(questions.next(Token(10)).unwrap().0, number);
        assert_eq!(questions.died(Token(10)), [(Token(1), 5)]);
        assert!(questions.settle(number).is_none());
    }

    #[test]
    fn a_caller_that_is_gone_leaves_nothing() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.put((Token(1), 5), "a", true, now);
        questions.forget(Token(1));
        assert!(questions.next(ROUTER).is_none() && questions.is_empty() && questions.shared.is_empty());
        assert!(questions.expired(now).is_empty());
    }

    #[test]
    fn equal_questions_are_put_once_and_answered_to_all() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.put((Token(1), 1), "a", true, now);
        questions.put((Token(2), 2), "a", true, now);
        questions.put((Token(1), 3), "b", true, now);
        let (number, _) = questions.next(ROUTER).unwrap();
        questions.put((Token(3), 4), "a", true, now);
        assert_eq!(questions.settle(number).unwrap().askers, [(Token(1), 1), (Token(2), 2), (Token(3), 4)]);
        let (other, question) = questions.next(ROUTER).unwrap();
        assert_eq!(question, verify("b"));
        assert!(questions.next(ROUTER).is_none());
        // After a reload the same is asked again.
        questions.part();
        questions.put((Token(2), 5), "b", true, now);
        let (again, _) = questions.next(ROUTER).unwrap();
        assert_ne!(again, other);
        questions.settle(other);
        questions.put((Token(3), 6), "b", true, now);
        assert_eq!(questions.settle(again).unwrap().askers.len(), 2);
        assert!(questions.is_empty() && questions.shared.is_empty());
    }

    #[test]
    fn a_question_outlives_the_first_who_asked_it() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        questions.put((Token(1), 1), "a", true, now);
        questions.put((Token(2), 2), "a", true, now + Duration::from_secs(1));
        questions.forget(Token(1));
        let (number, _) = questions.next(ROUTER).unwrap();
        assert_eq!(questions.settle(number).unwrap().askers, [(Token(2), 2)]);
        questions.put((Token(3), 3), "a", true, now);
        questions.put((Token(2), 4), "a", true, now + Duration::from_secs(1));
        questions.put((Token(2), 5), "a", true, now + PATIENCE);
        assert_eq!(questions.expired(now + PATIENCE), [(Token(3), 3)]);
        let (number, _) = questions.next(ROUTER).unwrap();
        assert_eq!(questions.settle(number).unwrap().askers, [(Token(2), 4)]);
        let (late, _) = questions.next(ROUTER).unwrap();
        assert_eq!(questions.settle(late).unwrap().askers, [(Token(2), 5)], "too late to join");
    }
}
