//! Which policy holds, when it is fetched again, who waits for it. No I/O; time is passed in.

use crate::fetch::Failure;
use crate::policy;
use crate::shelf::Kept;
use ipc::tlspolicy::StsPolicy;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// An asker waits so long for a policy that is being fetched.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// A record that was looked at holds so long: a policy's new id is seen after it (RFC 8461 section 3.1 leaves it to TTLs).
const LOOK_AGAIN: u64 = 3600;
/// A failed fetch is repeated after 5 minutes (RFC 8461 section 3.3), then later and later.
const FIRST_RETRY: u64 = 300;
const LAST_RETRY: u64 = 86_400;
/// A policy in use is fetched at least so often (RFC 8461 section 3.3), whatever its id says.
const RENEW: u64 = 86_400;
/// Domains known at a time, and those that may be waiting for a thread.
const MOST_DOMAINS: usize = crate::shelf::MOST;
const MOST_PENDING: usize = 2_000;
/// Askers that wait for one domain.
const MOST_WAITING: usize = 10_000;
/// Bytes of all policies.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub at: Instant,
    /// Seconds since 1970.
    pub unix: u64,
}

/// Who asks: the conversation, and its number for the question.
pub type Asker = (usize, u64);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Answer {
        asker: Asker,
        policy: Option<StsPolicy>,
    },
    /// Look the record up, and fetch the policy unless it has this id.
    Look {
        domain: String,
        known: Option<String>,
    },
    Keep {
        domain: String,
        kept: Kept,
    },
    Forget {
        domain: String,
    },
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    NoRecord,
    /// The id is the known one.
    Same,
    Fetched(StsPolicy),
    /// The record could not be looked up.
    NoAnswer(String),
    Failed(Failure),
}

#[derive(Debug, Default)]
struct Entry {
    kept: Option<Kept>,
    /// Unix seconds before which nothing is looked up.
    look_at: u64,
    failures: u32,
    pending: bool,
    used: u64,
    waiting: Vec<(Asker, Instant)>,
}

/// All domains.
#[derive(Debug, Default)]
pub struct Keeper {
    entries: HashMap<String, Entry>,
    pending: usize,
    bytes: usize,
    uses: u64,
}

impl Keeper {
    /// With what was on disk.
    pub fn new(kept: Vec<(String, Kept)>) -> Self {
        let mut keeper = Self::default();
        for (domain, kept) in kept {
            keeper.bytes = keeper.bytes.saturating_add(weight(&kept));
            keeper.entries.insert(domain, Entry { kept: Some(kept), ..Entry::default() });
        }
        keeper
    }

    pub fn policies(&self) -> usize {
        self.entries.values().filter(|entry| entry.kept.is_some()).count()
    }

    /// The lines of the policy that holds, for reports.
    pub fn lines(&self, domain: &str, now: u64) -> Option<Vec<String>> {
        let kept = self.entries.get(domain)?.kept.as_ref().filter(|kept| kept.expires() > now)?;
        Some(policy::lines(&kept.policy))
    }

    /// A question; `domain` is normalised.
    pub fn ask(&mut self, domain: &str, asker: Asker, now: Now) -> Vec<Action> {
        self.uses = self.uses.saturating_add(1);
        let (uses, room) = (self.uses, self.pending < MOST_PENDING);
        let mut actions = self.make_room(domain);
        let entry = self.entries.entry(domain.to_owned()).or_default();
        entry.used = uses;
        let policy = entry.policy(now.unix);
        if !entry.pending && now.unix >= entry.look_at && room {
            entry.pending = true;
            self.pending += 1;
            actions.push(Action::Look { domain: domain.to_owned(), known: entry.known(now.unix) });
        }
        if policy.is_none() && entry.pending && entry.waiting.len() < MOST_WAITING {
            entry.waiting.push((asker, now.at + PATIENCE));
        } else {
            actions.push(Action::Answer { asker, policy });
        }
        actions
    }

    /// What a look came to. A policy that holds is not given up because its record or its server is away.
    pub fn seen(&mut self, domain: &str, seen: Seen, now: Now) -> Vec<Action> {
        let Some(entry) = self.entries.get_mut(domain) else { return Vec::new() };
        if std::mem::take(&mut entry.pending) {
            self.pending = self.pending.saturating_sub(1);
        }
        let failed = matches!(seen, Seen::NoAnswer(_) | Seen::Failed(_));
        entry.failures = if failed { entry.failures.saturating_add(1) } else { 0 };
        entry.look_at = now.unix.saturating_add(if failed { entry.wait() } else { LOOK_AGAIN });
        let mut actions = Vec::new();
        if let Seen::Fetched(policy) = seen {
            let kept = Kept { policy, fetched: now.unix };
            let old = entry.kept.as_ref().map_or(0, weight);
            self.bytes = self.bytes.saturating_sub(old).saturating_add(weight(&kept));
            entry.kept = Some(kept.clone());
            actions.push(Action::Keep { domain: domain.to_owned(), kept });
        }
        let policy = entry.policy(now.unix);
        actions.extend(entry.waiting.drain(..).map(|(asker, _)| Action::Answer { asker, policy: policy.clone() }));
        actions
    }

    /// Askers that have waited long enough are told that there is none.
    pub fn tick(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        for entry in self.entries.values_mut().filter(|entry| !entry.waiting.is_empty()) {
            let late = entry.waiting.extract_if(.., |(_, deadline)| *deadline <= now.at);
            actions.extend(late.map(|(asker, _)| Action::Answer { asker, policy: None }));
        }
        actions
    }

    /// Does somebody wait?
    pub fn waited_for(&self) -> bool {
        self.pending > 0
    }

    /// Policies that are to be fetched before they end, and those that have ended. Now and then.
    pub fn renew(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        for (domain, entry) in &mut self.entries {
            let Some(kept) = &entry.kept else { continue };
            if kept.expires() <= now.unix {
                self.bytes = self.bytes.saturating_sub(weight(kept));
                entry.kept = None;
                actions.push(Action::Forget { domain: domain.clone() });
            } else if entry.due(now.unix) && now.unix >= entry.look_at && !entry.pending && self.pending < MOST_PENDING {
                entry.pending = true;
                self.pending += 1;
                actions.push(Action::Look { domain: domain.clone(), known: None });
            }
        }
        actions
    }

    /// When there is too much, what was not used longest goes: domains without a policy first, for who floods us with
    /// names must not make us forget policies.
    fn make_room(&mut self, domain: &str) -> Vec<Action> {
        if self.entries.contains_key(domain) || (self.entries.len() < MOST_DOMAINS && self.bytes < MOST_BYTES) {
            return Vec::new();
        }
        let idle = self.entries.iter().filter(|(_, entry)| !entry.pending);
        let mut order: Vec<(bool, u64, String)> = idle.map(|(domain, entry)| (entry.kept.is_some(), entry.used, domain.clone())).collect();
        order.sort_unstable();
        let mut actions = Vec::new();
        let (most, bytes) = (MOST_DOMAINS - MOST_DOMAINS / 10, MOST_BYTES - MOST_BYTES / 10);
        for (kept, _, domain) in order {
            if self.entries.len() < most && self.bytes < bytes {
                break;
            }
            if let Some(entry) = self.entries.remove(&domain) {
                self.bytes = self.bytes.saturating_sub(entry.kept.as_ref().map_or(0, weight));
            }
            if kept {
                actions.push(Action::Forget { domain });
            }
        }
        actions
    }
}

impl Entry {
    /// The policy in force, with the seconds it has left.
    fn policy(&self, now: u64) -> Option<StsPolicy> {
        let kept = self.kept.as_ref().filter(|kept| kept.expires() > now)?;
        Some(StsPolicy { max_age: kept.expires().saturating_sub(now), ..kept.policy.clone() })
    }

    /// The id that needs no fetching.
    fn known(&self, now: u64) -> Option<String> {
        self.kept.as_ref().filter(|kept| kept.expires() > now && !self.due(now)).map(|kept| kept.policy.id.clone())
    }

    /// Time to fetch the policy even under the same id: after a day, or half of its time where that is shorter.
    fn due(&self, now: u64) -> bool {
        self.kept.as_ref().is_some_and(|kept| now >= kept.fetched.saturating_add(RENEW.min(kept.policy.max_age / 2)))
    }

    fn wait(&self) -> u64 {
        FIRST_RETRY.saturating_mul(1 << self.failures.saturating_sub(1).min(9)).min(LAST_RETRY)
    }
}

fn weight(kept: &Kept) -> usize {
    kept.policy.hosts.iter().map(|host| host.len().saturating_add(24)).sum::<usize>().saturating_add(200)
}
