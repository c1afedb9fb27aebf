#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use mio::{Events, Poll};

const FIRST: usize = 100;

struct Bench {
    poll: Poll,
    pool: Pool,
}

/// A pool of shell scripts.
fn bench(script: &str, processes: u32, failure: FailMode, timeout: Duration) -> Bench {
    let settings = Filter { program: vec!["/bin/sh".into(), "-c".into(), script.into()], processes, timeout, failure };
    let poll = Poll::new().unwrap();
    let registry = poll.registry().try_clone().unwrap();
    Bench { poll, pool: Pool::new(settings, registry, FIRST, Counters::detached("contentfilter").unwrap()) }
}

impl Bench {
    fn ask(&mut self, number: u64, path: &str) {
        let deadline = Instant::now() + self.pool.settings.timeout;
        self.pool.ask(Question { caller: 1, number, path: path.into(), deadline });
    }

    /// Works until so many answers have come.
    fn await_answers(&mut self, number: usize) -> Vec<(u64, Judgement)> {
        let (mut answers, mut events) = (Vec::new(), Events::with_capacity(16));
        let patience = Instant::now() + Duration::from_secs(60);
        while answers.len() < number {
            assert!(Instant::now() < patience, "only {answers:?}");
            self.pool.work(Instant::now());
            answers.extend(self.pool.answers().into_iter().map(|(question, verdict)| (question.number, verdict)));
            if answers.len() >= number {
                break;
            }
            let sleep = self.pool.next().map_or(Duration::from_secs(1), |at| at.saturating_duration_since(Instant::now()));
            self.poll.poll(&mut events, Some(sleep + Duration::from_millis(1))).unwrap();
            for event in &events {
                self.pool.heard(event.token().0, Instant::now());
            }
            self.pool.reap(Instant::now());
            answers.extend(self.pool.answers().into_iter().map(|(question, verdict)| (question.number, verdict)));
        }
        answers.sort_by_key(|(number, _)| *number);
        answers
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.pool.end();
    }
}

const LONG: Duration = Duration::from_secs(50);
const BY_NAME: &str = r##"echo "#hungry"; while read path; do case $path in
  *spam) echo "-1 550 5.7.1 spam";; *odd) echo "1 odd";; *die) exit 3;; *babble) echo nonsense;; *) echo "0 fine";; esac; echo "#hungry"; done"##;

#[test]
fn many_questions_over_two_programs() {
    let mut bench = bench(BY_NAME, 2, FailMode::Defer, LONG);
    for number in 0..200 {
        bench.ask(number, ["/m/good", "/m/spam", "/m/odd"][usize::try_from(number % 3).unwrap()]);
    }
    for (number, verdict) in bench.await_answers(200) {
        let wanted = match number % 3 {
            0 => Judgement::Accept,
            1 => Judgement::Reject("spam".into()),
            _ => Judgement::Freeze("odd".into()),
        };
        assert_eq!(verdict, wanted, "{number}");
    }
    assert!(bench.pool.idle());
}

#[test]
fn a_simple_program_answers_one_line() {
    let mut bench = bench("while read path; do echo '-1 no'; done", 1, FailMode::Accept, LONG);
    bench.ask(1, "/m/a");
    bench.ask(2, "/m/b");
    assert_eq!(bench.await_answers(2), [(1, Judgement::Reject("no".into())), (2, Judgement::Reject("no".into()))]);
}

#[test]
fn death_and_nonsense_follow_the_fail_mode_and_others_go_on() {
    for (failure, deferred) in [(FailMode::Defer, true), (FailMode::Accept, false)] {
        let mut bench = bench(BY_NAME, 1, failure, LONG);
        bench.ask(1, "/m/die");
        bench.ask(2, "/m/babble");
        bench.ask(3, "/m/spam");
        let answers = bench.await_answers(3);
        for (_, verdict) in &answers[..2] {
            assert_eq!(matches!(verdict, Judgement::Defer(_)), deferred, "{verdict:?}");
        }
        assert_eq!(answers[2].1, Judgement::Reject("spam".into()));
    }
}

#[test]
fn a_program_that_hangs_is_replaced() {
    let mut bench = bench("read path; exec sleep 1000", 1, FailMode::Reject, Duration::from_millis(100));
    bench.ask(1, "/m/a");
    assert!(matches!(&bench.await_answers(1)[..], [(1, Judgement::Reject(_))]));
    assert!(bench.pool.places[0].program.is_none());
}

#[test]
fn a_program_that_cannot_run_defers_in_time() {
    let mut bench = bench("", 1, FailMode::Defer, Duration::from_millis(100));
    bench.pool.settings.program = vec!["/nonexistent/filter".into()];
    bench.ask(1, "/m/a");
    assert!(matches!(&bench.await_answers(1)[..], [(1, Judgement::Defer(_))]));
}

#[test]
fn a_hostile_path_never_reaches_a_program() {
    let mut bench = bench(BY_NAME, 1, FailMode::Defer, LONG);
    bench.ask(1, "/m/a\n/m/b");
    assert!(matches!(&bench.await_answers(1)[..], [(1, Judgement::Defer(_))]));
}

#[test]
fn a_new_configuration_replaces_the_programs() {
    let mut bench = bench(BY_NAME, 2, FailMode::Defer, LONG);
    bench.ask(1, "/m/good");
    bench.await_answers(1);
    let program = vec!["/bin/sh".into(), "-c".into(), "while read path; do echo '-1 new'; done".into()];
    bench.pool.reconfigure(Filter { program, processes: 1, timeout: LONG, failure: FailMode::Defer });
    bench.ask(2, "/m/good");
    assert_eq!(bench.await_answers(1), [(2, Judgement::Reject("new".into()))]);
    assert!(bench.pool.places[1].program.is_none());
}
