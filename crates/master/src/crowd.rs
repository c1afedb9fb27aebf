//! When strangers take too many places: those of them that have been idle longest go, so that others still come in.
//!
//! The master knows how many sessions each worker has, not what they do. So it asks workers to shed, a little before
//! the places run out, and the workers choose ([`ToChild::Shed`]). Only when they find nobody, newcomers are refused.

use crate::children::Child;
use crate::services::Kind;
use crate::supervise::Master;
use ipc::master::ToChild;
use std::time::{Duration, Instant};

/// What was asked for counts as done for so long; then whoever was to go could not, and others are asked for.
const BELIEF: Duration = Duration::from_secs(2);

/// How many strangers there may be, and where shedding begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    pub most: u32,
    high: u32,
    low: u32,
}

impl Places {
    /// At an overload `level` there are fewer: three quarters at 2, half at 3.
    pub fn new(settings: &settings::Settings, level: u8) -> Self {
        let (limits, processes) = (&settings.connections, &settings.processes);
        let served = u32::from(processes.smtpserver_max).saturating_mul(processes.sessions_per_worker);
        let all = limits.total.min(served).saturating_sub(limits.reserve).max(1);
        let most = match level {
            0 | 1 => all,
            2 => all - all / 4,
            _ => all - all / 2,
        };
        Self { most, high: most - (most / 8).max(1).min(most), low: most - (most / 4).max(1).min(most) }
    }

    /// How many of so many strangers should go.
    pub const fn excess(self, strangers: u32) -> u32 {
        if strangers > self.high { strangers - self.low } else { 0 }
    }
}

impl Master {
    /// Asks the workers to make room where it runs short.
    pub fn make_room(&mut self, now: Instant) {
        let taken = self.connections.taken(self.configuration.settings.connections.reserve);
        if self.shed_until.is_some_and(|until| until <= now) {
            (self.shedding, self.shed_until) = (0, None);
        }
        // A slow worker is not asked twice for the same: it would send away twice as many.
        let excess = self.places_of_strangers.excess(taken.saturating_sub(self.shedding)).min(self.connections.strangers());
        if excess == 0 {
            return;
        }
        self.shedding += excess;
        self.shed_until = Some(now + BELIEF);
        self.wake(now + BELIEF);
        let strangers = u64::from(self.connections.strangers().max(1));
        let share = |child: &Child| {
            let part = u64::from(excess) * u64::from(child.stranger_count()) / strangers;
            u32::try_from(part).unwrap_or(u32::MAX).saturating_add(1)
        };
        let workers = self.children.iter().filter(|(_, c)| c.service.kind == Kind::Workers && c.stranger_count() > 0);
        let asked: Vec<(usize, u32)> = workers.map(|(key, child)| (*key, share(child))).collect();
        for (key, count) in asked {
            self.tell(key, &ToChild::Shed(count), Vec::new());
        }
    }

    /// Strangers have all places, but some are about to leave theirs: who comes now waits in the kernel's queue for that
    /// instead of being refused.
    pub fn room_is_coming(&self) -> bool {
        self.shedding > 0 && self.connections.taken(self.configuration.settings.connections.reserve) >= self.places_of_strangers.most
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(more: &str) -> settings::Settings {
        let text =
            format!("{}[connections]\n{more}\n[processes]\nsmtpserver_max = 4\nsessions_per_worker = 5000\n", crate::tests::SMALLEST);
        settings::parse(&text, "t").unwrap()
    }

    #[test]
    fn room_is_made_before_there_is_none() {
        let places = Places::new(&settings(""), 0);
        assert_eq!(places.most, 19_500);
        assert_eq!((places.excess(17_000), places.excess(places.high)), (0, 0));
        assert!(places.excess(places.high + 1) >= places.most / 8);
        let small = Places::new(&settings("total = 8"), 0);
        assert_eq!((small.most, small.excess(5), small.excess(6)), (6, 0, 1));
        assert_eq!(Places::new(&settings("total = 1"), 3).most, 1);
    }

    #[test]
    fn workers_and_overload_bound_the_places() {
        let settings = settings("total = 100000\nreserve = 0");
        assert_eq!([0, 1, 2, 3].map(|level| Places::new(&settings, level).most), [20_000, 20_000, 15_000, 10_000]);
    }
}
