//! The time of what is remembered: it goes with the monotonic clock while we run, and by the wall clock only over the time between two
//! of us. So a wall clock that is set while we run changes nothing; one that was set back meanwhile stands still, and one
//! that was set forward ages what is remembered once.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Duration,
    started: Instant,
}

/// When a state file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The clock's time.
    pub time: Duration,
    /// Unix seconds.
    pub wall: u64,
}

impl Stamp {
    /// What the clock's time is at that wall time.
    pub fn time_at(self, wall: u64) -> Duration {
        self.time.saturating_add(Duration::from_secs(wall.saturating_sub(self.wall)))
    }
}

impl Clock {
    /// Goes on from what is remembered; anew from the wall clock.
    pub fn since(stamps: impl Iterator<Item = Stamp>, wall: u64) -> Self {
        let base = stamps.map(|stamp| stamp.time_at(wall)).max().unwrap_or(Duration::from_secs(wall));
        Self { base, started: Instant::now() }
    }

    pub fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    pub fn at(&self, moment: Instant) -> Duration {
        self.base.saturating_add(moment.saturating_duration_since(self.started))
    }

    /// The moment of a time to come; nothing of one that was over when this clock began.
    pub fn moment(&self, time: Duration) -> Option<Instant> {
        self.started.checked_add(time.checked_sub(self.base)?)
    }

    pub const fn began(&self) -> Instant {
        self.started
    }

    pub fn stamp(&self) -> Stamp {
        Stamp { time: self.now(), wall: daemon::clock::unix_seconds() }
    }
}

/// Unix seconds of a moment of the clock's time.
pub fn wall_of(seconds: u64, now: Duration, wall: u64) -> u64 {
    wall.saturating_sub(now.as_secs().saturating_sub(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_by_the_wall_clock_and_never_back() {
        let stamp = Stamp { time: Duration::from_secs(1000), wall: 5000 };
        let base = |wall| Clock::since([stamp].into_iter(), wall).base;
        assert_eq!(base(5000 + 60), Duration::from_secs(1060));
        assert_eq!(base(10), Duration::from_secs(1000), "the clock was set back");
        assert_eq!(Clock::since([].into_iter(), 77).base, Duration::from_secs(77));
        let clock = Clock::since([stamp].into_iter(), 5000);
        assert_eq!((clock.moment(Duration::from_secs(999)), clock.moment(Duration::from_secs(1000))), (None, Some(clock.started)));
        assert_eq!(clock.moment(clock.at(clock.started + Duration::from_secs(7))), Some(clock.started + Duration::from_secs(7)));
        assert_eq!(wall_of(990, Duration::from_secs(1000), 5000), 4990);
    }
}
