use super::*;
use ipc::control::Selection;

const HOUR: Duration = Duration::from_secs(3600);

fn filter() -> crate::model::Filter {
    crate::model::Filter::new(Selection::default())
}

#[test]
fn delivery_removes_without_a_mark_and_part_of_it_marks() {
    let mut bench = Bench::new();
    let id = bench.mail("a.example", 1);
    let job = bench.job();
    bench.delivered(&job);
    assert_eq!(bench.actions(), [Action::Remove { id }]);
    assert!(!bench.model.knows(id));

    let id = bench.mail("a.example", 150);
    let jobs = bench.jobs();
    bench.delivered(&jobs[0]);
    let actions = bench.actions();
    assert!(matches!(&actions[..], [Action::Mark { states, diagnostics, .. }] if states.len() == 100 && diagnostics.is_empty()));
    bench.delivered(&jobs[1]);
    assert_eq!(bench.removed(), [id]);
}

#[test]
fn a_deferral_is_written_and_tried_again_after_the_back_off() {
    let mut bench = Bench::new();
    bench.mail("a.example", 1);
    for (attempt, wait) in [(1, 300), (2, 600), (3, 1200)] {
        let job = bench.job();
        bench.answer(&job, Phase::Transaction, Outcome::Deferred);
        let actions = bench.actions();
        let [Action::Mark { states, diagnostics, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert!(states.is_empty());
        assert_eq!((diagnostics[0].attempts, diagnostics[0].recipient), (attempt, 100));
        let planned = diagnostics[0].next_attempt - bench.now.wall_seconds();
        assert!((wait * 9 / 10..=wait * 11 / 10).contains(&planned), "{planned}");
        bench.pass(Duration::from_secs(wait * 89 / 100));
        assert!(bench.jobs().is_empty());
        bench.pass(Duration::from_secs(wait * 22 / 100));
    }
}

#[test]
fn back_off_stays_within_its_bounds() {
    let limits = settings_of("").policies.of(&settings::Place { channel: "smtp", host: "a.example", exchangers: &[] });
    for attempts in [1, 2, 3, 7, 50, u32::MAX] {
        for step in 0..=10u32 {
            let wait = crate::model::retry::backoff(&limits, attempts, f64::from(step) / 10.0);
            assert!(wait >= limits.retry_first.mul_f64(0.89) && wait <= limits.retry_longest.mul_f64(1.11), "{attempts} {wait:?}");
        }
    }
}

#[test]
fn a_dead_destination_is_probed_by_one_job_and_the_rest_keeps_its_attempts() {
    let mut bench = Bench::new();
    for _ in 0..500 {
        bench.mail("dead.example", 1);
    }
    let mut jobs = 0;
    for _ in 0..100 {
        let begun = bench.jobs();
        jobs += begun.len();
        begun.iter().for_each(|job| bench.refused(job));
    }
    assert_eq!(jobs, 3, "three failures in a row are enough");
    let mut probes = 0;
    for _ in 0..360 {
        bench.pass(Duration::from_secs(10));
        let begun = bench.jobs();
        probes += begun.len();
        assert!(begun.len() <= 1);
        begun.iter().for_each(|job| bench.refused(job));
    }
    assert!((2..=6).contains(&probes), "{probes} in an hour");
    let listed = bench.model.next_destination(&mut Default::default(), &mut 10, bench.now).unwrap().unwrap();
    assert_eq!((listed.concurrency, listed.last.as_str()), (1, "said so"));
    assert!(listed.next_attempt > bench.now.wall_seconds());

    bench.pass(HOUR * 5);
    let probe = bench.job();
    bench.delivered(&probe);
    assert_eq!(bench.jobs().len(), 1, "alive, and at its first window again");
}

#[test]
fn a_dead_destination_is_probed_when_the_agent_wishes() {
    let mut bench = Bench::new();
    for _ in 0..500 {
        bench.mail("table:people", 1);
    }
    let wishing = |bench: &mut Bench, job: &(StartedJob, Job)| {
        let result = |index| RecipientResult {
            retry_after: Some(15),
            ..RecipientResult::new(index, Outcome::Deferred, Enhanced::transient(3, 0), "-", "away")
        };
        let results = job.1.recipients.iter().map(|recipient| result(recipient.index)).collect();
        bench.model.report(job.0.agent, &Report::new(job.0.number, Phase::Lookup, results), bench.now);
    };
    let mut jobs = 0;
    for _ in 0..360 {
        let begun = bench.jobs();
        jobs += begun.len();
        begun.iter().for_each(|job| wishing(&mut bench, job));
        bench.pass(Duration::from_secs(5));
    }
    // Three at first, then one each quarter of a minute, for half an hour.
    assert!((115..=123).contains(&jobs), "{jobs}");
    bench.pass(Duration::from_secs(15));
    let probe = bench.job();
    bench.delivered(&probe);
    let mut delivered = 1;
    while let [job, ..] = &bench.jobs()[..] {
        bench.delivered(job);
        delivered += 1;
    }
    assert!(delivered > 300, "all that is ready goes: {delivered}");
}

#[test]
fn mail_for_a_dead_destination_says_why_it_waits() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.mail("dead.example", 1);
        for job in bench.jobs() {
            bench.refused(&job);
        }
    }
    let mut cursor = Default::default();
    let mut last = None;
    while let Ok(Some(message)) = bench.model.next_listed(&filter(), &mut cursor, &mut 100, bench.now) {
        assert_eq!(message.recipients[0].state, "deferred");
        assert!(message.recipients[0].last.contains("said so"));
        last = Some(message);
    }
    let last = last.unwrap();
    assert_eq!((last.state.as_str(), last.recipients[0].attempts), ("deferred", 0));
    assert!(last.recipients[0].next_attempt > bench.now.wall_seconds());
}

#[test]
fn a_window_shrinks_at_the_first_failures() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.mail("a.example", 1);
    }
    for _ in 0..5 {
        let jobs = bench.jobs();
        jobs.iter().for_each(|job| bench.delivered(job));
    }
    let jobs = bench.jobs();
    assert_eq!(jobs.len(), 32);
    bench.refused(&jobs[0]);
    bench.delivered(&jobs[1]);
    bench.refused(&jobs[2]);
    bench.refused(&jobs[3]);
    assert_eq!(bench.jobs().len(), 2, "four places free, two taken away at the start of each run of failures");
}

#[test]
fn a_failure_is_marked_reported_and_done_when_the_report_is_sent() {
    let mut bench = Bench::new();
    bench.hire(9, "error");
    let id = bench.mail("a.example", 3);
    let job = bench.job();
    bench.answer(&job, Phase::Transaction, Outcome::Failed);
    let actions = bench.actions();
    let [Action::Mark { states, diagnostics, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(states[0], (100, RecipientState::Failing));
    assert_eq!((states.len(), diagnostics.len()), (3, 3));
    let report = bench.job();
    assert_eq!((report.1.channel.as_str(), report.1.host.as_str(), report.1.recipients.len()), ("error", "bounce", 3));
    let failure = report.1.recipients[0].failure.as_ref().unwrap();
    assert_eq!((failure.text.as_str(), failure.status.to_string().as_str()), ("said so", "5.1.1"));
    assert_eq!(failure.time, bench.now.wall_seconds());
    bench.delivered(&report);
    assert_eq!(bench.actions(), [Action::Remove { id }]);
}

#[test]
fn the_router_s_error_channel_fails_with_its_status_and_text() {
    for host in ["5.1.1:no%20such%20user", "5.1.1_no%20such%20user"] {
        let mut bench = Bench::new();
        bench.hire(9, "error");
        let mut control = bench.control("a.example", 1);
        control.recipients[0].quad.channel = "error".into();
        control.recipients[0].quad.host = host.into();
        bench.load(control);
        let actions = bench.actions();
        assert!(matches!(&actions[..], [Action::Mark { states, .. }] if states[..] == [(100, RecipientState::Failing)]));
        let job = bench.job();
        let failure = job.1.recipients[0].failure.as_ref().unwrap();
        assert_eq!((failure.status.to_string().as_str(), failure.text.as_str()), ("5.1.1", "no such user"));
        assert_eq!(job.1.host, "bounce");
    }
}

#[test]
fn discard_needs_no_agent() {
    let mut bench = Bench::new();
    let mut control = bench.control("-", 250);
    control.recipients.iter_mut().for_each(|recipient| recipient.quad.channel = "discard".into());
    let id = control.id;
    bench.load(control);
    assert!(bench.jobs().is_empty());
    assert_eq!(bench.removed(), [id]);
}

#[test]
fn an_old_message_is_given_up_with_the_last_answer() {
    let mut bench = Bench::new();
    bench.hire(9, "error");
    bench.mail("a.example", 1);
    let expiry = limits().expiry;
    let begin = bench.now.ms;
    let mut attempts = 0;
    let report = loop {
        assert!(attempts < 100);
        let Some(job) = bench.jobs().pop() else {
            bench.pass(Duration::from_secs(60));
            bench.model.credit(AGENT, 1);
            continue;
        };
        if job.1.channel == "error" {
            break job;
        }
        attempts += 1;
        bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    };
    let failure = report.1.recipients[0].failure.clone().unwrap();
    assert_eq!(failure.status.to_string(), "5.4.7");
    assert!(failure.text.contains("said so"));
    let age = Duration::from_millis(bench.now.ms - begin);
    assert!(age >= expiry && age < expiry + HOUR, "{age:?}");
    assert!((30..45).contains(&attempts), "{attempts}");
}

#[test]
fn mail_for_a_dead_site_or_a_channel_without_agents_expires_too() {
    let mut bench = Bench::new();
    bench.hire(9, "error");
    let mut control = bench.control("x", 1);
    control.recipients[0].quad.channel = "nobody".into();
    bench.load(control);
    bench.pass(limits().expiry + HOUR);
    assert!(bench.jobs().is_empty());
    bench.pass(HOUR * 48);
    assert_eq!(bench.job().1.recipients[0].failure.as_ref().unwrap().status.to_string(), "5.4.7");
}

#[test]
fn a_dead_agent_s_jobs_are_tried_again_soon_without_counting() {
    let mut bench = Bench::new();
    bench.mail("a.example", 1);
    for _ in 0..2 {
        bench.job();
        bench.model.agent_gone(AGENT, bench.now);
        assert!(bench.actions().iter().all(|action| matches!(action, Action::WantAgent { .. })));
        bench.hire(AGENT, "smtp");
        bench.pass(Duration::from_secs(4));
    }
    bench.job();
    bench.model.agent_gone(AGENT, bench.now);
    bench.hire(AGENT, "smtp");
    bench.pass(Duration::from_secs(60));
    assert!(bench.jobs().is_empty(), "three agents died with it: it waits longer");
    bench.pass(Duration::from_secs(300));
    let job = bench.job();
    bench.delivered(&job);
    assert_eq!(bench.removed().len(), 1);
}

#[test]
fn an_agent_speaks_only_about_its_own_jobs() {
    let mut bench = Bench::new();
    bench.hire(8, "smtp");
    let id = bench.mail("a.example", 1);
    let job = bench.job();
    let other = if job.0.agent == 8 { AGENT } else { 8 };
    let forged = (StartedJob { agent: other, ..job.0 }, job.1.clone());
    bench.delivered(&forged);
    assert!(bench.actions().is_empty() && bench.model.knows(id));
    bench.delivered(&job);
    bench.delivered(&job);
    assert_eq!(bench.removed(), [id]);
    assert!(!bench.model.credit(AGENT, u32::MAX));
}

#[test]
fn an_agent_may_say_when_it_wants_to_be_asked_again() {
    let mut bench = Bench::new();
    bench.mail("a.example", 2);
    let job = bench.job();
    let result = |index, retry_after| RecipientResult {
        retry_after,
        ..RecipientResult::new(index, Outcome::Deferred, Enhanced::transient(2, 0), "-", "later")
    };
    let results = vec![result(job.1.recipients[0].index, Some(7200)), result(job.1.recipients[1].index, Some(u32::MAX))];
    bench.model.report(job.0.agent, &Report::new(job.0.number, Phase::Transaction, results), bench.now);
    bench.pass(Duration::from_secs(7190));
    assert!(bench.jobs().is_empty());
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.job().1.recipients.len(), 1);
    // Nobody can wish mail past its expiry.
    bench.hire(AGENT + 1, "error");
    bench.pass(limits().expiry);
    assert_eq!(bench.job().1.channel, "error");
}

/// A bad block under a message: tried as a server that puts it off is, not every second for ever.
#[test]
fn a_message_that_cannot_be_read_waits_and_goes_back_in_the_end() {
    let mut bench = Bench::new();
    bench.mail("a.example", 2);
    let (started, _) = bench.job();
    bench.model.unreadable(started.number, "the message cannot be read: EIO", bench.now);
    assert!(bench.actions().iter().any(|action| matches!(action, Action::Mark { diagnostics, .. } if diagnostics.len() == 2)));
    bench.pass(Duration::from_secs(60));
    assert!(bench.jobs().is_empty());
    bench.pass(HOUR);
    let (started, _) = bench.job();
    bench.model.unreadable(started.number, "the message cannot be read: EIO", bench.now);
    bench.hire(9, "error");
    bench.pass(HOUR * 24 * 6);
    assert_eq!(bench.job().1.channel, "error");
}
