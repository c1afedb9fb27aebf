//! A pool with threads, and a source that does whatever a key says.

use crate::pool::{Outcome, Pool, Question};
use crate::worker::{self, Done};
use crate::{Source, Trouble};
use daemon::Counters;
use ipc::tables::Answer;
use mio::{Poll, Token, Waker};
use settings::Table;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use subdaemon::Asker;

/// What the source has seen, and what the test wants of it.
#[derive(Default)]
pub(crate) struct World {
    down: AtomicBool,
    connects: AtomicUsize,
    /// Connections there are, and the most at a time.
    open: AtomicUsize,
    asked: Mutex<Vec<String>>,
    /// Threads at `wait` go on.
    pub(crate) gate: (Mutex<bool>, Condvar),
    pub(crate) waiting: AtomicUsize,
}

pub(crate) struct Fake(pub(crate) Arc<World>);

pub(crate) struct Line {
    world: Arc<World>,
    used: usize,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.world.open.fetch_sub(1, SeqCst);
    }
}

impl Source for Fake {
    type Connection = Line;

    fn connect(&self, _table: &Table) -> Result<Line, Trouble> {
        self.0.connects.fetch_add(1, SeqCst);
        if self.0.down.load(SeqCst) {
            return Err(Trouble::passing("nobody there"));
        }
        self.0.open.fetch_add(1, SeqCst);
        Ok(Line { world: Arc::clone(&self.0), used: 0 })
    }

    fn ask(&self, line: &mut Line, _table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        self.0.asked.lock().unwrap().push(key.to_owned());
        line.used += 1;
        match key {
            "wait" => {
                self.0.waiting.fetch_add(1, SeqCst);
                let open = self.0.gate.0.lock().unwrap();
                drop(self.0.gate.1.wait_while(open, |open| !*open).unwrap());
                Ok(Some(vec!["late".into()]))
            }
            "none" => Ok(None),
            "later" => Err(Trouble::passing("try\nlater")),
            "dies" => Err(Trouble::broken("it hung up")),
            // As a server that closes what has been quiet.
            "stale" if line.used > 1 => Err(Trouble::broken("closed meanwhile")),
            "garbage" => Ok(Some(vec!["a\r\nb".into()])),
            "panic" => panic!("as a source must not"),
            other => Ok(Some(vec![other.to_uppercase()])),
        }
    }
}

struct Driver {
    pool: Pool,
    world: Arc<World>,
    poll: Poll,
    waker: Arc<Waker>,
    done: (Sender<Done>, Receiver<Done>),
    threads: u64,
    number: u64,
    ahead: Duration,
    counters: Counters,
}

fn table(more: &str) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"t\"\nkind = \"tcp\"\nservers = [\"127.0.0.1:1\"]\n{more}"
    );
    settings::parse(&text, "x").unwrap().tables.remove(0)
}

impl Driver {
    fn new(more: &str) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let counters = Counters::detached("table-tcp").unwrap();
        let pool = Pool::new(table(more), counters.clone());
        Self { pool, world: Arc::default(), poll, waker, done: channel(), threads: 0, number: 0, ahead: Duration::ZERO, counters }
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn put(&mut self, key: &str) -> u64 {
        self.number += 1;
        let (now, timeout) = (self.now(), self.pool.table.timeout);
        self.pool.ask(Question { asker: Asker::numbered(1), number: self.number, key: key.into(), deadline: now + timeout }, now);
        self.number
    }

    fn turn(&mut self) -> Vec<Outcome> {
        let now = self.now();
        for done in self.done.1.try_iter() {
            assert!(self.pool.done(&done, now));
        }
        let (done, waker) = (self.done.0.clone(), Arc::clone(&self.waker));
        let (world, desk) = (&self.world, worker::Desk { done, waker, alive: worker::Alive::default() });
        let mut start =
            |table: &Arc<Table>, number: u64| worker::start(number, Arc::new(Fake(Arc::clone(world))), Arc::clone(table), desk.clone());
        self.pool.work(now, &mut start, &mut self.threads);
        self.pool.take_outcomes()
    }

    fn sleep(&mut self) {
        let sleep = self.pool.wake().map_or(Duration::from_millis(50), |at| at.saturating_duration_since(self.now()));
        self.poll.poll(&mut mio::Events::with_capacity(8), Some(sleep.min(Duration::from_millis(50)))).unwrap();
    }

    fn answers(&mut self, count: usize) -> Vec<(u64, Answer)> {
        let (mut answers, late) = (Vec::new(), Instant::now() + Duration::from_secs(30));
        loop {
            answers.extend(self.turn().into_iter().map(|(_, number, answer)| (number, answer)));
            if answers.len() >= count {
                return answers;
            }
            assert!(Instant::now() < late, "only {answers:?}");
            self.sleep();
        }
    }

    fn ask(&mut self, key: &str) -> Answer {
        self.put(key);
        self.answers(1).remove(0).1
    }

    fn until(&mut self, what: impl Fn(&World) -> bool) {
        let late = Instant::now() + Duration::from_secs(30);
        while !what(&self.world) {
            assert!(Instant::now() < late);
            assert_eq!(self.turn(), []);
            self.sleep();
        }
    }

    fn open_gate(&self) {
        *self.world.gate.0.lock().unwrap() = true;
        self.world.gate.1.notify_all();
    }

    fn connects(&self) -> usize {
        self.world.connects.load(SeqCst)
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.read_row(0, "table-tcp").into_iter().find(|(known, _)| *known == name).unwrap().1
    }
}

fn found(value: &str) -> Answer {
    Answer::Found(vec![value.to_owned()])
}

fn is_trouble(answer: &Answer, word: &str) -> bool {
    matches!(answer, Answer::Trouble(why) if why.contains(word))
}

#[test]
fn one_connection_serves_one_question_after_the_other_and_is_closed_when_idle() {
    let mut driver = Driver::new("");
    for _ in 0..5 {
        assert_eq!(driver.ask("a"), found("A"));
        assert_eq!(driver.ask("none"), Answer::Absent);
        assert!(is_trouble(&driver.ask("later"), "try later"));
        assert!(is_trouble(&driver.ask("garbage"), "control"));
    }
    assert_eq!((driver.connects(), driver.pool.connections()), (1, 1));
    assert_eq!([driver.counter("found"), driver.counter("absent"), driver.counter("failures")], [5, 5, 10]);
    driver.ahead = Duration::from_secs(301);
    driver.until(|world| world.open.load(SeqCst) == 0);
    assert_eq!(driver.ask("b"), found("B"));
    assert_eq!(driver.connects(), 2);
}

#[test]
fn a_slow_question_keeps_nobody_longer_than_the_timeout_and_others_go_round_it() {
    let mut driver = Driver::new("connections = 2\n");
    let slow = driver.put("wait");
    driver.until(|world| world.waiting.load(SeqCst) == 1);
    assert_eq!(driver.ask("a"), found("A"));
    driver.ahead = Duration::from_secs(6);
    let answers = driver.answers(1);
    assert_eq!(answers[0].0, slow);
    assert!(is_trouble(&answers[0].1, "no answer in 5 s"));
    assert_eq!(driver.ask("b"), found("B"));
    // What it says at last is nobody's.
    driver.open_gate();
    driver.until(|world| world.open.load(SeqCst) == 2);
    let late = Instant::now() + Duration::from_secs(30);
    while driver.pool.connections() < 2 {
        assert!(Instant::now() < late);
        assert_eq!(driver.turn(), []);
        driver.sleep();
    }
    assert_eq!((driver.counter("timeouts"), driver.counter("connects")), (1, 2));
}

#[test]
fn more_questions_than_connections_wait_their_turn_and_not_for_ever() {
    let mut driver = Driver::new("connections = 2\n");
    for _ in 0..2 {
        driver.put("wait");
    }
    driver.until(|world| world.waiting.load(SeqCst) == 2);
    for _ in 0..50 {
        driver.put("a");
    }
    assert_eq!((driver.turn(), driver.pool.waiting()), (vec![], 50));
    driver.ahead = Duration::from_secs(6);
    let answers = driver.answers(52);
    assert!(answers.iter().all(|(_, answer)| is_trouble(answer, "in")), "{answers:?}");
    assert!(!driver.world.asked.lock().unwrap().contains(&"a".to_owned()));
    driver.open_gate();
    assert_eq!(driver.ask("b"), found("B"));
}

#[test]
fn a_flood_is_refused() {
    let mut driver = Driver::new("connections = 1\n");
    driver.put("wait");
    driver.until(|world| world.waiting.load(SeqCst) == 1);
    for _ in 0..4100 {
        driver.put("a");
    }
    let refused = driver.turn();
    assert_eq!(refused.len(), 4);
    assert!(refused.iter().all(|(_, _, answer)| is_trouble(answer, "too many")));
    driver.pool.forget(Asker::numbered(1));
    assert_eq!(driver.pool.waiting(), 0);
    driver.open_gate();
}

#[test]
fn threads_that_hang_are_replaced_a_few_times_and_come_back() {
    let mut driver = Driver::new("connections = 2\n");
    for round in 1..=2 {
        driver.put("wait");
        driver.put("wait");
        driver.until(|world| world.waiting.load(SeqCst) == 2 * round);
        driver.ahead += Duration::from_secs(6);
        assert_eq!(driver.answers(2).len(), 2);
        // Still counted as connections: nothing is free.
        driver.put("a");
        assert_eq!((driver.turn(), driver.pool.waiting()), (vec![], 1));
        driver.ahead += Duration::from_secs(60);
        assert_eq!(driver.answers(1).len(), 1);
    }
    // Two are given up, and as many hang: that is all.
    assert!(is_trouble(&driver.ask_in("a", 6), "free in time"));
    assert_eq!(driver.connects(), 4);
    driver.open_gate();
    assert_eq!(driver.ask("b"), found("B"));
    // Those given up end. Of the others one may be given up yet, where one of those comes back before it does.
    driver.until(|world| (1..=2).contains(&world.open.load(SeqCst)));
}

impl Driver {
    /// Asks, and goes on in time before the answer.
    fn ask_in(&mut self, key: &str, seconds: u64) -> Answer {
        self.put(key);
        assert_eq!(self.turn(), []);
        self.ahead += Duration::from_secs(seconds);
        self.answers(1).remove(0).1
    }
}

#[test]
fn a_dead_server_is_left_alone_and_found_again() {
    let mut driver = Driver::new("");
    driver.world.down.store(true, SeqCst);
    assert!(is_trouble(&driver.ask("a"), "nobody there"));
    for _ in 0..20 {
        assert!(is_trouble(&driver.ask("a"), "asked again soon"));
    }
    assert_eq!(driver.connects(), 1);
    driver.ahead += Duration::from_millis(1100);
    assert!(is_trouble(&driver.ask("a"), "nobody there"));
    driver.ahead += Duration::from_millis(1100);
    assert!(is_trouble(&driver.ask("a"), "asked again soon"), "twice as long now");
    driver.world.down.store(false, SeqCst);
    driver.ahead += Duration::from_secs(1);
    assert_eq!(driver.ask("a"), found("A"));
    assert_eq!((driver.ask("b"), driver.connects()), (found("B"), 3));
}

#[test]
fn a_connection_closed_while_it_was_idle_costs_no_answer_and_one_that_breaks_does() {
    let mut driver = Driver::new("");
    for _ in 0..3 {
        assert_eq!(driver.ask("a"), found("A"));
        assert_eq!(driver.ask("stale"), found("STALE"));
    }
    assert_eq!(driver.connects(), 4);
    assert!(is_trouble(&driver.ask("dies"), "hung up"));
    assert_eq!(driver.world.asked.lock().unwrap().iter().filter(|key| *key == "dies").count(), 2);
    driver.ahead += Duration::from_millis(1100);
    assert_eq!(driver.ask("a"), found("A"));
}

/// In the programs a panic ends the process; even where it ends the thread, nobody waits for ever.
#[test]
fn a_source_that_panics_costs_a_timeout() {
    let mut driver = Driver::new("connections = 1\n");
    driver.put("panic");
    driver.until(|world| !world.asked.lock().unwrap().is_empty());
    driver.ahead = Duration::from_secs(6);
    assert!(is_trouble(&driver.answers(1)[0].1, "no answer"));
}

#[test]
fn a_retired_table_answers_what_it_was_asked_and_ends() {
    let mut driver = Driver::new("");
    driver.put("wait");
    driver.until(|world| world.waiting.load(SeqCst) == 1);
    driver.pool.retired = true;
    assert!(!driver.pool.is_idle());
    driver.open_gate();
    assert_eq!(driver.answers(1)[0].1, found("late"));
    assert!(driver.pool.is_idle());
    driver.until(|world| world.open.load(SeqCst) == 0);
}
