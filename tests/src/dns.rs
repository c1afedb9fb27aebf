//! A name server that answers what a test says, on a UDP port of loopback.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// Preference and host.
    Mx(u16, String),
    Txt(String),
}

/// Answers questions until dropped. A name without records exists, and has nothing of the kind asked for.
#[derive(Debug)]
pub struct NameServer {
    pub port: u16,
    stop: Arc<AtomicBool>,
    questions: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl NameServer {
    /// `records`: what a name (lower case, no final dot) has, of any kind; `None`: the name does not exist.
    pub fn start(records: impl Fn(&str) -> Option<Vec<Record>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (stop, questions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&questions));
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                counted.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&packet[..length], &records) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { port, stop, questions, thread: Some(thread) }
    }

    /// As the suite's `[dns]` section.
    pub fn section(&self) -> String {
        format!("[dns]\nservers = [\"127.0.0.1:{}\"]\n", self.port)
    }

    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// RFC 1035 section 4, as far as a resolver on loopback needs it.
fn answer(question: &[u8], records: &impl Fn(&str) -> Option<Vec<Record>>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels = Vec::new();
    while let Some(length) = question.get(at).copied().filter(|length| *length > 0) {
        let label = question.get(at + 1..at + 1 + usize::from(length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + usize::from(length);
    }
    let kind = u16::from_be_bytes(question.get(at + 1..at + 3)?.try_into().ok()?);
    let asked = question.get(12..at + 5)?;
    let found = records(&labels.join("."));
    let mut data = Vec::new();
    for record in found.iter().flatten() {
        let (number, bytes) = match record {
            Record::A(address) => (1, address.octets().to_vec()),
            Record::Aaaa(address) => (28, address.octets().to_vec()),
            Record::Mx(preference, host) => (15, [preference.to_be_bytes().to_vec(), name(host)].concat()),
            Record::Txt(text) => (16, [vec![u8::try_from(text.len()).ok()?], text.clone().into_bytes()].concat()),
        };
        if number == kind {
            data.push(bytes);
        }
    }
    let mut out = question.get(..2)?.to_vec();
    // An answer, with authority, recursion available; 3: no such name.
    out.extend_from_slice(&[0x85, if found.is_none() { 0x83 } else { 0x80 }]);
    out.extend_from_slice(&[0, 1, 0, u8::try_from(data.len()).ok()?, 0, 0, 0, 0]);
    out.extend_from_slice(asked);
    for bytes in data {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 1, 0]);
        out.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    Some(out)
}

fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}
