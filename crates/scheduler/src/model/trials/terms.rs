//! What a sender may ask for: urgency, moments.

use super::*;
use crate::model::{Cursor, Filter};
use envelope::{DeliverBy, Terms};
use ipc::control::Selection;

impl Bench {
    fn mail_with(&mut self, host: &str, recipients: u32, sender: &str, terms: Terms) -> MessageId {
        let mut control = self.control(host, recipients);
        control.sender = Path::Mailbox(Address::parse(sender).unwrap());
        control.terms = terms;
        let id = control.id;
        self.load(control);
        id
    }

    fn wall(&self) -> u64 {
        self.now.wall_ms / 1000
    }

    /// Delivers job by job until `wanted` had its first; the number of jobs of others before it.
    fn jobs_until(&mut self, wanted: MessageId) -> usize {
        let mut waiting = std::collections::VecDeque::new();
        for count in 0.. {
            waiting.extend(self.jobs());
            let job = waiting.pop_front().unwrap();
            if job.0.id == wanted {
                return count;
            }
            self.delivered(&job);
        }
        unreachable!()
    }
}

fn priority(priority: i8) -> Terms {
    Terms { priority, ..Terms::default() }
}

#[test]
fn urgent_mail_overtakes_and_bulk_goes_on() {
    let mut bench = Bench::with("[queue]\nconcurrency_most = 1\n");
    for _ in 0..50 {
        bench.mail_with("a.example", 1, "bulk@example.org", priority(-4));
    }
    let urgent: Vec<_> = (0..24).map(|_| bench.mail_with("a.example", 1, "s@example.org", priority(6))).collect();
    let mut of_bulk = 0;
    for _ in 0..24 {
        let job = bench.job();
        of_bulk += usize::from(!urgent.contains(&job.0.id));
        bench.delivered(&job);
    }
    assert_eq!(of_bulk, 3, "one of eight");
}

#[test]
fn a_clause_adds_to_the_priority() {
    let mut bench =
        Bench::with("[queue]\nconcurrency_most = 1\nconcurrency_first = 1\n[[destination]]\nhost = [\"a.example\"]\npriority = \"-9\"\n");
    let one = bench.mail_with("a.example", 1, "s@example.org", priority(9));
    let two = bench.mail_with("a.example", 1, "t@example.org", priority(0));
    let low = bench.model.index[&two];
    assert!(bench.model.messages.get(low).is_some());
    let job = bench.job();
    assert_eq!(job.0.id, one, "9 - 9 is more than 0 - 9");
}

#[test]
fn one_sender_cannot_keep_another_waiting() {
    let mut bench = Bench::with("[queue]\nconcurrency_most = 1\n");
    for n in 0..1000 {
        // Variable senders of one list are one sender.
        bench.mail_with("a.example", 1, &format!("list-bounces+u{n}=x.example@lists.example"), Terms::default());
    }
    let other = bench.mail_with("a.example", 1, "person@lists.example", Terms::default());
    assert!(bench.jobs_until(other) <= 1);
}

#[test]
fn behind_100_000_recipients_of_the_same_sender_a_small_one_waits_for_a_few_jobs() {
    let mut bench = Bench::with("[queue]\nconcurrency_most = 1\n");
    let bulk = bench.mail("a.example", 100_000);
    let (mut waits, mut of_bulk, mut all) = (Vec::new(), 0, 0);
    for _ in 0..100 {
        bench.pass(Duration::from_millis(20));
        let small = bench.mail("a.example", 1);
        let mut waited = 0;
        loop {
            let job = bench.job();
            bench.delivered(&job);
            all += 1;
            of_bulk += usize::from(job.0.id == bulk);
            if job.0.id == small {
                break;
            }
            waited += 1;
        }
        waits.push(waited);
    }
    assert!(waits.iter().max().unwrap() <= &4, "{waits:?}");
    // Slots: 100 small ones among 1,000 jobs of the bulk cost it a quarter at most.
    assert!(all <= of_bulk * 5 / 4 + 4, "{all} jobs, {of_bulk} of the bulk");
}

#[test]
fn what_is_held_until_a_moment_goes_then_and_expires_from_then() {
    let mut bench = Bench::new();
    let until = bench.wall() + 10 * 86_400;
    bench.mail_with("a.example", 2, "s@example.org", Terms { hold_until: Some(until), ..Terms::default() });
    bench.pass(Duration::from_secs(10 * 86_400 - 5));
    assert!(bench.jobs().is_empty());
    let shown = bench.model.next_listed(&Filter::new(Selection::default()), &mut Cursor::default(), &mut 10, bench.now);
    let shown = shown.unwrap().unwrap().recipients.remove(0);
    assert_eq!((shown.next_attempt, shown.last.as_str()), (until, "its sender wants it held until then"));
    bench.pass(Duration::from_secs(6));
    let job = bench.job();
    assert_eq!(job.1.recipients.len(), 2);
    // The default expiry of 5 days begins now: four days later it is still tried.
    bench.refused(&job);
    bench.pass(Duration::from_secs(4 * 86_400));
    assert_eq!(bench.jobs().len(), 1);
}

#[test]
fn what_is_not_delivered_by_its_moment_goes_back() {
    let mut bench = Bench::new();
    let by = DeliverBy { until: bench.wall() + 600, or_return: true, trace: false };
    bench.hire(8, "error");
    let id = bench.mail_with("a.example", 1, "s@example.org", Terms { deliver_by: Some(by), ..Terms::default() });
    let job = bench.job();
    bench.refused(&job);
    bench.pass(Duration::from_secs(590));
    for job in bench.jobs() {
        assert_eq!(job.1.channel, "smtp", "not yet");
        bench.refused(&job);
    }
    bench.pass(Duration::from_secs(15));
    let back: Vec<_> = bench.jobs().into_iter().filter(|job| job.1.channel == "error").collect();
    assert_eq!((back.len(), back[0].0.id), (1, id));
    assert_eq!(back[0].1.recipients[0].failure.as_ref().unwrap().status, Enhanced::permanent(4, 7));
}

#[test]
fn past_its_moment_the_sender_is_told_and_delivery_goes_on() {
    let mut bench = Bench::new();
    let by = DeliverBy { until: bench.wall() + 600, or_return: false, trace: false };
    bench.hire(8, "error");
    bench.mail_with("a.example", 1, "s@example.org", Terms { deliver_by: Some(by), ..Terms::default() });
    let job = bench.job();
    bench.refused(&job);
    bench.pass(Duration::from_secs(595));
    for job in bench.jobs() {
        assert_eq!(job.1.channel, "smtp", "not yet");
        bench.refused(&job);
    }
    bench.pass(Duration::from_secs(10));
    let told: Vec<_> = bench.jobs().into_iter().filter(|job| job.1.channel == "error").collect();
    assert_eq!((told.len(), told[0].1.host.as_str()), (1, "delay"));
    bench.delivered(&told[0]);
    bench.pass(Duration::from_secs(3600));
    let again = bench.jobs();
    assert_eq!((again.len(), again[0].1.channel.as_str()), (1, "smtp"));
}

#[test]
fn a_moment_that_comes_near_makes_urgent() {
    let mut bench = Bench::with("[queue]\nconcurrency_most = 1\n");
    let first = bench.mail_with("a.example", 1, "s@example.org", Terms::default());
    let by = DeliverBy { until: bench.wall() + 60, or_return: false, trace: false };
    let near = bench.mail_with("a.example", 1, "s@example.org", Terms { deliver_by: Some(by), ..Terms::default() });
    assert_eq!(bench.jobs_until(near), 0);
    assert_ne!(near, first);
}
