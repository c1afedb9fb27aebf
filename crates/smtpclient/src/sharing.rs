//! Sessions across domains: mail for another domain at the same exchanger goes over a session that is there.

use crate::security::Assurance;
use crate::work::Work;
use crate::worker::Worker;
use nexthop::Candidate;

impl Worker {
    /// Gives a job to an idle session of another domain that is connected to this candidate (the same name, address and port),
    /// and was made with the very same requirements of TLS; else gives the job back. Everything else in the key of the
    /// pool must be the same too: what is said there decides who may share. A job whose session broke goes by a new connection.
    pub(crate) fn share(&mut self, work: Box<Work>, candidate: &Candidate, assurance: &Assurance) -> Option<Box<Work>> {
        if work.redialled || self.idle.is_empty() || matches!(candidate, Candidate::Socket(_)) {
            return Some(work);
        }
        let there = |token: &&usize| {
            let session = self.sessions.get(token);
            session.is_some_and(|s| {
                s.candidate == *candidate && s.security.assurance == *assurance && s.security.reached.satisfies(work.tls.asked)
            })
        };
        let mut pools = self.idle.iter().filter(|(key, _)| (key.0, key.2) == (work.flavour, work.way));
        let Some((key, token)) = pools.find_map(|(key, pool)| Some((key.clone(), *pool.iter().rev().find(there)?))) else {
            return Some(work);
        };
        if let Some(pool) = self.idle.get_mut(&key) {
            pool.retain(|other| *other != token);
        }
        self.drop_empty(&key);
        let Some(mut session) = self.sessions.remove(&token) else { return Some(work) };
        session.host.clone_from(&work.host);
        self.counters.add("reused", 1);
        let turn = session.reuse(work, self.now);
        self.settle(session, turn);
        None
    }
}
