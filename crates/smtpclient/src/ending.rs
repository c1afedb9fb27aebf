//! What a session came to: a report, another address, the pool.

use crate::session::Session;
use crate::work::Work;
use crate::worker::Worker;
use ipc::agents::{Job, JobRecipient, RecipientResult, Report};
use smtp::client::Verdict;
use status::{Enhanced, Outcome, Phase};
use std::io;

/// Hosts remembered in `chunkless`.
const MOST_CHUNKLESS: usize = 10_000;
impl Worker {
    /// No transaction began here. A reused session that died is replaced once; else the next address is tried.
    pub(crate) fn next_address(&mut self, mut session: Session, why: Result<Verdict, io::Error>) {
        self.end_race(&mut session);
        self.note_chunks(&session);
        let Some(mut work) = session.work.take() else { return self.forget(&session) };
        work.transaction = session.client.take_transaction();
        work.refused(&session.client);
        if session.client.login_failed()
            && let Ok(verdict) = why
        {
            return self.login_refused(work, &session, verdict);
        }
        if session.client.chunking_broken() && work.transaction.is_some() {
            work.tries += 1;
            work.candidates.push_front(session.candidate);
            return self.connect(work);
        }
        if work.transaction.is_none() {
            return self.dead(work, Phase::Transaction, Verdict::deferred(Enhanced::transient(4, 2), "the session ended"));
        }
        if session.served > 0 && !work.redialled {
            work.redialled = true;
            return self.locate(work);
        }
        match why {
            Ok(verdict) => {
                let verdict = self.withheld(&session, &work, verdict);
                work.trouble(Phase::Connect, verdict, session.remote.clone());
            }
            Err(error) => self.unconnected(&mut work, &session.remote, &error),
        }
        self.connect(work);
    }

    /// A server that stumbles over BDAT gets DATA from now on.
    fn note_chunks(&mut self, session: &Session) {
        if session.client.chunking_broken() || session.broke_in_chunks {
            if self.chunkless.len() >= MOST_CHUNKLESS {
                self.chunkless.clear();
            }
            daemon::event!(Info, "chunking_off", host = session.host, remote = session.remote);
            self.chunkless.insert(session.host.clone());
        }
    }

    pub(crate) fn chunks_for(&self, host: &str) -> bool {
        self.client.chunking && !self.chunkless.contains(host)
    }

    /// No further address: they share their users, and too many tries may lock ours out.
    fn login_refused(&mut self, mut work: Box<Work>, session: &Session, verdict: Verdict) {
        let credentials = self.egress.login_name(work.way);
        daemon::event!(
            Warning,
            "login_refused",
            credentials = credentials,
            host = work.host,
            remote = session.remote,
            reason = verdict.text
        );
        self.trouble = Some(format!("login with credentials {credentials} refused by {}", session.remote));
        self.troubled = true;
        work.trouble(Phase::Connect, verdict, session.remote.clone());
        self.unreached(work);
    }

    /// A transaction is over: report it, keep the session for the next job or end it.
    pub(crate) fn finished(&mut self, mut session: Session) {
        let asked = session.work.as_deref().map_or(0, |work| work.sharing.messages);
        let room = if asked == 0 { self.client.messages_per_session } else { asked };
        self.note_plain(&session);
        if session.broke_in_chunks {
            self.note_chunks(&session);
        }
        if self.troubled && session.way.logs_in() {
            (self.troubled, self.trouble) = (false, Some(String::new()));
        }
        if let Some(work) = session.work.take() {
            session.served += 1;
            let verdicts = session.client.take_verdicts();
            if verdicts.iter().any(|v| v.outcome == Outcome::Delivered) {
                self.counters.add("bytes", work.size);
            }
            daemon::event!(Debug, "transaction", id = work.message, host = work.host, remote = session.remote, rcpts = verdicts.len());
            let handed = work.handed(session.client.extensions().dsn);
            let mut report = work.report(Phase::Transaction, verdicts, &session.remote, handed);
            report.learned = session.learned();
            report.results.iter_mut().for_each(|result| result.tls.clone_from(&session.security.text));
            self.finish(work.sharing.site, report);
        }
        session.content = None;
        if session.client.is_idle() && !session.ended && !self.draining && session.has_room(room) {
            self.idle.entry((session.flavour, session.host.clone(), session.way)).or_default().push(session.token);
            return self.keep(session);
        }
        if session.quit(self.now) {
            self.keep(session);
        }
    }

    pub(crate) fn dead(&mut self, mut work: Box<Work>, phase: Phase, verdict: Verdict) {
        work.trouble(phase, verdict, "-".to_owned());
        self.unreached(work);
    }

    /// No server was reached: what waits for one of the same site shares the reason (ZMailer's deferall).
    pub(crate) fn unreached(&mut self, work: Box<Work>) {
        let site = work.sharing.site;
        let report = work.unreached();
        let reason = report.results.first().map(|result| (result.outcome, result.status, result.text.clone(), result.remote.clone()));
        // Only what is about the network: another message may have other needs, of TLS for one.
        if let Some((Outcome::Deferred, status, text, remote)) = reason.filter(|(_, status, ..)| status.subject == 4) {
            for mut other in self.waiting.give_up(site) {
                other.trouble(report.phase, Verdict::deferred(status, text.clone()), remote.clone());
                // None of them was under way: `ended` would let as many more begin beside those that still are.
                self.tell(other.unreached());
            }
        }
        self.finish(site, report);
    }

    /// A job is over.
    pub(crate) fn finish(&mut self, site: u32, report: Report) {
        self.waiting.ended(site);
        self.tell(report);
    }

    /// A job whose message cannot be read: the trouble is here.
    pub(crate) fn unreadable(&mut self, job: &Job, error: &io::Error) {
        let text = format!("the message cannot be read: {error}");
        let result = |r: &JobRecipient| RecipientResult::new(r.index, Outcome::Deferred, Enhanced::transient(3, 0), "-", text.clone());
        self.tell(Report::new(job.number, Phase::Transaction, job.recipients.iter().map(result).collect()));
    }

    fn tell(&mut self, report: Report) {
        self.active = self.active.saturating_sub(1);
        for result in &report.results {
            self.counters.add(counter(result.outcome), 1);
        }
        match self.link.report(report) {
            // Not here: the session that has just served this part is not idle yet.
            Some(next) => self.parts.push(next),
            None => self.owed += 1,
        }
    }
}

const fn counter(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Deferred => "deferred",
        Outcome::Failed => "failed",
    }
}
