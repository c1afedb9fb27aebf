//! Forms of a message: senders of lists, header edits.

use super::*;
use envelope::{Edit, EditSet, Edits, Form, Sender};
use status::{Outcome, Phase};

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

/// Four recipients at one host: as it is, of list one, of list two with senders of their own, and by an alias. Edits for all
/// but the first.
fn of_all_forms(bench: &mut Bench) -> Control {
    let mut control = bench.control("a.example", 4);
    let mut edits = Edits::default();
    assert!(edits.push(Edit { offset: 0, length: 4, text: b"List-Id: <x>\n".to_vec() }));
    control.edits = vec![EditSet { edits, place: (77, 30) }];
    let senders =
        [Sender::Owner(address("one@l.example")), Sender::Verp(address("two@l.example")), Sender::Alias(address("srs@l.example"))];
    control.forms = senders.into_iter().map(|sender| Form { sender, edits: 1 }).collect();
    (0u16..).zip(&mut control.recipients).for_each(|(form, recipient)| recipient.form = form);
    control
}

/// All jobs there are, each answered so.
fn all(bench: &mut Bench, outcome: Outcome) -> Vec<(StartedJob, Job)> {
    let mut all = Vec::new();
    loop {
        let jobs = bench.jobs();
        if jobs.is_empty() {
            return all;
        }
        jobs.iter().for_each(|job| bench.answer(job, Phase::Transaction, outcome));
        all.extend(jobs);
    }
}

fn seen(jobs: &[(StartedJob, Job)]) -> Vec<(String, bool, u64, bool, usize)> {
    let one = |(started, job): &(StartedJob, Job)| (job.sender.clone(), job.verp, job.size, started.edits.is_some(), job.recipients.len());
    let mut all: Vec<_> = jobs.iter().map(one).collect();
    all.sort();
    all
}

#[test]
fn each_form_has_jobs_of_its_own() {
    let mut bench = Bench::new();
    let control = of_all_forms(&mut bench);
    bench.load(control);
    let jobs = all(&mut bench, Outcome::Delivered);
    let text = |text: &str| text.to_owned();
    assert_eq!(
        seen(&jobs),
        [
            (text("one@l.example"), false, 4105, true, 1),
            (text("sender@example.org"), false, 4096, false, 1),
            (text("srs@l.example"), false, 4105, true, 1),
            (text("two@l.example"), true, 4105, true, 1),
        ]
    );
    let place = jobs.iter().find_map(|(job, _)| job.edits).unwrap();
    assert_eq!((place.first, place.bytes, place.header), (77, 30, 200));
}

/// Who hears of failures: the sender of what is his, by whatever name it travelled, and each owner of what is his.
#[test]
fn failures_go_to_whom_they_concern() {
    let mut bench = Bench::new();
    let control = of_all_forms(&mut bench);
    bench.load(control);
    all(&mut bench, Outcome::Failed);
    bench.hire(9, "error");
    let text = |text: &str| text.to_owned();
    assert_eq!(
        seen(&all(&mut bench, Outcome::Delivered)),
        [
            (text("one@l.example"), false, 4105, true, 1),
            (text("sender@example.org"), false, 4096, false, 2),
            (text("two@l.example"), true, 4105, true, 1),
        ]
    );
}

#[test]
fn nobody_stays_nobody_in_every_form() {
    let mut bench = Bench::new();
    let mut control = of_all_forms(&mut bench);
    control.sender = Path::Null;
    bench.load(control);
    for (_, job) in all(&mut bench, Outcome::Delivered) {
        assert_eq!((job.sender.as_str(), job.verp), ("", false));
    }
}

#[test]
fn members_with_senders_of_their_own_share_jobs_up_to_a_number() {
    let mut bench = Bench::new();
    let mut control = bench.control("a.example", 100);
    control.forms = vec![Form { sender: Sender::Verp(address("l@l.example")), edits: 0 }];
    control.recipients.iter_mut().for_each(|recipient| recipient.form = 1);
    bench.load(control);
    let sizes: Vec<usize> = all(&mut bench, Outcome::Delivered).iter().map(|(_, job)| job.recipients.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 32) && sizes[0] > 1, "{sizes:?}");
}

/// A rate of messages counts what servers see.
#[test]
fn members_with_senders_of_their_own_are_messages_of_the_rate() {
    for (verp, waits) in [(false, false), (true, true)] {
        let mut bench = Bench::with("[[destination]]\nhost = [\"a.example\"]\nmessage_rate = \"20/1m\"\n");
        let mut control = bench.control("a.example", 20);
        let owner = address("l@l.example");
        control.forms = vec![Form { sender: if verp { Sender::Verp(owner) } else { Sender::Owner(owner) }, edits: 0 }];
        control.recipients.iter_mut().for_each(|recipient| recipient.form = 1);
        bench.load(control);
        let job = bench.job();
        assert_eq!(job.1.recipients.len(), 20);
        bench.delivered(&job);
        bench.mail("a.example", 1);
        bench.pass(std::time::Duration::from_secs(10));
        assert_eq!(bench.jobs().is_empty(), waits, "verp {verp}");
    }
}
