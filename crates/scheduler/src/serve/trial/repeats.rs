//! Scans and notices that tell of a message in the moment of its end: it must not be taken for a new one. The test makes
//! the turns of the loop itself, so that nothing depends on which thread is faster.

use super::*;
use crate::io::Order;

/// A scheduler in the test's hands, and an agent for channel smtp.
struct Held {
    scheduler: Scheduler,
    agent: Hired,
    _master: OwnedFd,
}

impl Held {
    fn new(house: &House) -> Self {
        let (master, started) = house.start();
        let lock = lock::take(&started.settings.paths.postoffice).unwrap().unwrap();
        let mut scheduler = Scheduler::new(started, lock).unwrap();
        let (ours, theirs) = ipc::channel::pair().unwrap();
        scheduler.welcome(theirs, 1, "smtp", 1, scheduler.now());
        let mut held = Self { scheduler, agent: Hired::new(ours), _master: master };
        held.hear_agent();
        // The walk of the start ends before there is any message.
        held.settle();
        held
    }

    fn turn(&mut self) {
        let now = self.scheduler.now();
        assert!(self.scheduler.turn(now).is_none());
    }

    /// Turns until the file threads have nothing left to do.
    fn settle(&mut self) {
        until(|| {
            self.turn();
            self.scheduler.pool.outstanding() == 0
        });
    }

    fn hear_agent(&mut self) {
        let (now, keys) = (self.scheduler.now(), self.scheduler.agents.keys().copied().collect::<Vec<_>>());
        keys.into_iter().for_each(|key| self.scheduler.agent_readable(key, now));
    }

    fn tell(&mut self, id: MessageId) {
        assert!(self.scheduler.announced(id.as_str()));
    }

    /// Makes the message known and gives its job.
    fn begin(&mut self, id: MessageId) -> Job {
        self.tell(id);
        self.settle();
        assert!(self.scheduler.model.knows(id));
        self.agent.job().0
    }

    fn is_forgotten(&self, id: MessageId) -> bool {
        !self.scheduler.model.knows(id) && self.scheduler.model.active_jobs() == 0
    }
}

#[test]
fn a_message_told_of_between_its_last_report_and_its_removal_is_not_delivered_again() {
    let mut house = House::new();
    let mut held = Held::new(&house);
    let id = house.mail("smtp", "a.example", 2);
    let job = held.begin(id);
    held.agent.answer(&job, Outcome::Delivered);
    held.hear_agent();
    assert!(held.is_forgotten(id));
    held.tell(id);
    held.settle();
    assert!(held.is_forgotten(id) && !house.exists(id));
}

#[test]
fn a_message_loaded_behind_a_removal_that_the_disk_refuses_is_not_delivered_again() {
    let mut house = House::new();
    let mut held = Held::new(&house);
    let id = house.mail("smtp", "a.example", 1);
    held.tell(id);
    held.turn();
    // The disk's refusal stands before the loaded message among the results.
    let (now, full) = (held.scheduler.now(), io::Error::from(io::ErrorKind::StorageFull));
    held.scheduler.stuck.refused(spool::POSTOFFICE, Order::Remove { id }, &full, now);
    held.settle();
    assert!(held.is_forgotten(id) && house.exists(id));
    // It goes at the next try.
    held.scheduler.stuck.retry(&mut held.scheduler.pool, Now { ms: now.ms + 10_000, ..now });
    held.settle();
    assert!(held.is_forgotten(id) && !house.exists(id));
}
