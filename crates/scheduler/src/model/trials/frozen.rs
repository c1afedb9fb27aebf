//! Freezes of parts, and the reason why each recipient waits.

use super::*;
use crate::model::Filter;
use ipc::control::{Reason, Selection};
use spool::Part;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn why(bench: &Bench, id: MessageId) -> Vec<Reason> {
    let filter = Filter::new(Selection { ids: vec![id.to_string()], ..Selection::default() });
    let spots = bench.model.spots(id, &filter, bench.now);
    spots.into_iter().filter_map(|spot| bench.model.why(id, spot, bench.now)).collect()
}

fn words(bench: &Bench, id: MessageId) -> Vec<String> {
    why(bench, id).into_iter().map(|reason| reason.reason).collect()
}

/// So many recipients begin, and are delivered.
fn begun(bench: &mut Bench) -> usize {
    let jobs = bench.jobs();
    jobs.iter().for_each(|job| bench.delivered(job));
    jobs.iter().map(|(_, job)| job.recipients.len()).sum()
}

#[test]
fn each_condition_keeps_what_it_names_and_no_more() {
    let cases = [
        (Part { channel: some("sm?p"), ..Part::default() }, 0),
        (Part { host: some("{a,x}.example"), ..Part::default() }, 2),
        (Part { host: some("a.example"), channel: some("local"), ..Part::default() }, 5),
        (Part { sender: some("Sender@example.org"), ..Part::default() }, 0),
        (Part { sender: some(""), ..Part::default() }, 5),
        (Part { recipient: some("U1@a.example"), ..Part::default() }, 4),
        (Part { domain: some("b.example"), ..Part::default() }, 3),
        (Part { domain: some(".example"), ..Part::default() }, 0),
        (Part { domain: some("a.example"), host: some("b.example"), ..Part::default() }, 5),
    ];
    for (part, goes) in cases {
        let mut bench = Bench::new();
        bench.model.freeze_part(part.clone()).unwrap();
        bench.mail("a.example", 3);
        bench.mail("b.example", 2);
        assert_eq!(begun(&mut bench), goes, "{part}");
        assert_eq!(begun(&mut bench), 0, "{part}");
        assert!(bench.model.thaw_part(Some(&part)) && !bench.model.thaw_part(Some(&part)));
        assert_eq!(begun(&mut bench), 5 - goes, "{part}: the rest goes at once");
    }
}

#[test]
fn the_last_of_two_freezes_lets_go() {
    let mut bench = Bench::new();
    let parts = [Part { domain: some("a.example"), ..Part::default() }, Part { host: some("a.*"), ..Part::default() }];
    let id = bench.mail("a.example", 1);
    for part in &parts {
        bench.model.freeze_part(part.clone()).unwrap();
        bench.model.freeze_part(part.clone()).unwrap();
    }
    assert_eq!(bench.model.frozen_parts(), parts);
    assert_eq!(begun(&mut bench), 0);
    assert_eq!(words(&bench, id), ["frozen"]);
    bench.model.thaw_part(Some(&parts[1]));
    assert_eq!(begun(&mut bench), 0);
    assert_eq!(why(&bench, id)[0].detail, "domain=a.example");
    bench.model.thaw_part(None);
    assert_eq!(begun(&mut bench), 1);
}

#[test]
fn frozen_mail_can_be_held_deleted_and_expires() {
    let mut bench = Bench::with("[[channel]]\nname = \"smtp\"\nexpiry = \"1h\"\nexpiry_untried = \"1h\"\n");
    bench.hire(9, "error");
    bench.model.freeze_part(Part { recipient: some("u0@a.example"), ..Part::default() }).unwrap();
    let id = bench.mail("a.example", 1);
    assert_eq!(begun(&mut bench), 0);
    let filter = Filter::new(Selection { state: some("queued"), ..Selection::default() });
    let hold = |bench: &mut Bench, change| bench.model.next_changed(change, false, &filter, &mut Default::default(), &mut 10, bench.now);
    assert_eq!(hold(&mut bench, ipc::control::Action::Hold), Ok(Some((id, 1))));
    assert_eq!(words(&bench, id), ["held"]);
    let other = bench.mail("a.example", 1);
    assert_eq!(begun(&mut bench), 0);
    for _ in 0..20 {
        bench.pass(Duration::from_secs(600));
    }
    let reports = bench.jobs();
    assert!(reports.iter().any(|(started, job)| started.id == other && job.channel == "error"), "it expires as what waits does");
}

/// A million comparisons at one go would stop everything else.
#[test]
fn a_thaw_of_very_many_goes_in_turns() {
    let mut bench = Bench::with("[queue]\nconcurrency_first = 50\n");
    let part = Part { sender: some("sender@example.org"), ..Part::default() };
    bench.model.freeze_part(part.clone()).unwrap();
    for _ in 0..4500 {
        bench.mail("a.example", 1);
    }
    while {
        assert_eq!(begun(&mut bench), 0);
        bench.model.discards_wait()
    } {}
    bench.model.thaw_part(Some(&part));
    let (mut turns, mut gone) = (0, 0);
    while gone < 4500 && turns < 10_000 {
        for job in bench.jobs() {
            bench.delivered(&job);
            gone += 1;
        }
        turns += 1;
    }
    assert_eq!(gone, 4500);
}

#[test]
fn every_wait_has_its_reason_and_its_moment() {
    let more = "[[destination]]\nhost = [\"rate.example\"]\nmessage_rate = \"1/1h\"\n\
                [[destination]]\nhost = [\"ring.*\"]\nring_most = 1\n\
                [[destination]]\nhost = [\"etrn.example\"]\nqueue_only = true\n\
                [[destination]]\nhost = [\"hours.example\"]\nhours = \"Mon 00:00-00:01\"\n\
                [[destination]]\nhost = [\"window.example\"]\nconcurrency_most = 1\nconcurrency_first = 1\n";
    let mut bench = Bench::with(more);
    bench.model.name_agent(AGENT, 4711);
    let mut of = |host: &str| bench.mail(host, 1);
    let (etrn, hours) = (of("etrn.example"), of("hours.example"));
    let rate = [of("rate.example"), of("rate.example"), of("rate.example")];
    let (ring, window) = ([of("ring.a"), of("ring.b")], [of("window.example"), of("window.example")]);
    bench.jobs();
    let reason = |bench: &Bench, id| why(bench, id).remove(0);
    assert_eq!(reason(&bench, etrn).reason, "asking");
    let closed = reason(&bench, hours);
    assert!(closed.reason == "hours" && closed.until > bench.now.wall_ms, "{closed:?}");
    let active = reason(&bench, rate[0]);
    assert_eq!((active.reason.as_str(), active.agent, active.since), ("active", 4711, bench.now.wall_ms));
    let late = reason(&bench, rate[2]);
    assert_eq!(late.reason, "rate");
    assert!((1..=3_600_000).contains(&(late.until - bench.now.wall_ms)), "{late:?}");
    let full = reason(&bench, ring[1]);
    assert_eq!((full.reason.as_str(), full.active, full.most), ("ring", 1, 1));
    let full = reason(&bench, window[1]);
    assert_eq!((full.reason.as_str(), full.active, full.most, full.detail.as_str()), ("window", 1, 1, "window.example"));
    bench.model.freeze(true);
    assert_eq!(words(&bench, etrn), ["suite-frozen"]);
}

#[test]
fn dead_deferred_held_and_without_an_agent() {
    let mut bench = Bench::new();
    let ids: Vec<MessageId> = (0..5).map(|_| bench.mail("dead.example", 1)).collect();
    for _ in 0..5 {
        for job in bench.jobs() {
            bench.refused(&job);
        }
    }
    let late = bench.mail("dead.example", 1);
    bench.jobs();
    let dead = why(&bench, late).remove(0);
    assert_eq!((dead.reason.as_str(), dead.recipient.last.contains("said so")), ("dead", true), "{dead:?}");
    assert!(dead.until > bench.now.wall_ms && dead.most >= 1);
    let deferred = why(&bench, ids[0]).remove(0);
    assert_eq!((deferred.reason.as_str(), deferred.recipient.attempts), ("deferred", 1));
    assert_eq!(deferred.until / 1000, deferred.recipient.next_attempt);
    let terms = envelope::Terms { hold_until: Some(bench.now.wall_seconds() + 600), ..Default::default() };
    let mut control = bench.control("later.example", 1);
    control.terms = terms;
    let later = control.id;
    bench.load(control);
    let kept = why(&bench, later).remove(0);
    assert_eq!((kept.reason.as_str(), kept.until), ("held-until", bench.now.wall_ms + 600_000));
    let mut control = bench.control("x", 1);
    control.recipients[0].quad.channel = "odd".to_owned();
    let odd = control.id;
    bench.load(control);
    bench.jobs();
    let waits = why(&bench, odd).remove(0);
    assert_eq!((waits.reason.as_str(), waits.detail.as_str()), ("agent", "one is on its way"));
    let ticket = bench.actions().into_iter().find_map(|a| if let Action::WantAgent { ticket, .. } = a { Some(ticket) } else { None });
    bench.model.no_agent(ticket.unwrap(), "odd", "no program serves it", bench.now);
    let waits = why(&bench, odd).remove(0);
    assert_eq!(waits.detail, "no program serves it");
    assert_eq!(waits.until, bench.now.wall_ms + 1000);
}
