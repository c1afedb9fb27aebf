//! When the load is looked at, and what is read for it: rows of other processes in the counter table, files of the kernel.

use crate::overload::{Load, Readings};
use crate::pressure::{self, Gauges};
use daemon::Counters;
use daemon::counters::SIGNS;
use settings::Settings;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);
/// So long after the last question it is looked at no more, unless somebody is connected or the level is not 0: an idle
/// host sleeps.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Watch {
    load: Load,
    /// The next look; `None`: nobody is there.
    next: Option<Instant>,
    asked: Option<Instant>,
    /// Syncs of each worker when last seen: the latency of one that syncs nothing now is of no interest.
    syncs: HashMap<usize, u64>,
    gauges: Gauges,
}

impl Watch {
    pub fn new() -> Self {
        Self { gauges: Gauges::open(), ..Self::default() }
    }

    /// Somebody came with something.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        if self.next.is_none() {
            self.next = Some(now);
        }
    }

    pub const fn wake(&self) -> Option<Instant> {
        self.next
    }

    /// Looks when it is time, and says what it saw.
    pub fn work(&mut self, now: Instant, settings: &Settings, counters: &Counters) {
        if self.next.is_none_or(|at| at > now) {
            return;
        }
        let readings = self.readings(settings, counters);
        let before = self.load.level;
        if self.load.look(&settings.overload_signs, readings) {
            let sign = SIGNS.get(self.load.sign).copied().unwrap_or_default();
            let reading = readings.get(self.load.sign).copied().flatten().unwrap_or_default();
            daemon::event!(Warning, "overload", now = self.load.level, before = before, sign = sign, reading = reading);
        }
        counters.set("overload_now", u64::from(self.load.level));
        counters.say_overload(self.load.level, self.load.sign);
        let anybody = readings.first().copied().flatten().unwrap_or_default() > 0
            || sessions(counters) > 0
            || self.load.level > 0
            || self.asked.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        self.next = anybody.then_some(now + EVERY);
    }

    fn readings(&mut self, settings: &Settings, counters: &Counters) -> Readings {
        let signs = &settings.overload_signs;
        let queue = || counters.of_service("scheduler", ["messages_now"]).iter().map(|(_, [messages])| messages).sum();
        [
            signs.sessions.and_then(|_| pressure::percent(sessions(counters), u64::from(settings.connections.total))),
            signs.queue.map(|_| queue()),
            signs.sync.and_then(|_| self.sync(counters)),
            signs.pressure.and_then(|_| self.gauges.waited()),
            signs.memory.and_then(|_| self.gauges.used()),
        ]
    }

    /// Milliseconds, of the slowest worker that has synced since the last look.
    fn sync(&mut self, counters: &Counters) -> Option<u64> {
        let workers = counters.of_service("smtpserver", ["syncs", "sync_micros_now"]);
        let moved = workers.into_iter().filter(|(row, [syncs, _])| self.syncs.insert(*row, *syncs).is_some_and(|before| before != *syncs));
        moved.map(|(_, [_, micros])| micros / 1000).max()
    }
}

/// Connections, as the master counts them: it knows of workers that have died.
fn sessions(counters: &Counters) -> u64 {
    counters.of_service("master", ["sessions_now"]).iter().map(|(_, [sessions])| sessions).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n[connections]\ntotal = 10\n\
                    [overload]\nmemory = \"\"\npressure = \"\"\nqueue = \"100 200 300\"\n";
        settings::parse(text, "t").unwrap()
    }

    #[test]
    fn other_processes_are_seen_and_an_idle_host_sleeps() {
        let table = Counters::create_table().unwrap();
        let row = |row, service| Counters::map(&table, row, service).unwrap();
        let (master, own, worker, scheduler) = (row(0, "master"), row(1, "ratetracker"), row(2, "smtpserver"), row(3, "scheduler"));
        let (settings, begin) = (settings(), Instant::now());
        let mut watch = Watch::new();
        assert_eq!(watch.wake(), None);
        watch.asked(begin);
        let mut now = begin;
        let mut look = |watch: &mut Watch| {
            watch.work(now, &settings, &own);
            now += EVERY;
            (worker.overload(), worker.overload_sign())
        };
        assert_eq!(look(&mut watch).0, 0);
        master.set("sessions_now", 9);
        assert_eq!(look(&mut watch), (2, "sessions"));
        scheduler.set("messages_now", 300);
        assert_eq!(look(&mut watch), (3, "queue"));
        scheduler.set("messages_now", 0);
        master.set("sessions_now", 0);
        worker.set("sync_micros_now", 60_000_000);
        let levels: Vec<u8> = (0..15).map(|_| look(&mut watch).0).collect();
        assert_eq!(levels.last(), Some(&0), "a worker that syncs nothing says nothing: {levels:?}");
        assert_eq!(watch.wake(), None, "nobody is there");
        watch.asked(begin);
        worker.add("syncs", 1);
        assert_eq!(look(&mut watch), (3, "sync"));
    }
}
