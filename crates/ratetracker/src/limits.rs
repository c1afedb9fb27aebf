//! What is over a limit.

use crate::keys::Key;
use crate::table::Table;
use ipc::rates::{Event, Kind, Limit, Per, Refusal};
use settings::Rates;
use std::time::Duration;

/// Counts, and the limits they are held against.
#[derive(Debug)]
pub struct Tracker {
    pub table: Table,
    rates: Rates,
}

impl Tracker {
    pub fn new(rates: &Rates) -> Self {
        Self { table: Table::new(rates.window, rates.slots, rates.entries, rates.sketch), rates: rates.clone() }
    }

    /// Other limits from now on. The counts go on unless their window changed.
    pub fn reload(&mut self, rates: &Rates) {
        if (rates.window, rates.slots) == (self.rates.window, self.rates.slots) {
            self.table.resize(rates.entries, rates.sketch);
            self.rates = rates.clone();
        } else {
            *self = Self::new(rates);
        }
    }

    pub fn count(&mut self, event: &Event, now: Duration) {
        for key in Key::all(event) {
            self.table.add(&key, event.kind, event.count, now);
        }
    }

    /// Counts an event and says what its client hears if it is over a limit: one of `[rates]`, or one of `limits`, which
    /// hold whatever their kind. A refused event counts too, and as an excess: who does not slow down stays refused. An
    /// event of 0 only asks.
    pub fn judge(&mut self, event: &Event, limits: &[Limit], now: Duration) -> Option<Refusal> {
        if event.count > 0 {
            self.count(event, now);
        }
        let own = self.limits(event);
        let over: Vec<Limit> = own.into_iter().chain(limits.iter().copied()).filter(|limit| self.is_over(event, limit, now)).collect();
        let limit = over.iter().find(|limit| limit.hard).or(over.first())?;
        if event.count > 0 {
            self.count(&Event { kind: Kind::Excess, count: 1, ..event.clone() }, now);
        }
        Some(Refusal { text: text(event, limit), hard: limit.hard })
    }

    fn is_over(&mut self, event: &Event, limit: &Limit, now: Duration) -> bool {
        let key = match limit.per {
            Per::Address => Some(Key::address(event.address)),
            Per::Network => Some(Key::network(event.address)),
            Per::User => event.user.as_deref().map(Key::user),
            Per::SenderDomain => event.domain.as_deref().map(Key::domain),
        };
        key.is_some_and(|key| self.table.sum(&key, limit.kind, now) > u64::from(limit.most))
    }

    /// The limits of `[rates]` that an event is held against.
    fn limits(&self, event: &Event) -> Vec<Limit> {
        let exempt = self.rates.exempt.iter().any(|network| network.contains(event.address.to_canonical()));
        let mut limits = Vec::new();
        let mut add = |kind| {
            for (per, most) in self.of_kind(kind) {
                if let Some(most) = most.filter(|_| !exempt || per == Per::User) {
                    limits.push(Limit { per, kind, most, hard: false });
                }
            }
        };
        add(event.kind);
        if event.kind == Kind::Connection {
            // Nobody asks before failing or aborting, so those limits hold at the door.
            add(Kind::FailedAuthentication);
            add(Kind::Abort);
        }
        limits
    }

    const fn of_kind(&self, kind: Kind) -> [(Per, Option<u32>); 4] {
        let r = &self.rates;
        let (address, network, user, domain) = match kind {
            Kind::Connection => (r.connections_per_address, r.connections_per_network, None, None),
            Kind::Message => (r.messages_per_address, r.messages_per_network, r.messages_per_user, r.messages_per_sender_domain),
            Kind::Recipient => (r.recipients_per_address, r.recipients_per_network, r.recipients_per_user, r.recipients_per_sender_domain),
            Kind::FailedAuthentication => {
                (r.failed_authentications_per_address, r.failed_authentications_per_network, r.failed_authentications_per_user, None)
            }
            Kind::Abort => (r.aborts_per_address, r.aborts_per_network, None, None),
            Kind::Excess => (None, None, None, None),
        };
        [(Per::Address, address), (Per::Network, network), (Per::User, user), (Per::SenderDomain, domain)]
    }
}

fn text(event: &Event, limit: &Limit) -> String {
    let plural = match limit.kind {
        Kind::Connection => "connections",
        Kind::Message => "messages",
        Kind::Recipient => "recipients",
        Kind::FailedAuthentication => "failed authentications",
        Kind::Abort => "aborted sessions",
        Kind::Excess => "attempts over a limit",
    };
    let whose = match limit.per {
        Per::Address => format!("from your address ({})", event.address.to_canonical()),
        Per::Network => format!("from your network ({})", event.address.to_canonical()),
        Per::User => format!("of your login ({})", printable(event.user.as_deref())),
        Per::SenderDomain => format!("from your domain ({})", printable(event.domain.as_deref())),
    };
    let again = if limit.hard { "" } else { ", try again later" };
    format!("too many {plural} {whose}{again}")
}

/// What may stand in a reply.
fn printable(name: Option<&str>) -> String {
    name.unwrap_or_default().chars().take(255).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rates(more: &str) -> Rates {
        let text = format!(
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n[rates]\nwindow = \"80s\"\nentries = 100\n{more}"
        );
        settings::parse(&text, "t").unwrap().rates
    }

    fn tracker() -> Tracker {
        Tracker::new(&rates(
            "connections_per_address = 3\nconnections_per_network = 5\nrecipients_per_address = 100\n\
             failed_authentications_per_address = 2\nfailed_authentications_per_user = 4\nmessages_per_user = 2\n\
             recipients_per_sender_domain = 10\n",
        ))
    }

    fn event(address: &str, kind: Kind, count: u32) -> Event {
        Event::of(address.parse().unwrap(), kind, count)
    }

    fn named(address: &str, user: &str, domain: &str, kind: Kind, count: u32) -> Event {
        Event { user: Some(user.to_owned()), domain: Some(domain.to_owned()), ..event(address, kind, count) }
    }

    fn now(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_is_refused_above_its_limit_and_again_welcome_later() {
        let mut tracker = tracker();
        let connect = event("192.0.2.1", Kind::Connection, 1);
        for _ in 0..3 {
            assert_eq!(tracker.judge(&connect, &[], now(0)), None);
        }
        let refusal = tracker.judge(&connect, &[], now(1)).unwrap();
        assert_eq!(refusal.text, "too many connections from your address (192.0.2.1), try again later");
        assert!(!refusal.hard);
        assert_eq!(tracker.table.sum(&Key::address(connect.address), Kind::Excess, now(1)), 1);
        assert_eq!(tracker.judge(&connect, &[], now(90)), None);
    }

    #[test]
    fn a_network_is_refused_above_its_limit() {
        let mut tracker = tracker();
        for n in 1..=5 {
            assert_eq!(tracker.judge(&event(&format!("192.0.2.{n}"), Kind::Connection, 1), &[], now(0)), None);
        }
        assert!(tracker.judge(&event("192.0.2.6", Kind::Connection, 1), &[], now(0)).unwrap().text.contains("network"));
        assert_eq!(tracker.judge(&event("192.0.3.6", Kind::Connection, 1), &[], now(0)), None);
    }

    #[test]
    fn a_user_is_refused_from_wherever_it_comes() {
        let mut tracker = tracker();
        for address in ["192.0.2.1", "198.51.100.7"] {
            assert_eq!(tracker.judge(&named(address, "joe", "x.example", Kind::Message, 1), &[], now(0)), None);
        }
        let refusal = tracker.judge(&named("127.0.0.1", "joe", "y.example", Kind::Message, 1), &[], now(0)).unwrap();
        assert_eq!(refusal.text, "too many messages of your login (joe), try again later");
        assert_eq!(tracker.judge(&named("192.0.2.1", "ann", "x.example", Kind::Message, 1), &[], now(0)), None);
    }

    #[test]
    fn a_sender_domain_is_refused_unless_the_client_is_exempt() {
        let mut tracker = tracker();
        assert_eq!(tracker.judge(&named("192.0.2.1", "u", "x.example", Kind::Recipient, 10), &[], now(0)), None);
        assert_eq!(tracker.judge(&named("127.0.0.1", "u", "x.example", Kind::Recipient, 1), &[], now(0)), None);
        let refusal = tracker.judge(&named("198.51.100.7", "u", "x.example", Kind::Recipient, 1), &[], now(0)).unwrap();
        assert!(refusal.text.contains("from your domain (x.example)"), "{}", refusal.text);
    }

    #[test]
    fn limits_of_policy_hold_beside_and_may_be_hard() {
        let mut tracker = tracker();
        let soft = Limit { per: Per::Address, kind: Kind::Message, most: 1, hard: false };
        let hard = Limit { per: Per::SenderDomain, kind: Kind::Message, most: 2, hard: true };
        let one = named("127.0.0.1", "ann", "x.example", Kind::Message, 1);
        assert_eq!(tracker.judge(&one, &[soft, hard], now(0)), None);
        assert!(!tracker.judge(&one, &[soft, hard], now(0)).unwrap().hard);
        let refusal = tracker.judge(&one, &[soft, hard], now(0)).unwrap();
        assert_eq!((refusal.hard, refusal.text.as_str()), (true, "too many messages from your domain (x.example)"));
        let excess = Limit { per: Per::Address, kind: Kind::Excess, most: 1, hard: true };
        assert!(tracker.judge(&event("127.0.0.1", Kind::Connection, 1), &[excess], now(0)).unwrap().hard);
        assert_eq!(tracker.judge(&event("127.0.0.1", Kind::Connection, 1), &[Limit { per: Per::User, ..hard }], now(0)), None);
    }

    #[test]
    fn failed_authentications_close_the_door_and_lock_the_name() {
        let mut tracker = tracker();
        tracker.count(&event("192.0.2.1", Kind::FailedAuthentication, 3), now(0));
        assert!(tracker.judge(&event("192.0.2.1", Kind::Connection, 1), &[], now(0)).unwrap().text.contains("failed authentications"));
        assert_eq!(tracker.judge(&event("192.0.2.1", Kind::Message, 1), &[], now(0)), None);
        // Many addresses, one name: asked before each login, which counts nothing by itself.
        for n in 1..=5 {
            let login =
                |count| Event { user: Some("joe".to_owned()), ..event(&format!("198.51.100.{n}"), Kind::FailedAuthentication, count) };
            assert_eq!(tracker.judge(&login(0), &[], now(0)), None, "{n}");
            tracker.count(&login(1), now(0));
        }
        let login = Event { user: Some("joe".to_owned()), ..event("203.0.113.1", Kind::FailedAuthentication, 0) };
        assert!(tracker.judge(&login, &[], now(0)).unwrap().text.contains("login (joe)"));
        assert_eq!(tracker.table.sum(&Key::user("joe"), Kind::Excess, now(0)), 0);
    }

    #[test]
    fn without_a_limit_it_is_only_counted() {
        let mut tracker = tracker();
        assert_eq!(tracker.judge(&event("192.0.2.1", Kind::Message, u32::MAX), &[], now(0)), None);
        assert!(tracker.judge(&event("192.0.2.1", Kind::Recipient, 101), &[], now(0)).is_some());
    }

    #[test]
    fn exempt_networks_are_counted_and_not_limited() {
        let mut tracker = tracker();
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(tracker.judge(&event(address, Kind::Connection, 1000), &[], now(0)), None);
        }
        assert_eq!(tracker.table.len(), 2);
    }

    #[test]
    fn a_reload_keeps_counts_when_the_window_stays() {
        let mut tracker = tracker();
        tracker.count(&event("192.0.2.1", Kind::Message, 9), now(0));
        tracker.reload(&rates("messages_per_address = 5\n"));
        assert!(tracker.judge(&event("192.0.2.1", Kind::Message, 1), &[], now(0)).is_some());
        tracker.reload(&rates("slots = 4\n"));
        assert_eq!(tracker.table.len(), 0);
    }

    #[test]
    fn replies_stay_printable() {
        let mut tracker = tracker();
        let refusal = tracker.judge(&named("192.0.2.1", "j\r\n\u{fc}", "x", Kind::Message, 9), &[], now(0)).unwrap();
        assert!(refusal.text.contains("(j???)"), "{}", refusal.text);
    }
}
