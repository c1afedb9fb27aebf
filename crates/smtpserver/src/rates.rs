//! What the tracker is told without waiting: gathered for a while, sent as one frame.

use crate::connection::Connection;
use crate::context::Client;
use crate::worker::Worker;
use ipc::rates::{Event, Kind, ToTracker};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Events of one frame at most: far below the frame limit.
const BATCH: usize = 2000;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: HashMap<(IpAddr, Kind), u32>,
    /// Of those who have logged in.
    of_users: HashMap<(IpAddr, Kind, String), u32>,
    /// Strangers that have passed the tests of first contact.
    passed: HashSet<IpAddr>,
}

impl Tally {
    pub fn count(&mut self, client: Client, kind: Kind, count: usize) {
        if let Client::Network(address) = client {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let so_far = self.counts.entry((address, kind)).or_default();
            *so_far = so_far.saturating_add(count);
        }
    }

    /// The same for a client that may have logged in.
    pub fn count_of(&mut self, client: Client, user: Option<&str>, kind: Kind, count: usize) {
        match (client, user) {
            (Client::Network(address), Some(user)) => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let so_far = self.of_users.entry((address, kind, user.to_owned())).or_default();
                *so_far = so_far.saturating_add(count);
            }
            _ => self.count(client, kind, count),
        }
    }

    /// This client is no stranger the next time.
    pub fn passed(&mut self, client: Client) {
        if let Client::Network(address) = client {
            self.passed.insert(address);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.of_users.is_empty() && self.passed.is_empty()
    }

    /// The frames that tell all of it.
    pub fn take(&mut self) -> Vec<ToTracker> {
        let plain = self.counts.drain().map(|((address, kind), count)| Event::of(address, kind, count));
        let of_users = self.of_users.drain();
        let of_users = of_users.map(|((address, kind, user), count)| Event { user: Some(user), ..Event::of(address, kind, count) });
        let events: Vec<Event> = plain.chain(of_users).collect();
        let counts = events.chunks(BATCH).map(|part| ToTracker::Count(part.to_vec()));
        counts.chain(self.passed.drain().map(|address| ToTracker::Passed { address })).collect()
    }
}

impl Worker {
    /// One thing that this client does, for everybody it concerns. Sender domains are counted only where `[rates]` limits
    /// them: most are made up, and each would be one more entry.
    pub(crate) fn event(&self, c: &Connection, address: IpAddr, kind: Kind) -> Event {
        let domains = self.context.settings.rates.limits_sender_domains();
        let sender = c.session.transaction().filter(|_| domains).and_then(|transaction| transaction.sender.address());
        let domain = sender.and_then(|sender| sender.domain()).map(str::to_lowercase);
        Event { user: c.session.user().map(str::to_lowercase), domain, ..Event::of(address, kind, 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_by_address_and_kind() {
        let mut tally = Tally::default();
        let client = Client::Network(IpAddr::from([192, 0, 2, 1]));
        tally.count(client, Kind::Recipient, 3);
        tally.count(client, Kind::Recipient, 4);
        tally.count(Client::Local(5), Kind::Message, 1);
        let frames = tally.take();
        assert!(matches!(frames.as_slice(), [ToTracker::Count(events)] if events.len() == 1 && events.iter().all(|e| e.count == 7)));
        assert!(tally.take().is_empty());
    }

    #[test]
    fn who_has_logged_in_is_named() {
        let mut tally = Tally::default();
        let client = Client::Network(IpAddr::from([192, 0, 2, 1]));
        for user in [Some("joe"), Some("joe"), None] {
            tally.count_of(client, user, Kind::Message, 1);
        }
        let frames = tally.take();
        let [ToTracker::Count(events)] = frames.as_slice() else { panic!("{frames:?}") };
        let mut counts: Vec<_> = events.iter().map(|e| (e.user.as_deref(), e.count)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [(None, 1), (Some("joe"), 2)]);
    }
}
