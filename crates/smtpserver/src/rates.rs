//! What the tracker is told without waiting: gathered for a while, sent as one frame.

use crate::context::Client;
use ipc::rates::{Event, Kind, ToTracker};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Events of one frame at most: far below the frame limit.
const BATCH: usize = 2000;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: HashMap<(IpAddr, Kind), u32>,
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

    /// This client is no stranger the next time.
    pub fn passed(&mut self, client: Client) {
        if let Client::Network(address) = client {
            self.passed.insert(address);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.passed.is_empty()
    }

    /// The frames that tell all of it.
    pub fn take(&mut self) -> Vec<ToTracker> {
        let events: Vec<Event> = self.counts.drain().map(|((address, kind), count)| Event::of(address, kind, count)).collect();
        let counts = events.chunks(BATCH).map(|part| ToTracker::Count(part.to_vec()));
        counts.chain(self.passed.drain().map(|address| ToTracker::Passed { address })).collect()
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
}
