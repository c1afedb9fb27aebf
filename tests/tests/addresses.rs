//! Next hops some of whose addresses do not answer: the others are tried beside them.

use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::{LONG, Suite, free_port, wait_until};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn send(suite: &Suite, to: &str) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    assert_eq!(session.command("EHLO client.example").unwrap().0, 250);
    let (code, text) = session.message("sender@near.example", &[to], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
}

/// Listens at an address, and does not answer: its backlog is full.
struct Silent {
    listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl Silent {
    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            waiting.push(stream);
        }
        Self { listener, waiting }
    }

    /// Takes what has waited, and then everybody, as an SMTP server that takes everything.
    fn answer(self) {
        drop(self.waiting);
        std::thread::spawn(move || {
            for stream in self.listener.incoming().flatten() {
                std::thread::spawn(move || take_everything(stream));
            }
        });
    }
}

fn take_everything(mut stream: TcpStream) -> Option<()> {
    stream.write_all(b"220 mx\r\n").ok()?;
    let (mut reader, mut content) = (BufReader::new(stream.try_clone().ok()?), false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let reply: &[u8] = match line.trim_end() {
            line if content && line != "." => continue,
            "DATA" => b"354 go\r\n",
            _ => b"250 2.0.0 taken\r\n",
        };
        content = line.trim_end() == "DATA";
        stream.write_all(reply).ok()?;
    }
}

const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const FOUR: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];

/// Whether this machine has ::1; says so where it has not.
fn six_is_there() -> bool {
    let there = TcpListener::bind((SIX, 0)).is_ok();
    if !there {
        eprintln!("SKIPPED: needs the address ::1");
    }
    there
}

/// `mx.far.example` has ::1, 127.0.0.1 and 127.0.0.2, tried in this order, all at `port`. A connection that is waited for to the
/// end would last longer than the test.
fn with_three_addresses(port: u16) -> (NameServer, Suite) {
    let names = NameServer::start(|name| match name {
        "far.example" => Some(vec![Record::Mx(10, "mx.far.example".to_owned())]),
        "mx.far.example" => Some(vec![Record::Aaaa(Ipv6Addr::LOCALHOST), Record::A(FOUR[0]), Record::A(FOUR[1])]),
        _ => None,
    });
    let client = format!("[client]\nport = {port}\nconnect_timeout = \"1h\"\nconnect_stagger = \"50ms\"\n");
    let suite = Suite::builder().with(&names.section()).with(&client).start();
    (names, suite)
}

/// Connections of ours to this port that are not made yet.
fn pending(port: u16) -> usize {
    let count = |table: &str| {
        let text = fs::read_to_string(table).unwrap_or_default();
        let asks = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(2).is_some_and(|remote| remote.ends_with(&format!(":{port:04X}"))) && fields.get(3) == Some(&"02")
        };
        text.lines().filter(asks).count()
    };
    count("/proc/net/tcp") + count("/proc/net/tcp6")
}

#[test]
fn the_next_address_is_tried_beside_one_that_does_not_answer() {
    if !six_is_there() {
        return;
    }
    let port = free_port();
    let silent = [Silent::at((SIX, port).into()), Silent::at((FOUR[0], port).into())];
    Silent::at((FOUR[1], port).into()).answer();
    let (_names, suite) = with_three_addresses(port);
    send(&suite, "r@far.example");
    let line = suite.wait_for("delivered", "r@far.example");
    assert!(line.contains("mx.far.example [127.0.0.2]"), "{line}");
    assert_eq!(suite.counter("ta-smtp", "connections"), 3);
    assert!(suite.processes_below().len() > 3, "ta-smtp lives");
    assert_eq!(pending(port), 0, "the losers are closed");
    assert!(suite.lines("deferred", "r@far.example").is_empty());
    // The session that won is an ordinary one.
    send(&suite, "s@far.example");
    suite.wait_for("delivered", "s@far.example");
    assert_eq!((suite.counter("ta-smtp", "connections"), suite.counter("ta-smtp", "reused")), (3, 1));
    drop(silent);
}

#[test]
fn the_first_attempt_fails_while_the_others_wait() {
    if !six_is_there() {
        return;
    }
    let port = free_port();
    let [first, second, third] = [SIX, FOUR[0].into(), FOUR[1].into()].map(|ip| Silent::at((ip, port).into()));
    let (_names, suite) = with_three_addresses(port);
    send(&suite, "r@far.example");
    wait_until("three attempts at a time", LONG, || pending(port) == 3);
    drop(first);
    wait_until("the first is refused", LONG, || suite.counter("ta-smtp", "connect_failures") == 1);
    drop(third);
    wait_until("the third is refused", LONG, || suite.counter("ta-smtp", "connect_failures") == 2);
    assert_eq!(pending(port), 1);
    second.answer();
    let line = suite.wait_for("delivered", "r@far.example");
    assert!(line.contains("mx.far.example [127.0.0.1]"), "{line}");
    assert_eq!((suite.counter("ta-smtp", "connections"), suite.spooled()), (3, 0));
}
