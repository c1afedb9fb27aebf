//! Several addresses of one host at a time (RFC 8305): while a connection is being made, the next address is tried beside it
//! after a while. The first to be connected wins, the others are closed.

use crate::dialling::Dialled;
use crate::session::{Session, Turn};
use crate::worker::Worker;
use nexthop::Candidate;
use std::time::Instant;

/// An attempt beside the first.
#[derive(Debug)]
pub struct Rival {
    pub token: usize,
    pub dialled: Dialled,
    pub candidate: Candidate,
}

impl Worker {
    /// When the next address is to be tried beside; `None`: there is none that could be.
    pub(crate) fn next_attempt(&self, session: &Session) -> Option<Instant> {
        let work = session.work.as_deref()?;
        let beside = work.tries > 0 && work.candidates.front().is_some_and(|next| next.is_beside(&session.candidate));
        beside.then(|| self.now + self.client.connect_stagger)
    }

    /// Tries the next address of the same host beside those under way.
    pub(crate) fn race(&mut self, mut session: Session) {
        session.next_attempt = None;
        let next = session.work.as_mut().filter(|work| work.tries > 0).and_then(|work| {
            let beside = work.candidates.front().is_some_and(|next| next.is_beside(&session.candidate));
            beside.then(|| work.candidates.pop_front()).flatten()
        });
        if let Some(candidate) = next {
            self.add_rival(&mut session, candidate);
            session.next_attempt = self.next_attempt(&session);
        }
        self.keep(session);
    }

    fn add_rival(&mut self, session: &mut Session, candidate: Candidate) {
        let Some(work) = session.work.as_deref_mut() else { return };
        work.tries -= 1;
        self.counters.add("connections", 1);
        let token = self.next_token;
        self.next_token += 1;
        let registered = self.dial(&candidate, work.way).and_then(|mut dialled| {
            dialled.socket.register(&self.registry, mio::Token(token))?;
            // The first attempt's source may have had a name of its own.
            dialled.hello.get_or_insert_with(|| self.client.hello.clone());
            Ok(dialled)
        });
        match registered {
            Ok(dialled) => {
                self.rivals.insert(token, session.token);
                session.rivals.push(Rival { token, dialled, candidate });
            }
            Err(e) => self.unconnected(work, &candidate.to_string(), &e),
        }
    }

    /// An event of an attempt beside the first; false when the token is none.
    pub(crate) fn rival_ready(&mut self, event: &mio::event::Event) -> bool {
        let Some(owner) = self.rivals.get(&event.token().0).copied() else { return false };
        let Some(mut session) = self.sessions.remove(&owner) else {
            self.rivals.remove(&event.token().0);
            return true;
        };
        let Some(at) = session.rivals.iter().position(|rival| rival.token == event.token().0) else {
            self.keep(session);
            return true;
        };
        match session.rivals.get(at).map(|rival| rival.dialled.socket.connected()) {
            Some(Ok(Some(()))) => {
                let winner = session.rivals.swap_remove(at);
                self.rivals.remove(&winner.token);
                self.end_race(&mut session);
                session.take_over(winner);
                let ended = event.is_read_closed() || event.is_error();
                let turn = session.ready(event.is_readable() || ended, ended, &mut self.buffer, self.now);
                self.settle(session, turn);
            }
            Some(Err(e)) => {
                let loser = session.rivals.swap_remove(at);
                self.rivals.remove(&loser.token);
                if let Some(work) = session.work.as_deref_mut() {
                    self.unconnected(work, &loser.candidate.to_string(), &e);
                }
                self.race(session);
            }
            _ => self.keep(session),
        }
        true
    }

    /// The first attempt has failed while others are under way: one of them takes its place, and the next begins.
    pub(crate) fn promote(&mut self, mut session: Session, error: &std::io::Error) {
        let remote = session.candidate.to_string();
        if let Some(work) = session.work.as_deref_mut() {
            self.unconnected(work, &remote, error);
        }
        if let Some(rival) = session.rivals.pop() {
            self.rivals.remove(&rival.token);
            session.take_over(rival);
            for other in &session.rivals {
                self.rivals.insert(other.token, session.token);
            }
        }
        self.race(session);
    }

    /// Closes the other attempts.
    pub(crate) fn end_race(&mut self, session: &mut Session) {
        session.next_attempt = None;
        for rival in session.rivals.drain(..) {
            self.rivals.remove(&rival.token);
        }
    }
}

/// What becomes of the attempts when the first one's turn is over.
pub fn is_undecided(turn: &Turn, session: &Session) -> bool {
    matches!(turn, Turn::Unconnected(_)) && !session.rivals.is_empty()
}
