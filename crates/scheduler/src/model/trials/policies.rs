use super::*;
use crate::model::{Cursor, Filter};
use ipc::agents::Learned;
use ipc::control::{Action as Change, Selection};

const MINUTE: Duration = Duration::from_secs(60);

/// Jobs begun and delivered in so many steps.
fn run(bench: &mut Bench, steps: u32, step: Duration) -> Vec<(u64, String)> {
    let mut done = Vec::new();
    for _ in 0..steps {
        loop {
            let jobs = bench.jobs();
            if jobs.is_empty() {
                break;
            }
            for job in &jobs {
                done.push((bench.now.ms, job.1.host.clone()));
                bench.delivered(job);
            }
            bench.model.credit(AGENT, u32::try_from(jobs.len()).unwrap());
        }
        bench.pass(step);
    }
    done
}

fn reload(bench: &mut Bench, more: &str) {
    let settings = settings_of(more);
    bench.model.reload(settings.queue, settings.policies, bench.now);
    while bench.model.sleep_ms(bench.now) == 0 {
        bench.model.wake(bench.now);
    }
}

#[test]
fn a_rate_of_messages_holds_and_its_timer_is_exact() {
    let mut bench = Bench::with("[[destination]]\nhost = [\"a.example\"]\nmessage_rate = \"6/1m\"\n");
    for _ in 0..50 {
        bench.mail("a.example", 1);
        bench.mail("b.example", 1);
    }
    let job = bench.jobs();
    assert_eq!(job.len(), 2);
    job.iter().for_each(|job| bench.delivered(job));
    run(&mut bench, 1, Duration::ZERO);
    // Nothing but the rate's own timer wakes the loop, in 10 seconds.
    bench.model.wake(bench.now);
    let wait = bench.model.timers.peek().map(|std::cmp::Reverse((tick, _))| u64::from(*tick) * 100 - bench.now.ms).unwrap();
    assert!((9_900..=10_000).contains(&wait), "{wait}");
    let done = run(&mut bench, 40, Duration::from_secs(10));
    assert!((39..=41).contains(&done.len()), "{}", done.len());
    assert!(done.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 9_800));
}

#[test]
fn a_rate_of_recipients_counts_recipients() {
    let mut bench = Bench::with("[queue]\nrecipients_per_job = 10\n[[destination]]\nhost = [\"a.example\"]\nrecipient_rate = \"60/1m\"\n");
    bench.mail("a.example", 100);
    let done = run(&mut bench, 61, Duration::from_secs(1));
    assert!((6..=8).contains(&done.len()), "{}", done.len());
}

#[test]
fn a_rate_of_connections_counts_only_new_ones() {
    for (reused, most) in [(false, 8..=12), (true, 200..=200)] {
        let mut bench = Bench::with("[[destination]]\nhost = [\"a.example\"]\nconnection_rate = \"10/1m\"\nconcurrency_most = 1\n");
        for _ in 0..200 {
            bench.mail("a.example", 1);
        }
        let mut count = 0;
        for _ in 0..600 {
            for job in bench.jobs() {
                let results = vec![RecipientResult::new(100, Outcome::Delivered, Enhanced::success(0, 0), "mx", "ok")];
                let mut report = Report::new(job.0.number, Phase::Transaction, results);
                report.learned = Learned { reused: reused && count > 0, greeted: true, ..Learned::default() };
                bench.model.report(job.0.agent, &report, bench.now);
                count += 1;
            }
            bench.pass(Duration::from_millis(100));
        }
        assert!(most.contains(&count), "{reused}: {count}");
    }
}

#[test]
fn hours_open_and_close_in_local_time() {
    // 1,800,000,000 is a Friday, 08:00 UTC; 09:00 in that zone.
    let mut bench = Bench::with("[[destination]]\nhost = [\"a.example\"]\nhours = \"Fri 09:30-10:00\"\n");
    bench.model.book.set_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(1)));
    for _ in 0..100 {
        bench.mail("a.example", 1);
    }
    let from = bench.now.ms;
    assert!(run(&mut bench, 29, MINUTE).is_empty());
    let opened = run(&mut bench, 2, MINUTE);
    assert!((30 * 60_000..31 * 60_000).contains(&(opened[0].0 - from)), "{}", opened[0].0 - from);
    bench.pass(MINUTE * 40);
    bench.mail("a.example", 1);
    assert!(run(&mut bench, 60, MINUTE).is_empty());
    bench.pass(Duration::from_secs(7 * 86_400) - MINUTE * 120);
    assert_eq!(run(&mut bench, 60, MINUTE).len(), 1);
}

#[test]
fn queue_only_waits_to_be_asked() {
    let mut bench = Bench::with("[[destination]]\nhost = [\"*.dial.example\"]\nqueue_only = true\n");
    for _ in 0..3 {
        bench.mail("a.dial.example", 1);
    }
    bench.mail("b.dial.example", 1);
    assert!(run(&mut bench, 10, MINUTE).is_empty());
    bench.model.trigger("a.dial.example", bench.now);
    assert_eq!(run(&mut bench, 1, MINUTE).len(), 3);
    bench.mail("a.dial.example", 1);
    assert!(run(&mut bench, 10, MINUTE).is_empty(), "asked once, sent once");
    let filter = Filter::new(Selection { host: Some("b.dial.example".into()), ..Selection::default() });
    let touched = bench.model.next_changed(Change::Retry, false, &filter, &mut Cursor::default(), &mut 100, bench.now);
    assert!(matches!(touched, Ok(Some((_, 1)))));
    assert_eq!(run(&mut bench, 1, MINUTE)[0].1, "b.dial.example");
}

#[test]
fn a_ring_bounds_all_destinations_of_its_clause_together() {
    let mut bench = Bench::with("[queue]\nconcurrency_first = 5\n[[destination]]\nhost = [\"*.edu\"]\nring_most = 7\n");
    for n in 0..60 {
        bench.mail(&format!("u{}.edu", n % 20), 1);
        bench.mail(&format!("c{}.com", n % 20), 1);
    }
    let mut under_way: Vec<(StartedJob, Job)> = Vec::new();
    let (mut edu, mut all) = (0, 0);
    loop {
        under_way.extend(bench.jobs());
        let now = under_way.iter().filter(|job| job.1.host.ends_with(".edu")).count();
        edu = edu.max(now);
        if under_way.is_empty() {
            break;
        }
        all += 1;
        let job = under_way.remove(0);
        bench.delivered(&job);
        bench.model.credit(AGENT, 1);
    }
    assert_eq!((edu, all), (7, 120));
}

#[test]
fn age_order_is_strict() {
    let mut bench = Bench::with("[[destination]]\nhost = [\"a.example\"]\nage_order = true\nconcurrency_most = 1\n");
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.mail("a.example", 250));
        bench.pass(Duration::from_secs(1));
    }
    let mut order = Vec::new();
    loop {
        let mut jobs = bench.jobs();
        let Some(job) = jobs.pop() else { break };
        order.push(job.0.id);
        bench.delivered(&job);
    }
    let expected: Vec<MessageId> = ids.iter().flat_map(|id| [*id; 3]).collect();
    assert_eq!(order, expected);
}

#[test]
fn waits_follow_the_policy_s_factors() {
    let mut bench = Bench::with("[[destination]]\nhost = [\"a.example\"]\nretry_first = \"1m\"\nretries = \"1 1 3\"\nretry_jitter = 0.0\n");
    bench.mail("a.example", 1);
    for wait in [60, 60, 180, 180] {
        let job = bench.job();
        bench.answer(&job, Phase::Transaction, Outcome::Deferred);
        bench.pass(Duration::from_secs(wait - 1));
        assert!(bench.jobs().is_empty());
        bench.pass(Duration::from_secs(1));
    }
}

#[test]
fn each_destination_has_its_own_expiry() {
    let mut bench = Bench::with(
        "[[destination]]\nhost = [\"short.example\"]\nexpiry = \"1h\"\n[[destination]]\nhost = [\"long.example\"]\nexpiry = \"20d\"\n",
    );
    bench.hire(9, "error");
    let mut control = bench.control("short.example", 2);
    control.recipients[1].quad.host = "long.example".into();
    bench.load(control);
    let mut reports = Vec::new();
    for _ in 0..(19 * 24) {
        for job in bench.jobs() {
            if job.1.channel == "error" {
                reports.push(job.1.recipients[0].user.clone());
                bench.delivered(&job);
            } else {
                bench.answer(&job, Phase::Transaction, Outcome::Deferred);
            }
        }
        bench.model.credit(AGENT, 10);
        bench.model.credit(9, 10);
        bench.pass(MINUTE * 60);
    }
    assert_eq!(reports, ["u0@short.example"]);
}

#[test]
fn a_reload_changes_everything_that_waits() {
    let kept_back = "[[destination]]\nhost = [\"a.example\"]\nqueue_only = true\n[[destination]]\nhost = [\"b.example\"]\nhours = \"Sun 01:00-01:01\"\n[[destination]]\nhost = [\"c.example\"]\nmessage_rate = \"1/1d\"\n";
    let mut bench = Bench::with(kept_back);
    for host in ["a.example", "b.example", "c.example"] {
        bench.mail(host, 1);
        bench.mail(host, 1);
    }
    assert_eq!(run(&mut bench, 5, MINUTE).len(), 1);
    reload(&mut bench, "[[channel]]\nname = \"smtp\"\nconcurrency_most = 1\n");
    assert_eq!(run(&mut bench, 1, MINUTE).len(), 5);
    for _ in 0..5 {
        bench.mail("a.example", 1);
    }
    assert_eq!(bench.jobs().len(), 1, "the new limit");
}

#[test]
fn jobs_under_way_count_at_the_new_site_after_a_reload() {
    let mut bench = Bench::with("[queue]\nconcurrency_first = 10\n");
    for _ in 0..20 {
        bench.mail("a.example", 1);
    }
    let jobs = bench.jobs();
    assert_eq!(jobs.len(), 10);
    reload(&mut bench, "[queue]\nconcurrency_first = 3\nconcurrency_most = 3\n");
    assert!(bench.jobs().is_empty());
    jobs[..8].iter().for_each(|job| bench.delivered(job));
    assert_eq!(bench.jobs().len(), 1);
}

#[test]
fn a_job_keeps_within_what_the_server_has_said() {
    let mut bench = Bench::new();
    let mut control = bench.control("a.example", 30);
    for (n, recipient) in control.recipients.iter_mut().enumerate() {
        recipient.quad.user = format!("u{n}@d{}.example", n / 10);
    }
    bench.mail("a.example", 1);
    let job = bench.job();
    let results = vec![RecipientResult::new(100, Outcome::Delivered, Enhanced::success(0, 0), "mx", "ok")];
    let mut report = Report::new(job.0.number, Phase::Transaction, results);
    report.learned = Learned { rcpt_max: Some(25), rcpt_domain_max: Some(1), greeted: true, ..Learned::default() };
    bench.model.report(job.0.agent, &report, bench.now);
    bench.load(control);
    let mut sizes = Vec::new();
    loop {
        let jobs = bench.jobs();
        if jobs.is_empty() {
            break;
        }
        for job in &jobs {
            sizes.push(job.1.recipients.len());
            bench.delivered(job);
        }
    }
    assert_eq!(sizes, [10, 10, 10]);
}

#[test]
fn the_agents_of_a_channel_are_its_policy_s() {
    let mut bench = Bench::with("[[channel]]\nname = \"smtp\"\nagents = 3\n");
    bench.model.agent_gone(AGENT, bench.now);
    for n in 0..100 {
        bench.mail(&format!("d{n}.example"), 1);
    }
    let mut hired = 0;
    for _ in 0..20 {
        bench.jobs();
        for action in bench.actions() {
            let Action::WantAgent { ticket, .. } = action else { continue };
            hired += 1;
            bench.model.agent_joined(100 + hired, "smtp", Some(ticket), bench.now);
            bench.model.credit(100 + hired, 1);
        }
    }
    assert_eq!(hired, 3);
}

/// ZMailer's overfeed: more jobs than sessions, once the server has shown that it takes mail.
#[test]
fn jobs_ahead_wait_in_the_agent() {
    let mut bench =
        Bench::with("[queue]\nconcurrency_most = 2\n[[destination]]\nhost = [\"a.example\"]\njobs_ahead = 5\nmessages_per_session = 9\n");
    for _ in 0..30 {
        bench.mail("a.example", 1);
        bench.mail("b.example", 1);
    }
    let first = bench.jobs();
    let to = |jobs: &[(StartedJob, Job)], host: &str| jobs.iter().filter(|job| job.1.host == host).count();
    assert_eq!((to(&first, "a.example"), to(&first, "b.example")), (1, 1), "an untried server gets one");
    first.iter().for_each(|job| bench.delivered(job));
    let next = bench.jobs();
    assert_eq!((to(&next, "a.example"), to(&next, "b.example")), (7, 2));
    let job = next.iter().find(|job| job.1.host == "a.example").unwrap();
    assert_eq!((job.1.sharing.sessions, job.1.sharing.messages), (2, 9));
    // A server that is in trouble gets none ahead.
    next.iter().for_each(|job| bench.refused(job));
    bench.pass(Duration::from_secs(3600));
    assert!(to(&bench.jobs(), "a.example") <= 2);
}
