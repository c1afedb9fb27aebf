//! Rates by the virtual schedule of GCRA: one moment each, at which the next one would be due if all came evenly. No
//! counting, no polling: the wait is exact.

use settings::Rate;

/// Timers come in tenths of a second; what a late one has lost is not lost.
const GRAIN_US: u64 = 100_000;

/// Where one rate stands: microseconds on the model's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace(u64);

fn interval(rate: &Rate) -> u64 {
    (u64::try_from(rate.per.as_micros()).unwrap_or(u64::MAX) / u64::from(rate.count.max(1))).max(1)
}

/// What may come at once: what belongs to one second, so that no longer time gets noticeably more than its share.
fn slack(rate: &Rate) -> u64 {
    let interval = interval(rate);
    1_000_000_u64.saturating_sub(interval)
}

impl Pace {
    /// Milliseconds until one more may go; 0: now.
    pub fn wait(self, rate: &Rate, now_ms: u64) -> u64 {
        self.0.saturating_sub(slack(rate)).saturating_sub(now_ms.saturating_mul(1000)).div_ceil(1000)
    }

    /// So many go now; more than one may go beyond what is there, and the next waits the longer.
    pub fn take(&mut self, rate: &Rate, count: u32, now_ms: u64) {
        let earliest = now_ms.saturating_mul(1000).saturating_sub(GRAIN_US);
        self.0 = self.0.max(earliest).saturating_add(interval(rate).saturating_mul(u64::from(count)));
    }

    /// One that was taken did not go.
    pub fn give_back(&mut self, rate: &Rate) {
        self.0 = self.0.saturating_sub(interval(rate));
    }
}

/// The three rates of a site.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paces {
    pub messages: Pace,
    pub recipients: Pace,
    pub connections: Pace,
}

impl Paces {
    /// Milliseconds until a job may begin.
    pub fn wait(&self, policy: &settings::Policy, now_ms: u64) -> u64 {
        let wait = |pace: Pace, rate: &Option<Rate>| rate.as_ref().map_or(0, |rate| pace.wait(rate, now_ms));
        wait(self.messages, &policy.message_rate)
            .max(wait(self.recipients, &policy.recipient_rate))
            .max(wait(self.connections, &policy.connection_rate))
    }

    /// A job begins, of so many messages: one, or one for each recipient. Whether it opens a connection shows when it ends:
    /// until then it counts as if.
    pub fn take(&mut self, policy: &settings::Policy, messages: u32, recipients: u32, now_ms: u64) {
        let take = |pace: &mut Pace, rate: &Option<Rate>, count| {
            if let Some(rate) = rate {
                pace.take(rate, count, now_ms);
            }
        };
        take(&mut self.messages, &policy.message_rate, messages);
        take(&mut self.recipients, &policy.recipient_rate, recipients);
        take(&mut self.connections, &policy.connection_rate, 1);
    }

    /// A job went over a session that was there already.
    pub fn reused(&mut self, policy: &settings::Policy) {
        if let Some(rate) = &policy.connection_rate {
            self.connections.give_back(rate);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn most_in(rate: &Rate, window_ms: u64) -> usize {
        let (mut pace, mut now, mut gone) = (Pace::default(), 10_000_000u64, Vec::new());
        for _ in 0..3000 {
            let wait = pace.wait(rate, now);
            // As the timers do it.
            now = (now + wait).next_multiple_of(100);
            if pace.wait(rate, now) == 0 {
                pace.take(rate, 1, now);
                gone.push(now);
            }
        }
        gone.iter().map(|from| gone.iter().filter(|at| (*from..from + window_ms).contains(at)).count()).max().unwrap()
    }

    #[test]
    fn no_time_gets_more_than_its_share_and_a_second() {
        for (text, most) in [("10/1s", 20..=22), ("100/1m", 100..=103), ("1/1s", 1..=2), ("7/1m", 7..=8)] {
            let rate = Rate::parse(text).unwrap();
            let seen = most_in(&rate, u64::try_from(rate.per.as_millis()).unwrap());
            assert!(most.contains(&seen), "{text}: {seen}");
        }
    }

    #[test]
    fn a_large_job_waits_for_its_successor() {
        let rate = Rate::parse("60/1m").unwrap();
        let mut pace = Pace::default();
        pace.take(&rate, 30, 100_000);
        let wait = pace.wait(&rate, 100_000);
        assert!((29_000..=30_000).contains(&wait), "{wait}");
    }

    proptest! {
        #[test]
        fn the_wait_is_exact(count in 1u32..100_000, seconds in 1u64..600_000, taken in 1u32..1000, now in 1_000u64..1_000_000_000) {
            let rate = Rate { count, per: std::time::Duration::from_secs(seconds) };
            let mut pace = Pace::default();
            pace.take(&rate, taken, now);
            let wait = pace.wait(&rate, now);
            prop_assert_eq!(pace.wait(&rate, now + wait), 0);
            prop_assert!(wait == 0 || pace.wait(&rate, now + wait - 1) > 0);
        }
    }
}
