//! Which site a destination belongs to. Where that depends on its mail exchangers the resolver is asked, when the
//! destination is to be served for the first time and later now and then; nobody else waits for the answer.

use super::destination::{Destination, Park};
use super::retry::Wake;
use super::site::SiteName;
use super::{Action, Model, NONE, Now};
use settings::Place;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

/// Questions under way at once.
const MOST_ASKED: u32 = 512;
/// Ticks that a destination waits for the answer: then it is a site of its own, until the answer comes.
const PATIENCE: u32 = 20;
/// Ticks for which an answer is good, and for which none is.
const GOOD: u32 = 6_000;
const UNKNOWN: u32 = 600;
/// Names and bytes of exchangers that tell sites apart: what a domain's owner can make us keep.
const MOST_NAMES: usize = 32;
const MOST_BYTES: usize = 1024;
/// Destinations that get the policies of a reload in one turn.
const RENEWED: u32 = 1000;

#[derive(Debug, Default)]
pub struct Placing {
    /// Somebody answers [`Action::Locate`].
    enabled: bool,
    /// Destinations without a site that have mail.
    waiting: VecDeque<u32>,
    asked: u32,
}

impl Placing {
    pub fn push(&mut self, destination: u32) {
        self.waiting.push_back(destination);
    }
}

/// Does a host of the control file go by MX on channel `smtp`? Then its domain, and the port as text.
fn by_exchangers(channel: &str, host: &str) -> Option<(String, String)> {
    if channel != "smtp" || host.starts_with(['[', ':']) || host.contains('/') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (domain, port) = host.split_once(':').unwrap_or((host, ""));
    (domain.contains('.') && domain.parse::<IpAddr>().is_err()).then(|| (domain.to_owned(), port.to_owned()))
}

/// Names as they tell sites apart: sorted, without case, each once, nothing that is no part of a name.
fn tidy_names(names: Vec<String>) -> Vec<String> {
    let clean = |name: String| {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.chars().map(|c| if c.is_ascii_graphic() && c != ',' { c } else { '?' }).collect::<String>()
    };
    let mut names: Vec<String> = names.into_iter().map(clean).filter(|name| !name.is_empty() && name.len() <= 255).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MOST_NAMES);
    names
}

impl Model {
    /// Whether [`Action::Locate`] is answered; without it every destination is a site of its own.
    pub const fn look_up(&mut self, enabled: bool) {
        self.placing.enabled = enabled;
    }

    /// The destination of a channel and host, new ones with their policy.
    pub(super) fn destination(&mut self, channel: &str, host: &str, now: Now) -> u32 {
        let lane_key = self.lane(channel);
        let Some(lane) = self.lanes.get(lane_key as usize) else { return NONE };
        if let Some(key) = lane.hosts.get(host) {
            return *key;
        }
        let rules = self.book.rules(&Place { channel, host, exchangers: &[] });
        let host: Rc<str> = host.into();
        let asks = self.placing.enabled && by_exchangers(channel, &host).is_some();
        let mut destination = Destination::new(lane_key, Rc::clone(&host), rules, asks);
        destination.used = now.tick();
        let key = self.destinations.insert(destination);
        if let Some(lane) = self.lanes.get_mut(lane_key as usize) {
            lane.hosts.insert(host, key);
        }
        if !self.must_ask(key) {
            self.join(key, now);
        }
        key
    }

    /// Do its site or its policy depend on what only the DNS knows?
    fn must_ask(&self, key: u32) -> bool {
        let Some(destination) = self.destinations.get(key).filter(|destination| destination.by_exchangers) else { return false };
        destination.rules.policy.site.is_empty() || self.book.policies().look_at_exchangers()
    }

    /// Into the site that its policy and its exchangers say.
    fn join(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get(key) else { return };
        let policy = &destination.rules.policy;
        let name = if !policy.site.is_empty() {
            SiteName::Named(policy.site.as_str().into())
        } else if destination.exchangers.is_empty() {
            SiteName::Host(Rc::clone(&destination.host))
        } else {
            let port = destination.host.split_once(':').map_or("", |(_, port)| port);
            let mut text = destination.exchangers.join(",");
            text.truncate(MOST_BYTES);
            if !port.is_empty() {
                text = format!("{text}:{port}");
            }
            SiteName::Exchangers(text.into())
        };
        self.join_site(key, name, now);
    }

    /// Asks about destinations that have mail and no site.
    pub(super) fn place_some(&mut self, now: Now) {
        while self.placing.asked < MOST_ASKED
            && let Some(key) = self.placing.waiting.pop_front()
        {
            let Some(destination) = self.destinations.get_mut(key).filter(|d| d.site == NONE && d.listed) else { continue };
            destination.listed = false;
            self.renew(key, now);
            if self.destinations.get(key).is_none_or(|d| d.site != NONE || !d.wants_turn()) {
                continue;
            }
            if !self.must_ask(key) || !self.ask(key) {
                self.join(key, now);
                continue;
            }
            let until = now.tick().saturating_add(PATIENCE);
            if let Some(destination) = self.destinations.get_mut(key) {
                destination.park = Park::Locating(until);
            }
            self.set_timer(until, Wake::Destination(key));
        }
    }

    /// False: nobody can be asked.
    fn ask(&mut self, key: u32) -> bool {
        let Some(destination) = self.destinations.get_mut(key) else { return false };
        let Some((domain, _)) = by_exchangers("smtp", &destination.host).filter(|_| self.placing.enabled) else { return false };
        if !destination.locating {
            destination.locating = true;
            self.placing.asked += 1;
            self.actions.push_back(Action::Locate { destination: key, domain });
        }
        true
    }

    /// The answer to [`Action::Locate`]: the names of the best mail exchangers, or that they cannot be had now.
    pub fn located(&mut self, key: u32, names: Option<Vec<String>>, now: Now) {
        self.placing.asked = self.placing.asked.saturating_sub(1);
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.locating = false;
        }
        self.place(key, names, now);
    }

    /// Nobody has answered in time; the answer may still come.
    pub(super) fn unlocated(&mut self, key: u32, now: Now) {
        self.place(key, None, now);
    }

    fn place(&mut self, key: u32, names: Option<Vec<String>>, now: Now) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        if matches!(destination.park, Park::Locating(_)) {
            destination.park = Park::No;
        }
        let good = if names.is_some() { GOOD } else { UNKNOWN };
        destination.located = now.tick().saturating_add(good);
        if let Some(names) = names {
            let names = tidy_names(names);
            if destination.exchangers[..] != names[..] {
                destination.exchangers = names.into();
                self.apply_policy(key, now);
            }
        }
        self.join(key, now);
        self.list(key, now);
    }

    /// The policy of the last reload, and later the DNS asked anew.
    pub(super) fn renew(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get(key) else { return };
        if destination.rules.edition != self.book.edition {
            self.apply_policy(key, now);
            if self.destinations.get(key).is_some_and(|destination| destination.site != NONE) {
                self.join(key, now);
            }
        }
        let Some(destination) = self.destinations.get(key) else { return };
        if destination.site != NONE && destination.located <= now.tick() && self.placing.asked < MOST_ASKED && self.must_ask(key) {
            self.ask(key);
        }
    }

    fn apply_policy(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        let Some(lane) = self.lanes.get(destination.lane as usize) else { return };
        let exchangers = Rc::clone(&destination.exchangers);
        let order = |rules: &super::policy::Rules| (rules.policy.age_order, rules.policy.priority);
        let before = order(&destination.rules);
        destination.rules = self.book.rules(&Place { channel: &lane.name, host: &destination.host, exchangers: &exchangers });
        if order(&destination.rules) == before {
            return;
        }
        let standing = destination.line.drain();
        for share in standing {
            // What has left lazily may be another share by now.
            if self.shares.get(share).is_some_and(|share| share.destination == key && share.queued) {
                self.stand_in_line(share, now);
            }
        }
    }

    /// After a reload: what the old policies kept back is looked at again.
    pub(super) fn renew_some(&mut self, now: Now) {
        let end = self.destinations.end();
        if self.renew_cursor >= end {
            return;
        }
        let from = self.renew_cursor;
        self.renew_cursor = from.saturating_add(RENEWED).min(end);
        for key in from..self.renew_cursor {
            let Some(destination) = self.destinations.get_mut(key) else { continue };
            if matches!(destination.park, Park::Until(_) | Park::Asking | Park::Ring) {
                destination.park = Park::No;
            }
            self.renew(key, now);
            self.list(key, now);
        }
    }

    pub(super) fn renewing(&self) -> bool {
        self.renew_cursor < self.destinations.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_goes_by_exchangers() {
        let some = |domain: &str, port: &str| Some((domain.to_owned(), port.to_owned()));
        assert_eq!(by_exchangers("smtp", "a.example"), some("a.example", ""));
        assert_eq!(by_exchangers("smtp", "a.example:2525"), some("a.example", "2525"));
        for host in ["[a.example]", "192.0.2.1", "192.0.2.1:25", "::1", "unix:/run/x", "-", "now", "[192.0.2.1]:26"] {
            assert_eq!(by_exchangers("smtp", host), None, "{host}");
        }
        assert_eq!(by_exchangers("lmtp", "a.example"), None);
    }

    proptest! {
        #[test]
        fn names_are_harmless_and_their_order_is_nothing(mut names in prop::collection::vec("\\PC{0,300}|[a-zA-Z.]{1,9}", 0..50)) {
            let tidied = tidy_names(names.clone());
            names.reverse();
            prop_assert_eq!(&tidied, &tidy_names(names));
            prop_assert!(tidied.len() <= MOST_NAMES && tidied.iter().all(|n| n.bytes().all(|b| b.is_ascii_graphic() && b != b',')));
        }
    }
}
