//! Who has failed how often: delays that grow, and locks. Time is passed in, as that of the state file.

use settings::Auth;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// Addresses, networks and users remembered; the first to have failed are forgotten first.
const MOST: usize = 100_000;
/// Bytes of a user's name that are looked at: a client may send any.
pub const MOST_NAME: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    Address(IpAddr),
    Network(IpAddr),
    User(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When the first failure that counts was.
    pub since: Duration,
    pub count: u32,
    /// Until when.
    pub locked: Option<Duration>,
}

impl Record {
    fn is_locked(&self, now: Duration) -> bool {
        self.locked.is_some_and(|until| until > now)
    }

    fn is_over(&self, window: Duration, now: Duration) -> bool {
        !self.is_locked(now) && now.saturating_sub(self.since) >= window
    }
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
    pub fn is_locked(&self, address: IpAddr, user: Option<&str>, now: Duration) -> bool {
        subjects(address, user).iter().filter_map(|(subject, ..)| self.records.get(subject)).any(|record| record.is_locked(now))
    }

    /// Counts a failed login. A login that succeeds takes nothing back: who knows one password may still be guessing others.
    pub fn count(&mut self, address: IpAddr, user: Option<&str>, limits: &Limits, now: Duration) -> Consequence {
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
            if limit.is_some_and(|limit| record.count >= limit) && !record.is_locked(now) {
                record.locked = Some(now.saturating_add(limits.lock));
                locked.push(word);
            }
            if counts_for_delay {
                worst = worst.max(record.count);
            }
        }
        let factor = 1u32.checked_shl(worst.saturating_sub(1)).unwrap_or(u32::MAX);
        Consequence { delay: limits.delay.saturating_mul(factor).min(limits.delay_most), locked }
    }

    /// What is known of a client and a user now, for the state file.
    pub fn of(&self, address: IpAddr, user: Option<&str>) -> Vec<(Subject, Record)> {
        let known = |(subject, _): (Subject, _)| self.records.get(&subject).cloned().map(|record| (subject, record));
        subjects(address, user).into_iter().filter_map(known).collect()
    }

    /// All that still counts, the first to have failed first.
    pub fn all(&self, window: Duration, now: Duration) -> impl Iterator<Item = (&Subject, &Record)> {
        let known = self.order.iter().filter_map(|subject| self.records.get(subject).map(|record| (subject, record)));
        known.filter(move |(_, record)| !record.is_over(window, now))
    }

    /// Puts in what a state file says, whatever it says: nothing is in the future, and no lock lasts longer than one does.
    pub fn restore(&mut self, subject: Subject, mut record: Record, limits: &Limits, now: Duration) {
        record.since = record.since.min(now);
        record.locked = record.locked.map(|until| until.min(now.saturating_add(limits.lock)));
        if !record.is_over(limits.window, now) {
            *self.room(subject, now) = record;
        }
    }

    fn record(&mut self, subject: Subject, window: Duration, now: Duration) -> &mut Record {
        let record = self.room(subject, now);
        if record.is_over(window, now) {
            *record = Record { since: now, count: 0, locked: None };
        }
        record
    }

    fn room(&mut self, subject: Subject, now: Duration) -> &mut Record {
        if !self.records.contains_key(&subject) {
            while self.records.len() >= MOST {
                let Some(oldest) = self.order.pop_front() else { break };
                self.records.remove(&oldest);
            }
            self.order.push_back(subject.clone());
        }
        self.records.entry(subject).or_insert(Record { since: now, count: 0, locked: None })
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
    list.extend(user.map(|user| (Subject::user(user), "user")));
    list
}

impl Subject {
    pub fn user(name: &str) -> Self {
        let mut name = name.to_lowercase();
        name.truncate(name.floor_char_boundary(MOST_NAME));
        Self::User(name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LIMITS: Limits = Limits {
        per_address: Some(3),
        per_network: Some(5),
        per_user: None,
        window: Duration::from_secs(3600),
        lock: Duration::from_secs(900),
        delay: Duration::from_secs(1),
        delay_most: Duration::from_secs(5),
    };

    pub(crate) fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn delays_double_up_to_the_most_for_an_address_and_for_a_user() {
        let (mut failures, now) = (Failures::default(), Duration::from_secs(1_000_000));
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
        let (mut failures, now) = (Failures::default(), Duration::from_secs(1_000_000));
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
        let (mut failures, now) = (Failures::default(), Duration::from_secs(1_000_000));
        let limits = Limits { per_address: None, per_network: None, per_user: Some(2), ..LIMITS };
        failures.count(address(1), Some("tim"), &limits, now);
        assert_eq!(failures.count(IpAddr::from([198, 51, 100, 1]), Some("Tim"), &limits, now).locked, ["user"]);
        assert!(failures.is_locked(address(7), Some("TIM"), now) && !failures.is_locked(address(7), Some("ann"), now));
    }

    #[test]
    fn what_is_restored_is_what_was_and_never_more_than_is_configured() {
        let (mut before, now) = (Failures::default(), Duration::from_secs(1_000_000));
        (0..3).for_each(|_| drop(before.count(address(1), Some("tim"), &LIMITS, now)));
        let mut after = Failures::default();
        let later = now + LIMITS.lock / 2;
        before.all(LIMITS.window, later).for_each(|(subject, record)| after.restore(subject.clone(), record.clone(), &LIMITS, later));
        assert!(after.is_locked(address(1), None, later) && !after.is_locked(address(2), None, later));
        assert!(!after.is_locked(address(1), None, now + LIMITS.lock));
        assert_eq!(after.count(address(3), Some("TIM"), &LIMITS, later).delay, Duration::from_secs(5), "the user's fourth one");
        assert_eq!(after.of(address(1), Some("tim")).len(), 3);
        // A clock that was set back, or a file by somebody else.
        let strange = Record { since: now * 2, count: 9, locked: Some(Duration::MAX) };
        after.restore(Subject::Address(address(7)), strange, &LIMITS, now);
        assert!(after.is_locked(address(7), None, now) && !after.is_locked(address(7), None, now + LIMITS.lock));
        // What is over is not taken over.
        let mut last = Failures::default();
        let over = now + LIMITS.window + LIMITS.lock;
        after.all(LIMITS.window, now).for_each(|(subject, record)| last.restore(subject.clone(), record.clone(), &LIMITS, over));
        assert_eq!((last.records.len(), after.all(LIMITS.window, over).count()), (0, 0));
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let (mut failures, now) = (Failures::default(), Duration::ZERO);
        failures.count(address(1), Some(&"\u{e4}".repeat(10_000)), &LIMITS, now);
        assert!(failures.order.iter().all(|subject| !matches!(subject, Subject::User(name) if name.len() > MOST_NAME)));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut failures, now) = (Failures::default(), Duration::from_secs(1_000_000));
        for n in 0..u32::try_from(MOST).unwrap() {
            failures.count(IpAddr::from((n | 0x0a00_0000).to_be_bytes()), Some(&n.to_string()), &LIMITS, now);
        }
        assert!(failures.records.len() <= MOST && failures.order.len() <= MOST);
    }
}
