//! How a client has behaved so far, and what follows from it for our patience.

use crate::foreign::Opening;
use settings::Patience;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Conduct {
    /// When the session began.
    pub begun: Instant,
    /// When the client last sent or took something.
    pub touched: Instant,
    /// Has to prove itself: see [`settings::Settings::is_stranger`].
    pub stranger: bool,
    /// Has been here before and behaved, says the tracker.
    pub known: bool,
    /// The tracker has answered.
    pub asked: bool,
    /// Has passed the tests in this session; the tracker has been told.
    pub passed: bool,
    /// Every recipient will be refused.
    pub condemned: bool,
    pub opening: Opening,
    /// The handshake of TLS is not over.
    pub handshaking: bool,
    pub tarpit: Tarpit,
    pub pace: Pace,
}

impl Conduct {
    pub fn new(now: Instant, stranger: bool) -> Self {
        Self {
            begun: now,
            touched: now,
            stranger,
            known: false,
            asked: false,
            passed: false,
            condemned: false,
            opening: Opening::default(),
            handshaking: false,
            tarpit: Tarpit::default(),
            pace: Pace::default(),
        }
    }

    /// Nobody has vouched for it: not the configuration, not its past, not this session.
    pub const fn is_unproven(&self) -> bool {
        self.stranger && !self.known && !self.passed
    }
}

/// Replies to errors come later and later (ZMailer's tarpit). A timer and no sleep: the loop serves the others.
#[derive(Debug, Default)]
pub(crate) struct Tarpit {
    /// Errors of this session that have been looked at.
    seen: u32,
    /// The last delay.
    delay: Duration,
    /// Until then nothing is written and nothing read.
    pub until: Option<Instant>,
}

impl Tarpit {
    /// The session has made so many errors in all. True: its replies have to wait.
    pub fn errors(&mut self, count: u32, patience: &Patience, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.seen, count);
        if count <= before || count <= patience.soft_errors || patience.tarpit_first.is_zero() {
            return false;
        }
        let late = count - before.max(patience.soft_errors);
        let mut wait = Duration::ZERO;
        // Errors that came in one piece wait together; past the longest delay more of them change nothing.
        for _ in 0..late {
            self.delay = if self.delay.is_zero() { patience.tarpit_first } else { self.delay.mul_f64(patience.tarpit_factor) };
            self.delay = self.delay.min(patience.tarpit_longest);
            wait += self.delay;
            if wait >= patience.tarpit_longest {
                break;
            }
        }
        self.until = Some(now + wait.min(patience.tarpit_longest));
        true
    }

    /// The reply that is ready waits until then at least.
    pub fn wait_until(&mut self, at: Instant) {
        self.until = self.until.max(Some(at));
    }

    /// The delay is over.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| until > now) {
            return false;
        }
        self.until = None;
        true
    }
}

/// How fast a message comes. Measured when a timer asks, once in a while, not with every piece.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes of this session so far.
    pub received: u64,
    /// What is being measured: since when, and how many bytes there were then.
    since: Option<(Instant, u64)>,
}

impl Pace {
    /// A message has begun, or goes on.
    pub fn begin(&mut self, now: Instant) {
        self.since.get_or_insert((now, self.received));
    }

    pub const fn end(&mut self) {
        self.since = None;
    }

    /// When to look; `None`: nothing is measured.
    pub fn look_at(&self, grace: Duration) -> Option<Instant> {
        self.since.map(|(since, _)| since + grace)
    }

    /// The time of measuring is over: was the client too slow? Else it is measured anew from now.
    pub fn is_too_slow(&mut self, least: u64, now: Instant) -> bool {
        let Some((since, before)) = self.since.replace((now, self.received)) else { return false };
        let wanted = (least as f64) * now.saturating_duration_since(since).as_secs_f64();
        ((self.received - before) as f64) < wanted
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn patience(more: &str) -> Patience {
        let text = format!("[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mx.example\"\n[server]\n{more}\n");
        settings::parse(&text, "t").unwrap().patience
    }

    #[test]
    fn delays_grow_from_the_soft_limit_to_the_longest() {
        let patience = patience("tarpit_first = \"1s\"\ntarpit_factor = 2\ntarpit_longest = \"5s\"\nsoft_errors = 2");
        let (mut tarpit, now) = (Tarpit::default(), Instant::now());
        let mut delays = Vec::new();
        for errors in 1..=7 {
            if tarpit.errors(errors, &patience, now) {
                delays.push(tarpit.until.unwrap().duration_since(now).as_secs());
            }
            assert!(!tarpit.errors(errors, &patience, now), "the same errors do not count twice");
        }
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert!(!tarpit.is_over(now) && tarpit.is_over(now + Duration::from_secs(5)) && tarpit.until.is_none());
    }

    #[test]
    fn errors_in_one_piece_wait_together_and_no_longer_than_the_longest() {
        let patience = patience("tarpit_first = \"1s\"\ntarpit_factor = 2\ntarpit_longest = \"5s\"\nsoft_errors = 2");
        let (mut tarpit, now) = (Tarpit::default(), Instant::now());
        assert!(tarpit.errors(4, &patience, now));
        assert_eq!(tarpit.until, Some(now + Duration::from_secs(3)));
        assert!(tarpit.errors(u32::MAX, &patience, now));
        assert_eq!(tarpit.until, Some(now + Duration::from_secs(5)));
    }

    #[test]
    fn without_a_first_delay_there_is_none() {
        assert!(!Tarpit::default().errors(1000, &patience(""), Instant::now()));
    }

    #[test]
    fn a_rate_is_an_average_over_the_grace() {
        let (mut pace, now, second) = (Pace::default(), Instant::now(), Duration::from_secs(1));
        assert_eq!(pace.look_at(second), None);
        pace.begin(now);
        pace.received += 100;
        assert_eq!(pace.look_at(10 * second), Some(now + 10 * second));
        assert!(!pace.is_too_slow(10, now + 10 * second));
        pace.received += 99;
        assert!(pace.is_too_slow(10, now + 20 * second));
        pace.end();
        assert!(!pace.is_too_slow(10, now + 30 * second));
    }
}
