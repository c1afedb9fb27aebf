#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use ipc::agents::{RecipientResult, ToAgent, ToScheduler};
use ipc::channel::pair;
use status::{Enhanced, Outcome, Phase};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

struct Succeed;
impl Deliver for Succeed {
    fn deliver(&mut self, job: &Job, _: &File) -> Report {
        let results = job.recipients.iter().map(|r| RecipientResult::new(r.index, Outcome::Delivered, Enhanced::success(0, 0), "-", "ok"));
        Report::new(job.number, Phase::Transaction, results.collect())
    }
}

struct Harness {
    master: Channel<ToChild, ToMaster>,
    scheduler: Channel<ToAgent, ToScheduler>,
    agent: JoinHandle<io::Result<End>>,
}
fn start(credit: u32) -> Harness {
    let (master, child) = pair().unwrap();
    let (scheduler, jobs) = pair().unwrap();
    let agent = std::thread::spawn(move || {
        Loop::new(Channel::new(child)?, Signals::block()?, Link::new(Channel::new(jobs)?))?.run(credit, &mut Succeed)
    });
    Harness { master: Channel::new(master).unwrap(), scheduler: Channel::new(scheduler).unwrap(), agent }
}
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}
impl Harness {
    fn send(&mut self, numbers: std::ops::Range<u64>) {
        let job = |number| Job {
            number,
            message: "0123456789abcdef".into(),
            channel: "local".into(),
            host: "-".into(),
            sender: String::new(),
            verp: false,
            edits: envelope::Edits::default(),
            body_offset: 0,
            size: 0,
            arrived: 0,
            bodytype: Default::default(),
            smtputf8: false,
            envid: None,
            ret: None,
            terms: Default::default(),
            sharing: Default::default(),
            recipients: Vec::new(),
        };
        let files: Vec<OwnedFd> = numbers.clone().map(|_| File::open("/dev/null").unwrap().into()).collect();
        self.scheduler.send_with(&ToAgent::Jobs(numbers.map(job).collect()), files).unwrap();
    }
    /// Numbers of `count` finished jobs and the credit that came along.
    fn finished(&mut self, count: usize) -> (Vec<u64>, u32) {
        let (mut done, mut credit) = (Vec::new(), 0);
        while done.len() < count {
            match self.scheduler.recv_by(soon()).unwrap().0 {
                ToScheduler::Reports(reports) => done.extend(reports.iter().map(|r| r.job)),
                ToScheduler::Credit(n) => credit += n,
                ToScheduler::Register { .. } => panic!("not asked for"),
            }
        }
        (done, credit)
    }
    fn end(self) -> io::Result<End> {
        self.agent.join().unwrap()
    }
}

#[test]
fn says_ready_gives_credit_and_reports_every_job() {
    let mut harness = start(7);
    assert!(matches!(harness.master.recv_by(soon()).unwrap().0, ToMaster::Ready));
    harness.send(0..3);
    harness.send(3..40);
    let (done, credit) = harness.finished(40);
    assert_eq!(done, (0..40).collect::<Vec<_>>());
    assert!(credit >= 7);
    harness.master.send(&ToChild::Drain).unwrap();
    assert_eq!(harness.end().unwrap(), End::Drained);
}

#[test]
fn a_drain_finishes_what_is_in_hand() {
    let mut harness = start(4);
    harness.send(0..4);
    harness.scheduler.send(&ToAgent::Drain).unwrap();
    assert_eq!(harness.finished(4).0, [0, 1, 2, 3]);
    assert_eq!(harness.end().unwrap(), End::Drained);
}

#[test]
fn without_a_master_it_stops_at_once_and_without_a_scheduler_quietly() {
    let harness = start(1);
    drop(harness.master);
    assert_eq!(harness.agent.join().unwrap().unwrap(), End::Orphaned);
    let harness = start(1);
    drop(harness.scheduler);
    assert_eq!(harness.agent.join().unwrap().unwrap(), End::Drained);
}

#[test]
fn jobs_without_their_descriptors_break_the_conversation() {
    let mut harness = start(1);
    harness.send(0..1);
    harness.finished(1);
    harness.scheduler.send_with(&ToAgent::Jobs(Vec::new()), vec![File::open("/dev/null").unwrap().into()]).unwrap();
    assert!(harness.end().is_err());
}
