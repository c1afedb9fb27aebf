//! Who has failed how often: delays that grow, and locks. Time is passed in.

use settings::Auth;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses, networks and users remembered; the first to have failed are forgotten first.
const MOST: usize = 100_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    Network(IpAddr),
    User(String),
}

#[derive(Debug)]
struct Record {
    since: Instant,
    count: u32,
    locked: Option<Instant>,
}

/// Limits of `[auth]`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub per_address: Option<u32>,
    pub per_network: Option<u32>,
    pub per_user: Option<u32>,
    pub window: Duration,
    pub lock: Duration,
    pub delay: Duration,
    pub delay_most: Duration,
}

impl Limits {
    pub const fn of(auth: &Auth) -> Self {
        Self {
            per_address: auth.failures_per_address,
            per_network: auth.failures_per_network,
            per_user: auth.failures_per_user,
            window: auth.failure_window,
            lock: auth.lock_time,
            delay: auth.failure_delay,
            delay_most: auth.failure_delay_most,
        }
    }
}

/// What a failure has come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Consequence {
    /// Before the reply.
    pub delay: Duration,
    /// Who is locked out from now on, for the log.
    pub locked: Vec<&'static str>,
}

#[derive(Debug, Default)]
pub struct Failures {
    records: HashMap<Subject, Record>,
    order: VecDeque<Subject>,
}

impl Failures {
    /// Is this client, or this user, locked out now?
    pub fn is_locked(&self, address: IpAddr, user: Option<&str>, now: Instant) -> bool {
        subjects(address, user).iter().filter_map(|(subject, ..)| self.records.get(subject)).any(|r| r.locked.is_some_and(|at| at > now))
    }

    /// Counts a failed login. A login that succeeds takes nothing back: who knows one password may still be guessing others.
    pub fn count(&mut self, address: IpAddr, user: Option<&str>, limits: &Limits, now: Instant) -> Consequence {
        let mut worst = 0;
        let mut locked = Vec::new();
        for (subject, word) in subjects(address, user) {
            let limit = match subject {
                Subject::Address(_) => limits.per_address,
                Subject::Network(_) => limits.per_network,
                Subject::User(_) => limits.per_user,
            };
            let counts_for_delay = !matches!(subject, Subject::Network(_));
            let record = self.record(subject, limits.window, now);
            record.count = record.count.saturating_add(1);
            if limit.is_some_and(|limit| record.count >= limit) && record.locked.is_none_or(|at| at <= now) {
                record.locked = now.checked_add(limits.lock);
                locked.push(word);
            }
            if counts_for_delay {
                worst = worst.max(record.count);
            }
        }
        let factor = 1u32.checked_shl(worst.saturating_sub(1)).unwrap_or(u32::MAX);
        Consequence { delay: limits.delay.saturating_mul(factor).min(limits.delay_most), locked }
    }

    fn record(&mut self, subject: Subject, window: Duration, now: Instant) -> &mut Record {
        if !self.records.contains_key(&subject) {
            while self.records.len() >= MOST {
                let Some(oldest) = self.order.pop_front() else { break };
                self.records.remove(&oldest);
            }
            self.order.push_back(subject.clone());
        }
        let record = self.records.entry(subject).or_insert(Record { since: now, count: 0, locked: None });
        let locked = record.locked.is_some_and(|at| at > now);
        if !locked && now.saturating_duration_since(record.since) >= window {
            *record = Record { since: now, count: 0, locked: None };
        }
        record
    }
}

fn subjects(address: IpAddr, user: Option<&str>) -> Vec<(Subject, &'static str)> {
    let (address, network) = match address.to_canonical() {
        IpAddr::V4(v4) => (v4.into(), IpAddr::from((u32::from(v4) & 0xffff_ff00).to_be_bytes())),
        // One customer owns a whole /64.
        IpAddr::V6(v6) => {
            let network = IpAddr::from((u128::from(v6) & !u128::from(u64::MAX)).to_be_bytes());
            (network, network)
        }
    };
    let mut list = vec![(Subject::Address(address), "address"), (Subject::Network(network), "network")];
    list.extend(user.map(|user| (Subject::User(user.to_lowercase()), "user")));
    list
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        per_address: Some(3),
        per_network: Some(5),
        per_user: None,
        window: Duration::from_secs(3600),
        lock: Duration::from_secs(900),
        delay: Duration::from_secs(1),
        delay_most: Duration::from_secs(5),
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn delays_double_up_to_the_most_for_an_address_and_for_a_user() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let none = Limits { per_address: None, per_network: None, ..LIMITS };
        let mut delays = |address, user| failures.count(address, Some(user), &none, now).delay.as_secs();
        assert_eq!([delays(address(1), "a"), delays(address(1), "b"), delays(address(1), "c"), delays(address(1), "d")], [1, 2, 4, 5]);
        assert_eq!(delays(address(2), "A"), 2, "the user's second one");
        assert_eq!(delays(address(3), "x"), 1, "nobody else's");
        for _ in 0..100 {
            assert!(delays(address(1), "a") == 5);
        }
    }

    #[test]
    fn locks_last_and_end() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let mut fail = |last| failures.count(address(last), None, &LIMITS, now).locked;
        assert_eq!([fail(1), fail(1)], [Vec::<&str>::new(), vec![]]);
        assert_eq!(fail(1), ["address"]);
        assert_eq!(fail(2), Vec::<&str>::new());
        assert_eq!(fail(3), ["network"]);
        assert!(failures.is_locked(address(1), None, now) && failures.is_locked(address(99), Some("a"), now));
        assert!(!failures.is_locked(IpAddr::from([198, 51, 100, 1]), None, now));
        let later = now + LIMITS.lock;
        assert!(!failures.is_locked(address(1), None, later));
        let much_later = now + LIMITS.window + LIMITS.lock;
        assert!(failures.count(address(1), None, &LIMITS, much_later).locked.is_empty(), "a new window");
    }

    #[test]
    fn a_user_is_locked_from_everywhere_where_that_is_wanted() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let limits = Limits { per_address: None, per_network: None, per_user: Some(2), ..LIMITS };
        failures.count(address(1), Some("tim"), &limits, now);
        assert_eq!(failures.count(IpAddr::from([198, 51, 100, 1]), Some("Tim"), &limits, now).locked, ["user"]);
        assert!(failures.is_locked(address(7), Some("TIM"), now) && !failures.is_locked(address(7), Some("ann"), now));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for n in 0..u32::try_from(MOST).unwrap() {
            failures.count(IpAddr::from((n | 0x0a00_0000).to_be_bytes()), Some(&n.to_string()), &LIMITS, now);
        }
        assert!(failures.records.len() <= MOST && failures.order.len() <= MOST);
    }
}
