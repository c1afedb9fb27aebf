//! How loaded the host is: a level of 0 to 3 from several signs, which rises at once and falls slowly.

use daemon::counters::SIGNS;
use settings::OverloadSigns;

/// So many calm looks in a row before the level falls by one.
const CALM: u32 = 5;

/// What each of [`SIGNS`] is at; `None`: it cannot be told.
pub type Readings = [Option<u64>; SIGNS.len()];

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub level: u8,
    /// Of [`SIGNS`], the one that made it so.
    pub sign: usize,
    calm: u32,
}

impl Load {
    /// One look, once a second; true: the level has changed. It falls when every sign is 10 % below where the present level
    /// begins.
    pub fn look(&mut self, signs: &OverloadSigns, readings: Readings) -> bool {
        let before = self.level;
        let steps = [signs.sessions, signs.queue, signs.sync, signs.pressure, signs.memory];
        let highest = |scale: u64| {
            let levels = steps.iter().zip(readings).map(|(steps, reading)| level(*steps, reading, scale)).enumerate();
            // The first of equals.
            levels.fold((0, 0), |best: (u8, usize), (sign, level)| if level > best.0 { (level, sign) } else { best })
        };
        let (now, sign) = highest(100);
        if now > self.level {
            *self = Self { level: now, sign, calm: 0 };
        } else if highest(90).0 < self.level {
            self.calm += 1;
            if self.calm >= CALM {
                self.calm = 0;
                self.level -= 1;
                self.sign = highest(90).1;
            }
        } else {
            self.calm = 0;
        }
        self.level != before
    }
}

/// How many steps a reading has reached, each taken at `scale` per cent.
fn level(steps: Option<[u64; 3]>, reading: Option<u64>, scale: u64) -> u8 {
    let (Some(steps), Some(reading)) = (steps, reading) else { return 0 };
    let reached = |step: &&u64| u128::from(reading) * 100 >= u128::from(**step) * u128::from(scale);
    steps.iter().filter(reached).count().try_into().unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: OverloadSigns = OverloadSigns {
        sessions: Some([70, 85, 95]),
        queue: None,
        sync: Some([100, 200, 300]),
        pressure: None,
        memory: Some([90, 95, 98]),
    };

    fn sessions(percent: u64) -> Readings {
        [Some(percent), Some(u64::MAX), Some(1), Some(100), None]
    }

    #[test]
    fn rises_at_once_and_falls_by_steps() {
        let mut load = Load::default();
        assert!(!load.look(&ALL, sessions(69)));
        assert!(load.look(&ALL, sessions(86)));
        assert_eq!((load.level, SIGNS.get(load.sign)), (2, Some(&"sessions")));
        // Just below the step is no reason to fall.
        assert!((0..20).all(|_| !load.look(&ALL, sessions(80))));
        let falls: Vec<u8> = (0..11).map(|_| (load.look(&ALL, sessions(10)), load.level).1).collect();
        assert_eq!(falls, [2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn one_bad_second_begins_the_calm_anew() {
        let mut load = Load::default();
        load.look(&ALL, sessions(75));
        for _ in 0..4 {
            assert!(!load.look(&ALL, sessions(0)));
        }
        assert!(!load.look(&ALL, sessions(70)));
        for _ in 0..4 {
            assert!(!load.look(&ALL, sessions(0)));
        }
        assert!(load.look(&ALL, sessions(0)));
    }

    #[test]
    fn the_worst_sign_counts() {
        let mut load = Load::default();
        load.look(&ALL, [Some(71), None, Some(250), None, Some(91)]);
        assert_eq!((load.level, load.sign), (2, 2));
    }

    proptest! {
        #[test]
        fn never_beyond_three(looks in proptest::collection::vec((0u64..200, 0u64..400), 0..100)) {
            let mut load = Load::default();
            for (sessions, sync) in looks {
                load.look(&ALL, [Some(sessions), None, Some(sync), None, None]);
                prop_assert!(load.level <= 3);
                prop_assert!(load.level >= level(ALL.sessions, Some(sessions), 100));
            }
        }
    }
}
