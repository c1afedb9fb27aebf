//! Decisions that wait for tables of other processes: when they are made again, and when that is enough.
//!
//! A decision is made from the start each time, so nothing but its subject and its beginning is kept.

use std::time::{Duration, Instant};

/// Files of one router process that wait; more are not begun until there is room.
pub(crate) const MAX_FILES: usize = 256;
/// Questions of one router process that wait; more are answered with 451.
pub(crate) const MAX_QUESTIONS: usize = 1000;
/// Times that one decision is made. The pauses between them keep most far below (see [`Wait::again`]).
const MAX_PASSES: u32 = 200;
/// A pause below this is none: the poll cannot wait so shortly.
const SHORTEST: Duration = Duration::from_millis(1);

/// The state of one decision that is not settled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// The start of its first pass: what tables answered since then is young enough.
    pub began: Instant,
    passes: u32,
    not_before: Instant,
    /// Something has come since the last pass.
    fresh: bool,
}

/// One making of a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    pub began: Instant,
    /// What has not answered by now is a temporary failure.
    pub last: bool,
    pub first: bool,
}

impl Pass {
    pub const fn first(now: Instant) -> Self {
        Self { began: now, last: false, first: true }
    }
}

impl Wait {
    /// After a first pass that began at `began`.
    pub const fn since(began: Instant) -> Self {
        Self { began, passes: 1, not_before: began, fresh: false }
    }

    /// After another pass. The next one comes an eighth of the whole time later at the earliest: answers that come one by one
    /// make passes that grow with the logarithm of the time, and no answer is waited for longer than that share.
    pub fn again(&mut self, now: Instant) {
        self.passes = self.passes.saturating_add(1);
        self.fresh = false;
        let pause = now.saturating_duration_since(self.began) / 8;
        self.not_before = if pause < SHORTEST { now } else { now + pause };
    }

    /// Tables have said something.
    pub fn heard(&mut self) {
        self.fresh = true;
    }

    /// The next pass, when it is due.
    pub fn pass(&self, now: Instant, patience: Duration) -> Option<Pass> {
        let last = self.is_over(now, patience);
        (last || self.fresh && now >= self.not_before).then_some(Pass { began: self.began, last, first: false })
    }

    /// When it is looked at again though nothing comes.
    pub fn due(&self, patience: Duration) -> Instant {
        let end = self.began + patience;
        if self.fresh { end.min(self.not_before) } else { end }
    }

    fn is_over(&self, now: Instant, patience: Duration) -> bool {
        self.passes >= MAX_PASSES || now >= self.began + patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_decision_waits_for_news_and_not_for_ever() {
        let began = Instant::now();
        let mut wait = Wait::since(began);
        assert!(wait.pass(began, PATIENCE).is_none());
        assert_eq!(wait.due(PATIENCE), began + PATIENCE);
        wait.heard();
        assert!(wait.pass(began, PATIENCE).is_some_and(|pass| !pass.last && pass.began == began));
        let now = began + Duration::from_secs(8);
        wait.again(now);
        wait.heard();
        assert!(wait.pass(now, PATIENCE).is_none() && wait.due(PATIENCE) == now + Duration::from_secs(1));
        assert!(wait.pass(now + Duration::from_secs(1), PATIENCE).is_some_and(|pass| !pass.last));
        assert!(wait.pass(began + PATIENCE, PATIENCE).is_some_and(|pass| pass.last));
    }

    #[test]
    fn answers_one_by_one_make_few_passes() {
        let (began, mut passes) = (Instant::now(), 0);
        let mut wait = Wait::since(began);
        for millisecond in 1..20_000 {
            let now = began + Duration::from_millis(millisecond);
            wait.heard();
            if let Some(pass) = wait.pass(now, PATIENCE) {
                assert!(!pass.last);
                passes += 1;
                wait.again(now);
            }
        }
        assert!(passes < 120, "{passes}");
    }
}
