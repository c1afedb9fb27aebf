//! What the tracker is told without waiting: gathered for a while, sent as one frame.

use crate::context::Client;
use ipc::rates::{Event, Kind, ToTracker};
use std::collections::HashMap;
use std::net::IpAddr;

/// Events of one frame at most: far below the frame limit.
const BATCH: usize = 2000;

#[derive(Debug, Default)]
pub(crate) struct Tally(HashMap<(IpAddr, Kind), u32>);

impl Tally {
    pub fn count(&mut self, client: Client, kind: Kind, count: usize) {
        if let Client::Network(address) = client {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let so_far = self.0.entry((address, kind)).or_default();
            *so_far = so_far.saturating_add(count);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The frames that tell all of it.
    pub fn take(&mut self) -> Vec<ToTracker> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let events: Vec<Event> = self.0.drain().map(|((address, kind), count)| Event::of(address, kind, count)).collect();
        events.chunks(BATCH).map(|part| ToTracker::Count(part.to_vec())).collect()
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
