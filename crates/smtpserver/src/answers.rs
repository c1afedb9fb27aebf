//! Answers of the helpers, and what happens when none comes.

use crate::connection::{Awaiting, Connection};
use crate::sync::{Job, Key, Meta};
use crate::worker::Worker;
use ipc::filter::{Judge, Judgement};
use ipc::rates::Refusal;
use ipc::routing::Answer;
use settings::FailMode;
use spool::Draft;
use status::{Enhanced, Reply};

/// A message with the content filter.
pub(crate) struct Judging {
    pub meta: Box<Meta>,
    pub draft: Draft,
}

/// What a client gets while a helper cannot be asked.
pub(crate) fn no_helper() -> Reply {
    Reply::new(451, Enhanced::transient(3, 0), "temporary trouble in processing, try again later")
}

impl Worker {
    /// Takes what the router farm has answered.
    pub(crate) fn hear_router(&mut self) {
        let mut answers = Vec::new();
        self.router.receive(self.poll.registry(), self.now, &mut answers);
        for (key, told) in answers {
            let verdict = match told.answer {
                Answer::Routed { .. } => Ok(()),
                Answer::Refused { reply, .. } => Err(reply),
            };
            self.verified(key, verdict);
        }
    }

    fn verified(&mut self, key: Key, verdict: Result<(), Reply>) {
        let Some(mut c) = self.take_connection(key) else { return };
        if c.awaiting == Awaiting::Verify {
            c.awaiting = Awaiting::Nothing;
            c.session.answer(verdict);
            self.note(&mut c);
        }
        self.settle(key, c);
    }

    pub(crate) fn hear_tracker(&mut self) {
        let mut answers = Vec::new();
        self.tracker.receive(self.poll.registry(), self.now, &mut answers);
        for (key, verdict) in answers {
            self.recognised(key, verdict.known);
            self.within_rate(key, verdict.refuse);
        }
    }

    /// The tracker knows the client, or does not.
    fn recognised(&mut self, key: Key, known: bool) {
        let Some(mut c) = self.take_connection(key) else { return };
        if c.awaiting == Awaiting::ConnectionRate {
            c.conduct.known = known;
            c.conduct.asked = true;
        }
        self.connections.put(key.slot, c);
    }

    /// The tracker's word: `refuse` is the text for the client.
    fn within_rate(&mut self, key: Key, refuse: Option<Refusal>) {
        let refuse = refuse.map(|refusal| match refusal.hard {
            true => Reply::new(550, Enhanced::permanent(7, 1), refusal.text),
            false => Reply::new(450, Enhanced::transient(7, 1), refusal.text),
        });
        self.rated(key, refuse);
    }

    fn rated(&mut self, key: Key, refuse: Option<Reply>) {
        let Some(mut c) = self.take_connection(key) else { return };
        let awaiting = std::mem::replace(&mut c.awaiting, Awaiting::Nothing);
        match (awaiting, refuse) {
            (Awaiting::ConnectionRate, refuse) => self.rated_connection(&mut c, refuse),
            (Awaiting::SenderRate, refuse) => c.session.answer(refuse.map_or(Ok(()), Err)),
            (Awaiting::RecipientRate { .. }, Some(reply)) => c.session.answer(Err(reply)),
            (Awaiting::RecipientRate { verify }, None) => self.verify(&mut c, key, verify),
            (other, _) => c.awaiting = other,
        }
        self.note(&mut c);
        self.settle(key, c);
    }

    fn rated_connection(&mut self, c: &mut Connection, refuse: Option<Reply>) {
        // Without limits it was only asked whether it knows the client: no answer is none against it.
        match refuse.filter(|_| self.context.limits_connections()) {
            None => self.admitted(c),
            Some(reply) => {
                daemon::event!(Info, "rejected", stage = "connection", peer = c.client, code = 421, text = reply.text);
                c.session.output().clear();
                c.session.close(421, "4.7.0", &reply.text);
            }
        }
    }

    /// The complete, unsynced message goes to the filter.
    pub(crate) fn judge(&mut self, meta: Box<Meta>, draft: Draft) {
        if !self.filter.exists() {
            let verdict = self.unjudged();
            return self.judged(Judging { meta, draft }, verdict);
        }
        let path = self.disks.volumes.get(meta.volume).map(|spool| spool.public_path(meta.id).to_string_lossy().into_owned());
        let path = path.unwrap_or_default();
        self.filter.ask(|number| Judge { number, path }, Judging { meta, draft }, self.poll.registry(), self.now);
        self.counters.add("filtered", 1);
    }

    pub(crate) fn hear_filter(&mut self) {
        let mut answers = Vec::new();
        self.filter.receive(self.poll.registry(), self.now, &mut answers);
        for (judging, judged) in answers {
            self.judged(judging, judged.verdict);
        }
    }

    fn judged(&mut self, judging: Judging, verdict: Judgement) {
        let Judging { meta, draft } = judging;
        match verdict {
            Judgement::Accept => self.disks.put(meta.volume, Job::Commit { meta, draft }),
            Judgement::Freeze(reason) => {
                self.counters.add("frozen", 1);
                self.disks.put(meta.volume, Job::Freeze { meta, draft, reason });
            }
            Judgement::Reject(text) => self.turned_down(&meta, draft, Reply::new(550, Enhanced::permanent(7, 1), text)),
            Judgement::Defer(text) => self.turned_down(&meta, draft, Reply::new(451, Enhanced::transient(7, 1), text)),
        }
    }

    fn turned_down(&mut self, meta: &Meta, draft: Draft, reply: Reply) {
        self.disks.put(meta.volume, Job::Discard(draft));
        self.reply_to(meta.key, Err(reply));
    }

    /// Deadlines of the helpers.
    pub(crate) fn tend_helpers(&mut self) {
        let registry = self.poll.registry();
        let unverified = self.router.tend(registry, self.now);
        let unrated = self.tracker.tend(registry, self.now);
        let unjudged = self.filter.tend(registry, self.now);
        let lost = unverified.len() + unrated.len() + unjudged.len();
        if lost == 0 {
            return;
        }
        self.counters.add("helper_failures", lost as u64);
        daemon::event!(Warning, "no_answer", routermux = unverified.len(), ratetracker = unrated.len(), contentfilter = unjudged.len());
        for key in unverified {
            self.verified(key, Err(no_helper()));
        }
        for key in unrated {
            let refuse = match self.context.settings.rates.failure {
                FailMode::Accept => None,
                FailMode::Defer => Some(no_helper()),
                FailMode::Reject => Some(Reply::new(550, Enhanced::permanent(7, 1), "the rate of this client is not known")),
            };
            self.rated(key, refuse);
        }
        for judging in unjudged {
            let verdict = self.unjudged();
            self.judged(judging, verdict);
        }
    }

    /// What holds for a message that the filter said nothing of.
    fn unjudged(&self) -> Judgement {
        match self.context.settings.filter.failure {
            FailMode::Accept => Judgement::Accept,
            FailMode::Defer => Judgement::Defer("the content filter did not answer, try again later".into()),
            FailMode::Reject => Judgement::Reject("the content filter did not answer".into()),
        }
    }
}
