//! What the loop does for decisions that wait for tables: parks them, hears of the tables, decides again.

use crate::lines::count_parked;
use crate::parking::{MAX_QUESTIONS, Pass, Wait};
use crate::question::{decide, unanswered};
use crate::service::{End, Service, closed};
use ipc::routing::{Answer, Ask, FromRouter, Told};
use std::time::Instant;

impl Service {
    pub(crate) fn question(&mut self, ask: Ask) -> Result<(), End> {
        let pass = Pass::first(Instant::now());
        match decide(&ask.question, &self.router.rules, self.router.tables.in_pass(pass)) {
            Some(answer) => self.tell(ask.number, answer),
            None if self.questions.len() >= MAX_QUESTIONS => self.tell(ask.number, unanswered()),
            None => {
                count_parked(&self.started.counters, 0, 1);
                self.questions.push((ask, Wait::since(pass.began)));
                Ok(())
            }
        }
    }

    fn tell(&mut self, number: u64, answer: Answer) -> Result<(), End> {
        self.jobs.send(&FromRouter::Told(Told { number, answer })).map_err(closed)
    }

    pub(crate) fn heard(&mut self) {
        self.hand.heard();
        self.questions.iter_mut().for_each(|(_, wait)| wait.heard());
    }

    /// Takes what tables have said, and decides again. `woken`: one of their conversations has something.
    pub(crate) fn tables(&mut self, woken: bool) -> Result<(), End> {
        if !woken && self.hand.parked() == 0 && self.questions.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        if self.router.tables.relations.hear(now) {
            self.heard();
        }
        self.questions_again(now)?;
        let patience = self.started.settings.routing.deadline;
        let (before, router) = (self.hand.parked(), &mut self.router);
        let report = self.hand.again(now, patience, &mut |name, pass| router.route_file(name, pass));
        count_parked(&self.started.counters, before, self.hand.parked());
        report.map_or(Ok(()), |report| self.through(report))
    }

    fn questions_again(&mut self, now: Instant) -> Result<(), End> {
        let patience = self.started.settings.routing.deadline;
        let mut told = Vec::new();
        let router = &mut self.router;
        self.questions.retain_mut(|(ask, wait)| {
            let Some(pass) = wait.pass(now, patience) else { return true };
            let answer = decide(&ask.question, &router.rules, router.tables.in_pass(pass));
            if answer.is_none() && !pass.last {
                wait.again(Instant::now());
                return true;
            }
            told.push((ask.number, answer.unwrap_or_else(unanswered)));
            false
        });
        count_parked(&self.started.counters, told.len(), 0);
        told.into_iter().try_for_each(|(number, answer)| self.tell(number, answer))
    }

    /// When something of it is due though nothing comes.
    pub(crate) fn tables_due(&self) -> Option<Instant> {
        if self.hand.parked() == 0 && self.questions.is_empty() {
            return None;
        }
        let patience = self.started.settings.routing.deadline;
        let questions = self.questions.iter().map(|(_, wait)| wait.due(patience));
        questions.chain(self.hand.due(patience)).chain(self.router.tables.relations.due()).min()
    }
}
