//! Deadlines of a session: how long for a command, a message, a handshake, all of it; and replies that come late.
//!
//! One timer a session, looked at when it comes: nothing here is done for each byte. A command line has to be complete
//! within its time, so bytes that trickle win nothing.

use crate::connection::{Awaiting, Connection};
use crate::sync::Key;
use crate::worker::Worker;
use ipc::rates::Kind;
use std::time::{Duration, Instant};

/// Why a session is ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Silent,
    Handshake,
    TooSlow,
    TooLong,
}

impl Over {
    /// For the log and for the client.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Silent => ("timeout", "timeout, closing"),
            Self::Handshake => ("handshake_timeout", "timeout, closing"),
            Self::TooSlow => ("too_slow", "the message comes too slowly, closing"),
            Self::TooLong => ("session_limit", "this session takes too long, closing"),
        }
    }
}

impl Worker {
    /// How long the client may take for a command, or for its handshake.
    pub(crate) fn command_timeout(&self, c: &Connection) -> Duration {
        if c.conduct.handshaking {
            return self.context.settings.patience.tls_timeout;
        }
        let usual = self.context.settings.server.command_timeout;
        self.hurried(c, usual, self.context.settings.overload.command_timeout)
    }

    fn data_timeout(&self, c: &Connection) -> Duration {
        let usual = self.context.settings.server.data_timeout;
        self.hurried(c, usual, self.context.settings.overload.data_timeout)
    }

    /// The shorter time of an overloaded host, for clients that are not exempt.
    fn hurried(&self, c: &Connection, usual: Duration, overloaded: Duration) -> Duration {
        match self.level {
            0 => usual,
            _ if !c.conduct.stranger => usual,
            level => usual.min(overloaded / (1 << (level - 1).min(2))),
        }
    }

    fn min_rate(&self, c: &Connection) -> u64 {
        let usual = self.context.settings.patience.min_rate;
        if self.level == 0 || !c.conduct.stranger { usual } else { usual.max(self.context.settings.overload.min_rate) }
    }

    /// After input that brought the output from `said` bytes to what it is: delays, and deadlines.
    pub(crate) fn took_input(&mut self, c: &mut Connection, said: usize) {
        // A piece of a command line brings nothing: its whole has one deadline.
        let progress = c.session.output().len() > said || c.session.is_waiting();
        self.extend(c, progress);
        self.delay_errors(c);
        self.prove(c);
    }

    /// The host is loaded now: what was granted before is no longer.
    pub(crate) fn hurry(&self, c: &mut Connection) {
        let receiving = c.session.is_receiving();
        c.deadline = c.deadline.min(self.now + if receiving { self.data_timeout(c) } else { self.command_timeout(c) });
        if receiving && self.min_rate(c) > 0 {
            c.conduct.pace.begin(self.now);
        }
    }

    /// Until when must what comes next have come?
    fn extend(&mut self, c: &mut Connection, progress: bool) {
        if c.session.is_receiving() {
            c.deadline = self.now + self.data_timeout(c);
            if self.min_rate(c) > 0 {
                c.conduct.pace.begin(self.now);
            }
        } else {
            c.conduct.pace.end();
            if progress {
                c.deadline = self.now + self.command_timeout(c);
            }
        }
    }

    /// Errors so far, whatever they were about: those of the tarpit.
    fn delay_errors(&mut self, c: &mut Connection) {
        if self.context.settings.patience.tarpit_first.is_zero() || c.session.is_closed() {
            return;
        }
        let errors = c.session.errors();
        let mistakes = errors.wrong.saturating_add(errors.refused_recipients);
        if c.conduct.tarpit.errors(mistakes, &self.context.settings.patience, self.now) {
            self.counters.add("tarpitted", 1);
        }
    }

    /// True: the replies that are ready have to wait, and so has the client.
    pub(crate) fn is_tarpitted(&self, c: &mut Connection) -> bool {
        if c.conduct.tarpit.until.is_none() {
            return false;
        }
        if !c.conduct.tarpit.is_over(self.now) {
            return true;
        }
        c.deadline = self.now + self.command_timeout(c);
        false
    }

    /// The handshake of TLS is over: the usual times hold.
    pub(crate) fn shaken_hands(&mut self, c: &mut Connection) {
        c.conduct.handshaking = false;
        c.deadline = self.now + self.command_timeout(c);
        self.identify(c);
    }

    /// When the session's timer has to come at the latest.
    pub(crate) fn next_look(&self, c: &Connection) -> Instant {
        if let Some(until) = c.conduct.tarpit.until {
            return until;
        }
        let mut at = c.deadline;
        // Nobody is cut off while a helper thinks or a message is made durable.
        if c.awaiting != Awaiting::Nothing {
            return at;
        }
        let patience = &self.context.settings.patience;
        if let Some(look) = c.conduct.pace.look_at(patience.min_rate_grace) {
            at = at.min(look);
        }
        if !patience.session_limit.is_zero() {
            at = at.min(self.session_limit(c));
        }
        at
    }

    /// A message in hand has more time.
    fn session_limit(&self, c: &Connection) -> Instant {
        let patience = &self.context.settings.patience;
        let more = if c.session.transaction().is_some() { patience.session_limit_message } else { Duration::ZERO };
        c.conduct.begun + patience.session_limit + more
    }

    /// The session's timer has come: goes on, or ends it.
    pub(crate) fn look_after(&mut self, key: Key, mut c: Box<Connection>) {
        if c.awaiting == Awaiting::FirstContact && c.deadline <= self.now {
            self.waited(&mut c);
            return self.settle(key, c);
        }
        match self.over(&mut c) {
            None => self.settle(key, c),
            Some(why) => self.run_out(key, c, why),
        }
    }

    fn over(&mut self, c: &mut Connection) -> Option<Over> {
        if c.awaiting != Awaiting::Nothing || c.conduct.tarpit.until.is_some() {
            // Helpers and disks have their own deadlines, and in the tarpit it is we who wait: the client has done nothing wrong.
            if c.deadline <= self.now {
                c.deadline = self.now + self.command_timeout(c);
            }
            return None;
        }
        let patience = &self.context.settings.patience;
        if !patience.session_limit.is_zero() && self.session_limit(c) <= self.now {
            return Some(Over::TooLong);
        }
        if c.deadline <= self.now {
            return Some(if c.conduct.handshaking { Over::Handshake } else { Over::Silent });
        }
        let grace = patience.min_rate_grace;
        if c.conduct.pace.look_at(grace).is_some_and(|at| at <= self.now) {
            let least = self.min_rate(c);
            if c.conduct.pace.is_too_slow(least, self.now) {
                return Some(Over::TooSlow);
            }
        }
        None
    }

    fn run_out(&mut self, key: Key, mut c: Box<Connection>, why: Over) {
        let (event, text) = why.words();
        self.counters.add(if why == Over::Silent || why == Over::Handshake { "timeouts" } else { event }, 1);
        if self.noise.allows(self.now) {
            daemon::event!(Info, event, peer = c.client, receiving = c.session.is_receiving());
        }
        if c.session.is_closed() || !c.writable || c.conduct.handshaking {
            return self.end(key.slot, c);
        }
        if c.session.transaction().is_some() {
            self.tally.count(c.client, Kind::Abort, 1);
        }
        if !c.greeted {
            c.session.output().clear();
        }
        c.session.close(421, "4.4.2", text);
        c.deadline = self.now + self.context.settings.server.write_timeout;
        self.settle(key, c);
    }
}
