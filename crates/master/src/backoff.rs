//! How long a process that has ended must wait for its successor.

use std::time::{Duration, Instant};

/// A life this long takes one doubling back: a process that works for a minute starts from the shortest wait again,
/// while one that dies at every start waits the longest.
const FORGIVEN_AFTER: Duration = Duration::from_secs(5);
/// A clean exit after a life this long is a replacement and no failure.
const REPLACEMENT_AFTER: Duration = Duration::from_secs(1);

/// The back-off of one place for a process.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    doublings: u32,
}

impl Backoff {
    /// The wait after a life from `ready` (None: it never became ready) to `now`. Doubles with every short life, from
    /// `first` to `longest`. Never zero except for a clean exit after a real life, so that nothing can spin.
    pub fn wait(&mut self, ready: Option<Instant>, now: Instant, clean: bool, first: Duration, longest: Duration) -> Duration {
        let life = ready.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if clean && life >= REPLACEMENT_AFTER {
            self.doublings = 0;
            return Duration::ZERO;
        }
        let forgiven = u32::try_from(life.as_secs() / FORGIVEN_AFTER.as_secs()).unwrap_or(u32::MAX);
        self.doublings = self.doublings.saturating_sub(forgiven);
        let factor = 2u32.saturating_pow(self.doublings.min(20));
        self.doublings = self.doublings.saturating_add(1).min(20);
        first.max(Duration::from_millis(1)).saturating_mul(factor).min(longest.max(Duration::from_millis(1)))
    }

    /// Failures in a row that no life has made good.
    pub fn failures(&self) -> u32 {
        self.doublings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn a_crash_loop_doubles_to_the_cap() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let waits: Vec<u128> = (0..12).map(|_| backoff.wait(None, now, false, FIRST, LONGEST).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
    }

    #[test]
    fn a_minute_of_work_forgives_all() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..9 {
            backoff.wait(None, now, false, FIRST, LONGEST);
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(backoff.wait(Some(now), later, false, FIRST, LONGEST), FIRST);
    }

    #[test]
    fn a_replacement_does_not_wait_but_a_hasty_one_does() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.wait(Some(now), now + Duration::from_secs(2), true, FIRST, LONGEST), Duration::ZERO);
        assert_eq!(backoff.wait(Some(now), now, true, FIRST, LONGEST), FIRST);
        assert_eq!(backoff.wait(None, now, true, FIRST, LONGEST), FIRST * 2);
    }

    #[test]
    fn zero_settings_do_not_spin() {
        let mut backoff = Backoff::default();
        assert!(backoff.wait(None, Instant::now(), false, Duration::ZERO, Duration::ZERO) > Duration::ZERO);
    }
}
