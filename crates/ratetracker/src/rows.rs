//! `zpost rates`: what is counted and remembered, as rows.

use crate::grey::{Memory, Seen};
use crate::keys::{Key, block, network};
use crate::table::Table;
use ipc::control::{RateQuery, RateRow};
use settings::Network;
use statefile::lines::unescape;
use statefile::wall_of;
use std::net::IpAddr;
use std::time::Duration;

/// Rows of one answer at most.
const MOST: usize = 10_000;
/// What `--kind` may be.
pub const KINDS: [&str; 6] = ["address", "network", "user", "domain", "grey", "passed"];

/// What a query is about.
#[derive(Debug)]
pub struct Asked<'a> {
    subject: Option<&'a str>,
    block: Option<Network>,
    kind: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub fn of(query: &'a RateQuery) -> Result<Self, String> {
        let kind = query.kind.as_deref();
        if let Some(kind) = kind.filter(|kind| !KINDS.contains(kind)) {
            return Err(format!("there is no kind `{kind}`: it is one of {}", KINDS.join(", ")));
        }
        let subject = query.subject.as_deref();
        Ok(Self { subject, block: subject.and_then(|text| text.parse().ok()), kind })
    }

    fn wants(&self, kind: &str) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
    }

    /// A user or domain: without regard to case.
    fn names(&self, name: &str) -> bool {
        self.subject.is_none_or(|subject| subject.eq_ignore_ascii_case(name))
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.subject, &self.block) {
            (None, _) => true,
            (Some(_), Some(block)) => block.contains(address),
            _ => false,
        }
    }

    /// The client network of a triplet or client.
    fn meets(&self, net: IpAddr) -> bool {
        self.holds(net) || self.block.is_some_and(|block| network(block.address) == net)
    }

    fn matches(&self, key: &Key) -> bool {
        self.wants(key.kind())
            && match key {
                Key::Address(address) => self.meets_address(*address),
                Key::Network(net) => self.holds(*net),
                Key::User(name) => self.names(name),
                Key::Domain(_) => self.names(&key.to_string()),
            }
    }

    /// An IPv6 client is counted by its /64.
    fn meets_address(&self, address: IpAddr) -> bool {
        self.holds(address) || address.is_ipv6() && self.meets(address)
    }

    fn matches_triplet(&self, triplet: &str) -> bool {
        if !self.wants("grey") {
            return false;
        }
        let Some((net, sender, recipient)) = parts(triplet) else { return false };
        let net = net.split('/').next().and_then(|address| address.parse().ok());
        self.names(&sender) || self.names(&recipient) || net.is_some_and(|net| self.meets(net))
    }

    /// The keys that the subject names, whether they are counted or not.
    fn keys(&self) -> Vec<Key> {
        let Some(subject) = self.subject else { return Vec::new() };
        let lower = subject.to_lowercase();
        let address = subject.parse().ok().map(Key::address);
        let all = [address, Key::parse("network", subject), Key::parse("domain", &lower), Some(Key::user(&lower))];
        all.into_iter().flatten().filter(|key| self.wants(key.kind())).collect()
    }
}

fn parts(triplet: &str) -> Option<(&str, String, String)> {
    let mut words = triplet.split(' ');
    Some((words.next()?, unescape(words.next()?)?, unescape(words.next()?)?))
}

/// The rows that are asked for, the largest counts first, then the latest. `wall`: Unix seconds.
pub fn rows(asked: &Asked<'_>, most: u32, table: &mut Table, memory: &Memory, now: Duration, wall: u64) -> Vec<RateRow> {
    let when = |seconds: u64| wall_of(seconds, now, wall);
    let counted = table.rows(now).filter(|(key, sums, _)| sums.iter().any(|sum| *sum > 0) && asked.matches(key));
    let mut rows: Vec<RateRow> = counted.map(|(key, sums, last)| counts(key, sums, when(u64::from(last)))).collect();
    for key in asked.keys() {
        if let Some(sums) = table.estimates(&key, now).filter(|sums| sums.iter().any(|sum| *sum > 0)) {
            rows.push(RateRow { state: "estimated".to_owned(), ..counts(&key, sums, 0) });
        }
    }
    rows.extend(grey(asked, memory, when));
    rows.extend(passed(asked, memory, when));
    rows.sort_by_cached_key(|row| std::cmp::Reverse((weight(row), row.last)));
    rows.truncate(usize::try_from(most).unwrap_or(MOST).min(MOST));
    rows
}

fn weight(row: &RateRow) -> u64 {
    [row.connections, row.messages, row.recipients, row.failed_authentications, row.aborts, row.excesses].iter().sum()
}

fn counts(key: &Key, sums: [u64; 6], last: u64) -> RateRow {
    let [connections, messages, recipients, failed_authentications, aborts, excesses] = sums;
    RateRow {
        kind: key.kind().to_owned(),
        subject: key.to_string(),
        connections,
        messages,
        recipients,
        failed_authentications,
        aborts,
        excesses,
        last,
        state: String::new(),
    }
}

fn grey(asked: &Asked<'_>, memory: &Memory, when: impl Fn(u64) -> u64) -> Vec<RateRow> {
    let row = |(triplet, seen): (&std::sync::Arc<str>, &Seen), state: &str| {
        let (net, sender, recipient) = parts(triplet)?;
        let subject = format!("{net} <{sender}> <{recipient}>");
        Some(RateRow { kind: "grey".to_owned(), subject, last: when(seen.last), state: state.to_owned(), ..RateRow::default() })
    };
    let mine = |(triplet, _): &(&std::sync::Arc<str>, &Seen)| asked.matches_triplet(triplet);
    let waiting = memory.waiting.iter().filter(mine).filter_map(|one| row(one, "waiting"));
    waiting.chain(memory.passed.iter().filter(mine).filter_map(|one| row(one, "passed"))).collect()
}

fn passed(asked: &Asked<'_>, memory: &Memory, when: impl Fn(u64) -> u64) -> Vec<RateRow> {
    let row = |subject: String, messages: u64, last: u64, state: &str| RateRow {
        kind: "passed".to_owned(),
        subject,
        messages,
        last: when(last),
        state: state.to_owned(),
        ..RateRow::default()
    };
    if !asked.wants("passed") {
        return Vec::new();
    }
    let clients = memory.clients.iter().filter(|(net, _)| asked.meets(**net));
    let clients = clients.map(|(net, client)| row(block(*net), u64::from(client.passes), client.last, "greylisting"));
    let met = memory.met.iter().filter(|(key, _)| matches!(key, Key::Address(address) if asked.meets_address(*address)));
    clients.chain(met.map(|(key, last)| row(key.to_string(), 0, *last, "first contact"))).collect()
}

/// Forgets what is asked for; how much that was.
pub fn clear(asked: &Asked<'_>, table: &mut Table, memory: &mut Memory, now: Duration) -> usize {
    let mut keys: Vec<Key> = table.rows(now).filter(|(key, ..)| asked.matches(key)).map(|(key, ..)| key.clone()).collect();
    keys.extend(asked.keys().into_iter().filter(|key| table.estimates(key, now).is_some_and(|sums| sums.iter().any(|sum| *sum > 0))));
    if asked.subject.is_none() && asked.kind.is_none() {
        table.clear();
    } else {
        keys.iter().for_each(|key| table.forget(key));
    }
    let remembered = |memory: &Memory| memory.waiting.len() + memory.passed.len() + memory.clients.len() + memory.met.len();
    let before = remembered(memory);
    memory.waiting.retain(|triplet, _| !asked.matches_triplet(triplet));
    memory.passed.retain(|triplet, _| !asked.matches_triplet(triplet));
    if asked.wants("passed") {
        memory.clients.retain(|net, _| !asked.meets(*net));
        memory.met.retain(|key, _| !matches!(key, Key::Address(address) if asked.meets_address(*address)));
    }
    keys.len() + before - remembered(memory)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use ipc::rates::{Event, Kind, Triplet};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn filled() -> (Table, Memory) {
        let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n";
        let settings = settings::parse(text, "t").unwrap();
        let mut table = Table::new(at(3600), 8, 1000, 1024);
        for (address, user, count) in [("192.0.2.1", "joe@x.example", 3), ("192.0.2.2", "ann", 5), ("2001:db8::9", "ann", 1)] {
            let event = Event {
                user: Some(user.to_owned()),
                domain: Some("x.example".to_owned()),
                ..Event::of(address.parse().unwrap(), Kind::Message, count)
            };
            Key::all(&event).for_each(|key| {
                table.add(&key, event.kind, count, at(1000));
            });
        }
        let mut memory = Memory::new(&settings.greylist, at(86_400), 100);
        let triplet = |n: u32, sender: &str| Triplet {
            address: format!("192.0.{n}.1").parse().unwrap(),
            sender: sender.to_owned(),
            recipient: "b@y.example".to_owned(),
        };
        memory.judge(&triplet(2, "a@x.example"), at(1000));
        memory.judge(&triplet(3, ""), at(100));
        memory.judge(&triplet(3, ""), at(900));
        memory.meet("198.51.100.1".parse().unwrap(), at(1000));
        (table, memory)
    }

    fn ask(subject: Option<&str>, kind: Option<&str>) -> RateQuery {
        RateQuery { subject: subject.map(str::to_owned), kind: kind.map(str::to_owned), most: 100 }
    }

    fn shown(query: &RateQuery) -> Vec<String> {
        let (mut table, memory) = filled();
        let rows = rows(&Asked::of(query).unwrap(), query.most, &mut table, &memory, at(1000), 5000);
        rows.into_iter().map(|row| format!("{} {} {} {}", row.kind, row.subject, row.messages, row.state).trim().to_owned()).collect()
    }

    #[test]
    fn the_largest_come_first() {
        let all = shown(&ask(None, None));
        assert_eq!(all[..3], ["domain @x.example 9", "network 192.0.2.0/24 8", "user ann 6"]);
        assert_eq!(all.len(), 1 + 2 + 2 + 3 + 2 + 2);
        assert_eq!(shown(&RateQuery { most: 1, ..ask(None, None) }).len(), 1);
        assert!(Asked::of(&ask(None, Some("planet"))).unwrap_err().contains("planet"));
    }

    #[test]
    fn subjects_select() {
        assert_eq!(shown(&ask(Some("192.0.2.2"), Some("address"))), ["address 192.0.2.2 5"]);
        assert_eq!(shown(&ask(Some("192.0.2.0/24"), Some("address"))), ["address 192.0.2.2 5", "address 192.0.2.1 3"]);
        assert_eq!(shown(&ask(Some("192.0.2.0/24"), Some("network"))), ["network 192.0.2.0/24 8"]);
        assert_eq!(shown(&ask(Some("2001:db8::77"), Some("address"))), ["address 2001:db8:: 1"]);
        assert_eq!(shown(&ask(Some("ANN"), None)), ["user ann 6"]);
        assert_eq!(shown(&ask(Some("@x.example"), None)), ["domain @x.example 9"]);
        assert_eq!(shown(&ask(Some("a@x.example"), None)), ["grey 192.0.2.0/24 <a@x.example> <b@y.example> 0 waiting"]);
        assert_eq!(shown(&ask(None, Some("grey"))).len(), 2);
        assert_eq!(shown(&ask(Some("192.0.3.1"), Some("passed"))), ["passed 192.0.3.0/24 1 greylisting"]);
        assert_eq!(shown(&ask(Some("198.51.100.1"), None)), ["passed 198.51.100.1 0 first contact"]);
    }

    #[test]
    fn what_is_cleared_is_gone() {
        let (mut table, mut memory) = filled();
        let cleared =
            |query: &RateQuery, table: &mut Table, memory: &mut Memory| clear(&Asked::of(query).unwrap(), table, memory, at(1000));
        assert_eq!(cleared(&ask(Some("192.0.2.1"), Some("address")), &mut table, &mut memory), 1);
        assert_eq!(table.sum(&Key::address("192.0.2.1".parse().unwrap()), Kind::Message, at(1000)), 0);
        assert_eq!(table.sum(&Key::user("joe@x.example"), Kind::Message, at(1000)), 3);
        assert_eq!(cleared(&ask(None, Some("grey")), &mut table, &mut memory), 2);
        assert_eq!(cleared(&ask(Some("nobody"), None), &mut table, &mut memory), 0);
        cleared(&ask(None, None), &mut table, &mut memory);
        assert_eq!(rows(&Asked::of(&ask(None, None)).unwrap(), 100, &mut table, &memory, at(1000), 5000), []);
    }
}
