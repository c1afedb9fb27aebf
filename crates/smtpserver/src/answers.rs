//! Answers of the helpers, and what happens when none comes.

use crate::connection::{Awaiting, Connection};
use crate::sync::{Job, Key, Meta};
use crate::worker::Worker;
use ipc::filter::{Judge, Judgement};
use ipc::routing::{self, Ask, Question, ToRoutermux};
use policy::Answer;
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

fn rejection(text: String) -> Reply {
    Reply::new(550, Enhanced::permanent(7, 1), text)
}

fn deferral(text: String) -> Reply {
    Reply::new(451, Enhanced::transient(7, 1), text)
}

impl Worker {
    /// Takes what the router farm has answered.
    pub(crate) fn hear_router(&mut self) {
        let mut answers = Vec::new();
        self.router.receive(self.poll.registry(), self.now, &mut answers);
        for (asker, question, told) in answers {
            if let (ToRoutermux::Ask(Ask { question: Question::Kinship { domain }, .. }), routing::Answer::Kinship(kinship)) =
                (question, &told.answer)
            {
                self.kinships.keep(domain, *kinship, self.now);
            }
            self.answered(asker, Answer::Router(told.answer));
        }
    }

    pub(crate) fn hear_tracker(&mut self) {
        let mut answers = Vec::new();
        self.tracker.receive(self.poll.registry(), self.now, &mut answers);
        for (asker, _, verdict) in answers {
            self.answered(asker, Answer::Rate(verdict));
        }
    }

    /// The tracker's word on a connection: `known` and what it has against it, or none in time.
    pub(crate) fn rated_connection(&mut self, key: Key, answer: Answer) {
        let Some(mut c) = self.take_connection(key) else { return };
        if c.awaiting == Awaiting::ConnectionRate {
            c.awaiting = Awaiting::Nothing;
            let refuse = match answer {
                Answer::Rate(verdict) => {
                    c.conduct.known = verdict.known;
                    c.conduct.asked = true;
                    verdict.refuse.map(|refusal| refusal.text)
                }
                _ => self.unrated(),
            };
            self.admit_rated(&mut c, key, refuse);
            self.note(&mut c);
        }
        self.settle(key, c);
    }

    /// The text for a client that the tracker said nothing of, where it is refused for that.
    fn unrated(&self) -> Option<String> {
        match self.context.settings.rates.failure {
            FailMode::Accept => None,
            FailMode::Defer => Some(no_helper().text),
            FailMode::Reject => Some("the rate of this client is not known".into()),
        }
    }

    fn admit_rated(&mut self, c: &mut Connection, key: Key, refuse: Option<String>) {
        // Without limits it was only asked whether it knows the client: no answer is none against it.
        match refuse.filter(|_| self.context.limits_connections()) {
            None => self.admitted(c, key),
            Some(text) => {
                daemon::event!(Info, "rejected", stage = "connection", peer = c.client, code = 421, text = text);
                c.session.output().clear();
                c.session.close(421, "4.7.0", &text);
            }
        }
    }

    /// The complete, unsynced message goes to the filter.
    pub(crate) fn judge(&mut self, mut meta: Box<Meta>, draft: Draft) {
        if let Some(reason) = meta.freeze.take() {
            // Policy sets aside what all of them get.
            meta.apart = None;
            return self.judged(Judging { meta, draft }, Judgement::Freeze(reason.into()));
        }
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
        for (judging, _, judged) in answers {
            self.judged(judging, judged.verdict);
        }
    }

    fn judged(&mut self, judging: Judging, verdict: Judgement) {
        let Judging { meta, draft } = judging;
        if meta.apart.is_some() {
            return self.judged_apart(meta, draft, verdict);
        }
        match verdict {
            Judgement::Accept => self.disks.put(meta.volume, Job::Commit { meta, draft }),
            Judgement::Freeze(reason) => {
                self.counters.add("frozen", 1);
                self.disks.put(meta.volume, Job::Freeze { meta, draft, reason });
            }
            Judgement::Reject(text) => self.turned_down(&meta, draft, rejection(text)),
            Judgement::Defer(text) => self.turned_down(&meta, draft, deferral(text)),
        }
    }

    fn turned_down(&mut self, meta: &Meta, draft: Draft, reply: Reply) {
        self.disks.put(meta.volume, Job::Discard(draft));
        self.reply_to(meta, Err(reply));
    }

    /// Some recipients take the message whatever the verdict; the others are taken away from it where it is against them.
    fn judged_apart(&mut self, mut meta: Box<Meta>, draft: Draft, verdict: Judgement) {
        let reply = match verdict {
            Judgement::Accept => return self.disks.put(meta.volume, Job::Commit { meta, draft }),
            Judgement::Reject(text) => rejection(text),
            Judgement::Defer(text) => deferral(text),
            // Set aside it can be for all of them only: the others come again alone.
            Judgement::Freeze(_) => {
                Reply::new(452, Enhanced::transient(5, 3), "for this recipient in a transaction of its own, send it again")
            }
        };
        if let Some(apart) = &mut meta.apart {
            apart.refusal = Some(reply);
        }
        self.counters.add("partly_accepted", 1);
        self.disks.put(meta.volume, Job::Narrow { meta, draft });
    }

    /// Deadlines of the helpers.
    pub(crate) fn tend_helpers(&mut self) {
        self.tend_logins();
        let registry = self.poll.registry();
        let unverified = self.router.tend(registry, self.now);
        let unrated = self.tracker.tend(registry, self.now);
        let unjudged = self.filter.tend(registry, self.now);
        let [unresolved, undelegated, unprobed] = self.tend_inquiries();
        let named = [
            ("routermux", unverified.len()),
            ("ratetracker", unrated.len()),
            ("contentfilter", unjudged.len()),
            ("resolver", unresolved.len()),
            ("delegate", undelegated.len()),
            ("callahead", unprobed.len()),
        ];
        let lost: usize = named.iter().map(|(_, count)| count).sum();
        if lost == 0 {
            return;
        }
        self.counters.add("helper_failures", lost as u64);
        if let Some(line) = daemon::log::Line::begin(settings::LogLevel::Warning, "no_answer") {
            named.iter().filter(|(_, count)| *count > 0).fold(line, |line, (name, count)| line.field(name, count)).end();
        }
        for asker in [unverified, unrated, unresolved, undelegated, unprobed].into_iter().flatten() {
            self.answered(asker, Answer::Nothing);
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
