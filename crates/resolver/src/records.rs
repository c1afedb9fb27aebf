//! Records as the suite uses them: counted, cut to limits, every name checked.

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use ipc::dns::Tlsa;
use std::net::IpAddr;

/// MX records of a domain at most; the most preferred stay.
pub const MAX_EXCHANGES: usize = 100;
/// Addresses of one kind, and names of an address, at most.
pub const MAX_ADDRESSES: usize = 20;
/// TXT records at most, bytes of one and of all together.
const MAX_TEXTS: usize = 100;
const MAX_TEXT: usize = 4096;
const MAX_ALL_TEXT: usize = 64 * 1024;
/// TLSA records of a server at most, and bytes of all their data: less than a frame to the asker holds.
const MAX_TLSA: usize = 100;
const MAX_ALL_TLSA: usize = 64 * 1024;

/// The record types asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Mx,
    A,
    Aaaa,
    Ptr,
    Txt,
    Tlsa,
    Cname,
}

impl Kind {
    pub const fn record_type(self) -> RecordType {
        match self {
            Self::Mx => RecordType::MX,
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Ptr => RecordType::PTR,
            Self::Txt => RecordType::TXT,
            Self::Tlsa => RecordType::TLSA,
            Self::Cname => RecordType::CNAME,
        }
    }
}

/// The checked records of one name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    Exchanges(Vec<Exchange>),
    Addresses(Vec<IpAddr>),
    Names(Vec<String>),
    Texts(Vec<String>),
    Tlsa(Vec<Tlsa>),
}

/// An MX record. `None`: the root, "no mail here" (RFC 7505).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub preference: u16,
    pub host: Option<String>,
}

impl Records {
    /// Takes the records of a kind out of an answer (which holds CNAMEs and anything else as well). The flag says
    /// whether a limit cut something off. Records with impossible names are left out.
    pub fn read(kind: Kind, answers: &[Record]) -> (Self, bool) {
        let data = answers.iter().map(|record| &record.data);
        match kind {
            Kind::Mx => exchanges(data),
            Kind::A | Kind::Aaaa => limited(Self::Addresses, MAX_ADDRESSES, data.filter_map(|data| address(kind, data))),
            Kind::Ptr => limited(Self::Names, MAX_ADDRESSES, data.filter_map(pointer)),
            Kind::Txt => texts(data),
            Kind::Tlsa => tlsa(data),
            Kind::Cname => limited(Self::Names, MAX_ADDRESSES, data.filter_map(alias)),
        }
    }

    /// Each record as a line of text.
    pub fn texts(self) -> Vec<String> {
        match self {
            Self::Exchanges(list) => {
                list.into_iter().map(|e| format!("{} {}", e.preference, e.host.unwrap_or_else(|| ".".to_owned()))).collect()
            }
            Self::Addresses(list) => list.iter().map(ToString::to_string).collect(),
            Self::Names(list) | Self::Texts(list) => list,
            Self::Tlsa(_) => Vec::new(),
        }
    }

    /// Bytes, about.
    pub fn weight(&self) -> usize {
        match self {
            Self::Exchanges(list) => list.iter().map(|e| 40 + e.host.as_ref().map_or(0, String::len)).sum(),
            Self::Addresses(list) => list.len() * 20,
            Self::Names(list) | Self::Texts(list) => list.iter().map(|t| 24 + t.len()).sum(),
            Self::Tlsa(list) => list.iter().map(|t| 32 + t.data.len()).sum(),
        }
    }
}

fn limited<T>(make: impl Fn(Vec<T>) -> Records, most: usize, mut all: impl Iterator<Item = T>) -> (Records, bool) {
    let kept = all.by_ref().take(most).collect();
    (make(kept), all.next().is_some())
}

fn address(kind: Kind, data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) if kind == Kind::A => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) if kind == Kind::Aaaa => Some(IpAddr::V6(a.0)),
        _ => None,
    }
}

fn pointer(data: &RData) -> Option<String> {
    match data {
        RData::PTR(name) => host(&name.0),
        _ => None,
    }
}

fn alias(data: &RData) -> Option<String> {
    match data {
        RData::CNAME(name) => host(&name.0),
        _ => None,
    }
}

fn exchanges<'a>(data: impl Iterator<Item = &'a RData>) -> (Records, bool) {
    let all: Vec<_> = data.filter_map(|data| if let RData::MX(mx) = data { Some(mx) } else { None }).collect();
    if let [only] = all.as_slice()
        && only.exchange.is_root()
    {
        return (Records::Exchanges(vec![Exchange { preference: only.preference, host: None }]), false);
    }
    // Beside others the root means nothing, and is no host.
    let usable = all.iter().filter(|mx| !mx.exchange.is_root());
    let mut list: Vec<Exchange> =
        usable.filter_map(|mx| Some(Exchange { preference: mx.preference, host: Some(host(&mx.exchange)?) })).collect();
    list.sort_by_key(|exchange| exchange.preference);
    let over = list.len() > MAX_EXCHANGES;
    list.truncate(MAX_EXCHANGES);
    (Records::Exchanges(list), over)
}

fn texts<'a>(data: impl Iterator<Item = &'a RData>) -> (Records, bool) {
    let (mut list, mut bytes, mut over) = (Vec::new(), 0, false);
    for data in data {
        let RData::TXT(txt) = data else { continue };
        let text = txt.txt_data.concat();
        bytes += text.len();
        if text.len() > MAX_TEXT || bytes > MAX_ALL_TEXT || list.len() >= MAX_TEXTS {
            over = true;
            continue;
        }
        list.push(String::from_utf8_lossy(&text).into_owned());
    }
    (Records::Texts(list), over)
}

/// Whatever the three numbers and the data say: which of them can be used is the asker's to judge (RFC 7672 section 2.1.1).
fn tlsa<'a>(data: impl Iterator<Item = &'a RData>) -> (Records, bool) {
    let (mut list, mut bytes, mut over) = (Vec::new(), 0usize, false);
    for data in data {
        let RData::TLSA(record) = data else { continue };
        bytes = bytes.saturating_add(record.cert_data.len());
        if bytes > MAX_ALL_TLSA || list.len() >= MAX_TLSA {
            over = true;
            break;
        }
        list.push(Tlsa {
            usage: record.cert_usage.into(),
            selector: record.selector.into(),
            matching: record.matching.into(),
            data: record.cert_data.clone(),
        });
    }
    (Records::Tlsa(list), over)
}

/// A host name that can be one: the wire allows any byte in a label, a mail log and a Received field do not.
fn host(name: &Name) -> Option<String> {
    let text = name.to_ascii();
    address::normalise(&text).ok().filter(|host| host.len() <= 253 && !address::is_literal(host))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::{A, MX, PTR, TXT};

    fn record(data: RData) -> Record {
        Record::from_rdata(Name::root(), 1, data)
    }

    fn mx(preference: u16, exchange: Name) -> Record {
        record(RData::MX(MX::new(preference, exchange)))
    }

    #[test]
    fn the_most_preferred_exchanges_stay() {
        let answers: Vec<Record> = (0..1000u16).rev().map(|n| mx(n, Name::from_ascii(format!("mx{n}.example.")).unwrap())).collect();
        let (Records::Exchanges(list), true) = Records::read(Kind::Mx, &answers) else { panic!() };
        assert_eq!((list.len(), list[0].preference, list[99].preference), (100, 0, 99));
    }

    #[test]
    fn impossible_names_are_left_out() {
        let evil = Name::from_labels([&b"a\nb"[..], b"example"]).unwrap();
        let blank = Name::from_labels([&b"a b"[..]]).unwrap();
        let (records, over) =
            Records::read(Kind::Mx, &[mx(1, evil.clone()), mx(2, blank), mx(3, Name::root()), mx(4, Name::from_ascii("A.").unwrap())]);
        let expected = vec![Exchange { preference: 4, host: Some("a".into()) }];
        assert_eq!((records, over), (Records::Exchanges(expected), false));
        let (names, _) = Records::read(Kind::Ptr, &[record(RData::PTR(PTR(evil)))]);
        assert_eq!(names, Records::Names(vec![]));
    }

    #[test]
    fn only_a_lone_root_means_no_mail() {
        let null = Exchange { preference: 0, host: None };
        assert_eq!(Records::read(Kind::Mx, &[mx(0, Name::root())]).0, Records::Exchanges(vec![null]));
        let evil = Name::from_labels([&b"a b"[..]]).unwrap();
        assert_eq!(Records::read(Kind::Mx, &[mx(0, Name::root()), mx(1, evil)]).0, Records::Exchanges(vec![]));
    }

    #[test]
    fn other_types_do_not_count() {
        let a = record(RData::A(A::new(10, 0, 0, 1)));
        assert_eq!(Records::read(Kind::Aaaa, std::slice::from_ref(&a)).0, Records::Addresses(vec![]));
        assert_eq!(Records::read(Kind::A, &[a]).0, Records::Addresses(vec!["10.0.0.1".parse().unwrap()]));
    }

    #[test]
    fn tlsa_records_of_any_kind_and_no_flood() {
        use hickory_resolver::proto::rr::rdata::TLSA;
        let tlsa = |usage: u8, data: Vec<u8>| record(RData::TLSA(TLSA::new(usage.into(), 1.into(), 7.into(), data)));
        let (records, over) = Records::read(Kind::Tlsa, &[tlsa(3, vec![1; 32]), tlsa(200, vec![]), record(RData::A(A::new(10, 0, 0, 1)))]);
        let expected = [(3, vec![1; 32]), (200, vec![])].map(|(usage, data)| Tlsa { usage, selector: 1, matching: 7, data });
        assert_eq!((records, over), (Records::Tlsa(expected.to_vec()), false));
        let flood: Vec<Record> = (0..3000).map(|_| tlsa(3, vec![1; 32])).collect();
        assert!(matches!(Records::read(Kind::Tlsa, &flood), (Records::Tlsa(list), true) if list.len() == 100));
        let huge: Vec<Record> = (0..40).map(|_| tlsa(3, vec![1; 60_000])).collect();
        assert!(matches!(Records::read(Kind::Tlsa, &huge), (Records::Tlsa(list), true) if list.len() == 1));
    }

    #[test]
    fn texts_are_joined_and_bounded() {
        let joined = record(RData::TXT(TXT::new(vec!["v=spf1 ".into(), "-all".into()])));
        assert_eq!(Records::read(Kind::Txt, &[joined]).0, Records::Texts(vec!["v=spf1 -all".into()]));
        let long = record(RData::TXT(TXT::new(vec!["x".repeat(200); 30])));
        assert_eq!(Records::read(Kind::Txt, &[long]), (Records::Texts(vec![]), true));
    }
}
