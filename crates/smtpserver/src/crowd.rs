//! Too many sessions, or a host that is loaded: who has to go, and who is not let in.
//!
//! A session is worth its last sign of life. One that has proven itself, or has a message in hand, gets some seconds
//! more; one that is exempt goes after all strangers. So in a flood the silent go first, and a client that works is never
//! the oldest.

use crate::connection::{Awaiting, Connection};
use crate::sync::Key;
use crate::worker::Worker;
use std::time::{Duration, Instant};

/// What being known, or having said hello properly, is worth.
const PROVEN: Duration = Duration::from_secs(10);
/// What a message in hand is worth.
const IN_HAND: Duration = Duration::from_secs(20);
/// What being no stranger is worth.
const EXEMPT: Duration = Duration::from_secs(24 * 3600);
/// Descriptors for everything that is no session: threads' files, conversations, drafts.
const OTHERS: usize = 256;
/// While the host is overloaded sessions are looked at so often.
const SWEEP: Duration = Duration::from_secs(1);
/// An idle worker that has sessions looks at the overload level so often.
const GLANCE: Duration = Duration::from_secs(5);
/// Sessions from which on that is worth it.
const CROWD: usize = 64;

/// The moment of its last sign of life, with what it has earned.
fn worth(c: &Connection) -> Instant {
    let mut worth = c.conduct.touched;
    if !c.conduct.is_unproven() {
        worth += PROVEN;
    }
    if c.session.transaction().is_some() {
        worth += IN_HAND;
    }
    if !c.conduct.stranger {
        worth += EXEMPT;
    }
    worth
}

/// May be ended by us now: nothing of it is being decided or made durable.
fn may_go(c: &Connection) -> bool {
    matches!(c.awaiting, Awaiting::Nothing | Awaiting::FirstContact) && !c.session.is_waiting()
}

/// Sessions that fit this process's descriptors.
pub(crate) fn most_sessions() -> usize {
    let most = sys::most_descriptors();
    most.saturating_sub(OTHERS).max(most / 2)
}

impl Worker {
    /// Ends so many sessions, the worst first; exempt ones only where `all`.
    pub(crate) fn shed(&mut self, count: usize, all: bool) {
        let mut candidates: Vec<(Instant, Key)> = self
            .connections
            .iter()
            .filter(|(_, c)| may_go(c) && (all || c.conduct.stranger))
            .map(|(slot, c)| (worth(c), Key { slot, number: c.number }))
            .collect();
        let count = count.min(candidates.len());
        if count == 0 {
            return;
        }
        if count < candidates.len() {
            candidates.select_nth_unstable_by_key(count, |(worth, _)| *worth);
        }
        candidates.truncate(count);
        self.counters.add("shed", count as u64);
        if self.noise.allows(self.now) {
            daemon::event!(Info, "shed", sessions = count);
        }
        for (_, key) in candidates {
            self.turn_out(key, "too many connections, try again later");
        }
    }

    fn turn_out(&mut self, key: Key, text: &str) {
        let Some(mut c) = self.take_connection(key) else { return };
        c.conduct.tarpit.until = None;
        if c.session.is_closed() || !c.writable || c.conduct.handshaking {
            return self.end(key.slot, c);
        }
        c.awaiting = Awaiting::Nothing;
        if !c.greeted {
            c.session.output().clear();
        }
        c.session.close(421, "4.3.2", text);
        c.deadline = self.now + self.context.settings.server.write_timeout;
        self.settle(key, c);
    }

    /// Descriptors run out before the master's limits are met: the oldest idle make room.
    pub(crate) fn spare_descriptors(&mut self) {
        let most = self.most_sessions;
        if self.connections.count >= most {
            self.shed((most / 32).max(1) + self.connections.count - most, true);
        }
    }

    /// A stranger while the host is overloaded: `true`: not now.
    pub(crate) fn is_too_strange(&self, c: &Connection) -> bool {
        match self.level {
            0 | 1 => false,
            // Nobody who could say so was there: then it is let in for once.
            2 => c.conduct.stranger && !c.conduct.known && c.conduct.asked,
            _ => c.conduct.stranger && !c.conduct.known,
        }
    }

    /// Once a turn: what a new level of overload means for the sessions that are there.
    pub(crate) fn relieve(&mut self) {
        let rose = self.level > self.relieved;
        self.relieved = self.level;
        if self.level == 0 || !(rose || (self.level >= 2 && self.swept.is_none_or(|at| at + SWEEP <= self.now))) {
            return;
        }
        self.swept = Some(self.now);
        let idle = self.context.settings.overload.idle / (1 << (self.level - 1).min(2));
        for slot in self.connections.occupied() {
            let Some(mut c) = self.connections.take(slot) else { continue };
            let key = Key { slot, number: c.number };
            if !c.conduct.stranger || !may_go(&c) || !c.greeted {
                self.connections.put(slot, c);
                continue;
            }
            let silent = self.now.saturating_duration_since(c.conduct.touched);
            if self.level >= 2 && c.session.is_idle() && c.held.is_empty() && silent >= idle {
                self.connections.put(slot, c);
                self.counters.add("overloaded", 1);
                self.turn_out(key, "this server is overloaded, try again later");
                continue;
            }
            self.hurry(&mut c);
            self.settle(key, c);
        }
    }

    /// When the level of overload has to be looked at again, though nothing happens.
    pub(crate) fn relief_wake(&self) -> Option<Instant> {
        if self.connections.count < CROWD {
            return None;
        }
        Some(self.now + if self.level >= 2 { SWEEP } else { GLANCE })
    }

    /// Timers of sessions that are over, and of deadlines that came earlier, are not kept for their minutes: in a flood
    /// they would be many times the sessions.
    pub(crate) fn prune_timers(&mut self) {
        if self.timers.len() > 2 * self.connections.count + 4096 {
            let connections = &self.connections;
            self.timers.retain(|at, key| connections.peek(key.slot).is_some_and(|c| c.number == key.number && c.timer == Some(at)));
        }
    }
}
