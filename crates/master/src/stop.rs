//! The end of the suite: drained from the outside inwards, bounded in time.

use crate::services::LAST_PHASE;
use crate::supervise::Master;
use nix::sys::signal::{Signal, kill};
use std::time::{Duration, Instant};

/// A stop under way.
#[derive(Debug)]
pub struct Stopping {
    /// Services of this phase and those before it are being drained.
    phase: u8,
    /// SIGKILL for all that is left.
    deadline: Instant,
    /// What the master exits with.
    code: u8,
    began: Instant,
}

/// A second SIGTERM within this time is the same wish told twice (timeout(1) signals process and group).
const SAME_WISH: Duration = Duration::from_secs(1);

impl Master {
    /// Takes no more clients and drains: servers first, so that what they accept still flows on; who serves others last.
    pub fn begin_stop(&mut self, code: u8) {
        if self.stopping.is_some() {
            return;
        }
        daemon::event!(Info, "stopping", sessions = self.connections.total());
        self.readiness.stopping();
        for (_, mut listener) in std::mem::take(&mut self.listeners) {
            listener.deregister(self.poll.registry());
        }
        self.slots.clear();
        let now = Instant::now();
        let deadline = now + self.configuration.settings.processes.drain;
        self.stopping = Some(Stopping { phase: 0, deadline, code, began: now });
        self.drain_phase(0);
        self.wake(now);
        self.wake(deadline);
    }

    fn drain_phase(&mut self, phase: u8) {
        let keys: Vec<usize> = self.children.iter().filter(|(_, c)| c.service.phase == phase).map(|(key, _)| *key).collect();
        for key in keys {
            self.drain(key);
        }
    }

    /// Goes on to the next phase when all before it are gone.
    pub fn advance_stop(&mut self, now: Instant) {
        let Some(mut stopping) = self.stopping.take() else { return };
        while !self.children.values().any(|c| c.service.phase <= stopping.phase) && stopping.phase < LAST_PHASE {
            stopping.phase += 1;
            self.drain_phase(stopping.phase);
        }
        if self.children.is_empty() {
            self.finish(stopping.code);
        } else if stopping.deadline <= now {
            self.kill_all();
        } else {
            self.wake(stopping.deadline);
        }
        self.stopping = Some(stopping);
    }

    /// SIGTERM: the first drains, a later one does not wait any more.
    pub fn asked_to_stop(&mut self) {
        match &self.stopping {
            None => self.begin_stop(0),
            Some(stopping) if stopping.began.elapsed() > SAME_WISH => self.kill_all(),
            Some(_) => {}
        }
    }

    /// SIGKILL for every child. The spool is complete at any moment.
    pub fn kill_all(&mut self) {
        for child in self.children.values() {
            let _ = kill(child.pid, Signal::SIGKILL);
        }
    }

    /// The sockets by which others find us go before the lock does.
    fn finish(&mut self, code: u8) {
        let run = &self.configuration.settings.paths.run;
        for name in [crate::start::control_name(self.roles.as_deref()), "submit".to_owned()] {
            let _ = std::fs::remove_file(run.join(name));
        }
        daemon::event!(Info, "stopped", code = code);
        self.exit = Some(code);
    }
}
