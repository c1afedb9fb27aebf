//! What became of TLS, counted by UTC day, policy domain and policy. Bounded; no I/O.

use ipc::tlspolicy::{PolicyKind, TlsResult};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Domains of a day, policies of a domain, failures of a policy that are told apart.
const MOST_DOMAINS: usize = 50_000;
const MOST_POLICIES: usize = 8;
const MOST_FAILURES: usize = 100;
/// Bytes of all texts, about: policies are strangers' words, and the numbers above would let them have gigabytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Lines of a policy, and bytes of a line or of a text.
const MOST_LINES: usize = 110;
const MOST_TEXT: usize = 300;
/// The types of RFC 8460 section 4.3; what is none of them counts as the general one.
const TYPES: [&str; 11] = [
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
];

/// Days since 1970, UTC.
pub type Day = u64;

#[derive(Debug, Default)]
pub struct Tally {
    pub days: BTreeMap<Day, BTreeMap<String, Domain>>,
    bytes: usize,
}

/// One domain's day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Domain {
    pub policies: Vec<Counted>,
    /// Reports that we sent to addresses of this domain.
    pub own: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    pub kind: PolicyKind,
    pub lines: Vec<String>,
    pub hosts: Vec<String>,
    pub successes: u64,
    pub failures: HashMap<Detail, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Detail {
    pub failure: String,
    pub host: String,
    pub address: Option<IpAddr>,
    pub source: Option<IpAddr>,
    pub detail: String,
}

impl Domain {
    pub fn sessions(&self) -> u64 {
        self.policies.iter().map(|p| p.successes.saturating_add(p.failures.values().sum())).fold(0, u64::saturating_add)
    }

    /// Nothing but what our own reports came to: a report on that would make the next.
    pub fn is_only_ours(&self) -> bool {
        self.sessions() <= self.own
    }
}

impl Counted {
    fn weight(&self) -> usize {
        let texts = self.lines.iter().chain(&self.hosts).map(|text| text.len().saturating_add(24)).sum::<usize>();
        self.failures.keys().map(Detail::weight).fold(texts, usize::saturating_add)
    }
}

impl Detail {
    fn weight(&self) -> usize {
        self.failure.len().saturating_add(self.host.len()).saturating_add(self.detail.len()).saturating_add(120)
    }
}

impl Tally {
    /// Counts; false when a bound is reached and it was dropped. `result` is clean (see [`clean`]).
    pub fn add(&mut self, day: Day, result: &TlsResult, count: u64) -> bool {
        let domains = self.days.entry(day).or_default();
        if domains.len() >= MOST_DOMAINS && !domains.contains_key(&result.domain) {
            return false;
        }
        let policies = &mut domains.entry(result.domain.clone()).or_default().policies;
        let same = |p: &Counted| p.kind == result.kind && p.lines == result.policy && p.hosts == result.policy_hosts;
        let at = match policies.iter().position(same) {
            Some(at) => at,
            None if policies.len() >= MOST_POLICIES || self.bytes >= MOST_BYTES => return false,
            None => {
                let (lines, hosts) = (result.policy.clone(), result.policy_hosts.clone());
                let policy = Counted { kind: result.kind, lines, hosts, successes: 0, failures: HashMap::new() };
                self.bytes = self.bytes.saturating_add(policy.weight());
                policies.push(policy);
                policies.len() - 1
            }
        };
        let Some(policy) = policies.get_mut(at) else { return false };
        match &result.failure {
            None => policy.successes = policy.successes.saturating_add(count),
            Some(failure) => {
                let detail = |detail: &str| Detail {
                    failure: failure.clone(),
                    host: result.host.clone(),
                    address: result.address,
                    source: result.source,
                    detail: detail.to_owned(),
                };
                let mut key = detail(&result.detail);
                let full = policy.failures.len() >= MOST_FAILURES || self.bytes >= MOST_BYTES;
                if full && !policy.failures.contains_key(&key) {
                    // Counted still, without the circumstances.
                    key = Detail { host: String::new(), address: None, source: None, ..detail("") };
                }
                if !policy.failures.contains_key(&key) {
                    self.bytes = self.bytes.saturating_add(key.weight());
                }
                let counted = policy.failures.entry(key).or_default();
                *counted = counted.saturating_add(count);
            }
        }
        true
    }

    pub fn add_own(&mut self, day: Day, domain: &str) {
        let domains = self.days.entry(day).or_default();
        if domains.len() < MOST_DOMAINS || domains.contains_key(domain) {
            let own = &mut domains.entry(domain.to_owned()).or_default().own;
            *own = own.saturating_add(1);
        }
    }

    pub fn take(&mut self, day: Day, domain: &str) -> Option<Domain> {
        let taken = self.days.get_mut(&day)?.remove(domain)?;
        self.forget(&taken);
        Some(taken)
    }

    /// Gives a whole day up.
    pub fn remove(&mut self, day: Day) {
        let domains = self.days.remove(&day).unwrap_or_default();
        domains.values().for_each(|domain| self.forget(domain));
    }

    fn forget(&mut self, domain: &Domain) {
        let weight = domain.policies.iter().map(Counted::weight).fold(0, usize::saturating_add);
        self.bytes = self.bytes.saturating_sub(weight);
    }

    /// Puts back what could not be reported, beside what came since.
    pub fn put_back(&mut self, day: Day, domain: &str, counted: &Domain) {
        for (result, count) in results(domain, counted) {
            self.add(day, &result, count);
        }
        for _ in 0..counted.own {
            self.add_own(day, domain);
        }
    }
}

/// A domain's day as results with counts.
pub fn results(domain: &str, counted: &Domain) -> Vec<(TlsResult, u64)> {
    let of_policy = |p: &Counted| {
        let result = |failure: Option<&Detail>| TlsResult {
            domain: domain.to_owned(),
            kind: p.kind,
            policy: p.lines.clone(),
            policy_hosts: p.hosts.clone(),
            host: failure.map_or_else(String::new, |f| f.host.clone()),
            address: failure.and_then(|f| f.address),
            source: failure.and_then(|f| f.source),
            failure: failure.map(|f| f.failure.clone()),
            detail: failure.map_or_else(String::new, |f| f.detail.clone()),
        };
        let mut all: Vec<(TlsResult, u64)> = p.failures.iter().map(|(detail, count)| (result(Some(detail)), *count)).collect();
        if p.successes > 0 {
            all.push((result(None), p.successes));
        }
        all
    };
    counted.policies.iter().flat_map(of_policy).collect()
}

/// A result with everything in its bounds; `None`: about no domain. Where a session succeeded the circumstances do not
/// count, so that all successes are one.
pub fn clean(mut result: TlsResult) -> Option<TlsResult> {
    result.domain = address::normalise(&result.domain).ok().filter(|domain| crate::shelf::is_name(domain))?;
    for text in result.policy.iter_mut().chain(&mut result.policy_hosts).chain([&mut result.host, &mut result.detail]) {
        *text = cut(text);
    }
    result.policy.truncate(MOST_LINES);
    result.policy_hosts.truncate(MOST_LINES);
    match &mut result.failure {
        Some(failure) if TYPES.contains(&failure.as_str()) => {}
        Some(failure) => "validation-failure".clone_into(failure),
        None => {
            (result.address, result.source) = (None, None);
            (result.host, result.detail) = (String::new(), String::new());
        }
    }
    Some(result)
}

fn cut(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out = String::new();
    for c in plain {
        if out.len() + c.len_utf8() > MOST_TEXT {
            break;
        }
        out.push(c);
    }
    out
}
