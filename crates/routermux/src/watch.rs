//! Routers that hang without dying, and what waits in the lanes.

use crate::farm::Router;
use crate::service::Mux;
use daemon::event;
use ipc::master::ToMaster;
use std::time::{Duration, Instant};

/// The lanes are logged so often while they hold something.
const LANES_TOLD: Duration = Duration::from_secs(60);

impl Router {
    /// When its silence over its work will have been too long.
    fn overdue(&self, silence: Duration) -> Option<Instant> {
        (!self.is_idle()).then(|| self.heard + silence)
    }
}

impl Mux {
    /// Asks the master to kill who has been silent for too long. Its end is seen as any other router's.
    pub(crate) fn watch(&mut self, now: Instant) {
        let silence = self.silence();
        for router in self.farm.routers.values_mut().filter(|router| router.overdue(silence).is_some_and(|at| at <= now)) {
            let begun = router.begun.as_deref().unwrap_or("");
            event!(Warning, "router_silent", index = router.index, router = router.pid, file = begun, again = router.accused);
            // Once more after as long again: what hangs in a disk's call dies late.
            (router.accused, router.heard) = (true, now);
            let _ = self.started.master.send(&ToMaster::Unresponsive { pid: router.pid });
        }
    }

    /// What waits for tables is silent for as long as it may.
    fn silence(&self) -> Duration {
        let settings = &self.started.settings;
        let tables = if settings.tables.is_empty() { Duration::ZERO } else { settings.routing.deadline };
        settings.processes.router_silence + tables
    }

    pub(crate) fn watch_due(&self) -> Option<Instant> {
        let silence = self.silence();
        self.farm.routers.values().filter_map(|router| router.overdue(silence)).min()
    }

    /// Says how much waits in each lane, once a minute while there is a backlog.
    pub(crate) fn tell_lanes(&mut self, now: Instant) {
        let lanes = &self.started.settings.lanes;
        if lanes.is_empty() || self.lanes_told.is_some_and(|at| now < at + LANES_TOLD) {
            return;
        }
        let counts = self.shelves.lanes();
        if counts.iter().all(|count| *count == 0) {
            return;
        }
        let names = std::iter::once("usual").chain(lanes.iter().map(|lane| lane.name.as_str()));
        let words: Vec<String> = names.zip(counts).map(|(name, count)| format!("{name}={count}")).collect();
        self.lanes_told = Some(now);
        event!(Info, "lanes", waiting = words.join(" "));
    }
}
