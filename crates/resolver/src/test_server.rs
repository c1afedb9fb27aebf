//! A small DNS server for tests, UDP and TCP on one loopback port, that counts what it is asked.

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

type Asked = Arc<Mutex<HashMap<(String, RecordType), usize>>>;

pub struct TestServer {
    pub address: SocketAddr,
    asked: Asked,
}

impl TestServer {
    pub fn start() -> Self {
        // The TCP port must be free as well as the UDP one.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let asked = Asked::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = reply(&buffer[..length], &counted) {
                    let bytes = reply.to_vec().unwrap();
                    let bytes = if bytes.len() > 1200 { reply.truncate().to_vec().unwrap() } else { bytes };
                    let _ = udp.send_to(&bytes, client);
                }
            }
        });
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut size = [0; 2];
                while stream.read_exact(&mut size).is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(size))];
                    stream.read_exact(&mut query).unwrap();
                    let Some(reply) = reply(&query, &counted) else { continue };
                    let bytes = reply.to_vec().unwrap();
                    let length = u16::try_from(bytes.len()).unwrap();
                    let _ = stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat());
                }
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self, name: &str, kind: RecordType) -> usize {
        self.asked.lock().unwrap().get(&(format!("{name}."), kind)).copied().unwrap_or(0)
    }
}

/// The zone: `None` is silence.
fn reply(query: &[u8], asked: &Asked) -> Option<Message> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let question_name = question.name().clone();
    let name = question_name.iter().map(String::from_utf8_lossy).fold(String::new(), |name, label| name + &label + ".").to_lowercase();
    let kind = question.query_type();
    *asked.lock().unwrap().entry((name.clone(), kind)).or_default() += 1;
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_available = true;
    reply.add_query(question);
    let data = match zone(name.trim_end_matches('.'), kind) {
        Zone::Silence => return None,
        Zone::Code(code) => {
            reply.metadata.response_code = code;
            vec![]
        }
        Zone::Data(data) => data,
    };
    let owner = question_name;
    if data.is_empty() && reply.metadata.response_code != ResponseCode::ServFail && !name.starts_with("bare") {
        let soa = SOA::new(Name::from_ascii("ns.example.").unwrap(), Name::from_ascii("root.example.").unwrap(), 1, 2, 3, 4, 60);
        reply.add_authority(Record::from_rdata(Name::from_ascii("example.").unwrap(), 60, RData::SOA(soa)));
    }
    for (holder, data) in data {
        let holder = if holder.is_empty() { owner.clone() } else { Name::from_ascii(holder).unwrap() };
        reply.add_answer(Record::from_rdata(holder, 300, data));
    }
    Some(reply)
}

enum Zone {
    Silence,
    Code(ResponseCode),
    /// Owner (empty: the question's name) and data.
    Data(Vec<(String, RData)>),
}

fn mx(preference: u16, host: &str) -> (String, RData) {
    (String::new(), RData::MX(MX::new(preference, Name::from_ascii(host).unwrap())))
}

fn cname(owner: &str, target: &str) -> (String, RData) {
    (owner.to_owned(), RData::CNAME(CNAME(Name::from_ascii(target).unwrap())))
}

fn zone(name: &str, kind: RecordType) -> Zone {
    let a = |last: u8| (String::new(), RData::A(A::new(10, 0, 0, last)));
    if let Some(data) = clients(name, kind) {
        return Zone::Data(data);
    }
    Zone::Data(match (name, kind) {
        ("nowhere.example" | "bare.nowhere.example", _) => return Zone::Code(ResponseCode::NXDomain),
        ("broken.example" | "mx.broken.example", _) => return Zone::Code(ResponseCode::ServFail),
        ("silent.example" | "1.0.0.10.silent.example", _) => return Zone::Silence,
        ("good.example", RecordType::MX) => vec![mx(20, "b.good.example."), mx(10, "a.good.example."), mx(5, "gone.good.example.")],
        ("a.good.example", RecordType::A) => vec![a(1)],
        ("a.good.example", RecordType::AAAA) => vec![(String::new(), RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))],
        ("b.good.example", RecordType::A) => vec![a(2)],
        ("gone.good.example", _) => return Zone::Code(ResponseCode::NXDomain),
        ("plain.example", RecordType::A) => vec![a(3)],
        ("null.example", RecordType::MX) => vec![mx(0, ".")],
        ("mixed.example", RecordType::MX) => vec![mx(0, "."), mx(10, "a.good.example.")],
        ("unusable.example", RecordType::MX) => {
            vec![mx(0, "."), (String::new(), RData::MX(MX::new(1, Name::from_labels([&b"a b"[..], b"example"]).unwrap())))]
        }
        ("unresolved.example", RecordType::MX) => vec![mx(0, "gone.good.example.")],
        ("halfdown.example", RecordType::MX) => vec![mx(0, "mx.broken.example."), mx(5, "a.good.example.")],
        ("down.example", RecordType::MX) => vec![mx(0, "mx.broken.example."), mx(5, "gone.good.example.")],
        ("alias.example", _) => vec![cname("", "plain.example.")],
        ("loop1.example", _) => vec![cname("", "loop2.example.")],
        ("loop2.example", _) => vec![cname("", "loop1.example.")],
        ("ring.example", _) => vec![cname("", "ring2.example."), cname("ring2.example.", "ring.example.")],
        ("many.example", RecordType::MX) => (0..1500).map(|n| mx(n, &format!("m{n}.x."))).collect(),
        ("wide.example", RecordType::A) => (0..200).map(a).collect(),
        ("text.example", RecordType::TXT) => vec![(String::new(), RData::TXT(TXT::new(vec!["one ".into(), "two".into()])))],
        ("1.0.0.10.in-addr.arpa", RecordType::PTR) => vec![(String::new(), RData::PTR(PTR(Name::from_ascii("A.good.example.").unwrap())))],
        (name, RecordType::A) if name.ends_with(".x") => vec![a(9)],
        _ => vec![],
    })
}

/// What is said of clients: names, lists, SPF.
fn clients(name: &str, kind: RecordType) -> Option<Vec<(String, RData)>> {
    let own = |data: RData| (String::new(), data);
    let code = |a, b, c, d| own(RData::A(A::new(a, b, c, d)));
    let text = |text: &str| own(RData::TXT(TXT::new(vec![text.into()])));
    let pointer = |host: &str| own(RData::PTR(PTR(Name::from_ascii(host).unwrap())));
    Some(match (name, kind) {
        ("7.0.0.10.in-addr.arpa", RecordType::PTR) => vec![pointer("liar.good.example."), pointer("many-homed.example.")],
        ("8.0.0.10.in-addr.arpa", RecordType::PTR) => vec![pointer("liar.good.example.")],
        ("9.0.0.10.in-addr.arpa", RecordType::PTR) => vec![pointer("mx.broken.example.")],
        ("11.0.0.10.in-addr.arpa", RecordType::PTR) => (0..40).map(|n| pointer(&format!("n{n}.flood.example."))).collect(),
        ("many-homed.example", RecordType::A) => vec![code(10, 0, 0, 6), code(10, 0, 0, 7)],
        ("liar.good.example", RecordType::A) => vec![code(192, 0, 2, 1)],
        ("1.0.0.10.bl.example" | "bad.example.bl.example", RecordType::A) => vec![code(127, 0, 0, 2), code(127, 0, 0, 10)],
        ("1.0.0.10.bl.example", RecordType::TXT) => vec![text(" listed,\n\u{1b}[2J see http://x/ ")],
        ("2.0.0.10.bl.example", RecordType::A) => vec![code(192, 0, 2, 1)],
        ("3.0.0.10.bl.example", RecordType::A) => vec![code(127, 255, 255, 254)],
        ("spf.example", RecordType::TXT) => vec![text("v=spf1 exists:%{l}._spf.%{d} exp=why.%{d} -all")],
        ("a+b=c._spf.spf.example", RecordType::A) => vec![code(127, 0, 0, 2)],
        ("why.spf.example", RecordType::TXT) => vec![text("%{i} may not")],
        ("slow.spf.example", RecordType::TXT) => vec![text("v=spf1 a:silent.example -all")],
        _ => return None,
    })
}
