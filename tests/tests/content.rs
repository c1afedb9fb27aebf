//! Content arrives byte for byte: 2,000 messages of 0 B to 20 MB, with long lines, dots and 8-bit.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, files, wait_until};
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// A small generator of our own: the same messages in every run.
struct Random(u64);
impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Body lines with LF, no CR and no NUL.
fn body(random: &mut Random, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size + 4000);
    while body.len() < size {
        let length = match random.next(20) {
            0 => 0,
            1 => 998,
            2 => 3900,
            n => n * 4,
        };
        match random.next(6) {
            0 => body.extend_from_slice(b"."),
            1 => body.extend_from_slice(b".."),
            2 => body.extend_from_slice(b"From "),
            _ => {}
        }
        for _ in 0..length {
            let byte = u8::try_from(1 + random.next(255)).unwrap();
            body.push(if byte == b'\r' || byte == b'\n' { 0xe9 } else { byte });
        }
        body.push(b'\n');
    }
    body
}

/// As the wire wants it: CRLF, dots doubled.
fn wire(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 1000);
    for line in content.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn size(number: u64, random: &mut Random) -> usize {
    match number {
        0 => 0,
        1 | 2 => 20_000_000,
        3..=6 => 1_000_000,
        7..=20 => 300_000,
        _ => usize::try_from(random.next(12_000)).unwrap(),
    }
}

/// The content from its Subject line on, as it was sent.
fn from_subject(message: &[u8]) -> &[u8] {
    let at = message.windows(9).position(|w| w == b"Subject: ").unwrap_or(message.len());
    &message[at..]
}

#[test]
fn two_thousand_messages_arrive_byte_exact_in_maildir_and_at_the_sink() {
    let sink = Sink::start();
    // Scans all the while, so that every message is met by some of them, in whatever state it is.
    let suite = Suite::builder()
        .with("[queue]\ntransport_scan = \"500ms\"\nrouter_scan = \"100ms\"")
        .with(&format!("[[route]]\ndomain = \"sink.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", sink.port))
        .with_maildirs()
        .start();
    let port = suite.port;
    let total = 2000u64;
    let sent: HashMap<u64, Vec<u8>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                scope.spawn(move || {
                    let mut sent = HashMap::new();
                    let (mut session, _) = Session::open(port).unwrap();
                    session.command("EHLO me.example").unwrap();
                    for number in (worker..total).step_by(4) {
                        let mut random = Random(number * 7919 + 17);
                        let size = size(number, &mut random);
                        let mut content = format!("Subject: {number}\n\n").into_bytes();
                        content.extend(body(&mut random, size));
                        let to = ["mona@local.example", "nils@sink.example"];
                        let (code, text) = session.message("x@sender.example", &to, &wire(&content)).unwrap();
                        assert_eq!(code, 250, "{text}");
                        sent.insert(number, content);
                    }
                    session.command("QUIT").unwrap();
                    sent
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    let new = suite.path("mail/mona/new");
    // A message that comes twice must not make us wait for ever.
    wait_until("all are in the Maildir", Duration::from_secs(300), || files(&new).len() >= 2000);
    suite.wait_drained(LONG);
    let mut seen: HashMap<(&str, u64), Vec<String>> = HashMap::new();
    let mut check = |message: &[u8], place: &'static str, from: &str| {
        let got = from_subject(message);
        let number: u64 = String::from_utf8_lossy(&got[9..got.len().min(20)]).lines().next().unwrap().trim().parse().unwrap();
        let want = &sent[&number];
        assert!(got == &want[..], "message {number} differs in {place} ({} bytes sent, {} got)", want.len(), got.len());
        let head = String::from_utf8_lossy(&message[..message.len() - got.len()]).into_owned();
        seen.entry((place, number)).or_default().push(format!("{from}:\n{head}"));
    };
    for name in files(&new) {
        check(&fs::read(new.join(&name)).unwrap(), "maildir", &name);
    }
    for (at, message) in sink.messages().into_iter().enumerate() {
        // smtp-sink ends each message of its dump with an empty line of its own.
        let message = message.strip_suffix(b"\n").unwrap_or(&message);
        check(message, "sink", &format!("no. {at}"));
    }
    for place in ["maildir", "sink"] {
        for number in 0..total {
            let copies = seen.get(&(place, number)).map_or(&[][..], Vec::as_slice);
            if copies.len() != 1 {
                let log = suite.log();
                let lines: Vec<&str> = log.lines().filter(|line| ids(copies).any(|id| line.contains(id))).collect();
                panic!("message {number} is {} times in {place}:\n{}\n{}", copies.len(), copies.concat(), lines.join("\n"));
            }
        }
    }
}

/// The ids of the suite that the Received fields of these heads name.
fn ids(heads: &[String]) -> impl Iterator<Item = &str> {
    let words = heads.iter().flat_map(|head| head.split_whitespace().zip(head.split_whitespace().skip(1)));
    words.filter(|(before, _)| *before == "id").map(|(_, id)| id.trim_end_matches(';'))
}
