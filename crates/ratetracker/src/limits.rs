//! What is over a limit.

use crate::table::{Key, Table};
use ipc::rates::{Event, Kind};
use settings::Rates;
use std::net::IpAddr;
use std::time::Duration;

/// Counts, and the limits they are held against.
#[derive(Debug)]
pub struct Tracker {
    table: Table,
    rates: Rates,
}

impl Tracker {
    pub fn new(rates: &Rates) -> Self {
        Self { table: Table::new(rates.window, rates.slots, rates.entries), rates: rates.clone() }
    }

    /// Other limits from now on. The counts go on unless their window changed.
    pub fn reload(&mut self, rates: &Rates) {
        let same = (rates.window, rates.slots, rates.entries) == (self.rates.window, self.rates.slots, self.rates.entries);
        if same {
            self.rates = rates.clone();
        } else {
            *self = Self::new(rates);
        }
    }

    pub fn entries(&self) -> usize {
        self.table.len()
    }

    pub fn evicted(&self) -> u64 {
        self.table.evicted
    }

    pub fn count(&mut self, event: &Event, now: Duration) {
        let Event { address, kind, count, .. } = *event;
        for key in [Key::address(address), Key::network(address)] {
            self.table.add(key, kind, count, now);
        }
    }

    /// Counts an event and gives the text for the refusal if its client is over a limit. A refused event counts too:
    /// who does not slow down stays refused.
    pub fn judge(&mut self, event: &Event, now: Duration) -> Option<String> {
        self.count(event, now);
        if self.rates.exempt.iter().any(|network| network.contains(event.address.to_canonical())) {
            return None;
        }
        self.judge_kind(event.address, event.kind, now).or_else(|| {
            // Nobody asks before failing or aborting, so those limits hold at the door.
            let at_the_door = event.kind == Kind::Connection;
            let kinds = [Kind::FailedAuthentication, Kind::Abort];
            kinds.into_iter().filter(|_| at_the_door).find_map(|kind| self.judge_kind(event.address, kind, now))
        })
    }

    fn judge_kind(&mut self, address: IpAddr, kind: Kind, now: Duration) -> Option<String> {
        let (of_address, of_network) = self.limits(kind);
        let whose = [(of_address, Key::address(address), "address"), (of_network, Key::network(address), "network")];
        for (limit, key, from) in whose {
            let Some(limit) = limit else { continue };
            if self.table.sum(key, kind, now) > u64::from(limit) {
                return Some(format!("too many {} from your {from} ({}), try again later", plural(kind), address.to_canonical()));
            }
        }
        None
    }

    fn limits(&self, kind: Kind) -> (Option<u32>, Option<u32>) {
        let rates = &self.rates;
        match kind {
            Kind::Connection => (rates.connections_per_address, rates.connections_per_network),
            Kind::Message => (rates.messages_per_address, rates.messages_per_network),
            Kind::Recipient => (rates.recipients_per_address, rates.recipients_per_network),
            Kind::FailedAuthentication => (rates.failed_authentications_per_address, None),
            Kind::Abort => (rates.aborts_per_address, None),
            Kind::Excess => (None, None),
        }
    }
}

const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Connection => "connections",
        Kind::Message => "messages",
        Kind::Recipient => "recipients",
        Kind::FailedAuthentication => "failed authentications",
        Kind::Abort => "aborted sessions",
        Kind::Excess => "attempts over a limit",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use settings::{FailMode, Network};

    fn rates() -> Rates {
        Rates {
            window: Duration::from_secs(80),
            slots: 8,
            connections_per_address: Some(3),
            connections_per_network: Some(5),
            messages_per_address: None,
            messages_per_network: None,
            recipients_per_address: Some(100),
            recipients_per_network: None,
            failed_authentications_per_address: Some(2),
            aborts_per_address: None,
            entries: 100,
            failure: FailMode::Defer,
            exempt: vec![Network { address: "127.0.0.0".parse().unwrap(), prefix: 8 }],
        }
    }

    fn event(address: &str, kind: Kind, count: u32) -> Event {
        Event::of(address.parse().unwrap(), kind, count)
    }

    fn now(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_is_refused_above_its_limit_and_again_welcome_later() {
        let mut tracker = Tracker::new(&rates());
        let connect = event("192.0.2.1", Kind::Connection, 1);
        for _ in 0..3 {
            assert_eq!(tracker.judge(&connect, now(0)), None);
        }
        assert!(tracker.judge(&connect, now(1)).unwrap().contains("too many connections from your address (192.0.2.1)"));
        assert_eq!(tracker.judge(&connect, now(90)), None);
    }

    #[test]
    fn a_network_is_refused_above_its_limit() {
        let mut tracker = Tracker::new(&rates());
        for n in 1..=5 {
            assert_eq!(tracker.judge(&event(&format!("192.0.2.{n}"), Kind::Connection, 1), now(0)), None);
        }
        assert!(tracker.judge(&event("192.0.2.6", Kind::Connection, 1), now(0)).unwrap().contains("network"));
        assert_eq!(tracker.judge(&event("192.0.3.6", Kind::Connection, 1), now(0)), None);
    }

    #[test]
    fn failed_authentications_close_the_door() {
        let mut tracker = Tracker::new(&rates());
        tracker.count(&event("192.0.2.1", Kind::FailedAuthentication, 3), now(0));
        assert!(tracker.judge(&event("192.0.2.1", Kind::Connection, 1), now(0)).unwrap().contains("failed authentications"));
        assert_eq!(tracker.judge(&event("192.0.2.1", Kind::Message, 1), now(0)), None);
    }

    #[test]
    fn without_a_limit_it_is_only_counted() {
        let mut tracker = Tracker::new(&rates());
        assert_eq!(tracker.judge(&event("192.0.2.1", Kind::Message, u32::MAX), now(0)), None);
        assert!(tracker.judge(&event("192.0.2.1", Kind::Recipient, 101), now(0)).is_some());
    }

    #[test]
    fn exempt_networks_are_counted_and_never_limited() {
        let mut tracker = Tracker::new(&rates());
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(tracker.judge(&event(address, Kind::Connection, 1000), now(0)), None);
        }
        assert_eq!(tracker.entries(), 2);
    }

    #[test]
    fn a_reload_keeps_counts_when_the_window_stays() {
        let mut tracker = Tracker::new(&rates());
        tracker.count(&event("192.0.2.1", Kind::Message, 9), now(0));
        tracker.reload(&Rates { messages_per_address: Some(5), ..rates() });
        assert!(tracker.judge(&event("192.0.2.1", Kind::Message, 1), now(0)).is_some());
        tracker.reload(&Rates { slots: 4, ..rates() });
        assert_eq!(tracker.entries(), 0);
    }
}
