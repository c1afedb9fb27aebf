use super::*;
use crate::model::{Cursor, Filter};
use ipc::control::{Action as Change, Selection};

fn change(bench: &mut Bench, action: Change, selection: Selection, dry_run: bool) -> Vec<(MessageId, u32)> {
    let filter = Filter::new(selection);
    let mut cursor = Cursor::default();
    let mut touched = Vec::new();
    while let Ok(Some(one)) = bench.model.next_changed(action, dry_run, &filter, &mut cursor, &mut 1000, bench.now) {
        touched.push(one);
    }
    touched
}

fn by_id(id: MessageId) -> Selection {
    Selection { ids: vec![id.to_string()], ..Selection::default() }
}

#[test]
fn hold_and_release_are_marked_and_take_effect_at_once() {
    let mut bench = Bench::new();
    let id = bench.mail("a.example", 2);
    assert_eq!(change(&mut bench, Change::Hold, by_id(id), true), [(id, 2)]);
    assert!(bench.actions().is_empty());
    assert_eq!(change(&mut bench, Change::Hold, by_id(id), false), [(id, 2)]);
    let states = vec![(100, RecipientState::Held), (140, RecipientState::Held)];
    assert_eq!(bench.actions(), [Action::Mark { id, states, diagnostics: Vec::new() }]);
    assert!(bench.jobs().is_empty());
    assert_eq!(change(&mut bench, Change::Release, by_id(id), false), [(id, 2)]);
    assert_eq!(bench.job().1.recipients.len(), 2);
}

#[test]
fn what_is_in_a_job_is_held_or_deleted_when_it_comes_back() {
    let mut bench = Bench::new();
    let held = bench.mail("a.example", 1);
    let job = bench.job();
    assert_eq!(change(&mut bench, Change::Hold, by_id(held), false).len(), 1);
    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    bench.pass(Duration::from_secs(3600));
    assert!(bench.jobs().is_empty());
    let deleted = bench.mail("b.example", 1);
    let job = bench.job();
    assert_eq!(change(&mut bench, Change::Delete, by_id(deleted), false).len(), 1);
    bench.actions();
    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    assert_eq!(bench.removed(), [deleted]);
}

#[test]
fn delete_removes_and_expire_reports() {
    let mut bench = Bench::new();
    bench.hire(9, "error");
    let (a, b) = (bench.mail("a.example", 1), bench.mail("b.example", 1));
    assert_eq!(change(&mut bench, Change::Delete, by_id(a), false), [(a, 1)]);
    assert_eq!(bench.removed(), [a]);
    assert_eq!(change(&mut bench, Change::Expire, by_id(b), false), [(b, 1)]);
    assert_eq!(bench.job().1.channel, "error");
}

#[test]
fn retry_goes_now_even_to_a_dead_destination() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.mail("a.example", 1);
        for job in bench.jobs() {
            bench.refused(&job);
        }
    }
    assert!(bench.jobs().is_empty());
    let touched = change(&mut bench, Change::Retry, Selection { host: Some("A.example".into()), ..Selection::default() }, false);
    assert_eq!(touched.len(), 5);
    bench.job();
}

#[test]
fn selections_take_what_all_conditions_name() {
    let mut bench = Bench::new();
    let a = bench.mail("a.example", 3);
    bench.mail("b.example", 1);
    let pick = |selection: Selection, bench: &mut Bench| change(bench, Change::Retry, selection, true);
    let recipient = |text: &str| Selection { recipient: Some(text.into()), ..Selection::default() };
    assert_eq!(pick(recipient("<U1@a.example>"), &mut bench), [(a, 1)]);
    assert_eq!(pick(Selection { domain: Some("a.example".into()), ..Selection::default() }, &mut bench), [(a, 3)]);
    assert_eq!(pick(Selection { sender: Some("nobody@example.org".into()), ..Selection::default() }, &mut bench), []);
    assert_eq!(pick(Selection { older: Some(60), ..Selection::default() }, &mut bench), []);
    assert_eq!(pick(Selection { state: Some("queued".into()), ..recipient("u2@a.example") }, &mut bench), [(a, 1)]);
    assert_eq!(pick(Selection { ids: vec!["no id".into()], ..Selection::default() }, &mut bench), []);
}

#[test]
fn a_listing_shows_every_recipient_once_in_pieces() {
    let mut bench = Bench::new();
    bench.mail("a.example", 10_000);
    bench.mail("b.example", 1);
    let (filter, mut cursor) = (Filter::new(Selection::default()), Cursor::default());
    let (mut frames, mut recipients) = (0, std::collections::HashSet::new());
    while let Ok(Some(message)) = bench.model.next_listed(&filter, &mut cursor, &mut 10, bench.now) {
        frames += 1;
        message.recipients.into_iter().for_each(|recipient| assert!(recipients.insert(recipient.address)));
    }
    assert_eq!(recipients.len(), 10_001);
    assert!(frames > 5);
}

#[test]
fn rerouted_recipients_go_to_the_keeper_of_held_mail_once() {
    let mut bench = Bench::new();
    bench.hire(9, "hold");
    let id = bench.mail("a.example", 3);
    let one = Selection { recipient: Some("u1@a.example".into()), ..Selection::default() };
    assert_eq!(change(&mut bench, Change::Reroute, one.clone(), false), [(id, 1)]);
    assert_eq!(change(&mut bench, Change::Reroute, one, false), []);
    let jobs = bench.jobs();
    let kept: Vec<(&str, &str, usize)> = jobs.iter().map(|(_, j)| (j.channel.as_str(), j.host.as_str(), j.recipients.len())).collect();
    assert!(kept.len() == 2 && kept.contains(&("hold", "now", 1)) && kept.contains(&("smtp", "a.example", 2)), "{kept:?}");
    for job in &jobs {
        bench.delivered(job);
    }
    assert_eq!(bench.removed(), [id]);
}

#[test]
fn what_is_in_a_job_is_rerouted_when_it_comes_back() {
    let mut bench = Bench::new();
    bench.hire(9, "hold");
    let id = bench.mail("a.example", 1);
    let job = bench.job();
    assert_eq!(change(&mut bench, Change::Reroute, by_id(id), false), [(id, 1)]);
    assert!(bench.jobs().is_empty());
    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    assert_eq!(bench.job().1.host, "now");
}

#[test]
fn release_lets_go_what_channel_hold_keeps() {
    let mut bench = Bench::new();
    bench.hire(9, "hold");
    let mut control = bench.control("a.example", 2);
    for recipient in &mut control.recipients {
        recipient.quad.channel = "hold".into();
        recipient.quad.host = "admin".into();
    }
    let id = control.id;
    bench.load(control);
    let job = bench.job();
    assert_eq!(job.1.host, "admin");
    bench.answer(&job, Phase::Transaction, Outcome::Deferred);
    assert_eq!(
        change(&mut bench, Change::Hold, Selection { recipient: Some("u0@a.example".into()), ..Selection::default() }, false),
        [(id, 1)]
    );
    bench.actions();
    assert_eq!(change(&mut bench, Change::Release, by_id(id), false), [(id, 2)]);
    assert_eq!(bench.actions(), [Action::Mark { id, states: vec![(100, RecipientState::Queued)], diagnostics: Vec::new() }]);
    let job = bench.job();
    assert_eq!((job.1.host.as_str(), job.1.recipients.len()), ("now", 2));
    bench.delivered(&job);
    assert_eq!(bench.removed(), [id]);
}

#[test]
fn a_list_owner_stands_in_for_the_sender_but_not_for_nobody() {
    let mut bench = Bench::new();
    let owner = "owner-list@local.example";
    let mut control = bench.control("a.example", 1);
    owned_by(&mut control, owner);
    bench.load(control);
    assert_eq!(bench.job().1.sender, "owner-list@local.example");
    let mut control = bench.control("b.example", 1);
    owned_by(&mut control, owner);
    control.sender = address::Path::Null;
    bench.load(control);
    assert_eq!(bench.job().1.sender, "");
}

#[test]
fn who_is_done_with_is_shown_when_asked_for_and_never_changed() {
    let mut bench = Bench::new();
    let mut control = bench.control("a.example", 2);
    control.recipients[1].quad.host = "b.example".into();
    let id = control.id;
    bench.load(control);
    let jobs = bench.jobs();
    bench.delivered(&jobs[0]);
    let state = |text: &str| Selection { state: Some(text.into()), ..Selection::default() };
    let list = |selection: Selection, bench: &mut Bench| {
        let shown = bench.model.next_listed(&Filter::new(selection), &mut Cursor::default(), &mut 10, bench.now);
        shown.ok().flatten().map(|m| (m.state, m.recipients.into_iter().map(|r| r.state).collect::<Vec<_>>()))
    };
    assert_eq!(list(state("delivered"), &mut bench), Some(("delivered".to_owned(), vec!["delivered".to_owned()])));
    assert_eq!(list(state("failed"), &mut bench), None);
    assert_eq!(list(by_id(id), &mut bench), Some(("active".to_owned(), vec!["active".to_owned()])));
    assert_eq!(change(&mut bench, Change::Delete, state("delivered"), false), []);
}
