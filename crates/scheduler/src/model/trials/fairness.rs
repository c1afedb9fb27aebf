use super::*;

/// Works for a destination job by job until `wanted` is in one; the number of jobs before it.
fn jobs_before(bench: &mut Bench, wanted: MessageId) -> usize {
    let mut waiting = std::collections::VecDeque::new();
    for count in 0.. {
        waiting.extend(bench.jobs());
        let job = waiting.pop_front().unwrap();
        if job.0.id == wanted {
            return count;
        }
        bench.delivered(&job);
    }
    unreachable!()
}

#[test]
fn a_newcomer_waits_one_job_behind_a_message_of_100_000_recipients() {
    let mut bench = Bench::new();
    bench.mail("list.example", 100_000);
    let job = bench.job();
    assert_eq!(job.1.recipients.len(), 100);
    let small = bench.mail("list.example", 1);
    bench.delivered(&job);
    assert!(jobs_before(&mut bench, small) <= 2);
}

#[test]
fn newcomers_do_not_wait_behind_all_the_bulk() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.mail("list.example", 1000);
    }
    for _ in 0..400 {
        let jobs = bench.jobs();
        jobs.iter().for_each(|job| bench.delivered(job));
    }
    let small = bench.mail("list.example", 1);
    // At most the window that is under way already, and one of the bulk.
    assert!(jobs_before(&mut bench, small) <= 2);
}

#[test]
fn the_bulk_goes_on_while_newcomers_come() {
    let mut bench = Bench::new();
    let bulk = bench.mail("list.example", 100_000);
    let first = bench.job();
    bench.delivered(&first);
    let mut of_bulk = 0;
    for _ in 0..100 {
        bench.mail("list.example", 1);
        bench.mail("list.example", 1);
        let jobs = bench.jobs();
        of_bulk += jobs.iter().filter(|job| job.0.id == bulk).count();
        jobs.iter().for_each(|job| bench.delivered(job));
    }
    assert!(of_bulk > 50);
}

#[test]
fn destinations_take_turns() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.mail("a.example", 1);
    }
    bench.mail("b.example", 1);
    bench.mail("c.example", 1);
    let hosts: Vec<String> = bench.jobs().into_iter().map(|job| job.1.host).collect();
    assert_eq!(hosts, ["a.example", "b.example", "c.example"]);
}

#[test]
fn an_untried_destination_gets_one_job_and_its_window_grows_with_success() {
    let mut bench = Bench::new();
    for _ in 0..300 {
        bench.mail("a.example", 1);
    }
    let mut widths = Vec::new();
    loop {
        let jobs = bench.jobs();
        if jobs.is_empty() {
            break;
        }
        widths.push(jobs.len());
        jobs.iter().for_each(|job| bench.delivered(job));
    }
    assert_eq!(widths[..5], [1, 2, 4, 8, 16]);
    assert_eq!(widths.iter().max(), Some(&50));
}

#[test]
fn no_credit_no_job_and_a_second_agent_is_asked_for_only_then() {
    let mut bench = Bench::new();
    bench.model.agent_gone(AGENT, bench.now);
    bench.mail("a.example", 1);
    bench.mail("b.example", 1);
    assert!(bench.jobs().is_empty());
    let wants = bench.actions();
    assert_eq!(wants, [Action::WantAgent { ticket: 1, channel: "smtp".into() }]);
    assert!(bench.jobs().is_empty() && bench.actions().is_empty(), "asked once");
    bench.model.agent_joined(8, "smtp", Some(1), bench.now);
    assert!(bench.jobs().is_empty() && bench.actions().is_empty(), "waits for its credit");
    bench.model.credit(8, 1);
    assert_eq!(bench.jobs().len(), 1);
    assert_eq!(bench.actions(), [Action::WantAgent { ticket: 2, channel: "smtp".into() }]);
}

#[test]
fn an_agent_that_cannot_be_had_is_asked_for_ever_more_rarely() {
    let mut bench = Bench::new();
    bench.model.agent_gone(AGENT, bench.now);
    bench.mail("a.example", 1);
    let mut asked = 0;
    for _ in 0..36_000 {
        bench.jobs();
        for action in bench.actions() {
            let Action::WantAgent { ticket, channel } = action else { continue };
            asked += 1;
            bench.model.no_agent(ticket, &channel, "no such program", bench.now);
        }
        bench.pass(Duration::from_millis(100));
    }
    assert!((20..=80).contains(&asked), "{asked} in an hour");
}

#[test]
fn frozen_and_draining_begin_nothing() {
    let mut bench = Bench::new();
    bench.mail("a.example", 1);
    bench.model.freeze(true);
    assert!(bench.jobs().is_empty());
    bench.model.freeze(false);
    let job = bench.job();
    bench.mail("a.example", 1);
    bench.model.drain();
    bench.delivered(&job);
    assert!(bench.jobs().is_empty());
    assert_eq!(bench.model.active_jobs(), 0);
}

#[test]
fn a_hundred_thousand_destinations_are_served_one_after_the_other() {
    let mut bench = Bench::new();
    for n in 0..100_000 {
        bench.mail(&format!("d{n}.example"), 1);
    }
    let mut served = 0;
    loop {
        let jobs = bench.jobs();
        if jobs.is_empty() {
            break;
        }
        served += jobs.len();
        jobs.iter().for_each(|job| bench.delivered(job));
        bench.model.credit(AGENT, u32::try_from(jobs.len()).unwrap());
    }
    assert_eq!((served, bench.removed().len()), (100_000, 100_000));
}
