//! From questions of the suite to answers, by several look-ups.

use crate::lookups::{Found, Key, Lookups};
use crate::records::{Exchange, Kind, MAX_ADDRESSES, Records};
use crate::{lists, sender_policy, verified};
use ipc::dns::{Answer, MailHost, MailHosts, Question, RecordKind, Trouble};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Hosts of an MX set whose addresses are looked up at a time.
const BATCH: usize = 10;
/// With so many hosts found no further ones are looked up: nobody tries that many, and a hostile domain must not make
/// us ask two hundred questions.
const ENOUGH_HOSTS: usize = 20;
/// Left of the deadline for telling what was found when some host's addresses did not come.
const MARGIN: Duration = Duration::from_millis(100);

/// Answers one question by the deadline.
pub async fn answer(lookups: &Rc<Lookups>, question: Question) -> Result<Answer, Trouble> {
    let deadline = Instant::now() + lookups.deadline();
    match question {
        Question::MailHosts { domain, validate } => {
            let search = Search { lookups, deadline, validate };
            search.mail_hosts(&name(&domain)?).await.map(Answer::MailHosts)
        }
        Question::Addresses { host } => {
            let search = Search { lookups, deadline, validate: false };
            search.addresses(&name(&host)?).await.map(|(addresses, _)| Answer::Addresses(addresses))
        }
        Question::Names { address } => match plain(lookups, reverse_name(address), Kind::Ptr, deadline).await? {
            Records::Names(names) if !names.is_empty() => Ok(Answer::Names(names)),
            _ => Err(Trouble::NoRecords),
        },
        Question::Text { name: asked } => match plain(lookups, name(&asked)?, Kind::Txt, deadline).await? {
            Records::Texts(texts) if !texts.is_empty() => Ok(Answer::Text(texts)),
            _ => Err(Trouble::NoRecords),
        },
        Question::Records { name: asked, kind } => {
            let key = Key { name: record_name(&asked, kind)?, kind: record_kind(kind), validate: false };
            records(Search { lookups, deadline, validate: false }.look_up(key).await)
        }
        Question::Tlsa { host, port } => {
            let server = name(&format!("_{port}._tcp.{}", name(&host)?))?;
            let (records, secure) = Search { lookups, deadline, validate: true }.find(&server, Kind::Tlsa).await;
            match records? {
                Records::Tlsa(list) if secure && !list.is_empty() => Ok(Answer::Tlsa(list)),
                _ => Err(Trouble::NoRecords),
            }
        }
        Question::VerifiedNames { address } => {
            verified::names(&Search { lookups, deadline, validate: false }, address).await.map(Answer::Names)
        }
        Question::List { zone, subject } => {
            lists::list(&Search { lookups, deadline, validate: false }, &zone, &subject).await.map(Answer::Listed)
        }
        Question::Spf { address, hello, sender } => {
            let deadline = deadline.max(Instant::now() + sender_policy::LONGEST);
            Ok(Answer::Spf(sender_policy::check(&Search { lookups, deadline, validate: false }, address, &hello, sender).await))
        }
    }
}

/// The normal form of a name that DNS can be asked for.
pub fn name(asked: &str) -> Result<String, Trouble> {
    let name = address::normalise(asked).map_err(|_| Trouble::Invalid)?;
    if address::is_literal(&name) || name.len() > 253 { Err(Trouble::Invalid) } else { Ok(name) }
}

/// As texts, and for how long they hold.
fn records(found: Found) -> Result<Answer, Trouble> {
    let texts = match found.records {
        Ok(records) => Records::clone(&records).texts(),
        Err(Trouble::NoSuchName | Trouble::NoRecords) => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    Ok(Answer::Records { texts, ttl: found.fresh_until.saturating_duration_since(std::time::Instant::now()) })
}

const fn record_kind(kind: RecordKind) -> Kind {
    match kind {
        RecordKind::A => Kind::A,
        RecordKind::Aaaa => Kind::Aaaa,
        RecordKind::Cname => Kind::Cname,
        RecordKind::Mx => Kind::Mx,
        RecordKind::Ptr => Kind::Ptr,
        RecordKind::Txt => Kind::Txt,
    }
}

fn record_name(asked: &str, kind: RecordKind) -> Result<String, Trouble> {
    match asked.parse() {
        Ok(address) if kind == RecordKind::Ptr => Ok(reverse_name(address)),
        _ => name(asked),
    }
}

async fn plain(lookups: &Rc<Lookups>, name: String, kind: Kind, deadline: Instant) -> Result<Records, Trouble> {
    Search { lookups, deadline, validate: false }.find(&name, kind).await.0
}

/// One question's look-ups.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    pub lookups: &'a Rc<Lookups>,
    pub deadline: Instant,
    pub validate: bool,
}

impl Search<'_> {
    /// The records, and whether DNSSEC proves them (or that there are none).
    pub async fn find(&self, name: &str, kind: Kind) -> (Result<Records, Trouble>, bool) {
        let Found { records, secure, .. } = self.look_up(Key { name: name.to_owned(), kind, validate: self.validate }).await;
        (records.map(|records| Records::clone(&records)), secure)
    }

    async fn look_up(&self, key: Key) -> Found {
        let name = key.name.clone();
        let found = timeout_at(self.deadline, self.lookups.find(key)).await;
        found.unwrap_or_else(|_| Found::trouble(&format!("no answer from DNS in time for {name}")))
    }

    async fn mail_hosts(&self, domain: &str) -> Result<MailHosts, Trouble> {
        let (found, secure) = self.find(domain, Kind::Mx).await;
        let list = match found {
            Ok(Records::Exchanges(list)) => list,
            Ok(_) | Err(Trouble::NoRecords) => return self.implicit(domain, secure).await,
            Err(trouble) => return Err(trouble),
        };
        if matches!(list.as_slice(), [Exchange { host: None, .. }]) {
            return Err(Trouble::NullMx);
        }
        let mut hosts: Vec<MailHost> = list
            .into_iter()
            .filter_map(|e| e.host.map(|name| MailHost { preference: e.preference, name, addresses: Vec::new(), secure: false }))
            .collect();
        if hosts.is_empty() {
            // There are MX records, so the domain's own address must not be used (RFC 5321 section 5.1).
            return Err(Trouble::Temporary(format!("no usable host name in the MX records of {domain}")));
        }
        shuffle_equals(&mut hosts);
        Ok(MailHosts { hosts: self.with_addresses(hosts).await?, secure })
    }

    /// A domain without MX is its own mail host. `secure`: that there is none is proven. Servers whose AD bit we believe
    /// say nothing with an absence, but who proves the addresses of this very name would not let its MX pass unproven.
    async fn implicit(&self, domain: &str, secure: bool) -> Result<MailHosts, Trouble> {
        match self.addresses(domain).await {
            Ok((addresses, proven)) => {
                let host = MailHost { preference: 0, name: domain.to_owned(), addresses, secure: proven };
                Ok(MailHosts { hosts: vec![host], secure: secure || proven })
            }
            // The name exists: its MX question said so.
            Err(Trouble::NoSuchName) => Err(Trouble::NoRecords),
            Err(trouble) => Err(trouble),
        }
    }

    /// Looks the hosts' addresses up, best ones first, until there are enough. Hosts without any are left out, unless
    /// none has one; a temporary failure counts only then.
    async fn with_addresses(&self, mut hosts: Vec<MailHost>) -> Result<Vec<MailHost>, Trouble> {
        let mut temporary = None;
        let mut found = 0;
        for batch in hosts.chunks_mut(BATCH) {
            if found >= ENOUGH_HOSTS {
                break;
            }
            let asked: Vec<_> = batch
                .iter()
                .map(|host| {
                    let (lookups, name) = (Rc::clone(self.lookups), host.name.clone());
                    let (deadline, validate) = (self.deadline - MARGIN, self.validate);
                    tokio::task::spawn_local(async move { Search { lookups: &lookups, deadline, validate }.addresses(&name).await })
                })
                .collect();
            for (host, asked) in batch.iter_mut().zip(asked) {
                match asked.await {
                    Ok(Ok((addresses, proven))) => (host.addresses, host.secure) = (addresses, proven),
                    Ok(Err(Trouble::Temporary(text))) => temporary = temporary.or(Some(text)),
                    Ok(Err(_)) | Err(_) => {}
                }
                found += usize::from(!host.addresses.is_empty());
            }
        }
        match temporary {
            Some(text) if found == 0 => Err(Trouble::Temporary(text)),
            _ => {
                hosts.retain(|host| found == 0 || !host.addresses.is_empty());
                hosts.truncate(ENOUGH_HOSTS);
                Ok(hosts)
            }
        }
    }

    /// IPv4 and IPv6 addresses of a host, both asked at once, and whether all that are given are proven. One kind is
    /// enough.
    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, bool), Trouble> {
        let ((v4, secure4), (v6, secure6)) = tokio::join!(self.find(host, Kind::A), self.find(host, Kind::Aaaa));
        let (v4, trouble4) = listed(v4);
        let (v6, trouble6) = listed(v6);
        let secure = (v4.is_empty() || secure4) && (v6.is_empty() || secure6);
        // Neither kind may push the other out.
        let room = MAX_ADDRESSES - v6.len().min(MAX_ADDRESSES / 2);
        let all: Vec<IpAddr> = v4.into_iter().take(room).chain(v6).take(MAX_ADDRESSES).collect();
        if !all.is_empty() {
            return Ok((all, secure));
        }
        Err(match (trouble4, trouble6) {
            (Trouble::Temporary(text), _) | (_, Trouble::Temporary(text)) => Trouble::Temporary(text),
            (Trouble::NoSuchName, Trouble::NoSuchName) => Trouble::NoSuchName,
            _ => Trouble::NoRecords,
        })
    }
}

fn listed(found: Result<Records, Trouble>) -> (Vec<IpAddr>, Trouble) {
    match found {
        Ok(Records::Addresses(list)) => (list, Trouble::NoRecords),
        Ok(_) => (Vec::new(), Trouble::NoRecords),
        Err(trouble) => (Vec::new(), trouble),
    }
}

/// Spreads the load over hosts of equal preference (RFC 5321 section 5.1). The list is sorted by preference.
fn shuffle_equals(hosts: &mut [MailHost]) {
    let random = RandomState::new();
    hosts.sort_by_cached_key(|host| (host.preference, random.hash_one(&host.name)));
}

/// `4.3.2.1.in-addr.arpa`, or the 32 nibbles of `ip6.arpa` (RFC 3596 section 2.5).
pub fn reverse_name(address: IpAddr) -> String {
    let zone = if address.to_canonical().is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    format!("{}.{zone}", reverse_labels(address))
}

/// The octets or nibbles of an address from the last to the first.
pub fn reverse_labels(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let nibbles: Vec<String> = v6.octets().iter().rev().map(|byte| format!("{:x}.{:x}", byte & 15, byte >> 4)).collect();
            nibbles.join(".")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert_eq!(reverse_name("::ffff:192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        let v6 = reverse_name("2001:db8::567:89ab".parse().unwrap());
        assert_eq!(v6, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    }

    #[test]
    fn names_that_cannot_be_asked() {
        for bad in ["", ".", "a b", "[127.0.0.1]", "a..b", &"a.".repeat(128)] {
            assert_eq!(name(bad), Err(Trouble::Invalid), "{bad}");
        }
        assert_eq!(name("_dmarc.Example.org."), Ok("_dmarc.example.org".into()));
    }

    #[test]
    fn only_equals_are_shuffled() {
        let host = |preference: u16, n: u16| MailHost { preference, name: format!("mx{n}.example"), addresses: vec![], secure: false };
        let mut firsts = std::collections::HashSet::new();
        for _ in 0..200 {
            let mut hosts: Vec<MailHost> = vec![host(0, 0), host(10, 1), host(10, 2), host(20, 3)];
            shuffle_equals(&mut hosts);
            assert!(hosts.is_sorted_by_key(|h| h.preference));
            firsts.insert(hosts[1].name.clone());
        }
        assert_eq!(firsts.len(), 2);
    }
}
