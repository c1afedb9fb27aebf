//! Reports of success and of delay, and several recipients in one report.

use super::*;
use crate::model::Reporting;
use envelope::{DeliverBy, Diagnostic, Happened, Notify};
use ipc::agents::Handed;
use ipc::control::{Action as Change, Selection};

const HOUR: Duration = Duration::from_secs(3600);

/// A bench with `[bounce]` and policies of this text, and an agent for reports.
fn bench(text: &str) -> Bench {
    let mut bench = Bench::with(text);
    bench.model.set_reporting(Reporting::new(&settings_of(text)));
    bench.hire(9, "error");
    bench
}

/// A message whose recipients have these NOTIFY values, empty for none.
fn mail(bench: &mut Bench, host: &str, notify: &[&str]) -> MessageId {
    let mut control = bench.control(host, u32::try_from(notify.len()).unwrap());
    control.recipients.iter_mut().zip(notify).for_each(|(recipient, words)| recipient.dsn.notify = Notify::parse(words));
    let id = control.id;
    bench.load(control);
    id
}

fn handed(bench: &mut Bench, job: &(StartedJob, Job), handed: Handed) {
    let result =
        |index| RecipientResult { handed, ..RecipientResult::new(index, Outcome::Delivered, Enhanced::success(0, 0), "mx", "250 ok") };
    let results = job.1.recipients.iter().map(|recipient| result(recipient.index)).collect();
    bench.model.report(job.0.agent, &Report::new(job.0.number, Phase::Transaction, results), bench.now);
}

fn hosts(jobs: &[(StartedJob, Job)]) -> Vec<(&str, usize)> {
    jobs.iter().map(|(_, job)| (job.host.as_str(), job.recipients.len())).collect()
}

fn deferred(bench: &mut Bench) {
    for job in bench.jobs() {
        bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    }
}

fn marks(bench: &mut Bench) -> (Vec<(u32, RecipientState)>, Vec<Diagnostic>) {
    let mut all = (Vec::new(), Vec::new());
    for action in bench.actions() {
        if let Action::Mark { states, diagnostics, .. } = action {
            all.0.extend(states);
            all.1.extend(diagnostics);
        }
    }
    all
}

#[test]
fn who_asked_hears_of_success_and_the_message_stays_until_then() {
    let mut bench = bench("");
    for (how, host) in [(Handed::Delivered, "delivered"), (Handed::Relayed, "relayed"), (Handed::Expanded, "expanded")] {
        let id = mail(&mut bench, "a.example", &["SUCCESS", "", "FAILURE", "NEVER"]);
        let job = bench.job();
        handed(&mut bench, &job, how);
        let (states, diagnostics) = marks(&mut bench);
        assert_eq!(states[0], (100, RecipientState::Telling));
        assert_eq!((diagnostics.len(), diagnostics[0].happened.word()), (1, host));
        let report = bench.job();
        assert_eq!((report.1.channel.as_str(), report.1.host.as_str(), report.1.recipients.len()), ("error", host, 1));
        assert_eq!(report.1.recipients[0].failure.as_ref().unwrap().text, "250 ok");
        assert!(bench.model.knows(id));
        bench.delivered(&report);
        assert_eq!(bench.removed(), [id]);
    }
    let id = mail(&mut bench, "a.example", &["SUCCESS"]);
    let job = bench.job();
    handed(&mut bench, &job, Handed::Passed);
    assert_eq!(bench.removed(), [id], "the next hop reports");
}

#[test]
fn a_trace_tells_of_relays_and_nobody_tells_the_null_sender() {
    let mut bench = bench("");
    for (notify, sender, reports) in [("", true, true), ("FAILURE", true, true), ("NEVER", true, false), ("SUCCESS", false, false)] {
        let mut control = bench.control("a.example", 1);
        control.recipients[0].dsn.notify = Notify::parse(notify);
        control.terms.deliver_by = DeliverBy::parse("99999999999 NT");
        if !sender {
            control.sender = Path::Null;
        }
        bench.load(control);
        let job = bench.job();
        handed(&mut bench, &job, Handed::Relayed);
        let jobs = bench.jobs();
        assert_eq!(!jobs.is_empty(), reports, "{notify:?}");
        jobs.iter().for_each(|job| bench.delivered(job));
    }
}

#[test]
fn success_comes_back_from_the_file() {
    for (happened, host) in [(Some(Happened::Delivered), "delivered"), (Some(Happened::Expanded), "expanded"), (None, "relayed")] {
        let mut bench = bench("");
        let mut control = bench.control("a.example", 1);
        control.recipients[0].state = RecipientState::Telling;
        let diagnostics = happened.map(|happened| Diagnostic {
            recipient: 100,
            time: 5,
            happened,
            attempts: 1,
            next_attempt: 0,
            status: Enhanced::success(1, 5),
            remote: "mx".into(),
            text: "250 fine".into(),
        });
        bench.model.add(Parsed { control, diagnostics: diagnostics.into_iter().collect() }, bench.now);
        let job = bench.job();
        assert_eq!(job.1.host, host);
        bench.delivered(&job);
        assert_eq!(bench.removed().len(), 1);
    }
    // The router's own: a list.
    let mut bench = bench("");
    let mut control = bench.control("expanded", 1);
    control.recipients[0].quad.channel = "error".into();
    control.recipients[0].state = RecipientState::Telling;
    owned_by(&mut control, "owner-list@a.example");
    control.envid = Some("E".into());
    bench.load(control);
    let job = bench.job();
    assert_eq!((job.1.host.as_str(), job.1.sender.as_str(), job.1.envid.as_deref()), ("expanded", "sender@example.org", Some("E")));
}

#[test]
fn a_list_owner_gets_neither_envid_nor_ret() {
    let mut bench = bench("");
    let mut control = bench.control("a.example", 1);
    owned_by(&mut control, "owner-list@a.example");
    control.envid = Some("E".into());
    control.ret = Some(envelope::Ret::Full);
    bench.load(control);
    let job = bench.job().1;
    assert_eq!((job.sender.as_str(), job.envid, job.ret), ("owner-list@a.example", None, None));
}

#[test]
fn failures_gather_until_nobody_else_can_join() {
    let mut bench = bench("[bounce]\ngather = \"10s\"");
    let mut control = bench.control("a.example", 3);
    for (recipient, host) in control.recipients.iter_mut().zip(["a.example", "b.example", "c.example"]) {
        recipient.quad.host = host.into();
    }
    let id = control.id;
    bench.load(control.clone());
    let jobs = bench.jobs();
    assert_eq!(jobs.len(), 3);
    bench.answer(&jobs[0], Phase::Transaction, Outcome::Failed);
    bench.pass(Duration::from_secs(5));
    assert!(bench.jobs().is_empty(), "it waits for others");
    bench.answer(&jobs[1], Phase::Transaction, Outcome::Failed);
    bench.answer(&jobs[2], Phase::Transaction, Outcome::Failed);
    let report = bench.job();
    assert_eq!(hosts(std::slice::from_ref(&report)), [("bounce", 3)], "nobody is left: at once");
    bench.delivered(&report);
    assert_eq!(bench.removed(), [id]);

    // With somebody who takes longer: after ten seconds; a later failure has a report of its own.
    let later = bench.control("a.example", 3);
    control.id = later.id;
    bench.load(control);
    let jobs = bench.jobs();
    bench.answer(&jobs[0], Phase::Transaction, Outcome::Failed);
    bench.pass(Duration::from_millis(9_800));
    assert!(bench.jobs().is_empty());
    bench.pass(Duration::from_millis(300));
    let report = bench.job();
    assert_eq!(report.1.recipients.len(), 1);
    bench.delivered(&report);
    bench.answer(&jobs[1], Phase::Transaction, Outcome::Failed);
    bench.pass(Duration::from_secs(5));
    assert!(bench.jobs().is_empty());
    bench.delivered(&jobs[2]);
    assert_eq!(bench.job().1.recipients.len(), 1);
}

#[test]
fn reports_that_cannot_be_sent_are_tried_again_while_others_gather() {
    let mut bench = bench("[bounce]\ngather = \"10m\"");
    let mut control = bench.control("a.example", 2);
    control.recipients[1].quad.host = "b.example".into();
    bench.load(control);
    let jobs = bench.jobs();
    bench.answer(&jobs[0], Phase::Transaction, Outcome::Failed);
    bench.answer(&jobs[1], Phase::Transaction, Outcome::Deferred);
    bench.pass(Duration::from_secs(601));
    let report = bench.jobs().into_iter().find(|(_, job)| job.host == "bounce").unwrap();
    bench.answer(&report, Phase::Transaction, Outcome::Deferred);
    bench.pass(Duration::from_secs(400));
    assert!(bench.jobs().iter().any(|(_, job)| job.host == "bounce"));
}

#[test]
fn a_late_message_is_told_of_once_and_its_plan_stays() {
    for (policy, wanted) in [("", &["DELAY"][..]), ("[[channel]]\nname = \"smtp\"\nwarn_after = \"1h\"", &["", "DELAY"])] {
        let mut bench = bench(policy);
        mail(&mut bench, "a.example", &["", "DELAY", "FAILURE", "NEVER"]);
        let mut warnings = Vec::new();
        let begin = bench.now;
        while bench.now.ms - begin.ms < 6 * 3_600_000 {
            bench.pass(Duration::from_secs(30));
            for job in bench.jobs() {
                if job.1.host == "delay" {
                    warnings.push((Duration::from_millis(bench.now.ms - begin.ms), job.1.recipients.len()));
                    let failure = job.1.recipients[0].failure.clone().unwrap();
                    assert_eq!((failure.text.as_str(), failure.time), ("said so", 0));
                    let expiry = begin.wall_seconds() + limits().expiry.as_secs();
                    assert!(failure.retry_until.abs_diff(expiry) < 2);
                    marks(&mut bench);
                    bench.delivered(&job);
                    let told = marks(&mut bench).1;
                    assert_eq!(told.len(), job.1.recipients.len());
                    assert!(told.iter().all(|d| d.happened == Happened::Delayed && d.next_attempt > bench.now.wall_seconds()));
                } else {
                    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
                }
            }
            bench.model.credit(AGENT, 100);
        }
        let after = if policy.is_empty() { HOUR * 4 } else { HOUR };
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].1, wanted.len());
        assert!(warnings[0].0 >= after && warnings[0].0 < after + Duration::from_secs(120), "{warnings:?}");
    }
}

#[test]
fn a_trip_ends_whatever_happens_to_it() {
    let late = |bench: &mut Bench| {
        let id = mail(bench, "a.example", &["DELAY"]);
        deferred(bench);
        // Four hours in which nobody answers for the destination.
        bench.model.agent_gone(AGENT, bench.now);
        bench.pass(HOUR * 4 + Duration::from_secs(5));
        bench.actions();
        id
    };
    // The agent for reports dies: it comes home, and the next attempt is made.
    let mut first = bench("");
    late(&mut first);
    let warning = first.job();
    assert_eq!(warning.1.host, "delay");
    first.model.agent_gone(9, first.now);
    first.hire(AGENT, "smtp");
    let job = first.job();
    assert_eq!(job.1.host, "a.example");
    first.delivered(&job);
    assert_eq!(first.removed().len(), 1);

    // The administrator deletes, holds or expires while it is under way, and before.
    for begun in [false, true] {
        for change in [Change::Delete, Change::Hold, Change::Expire] {
            let mut bench = bench("");
            let id = late(&mut bench);
            let warning = begun.then(|| bench.job());
            let filter = crate::model::Filter::new(Selection::default());
            let (mut cursor, mut budget) = (Default::default(), 10);
            assert_eq!(bench.model.next_changed(change, false, &filter, &mut cursor, &mut budget, bench.now), Ok(Some((id, 1))));
            if let Some(warning) = &warning {
                bench.delivered(warning);
            }
            match change {
                Change::Delete => assert_eq!(bench.removed(), [id]),
                Change::Hold => {
                    let shown = bench.model.next_listed(&filter, &mut Default::default(), &mut 10, bench.now).unwrap().unwrap();
                    assert_eq!((shown.recipients[0].state.as_str(), shown.recipients[0].host.as_str()), ("held", "a.example"));
                }
                _ => {
                    let report = bench.job();
                    assert_eq!(report.1.host, "bounce");
                    let text = report.1.recipients[0].failure.clone().unwrap().text;
                    assert!(text.starts_with("given up by the administrator after 4 hours") || text.contains("240 minutes"), "{text}");
                    bench.delivered(&report);
                    assert_eq!(bench.removed(), [id]);
                }
            }
        }
    }
}

#[test]
fn a_told_sender_is_not_told_again_after_a_restart() {
    let mut bench = bench("[[channel]]\nname = \"smtp\"\nwarn_after = \"1h\"");
    let mut control = bench.control("a.example", 1);
    control.arrived -= 2 * 3_600_000;
    let line = |happened, wait| Diagnostic {
        recipient: 100,
        time: 5,
        happened,
        attempts: 3,
        next_attempt: bench.now.wall_seconds() + wait,
        status: Enhanced::transient(4, 1),
        remote: "-".into(),
        text: "later".into(),
    };
    let diagnostics = vec![line(Happened::Deferred, 900), line(Happened::Delayed, 0)];
    bench.model.add(Parsed { control, diagnostics }, bench.now);
    bench.pass(Duration::from_secs(880));
    assert!(bench.jobs().is_empty(), "the plan of the last attempt counts, and nobody is told");
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.job().1.host, "a.example");
}

#[test]
fn a_message_past_the_sender_s_moment_says_so() {
    let mut bench = bench("");
    for (terms, word) in [("R", "not delivered by the time that the sender set"), ("N", "")] {
        let mut control = bench.control("a.example", 1);
        let until = bench.now.wall_seconds() + 60;
        control.terms.deliver_by = DeliverBy::parse(&format!("{until} {terms}"));
        bench.load(control);
        deferred(&mut bench);
        bench.pass(Duration::from_secs(62));
        bench.pass(Duration::from_secs(2));
        for _ in 0..10 {
            deferred_but_reports(&mut bench, word);
            bench.pass(Duration::from_secs(30));
        }
    }
}

/// With by-mode R the report of failure says why; with N a warning goes out.
fn deferred_but_reports(bench: &mut Bench, word: &str) {
    for job in bench.jobs() {
        match job.1.host.as_str() {
            "bounce" => {
                let failure = job.1.recipients[0].failure.clone().unwrap();
                assert!(
                    !word.is_empty() && failure.text.starts_with(word) && failure.text.contains("last answer: said so"),
                    "{}",
                    failure.text
                );
                assert_eq!(failure.status.to_string(), "5.4.7");
                bench.delivered(&job);
            }
            "delay" => {
                assert!(word.is_empty());
                bench.delivered(&job);
            }
            _ => bench.answer(&job, Phase::Transaction, Outcome::Deferred),
        }
    }
}
