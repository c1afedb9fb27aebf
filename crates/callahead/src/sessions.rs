//! The sessions of a prober: recipients handed out, what became of them, the next address, the next session.

use crate::hop::{ADDRESSES_HOLD, Name, Place};
use crate::prober::Prober;
use crate::session::{Begin, Session, Step};
use ipc::callahead::Verdict;
use mio::{Registry, Token};
use nexthop::Candidate;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sessions in all.
const MOST_SESSIONS: usize = 500;
/// A session is ended after so many recipients, or so long without any.
const MOST_SERVED: u32 = 100;
const LONGEST_IDLE: Duration = Duration::from_secs(10);

impl Prober {
    /// Gives waiting recipients of a next hop to sessions.
    pub(crate) fn serve(&mut self, name: &Name, now: Instant, registry: &Registry, token: &mut impl FnMut() -> Token) {
        let Some(hop) = self.hops.get(name) else { return };
        if let Some((why, _)) = hop.paused.clone().filter(|(_, until)| now < *until) {
            return self.none_asked(name, &why, now);
        }
        let located = matches!(hop.place, Place::Known { until, .. } if now < until) || matches!(hop.place, Place::Asked);
        if !located {
            self.locate(name, now, registry);
        }
        while self.hand_out(name, now) {}
        let (most, patience) = (self.settings.call_ahead.sessions, self.patience());
        // Without a place there are no candidates.
        loop {
            let Some(hop) = self.hops.get_mut(name) else { return };
            if hop.waiting.is_empty() || hop.sessions >= most || self.sessions.len() >= MOST_SESSIONS {
                return;
            }
            let Place::Known { candidates, .. } = &hop.place else { return };
            let (candidates, Some(recipient)) = (candidates.clone(), hop.waiting.pop_front()) else { return };
            hop.sessions += 1;
            self.open(name, recipient, candidates, now + patience, (registry, token), now);
        }
    }

    /// Gives one recipient to a session that has none. False: there is none, or no recipient.
    fn hand_out(&mut self, name: &Name, now: Instant) -> bool {
        let patience = self.patience();
        let Some((token, session)) = self.sessions.iter_mut().find(|(_, session)| session.hop == *name && session.is_free()) else {
            return false;
        };
        let token = *token;
        let Some(recipient) = self.hops.get_mut(name).and_then(|hop| hop.waiting.pop_front()) else { return false };
        self.counters.add("asked", 1);
        let step = session.ask(recipient.clone(), now + patience);
        if let Step::Said(verdict) = step {
            self.settle(name, recipient, verdict, now);
        } else {
            self.stepped(token, step, now);
        }
        true
    }

    /// Of a session's question: longer than its askers wait, so that the next ones find an answer.
    fn patience(&self) -> Duration {
        self.settings.call_ahead.timeout.saturating_mul(2)
    }

    /// A session for a recipient, with the first of the addresses that lets itself be connected to.
    fn open(
        &mut self,
        name: &Name,
        recipient: String,
        mut candidates: VecDeque<Candidate>,
        deadline: Instant,
        (registry, token): (&Registry, &mut impl FnMut() -> Token),
        now: Instant,
    ) {
        let Some(flavour) = name.flavour() else { return };
        let mut why = "it has no address".to_owned();
        while let Some(candidate) = candidates.pop_front() {
            let (others, hello) = (candidates.clone(), &self.settings.client.hello);
            // An address that says nothing must leave the others their part of the time.
            let deadline = if others.is_empty() { deadline } else { deadline.min(now + self.settings.call_ahead.timeout / 3) };
            let begin = Begin { hop: name.clone(), flavour, hello, candidate: &candidate, others, deadline };
            let token = token();
            match Session::connect(begin, registry, token) {
                Ok(mut session) => {
                    self.counters.add("asked", 1);
                    let step = session.ask(recipient.clone(), deadline);
                    self.sessions.insert(token, session);
                    return match step {
                        Step::Waiting => {}
                        Step::Said(verdict) => self.settle(name, recipient, verdict, now),
                        Step::Broken(why) => self.broken(token, &why, now),
                    };
                }
                Err(e) => why = format!("{candidate}: {e}"),
            }
        }
        self.closed(name);
        self.settle(name, recipient, Verdict::Unknown(why.clone()), now);
        self.pause(name, &why, now);
    }

    pub(crate) fn stepped(&mut self, token: Token, step: Step, now: Instant) {
        match step {
            Step::Waiting => {}
            Step::Broken(why) => self.broken(token, &why, now),
            Step::Said(verdict) => {
                let Some(session) = self.sessions.get_mut(&token) else { return };
                session.served = session.served.saturating_add(1);
                session.deadline = now + LONGEST_IDLE;
                let (name, recipient, enough) = (session.hop.clone(), session.recipient.take(), session.served >= MOST_SERVED);
                if enough || session.is_over() {
                    session.quit();
                    self.drop_session(token);
                }
                if let Some(recipient) = recipient {
                    self.settle(&name, recipient, verdict, now);
                }
                // What else has come makes no further event.
                if let Some(session) = self.sessions.get_mut(&token) {
                    let step = session.advance();
                    self.stepped(token, step, now);
                }
            }
        }
    }

    /// A session is over. One that never decided anything lets the next address try; one that did was closed between two
    /// questions, and a new one takes the second.
    pub(crate) fn broken(&mut self, token: Token, why: &str, now: Instant) {
        let Some(mut session) = self.drop_session(token) else { return };
        let name = session.hop.clone();
        let Some(recipient) = session.recipient.take() else { return session.quit() };
        if let Some(hop) = self.hops.get_mut(&name) {
            if session.served > 0 {
                return hop.waiting.push_front(recipient);
            }
            if !session.others.is_empty() {
                // Those before have just failed: the next session begins with the others.
                hop.place = Place::Known { candidates: session.others, until: now + ADDRESSES_HOLD };
                return hop.waiting.push_front(recipient);
            }
        }
        self.settle(&name, recipient, Verdict::Unknown(why.to_owned()), now);
        self.pause(&name, why, now);
    }

    fn drop_session(&mut self, token: Token) -> Option<Session> {
        let session = self.sessions.remove(&token)?;
        self.closed(&session.hop);
        Some(session)
    }

    fn closed(&mut self, name: &Name) {
        if let Some(hop) = self.hops.get_mut(name) {
            hop.sessions = hop.sessions.saturating_sub(1);
        }
    }
}
