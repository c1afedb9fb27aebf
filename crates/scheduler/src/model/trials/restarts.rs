use super::*;
use envelope::{Diagnostic, Happened};

fn diagnostic(bench: &Bench, happened: Happened, attempts: u32, wait: u64) -> Diagnostic {
    Diagnostic {
        recipient: 100,
        time: bench.now.wall_seconds() - 60,
        happened,
        attempts,
        next_attempt: if wait == 0 { 0 } else { bench.now.wall_seconds() + wait },
        status: Enhanced::transient(4, 1),
        remote: "mx".into(),
        text: "try later".into(),
    }
}

#[test]
fn attempts_and_the_next_one_come_back_from_the_file() {
    let mut bench = Bench::new();
    let control = bench.control("a.example", 1);
    let diagnostics = vec![diagnostic(&bench, Happened::Deferred, 3, 10), diagnostic(&bench, Happened::Deferred, 4, 900)];
    bench.model.add(Parsed { control, diagnostics }, bench.now);
    assert!(bench.jobs().is_empty());
    bench.pass(Duration::from_secs(890));
    assert!(bench.jobs().is_empty());
    bench.pass(Duration::from_secs(11));
    let job = bench.job();
    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    let actions = bench.actions();
    assert!(matches!(&actions[..], [Action::Mark { diagnostics, .. }] if diagnostics[0].attempts == 5));
}

#[test]
fn states_come_back_from_the_file() {
    let mut bench = Bench::new();
    bench.hire(9, "error");
    let mut control = bench.control("a.example", 5);
    let states = [RecipientState::Failing, RecipientState::Delivered, RecipientState::Held, RecipientState::Failed, RecipientState::Queued];
    control.recipients.iter_mut().zip(states).for_each(|(recipient, state)| recipient.state = state);
    let mut failed = diagnostic(&bench, Happened::Failed, 1, 0);
    failed.status = Enhanced::permanent(2, 2);
    let id = control.id;
    // The report itself was deferred once: the reason is still the failure.
    let diagnostics = vec![failed, diagnostic(&bench, Happened::Deferred, 1, 0)];
    bench.model.add(Parsed { control, diagnostics }, bench.now);
    let mut jobs = bench.jobs();
    jobs.sort_by(|a, b| a.1.channel.cmp(&b.1.channel));
    let indexes: Vec<(&str, u32)> = jobs.iter().map(|job| (job.1.channel.as_str(), job.1.recipients[0].index)).collect();
    assert_eq!(indexes, [("error", 100), ("smtp", 260)]);
    assert_eq!(jobs[0].1.recipients[0].failure.as_ref().unwrap().status.to_string(), "5.2.2");
    jobs.iter().for_each(|job| bench.delivered(job));
    assert!(bench.removed().is_empty(), "one is held");
    assert!(bench.model.knows(id));
}

#[test]
fn a_finished_message_is_removed_at_load() {
    let mut bench = Bench::new();
    let mut control = bench.control("a.example", 1);
    control.recipients[0].state = RecipientState::Delivered;
    let id = control.id;
    bench.load(control);
    assert_eq!(bench.removed(), [id]);
}

#[test]
fn a_message_is_added_once() {
    let mut bench = Bench::new();
    let control = bench.control("a.example", 1);
    bench.load(control.clone());
    assert!(!bench.model.add(Parsed { control, diagnostics: Vec::new() }, bench.now));
    bench.job();
}

#[test]
fn a_clock_that_jumps_ahead_expires_nothing_and_starts_nothing_early() {
    let mut bench = Bench::new();
    bench.hire(9, "error");
    for _ in 0..50 {
        bench.mail("a.example", 1);
    }
    let job = bench.job();
    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    for _ in 0..60 {
        for job in bench.jobs() {
            bench.answer(&job, Phase::Transaction, Outcome::Deferred);
        }
    }
    bench.actions();
    bench.now.wall_ms += 10 * 365 * 86_400_000;
    bench.pass(Duration::from_secs(10));
    assert!(bench.jobs().is_empty());
    bench.now.wall_ms -= 30 * 365 * 86_400_000;
    bench.pass(Duration::from_secs(10));
    assert!(bench.jobs().is_empty());
    bench.pass(Duration::from_secs(400));
    assert!(bench.jobs().iter().all(|job| job.1.channel == "smtp"));
}

#[test]
fn what_looks_years_old_at_the_start_gets_its_attempt_first() {
    let mut bench = Bench::new();
    let mut control = bench.control("a.example", 1);
    control.arrived -= 10 * 365 * 86_400_000;
    bench.load(control);
    bench.pass(Duration::from_secs(30));
    let job = bench.job();
    assert_eq!(job.1.channel, "smtp");
    bench.delivered(&job);
    assert_eq!(bench.removed().len(), 1);
}

#[test]
fn a_next_attempt_far_in_the_future_is_not_believed() {
    let mut bench = Bench::new();
    let control = bench.control("a.example", 1);
    let diagnostics = vec![diagnostic(&bench, Happened::Deferred, 1, 10 * 365 * 86_400)];
    bench.model.add(Parsed { control, diagnostics }, bench.now);
    bench.pass(limits().retry_longest * 2);
    bench.job();
}
