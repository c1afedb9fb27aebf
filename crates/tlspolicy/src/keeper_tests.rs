//! What is answered, looked up and kept, and when.

use crate::fetch::Failure;
use crate::keeper::{Action, Keeper, Now, PATIENCE, Seen};
use crate::policy;
use ipc::tlspolicy::StsPolicy;
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn now(start: Instant, seconds: u64) -> Now {
    Now { at: start + Duration::from_secs(seconds), unix: 1_000_000 + seconds }
}

fn policy(id: &str, max_age: u64) -> StsPolicy {
    policy::parse(format!("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: {max_age}\n").as_bytes(), id).unwrap()
}

fn look(known: Option<&str>) -> Action {
    Action::Look { domain: "d.example".into(), known: known.map(str::to_owned) }
}

fn answers(actions: &[Action]) -> Vec<(u64, Option<u64>)> {
    let answer = |action: &Action| match action {
        Action::Answer { asker, policy } => Some((asker.1, policy.as_ref().map(|policy| policy.max_age))),
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

fn failed() -> Seen {
    Seen::Failed(Failure { kind: "sts-policy-fetch-error", text: "no".into() })
}

#[test]
fn one_fetch_serves_all_who_wait() {
    let (mut keeper, start) = (Keeper::default(), Instant::now());
    assert_eq!(keeper.ask("d.example", (1, 1), now(start, 0)), [look(None)]);
    assert_eq!(keeper.ask("d.example", (1, 2), now(start, 1)), []);
    let actions = keeper.seen("d.example", Seen::Fetched(policy("1", 86_400)), now(start, 2));
    assert!(matches!(&actions[0], Action::Keep { domain, .. } if domain == "d.example"));
    assert_eq!(answers(&actions), [(1, Some(86_400)), (2, Some(86_400))]);
    assert_eq!(answers(&keeper.ask("d.example", (1, 3), now(start, 102))), [(3, Some(86_300))]);
}

#[test]
fn nobody_waits_longer_than_the_patience_and_the_policy_is_remembered() {
    let (mut keeper, start) = (Keeper::default(), Instant::now());
    keeper.ask("d.example", (1, 1), now(start, 0));
    assert_eq!(keeper.tick(now(start, PATIENCE.as_secs() - 1)), []);
    assert_eq!(answers(&keeper.tick(now(start, PATIENCE.as_secs()))), [(1, None)]);
    assert_eq!(answers(&keeper.seen("d.example", Seen::Fetched(policy("1", 1000)), now(start, 30))), []);
    assert_eq!(answers(&keeper.ask("d.example", (1, 2), now(start, 31))), [(2, Some(999))]);
}

#[test]
fn no_record_is_not_asked_for_an_hour() {
    let (mut keeper, start) = (Keeper::default(), Instant::now());
    keeper.ask("d.example", (1, 1), now(start, 0));
    assert_eq!(answers(&keeper.seen("d.example", Seen::NoRecord, now(start, 1))), [(1, None)]);
    assert_eq!(answers(&keeper.ask("d.example", (1, 2), now(start, 3600))), [(2, None)]);
    assert_eq!(keeper.ask("d.example", (1, 3), now(start, 3601)), [look(None)]);
}

#[test]
fn a_policy_outlives_failures_and_a_missing_record_and_ends_with_its_age() {
    let (mut keeper, start) = (Keeper::default(), Instant::now());
    keeper.ask("d.example", (1, 1), now(start, 0));
    keeper.seen("d.example", Seen::Fetched(policy("1", 10_000)), now(start, 0));
    // The record is looked at again, with the id known, and after half of its age in any case.
    assert_eq!(keeper.ask("d.example", (1, 2), now(start, 3600))[0], look(Some("1")));
    assert_eq!(keeper.seen("d.example", Seen::NoRecord, now(start, 3600)), []);
    assert_eq!(keeper.renew(now(start, 7199)), []);
    assert_eq!(keeper.renew(now(start, 7200)), [look(None)]);
    keeper.seen("d.example", failed(), now(start, 7201));
    assert_eq!(answers(&keeper.ask("d.example", (1, 3), now(start, 9999))), [(3, Some(1))]);
    assert_eq!(keeper.renew(now(start, 10_000)), [Action::Forget { domain: "d.example".into() }]);
    assert_eq!(keeper.policies(), 0);
}

#[test]
fn failing_domains_are_left_alone_longer_and_longer() {
    let (mut keeper, start) = (Keeper::default(), Instant::now());
    let mut at = 0;
    for failures in 0..12 {
        assert_eq!(keeper.ask("d.example", (1, 1), now(start, at)), [look(None)]);
        assert_eq!(answers(&keeper.seen("d.example", failed(), now(start, at))), [(1, None)]);
        let wait = (300 << failures).min(86_400);
        assert_eq!(answers(&keeper.ask("d.example", (1, 2), now(start, at + wait - 1))), [(2, None)]);
        at += wait;
    }
    // One success, and patience begins anew.
    keeper.ask("d.example", (1, 1), now(start, at));
    keeper.seen("d.example", Seen::NoRecord, now(start, at));
    keeper.ask("d.example", (1, 1), now(start, at + 3600));
    keeper.seen("d.example", failed(), now(start, at + 3600));
    assert_eq!(keeper.ask("d.example", (1, 1), now(start, at + 3900)), [look(None)]);
}

#[test]
fn a_flood_of_names_does_not_push_policies_out() {
    let (mut keeper, start) = (Keeper::default(), Instant::now());
    keeper.ask("d.example", (1, 1), now(start, 0));
    keeper.seen("d.example", Seen::Fetched(policy("1", 10_000_000)), now(start, 0));
    for n in 0..50_000 {
        let domain = format!("d{n}.example");
        keeper.ask(&domain, (1, n), now(start, 1));
        keeper.seen(&domain, Seen::NoRecord, now(start, 1));
    }
    assert_eq!(answers(&keeper.ask("d.example", (1, 0), now(start, 2))).len(), 1);
    assert_eq!(keeper.policies(), 1);
}

proptest! {
    /// Every question gets exactly one answer.
    #[test]
    fn one_answer_each(steps in proptest::collection::vec((0u8..6, 0u8..4, 0u64..4000), 0..120)) {
        let (mut keeper, start, mut at, mut asked) = (Keeper::default(), Instant::now(), 0, 0u64);
        let mut told = Vec::new();
        for (step, domain, later) in steps {
            at += later;
            let (domain, moment) = (format!("d{domain}.example"), now(start, at));
            let actions = match step {
                0 | 1 => { asked += 1; keeper.ask(&domain, (1, asked), moment) }
                2 => keeper.seen(&domain, Seen::Fetched(policy("1", later + 1)), moment),
                3 => keeper.seen(&domain, failed(), moment),
                4 => keeper.renew(moment),
                _ => keeper.tick(moment),
            };
            told.extend(answers(&actions).into_iter().map(|(number, _)| number));
        }
        told.extend(answers(&keeper.tick(now(start, at + 100))).into_iter().map(|(number, _)| number));
        told.sort_unstable();
        prop_assert_eq!(told, (1..=asked).collect::<Vec<_>>());
    }
}
