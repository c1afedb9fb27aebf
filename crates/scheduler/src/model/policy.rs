//! The policies of destinations: made once for each set of clauses that matches, shared by all that match the same.

use super::retry::ticks;
use super::{Model, Now};
use settings::{Place, Policies, Policy, Rate, TlsPolicy};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// What holds for all destinations that the same clauses match.
#[derive(Debug)]
pub struct Rules {
    pub policy: Policy,
    /// The number of [`Limits`] with these values: only destinations with the same one can share a site.
    pub limits: u32,
    /// The [`Book::edition`] it was made in.
    pub edition: u32,
}

/// The part of a policy that a site has, and not each of its members: what counts jobs and connections, and what
/// sessions must be like. Two domains of one provider for which these differ are not served as one site, so no
/// domain's limits or TLS needs are forced on another.
#[derive(Debug, PartialEq)]
struct Limits {
    concurrency: (u32, u32),
    rates: [Option<Rate>; 3],
    messages_per_session: u32,
    tls: TlsPolicy,
    source: String,
    credentials: String,
}

impl Limits {
    fn of(policy: &Policy) -> Self {
        Self {
            concurrency: (policy.concurrency_first, policy.concurrency_most),
            rates: [policy.message_rate, policy.recipient_rate, policy.connection_rate],
            messages_per_session: policy.messages_per_session,
            tls: policy.tls,
            source: policy.source.clone(),
            credentials: policy.credentials.clone(),
        }
    }
}

/// All policies in use.
#[derive(Debug)]
pub struct Book {
    policies: Policies,
    by_clauses: HashMap<Vec<u16>, Rc<Rules>>,
    limits: Vec<Limits>,
    /// Goes up with each reload: rules of an older one are out of date.
    pub edition: u32,
    zone: jiff::tz::TimeZone,
}

impl Book {
    pub fn new(policies: Policies) -> Self {
        Self { policies, by_clauses: HashMap::new(), limits: Vec::new(), edition: 0, zone: jiff::tz::TimeZone::system() }
    }

    pub fn reload(&mut self, policies: Policies) {
        self.policies = policies;
        self.by_clauses.clear();
        self.edition = self.edition.wrapping_add(1);
        self.zone = jiff::tz::TimeZone::system();
    }

    #[cfg(test)]
    pub fn set_zone(&mut self, zone: jiff::tz::TimeZone) {
        self.zone = zone;
    }

    /// The rules of a place.
    pub fn rules(&mut self, place: &Place<'_>) -> Rc<Rules> {
        let matching = self.policies.matching(place);
        if let Some(rules) = self.by_clauses.get(&matching) {
            return Rc::clone(rules);
        }
        let policy = self.policies.of_clauses(&matching);
        let limits = Limits::of(&policy);
        let known = self.limits.iter().position(|other| *other == limits);
        let number = known.unwrap_or_else(|| {
            self.limits.push(limits);
            self.limits.len() - 1
        });
        let rules = Rc::new(Rules { policy, limits: u32::try_from(number).unwrap_or(u32::MAX), edition: self.edition });
        self.by_clauses.insert(matching, Rc::clone(&rules));
        rules
    }

    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Ticks until the policy's hours allow mail; 0: now. Local time; a window's edge is found anew each time, so a
    /// change of the clock (summer time) counts at the next edge at the latest.
    pub fn closed_for(&self, policy: &Policy, now: Now) -> u32 {
        if policy.hours.is_always() {
            return 0;
        }
        let moment = i64::try_from(now.wall_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        let local = moment.to_zoned(self.zone.clone());
        let number = |value: i8| u16::try_from(value).unwrap_or(0);
        let minute = number(local.weekday().to_monday_zero_offset()) * 1440 + number(local.hour()) * 60 + number(local.minute());
        let wait = Duration::from_secs(u64::from(policy.hours.wait(minute)) * 60);
        let into = Duration::from_millis(u64::from(u16::try_from(local.second()).unwrap_or(0)) * 1000 + now.wall_ms % 1000);
        ticks(wait.saturating_sub(into))
    }
}

impl Model {
    /// The policy of a share's destination, as it stands.
    pub(super) fn rules_of_share(&self, share: u32) -> Option<Rc<Rules>> {
        let destination = self.shares.get(share)?.destination;
        self.destinations.get(destination).map(|destination| Rc::clone(&destination.rules))
    }
}
