//! A pool against services that answer, are slow, die, or talk nonsense, and against postgrey.

use crate::connection::Connection;
use crate::pool::{Outcome, Pool, Question};
use crate::protocol;
use daemon::Counters;
use mio::{Events, Poll, Token};
use settings::{Bind, PolicyService};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use subdaemon::Asker;

/// The loop around a pool.
struct Driver {
    poll: Poll,
    pool: Pool,
    next: usize,
    number: u64,
}

impl Driver {
    fn new(server: Bind, connections: usize, timeout: Duration) -> Self {
        let service = PolicyService { name: "test".into(), server, timeout, connections, states: vec!["rcpt".into()] };
        let pool = Pool::new(service, Counters::detached("delegate").unwrap());
        Self { poll: Poll::new().unwrap(), pool, next: 0, number: 0 }
    }

    fn put(&mut self, attributes: &[(&str, &str)]) -> u64 {
        let request = [("request", "smtpd_access_policy")];
        let list: Vec<(String, String)> = request.iter().chain(attributes).map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let (bytes, _) = protocol::question(&list).unwrap();
        self.number += 1;
        let now = Instant::now();
        let deadline = now + self.pool.service.timeout;
        self.pool.ask(Question { asker: Asker::numbered(1), number: self.number, bytes, deadline, again: false }, now);
        self.number
    }

    /// Turns the loop until there are so many outcomes.
    fn outcomes(&mut self, count: usize) -> Vec<Outcome> {
        let (mut outcomes, late) = (Vec::new(), Instant::now() + Duration::from_secs(30));
        let mut events = Events::with_capacity(64);
        loop {
            let now = Instant::now();
            let Self { poll, next, .. } = self;
            self.pool.work(now, &mut |service: &PolicyService| {
                *next += 1;
                Ok((Token(*next), Connection::socket(service, poll.registry(), Token(*next))?))
            });
            outcomes.extend(self.pool.take_outcomes());
            if outcomes.len() >= count {
                return outcomes;
            }
            assert!(now < late, "only {outcomes:?}");
            let sleep = self.pool.wake().map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now) + Duration::from_millis(1));
            self.poll.poll(&mut events, Some(sleep)).unwrap();
            for event in &events {
                self.pool.event(event.token(), Instant::now());
            }
        }
    }

    fn ask(&mut self, attributes: &[(&str, &str)]) -> Result<String, String> {
        self.put(attributes);
        self.outcomes(1).remove(0).2
    }
}

fn question(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\n\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).ok()
}

/// A service on a port of its own: `serve` has each connection, with its number.
fn service(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (count, serve) = (Arc::new(AtomicUsize::new(0)), Arc::new(serve));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (number, serve) = (counted.fetch_add(1, Ordering::SeqCst), Arc::clone(&serve));
            std::thread::spawn(move || serve(number, stream));
        }
    });
    (address, count)
}

fn answering(stream: &mut TcpStream, answer: &str) {
    while question(stream).is_some() {
        let _ = stream.write_all(answer.as_bytes());
    }
}

const PATIENT: Duration = Duration::from_secs(20);

#[test]
fn one_connection_serves_many_questions() {
    let (address, connections) = service(|_, mut stream| {
        while let Some(question) = question(&mut stream) {
            let sender = question.lines().find_map(|line| line.strip_prefix("sender=")).unwrap().to_owned();
            let _ = stream.write_all(format!("action=550 {sender}\n\n").as_bytes());
        }
    });
    let mut driver = Driver::new(Bind::Tcp(address), 10, PATIENT);
    for n in 0..20 {
        let sender = format!("s{n}@x");
        assert_eq!(driver.ask(&[("sender", &sender)]), Ok(format!("550 {sender}")));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn questions_at_once_use_several_connections_and_no_more_than_allowed() {
    let gate = Arc::new(std::sync::Barrier::new(3));
    let (address, connections) = service(move |_, mut stream| {
        while question(&mut stream).is_some() {
            // Three are asked at the same time, or nobody gets an answer.
            gate.wait();
            let _ = stream.write_all(b"action=DUNNO\n\n");
        }
    });
    let mut driver = Driver::new(Bind::Tcp(address), 3, PATIENT);
    for _ in 0..12 {
        driver.put(&[]);
    }
    let mut numbers: Vec<u64> = driver.outcomes(12).into_iter().map(|(_, number, action)| action.map(|_| number).unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[test]
fn a_connection_closed_for_idleness_is_made_anew() {
    let (address, connections) = service(|_, mut stream| {
        question(&mut stream);
        let _ = stream.write_all(b"action=OK\n\n");
    });
    let mut driver = Driver::new(Bind::Tcp(address), 4, PATIENT);
    for _ in 0..5 {
        assert_eq!(driver.ask(&[]), Ok("OK".into()));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

#[test]
fn garbage_is_an_error_and_then_the_service_is_left_alone() {
    for garbage in ["220 ESMTP\r\n\r\n", "\n", "action=OK\naction=OK\n\n", &"x".repeat(100_000), ""] {
        let text = garbage.to_owned();
        let (address, connections) = service(move |_, mut stream| {
            question(&mut stream);
            let _ = stream.write_all(text.as_bytes());
        });
        let mut driver = Driver::new(Bind::Tcp(address), 4, PATIENT);
        assert!(driver.ask(&[]).is_err(), "{garbage:.20}");
        let why = driver.ask(&[]).unwrap_err();
        assert!(why.contains("asked again in"), "{why}");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn words_after_an_answer_end_the_connection_and_are_no_answer() {
    let (address, _) = service(|_, mut stream| answering(&mut stream, "action=OK\n\naction=REJECT\n\n"));
    let mut driver = Driver::new(Bind::Tcp(address), 1, PATIENT);
    for _ in 0..3 {
        assert_eq!(driver.ask(&[]), Ok("OK".into()));
    }
}

#[test]
fn a_slow_service_fails_the_question_in_time() {
    let (address, _) = service(|_, mut stream| {
        let _ = question(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let mut driver = Driver::new(Bind::Tcp(address), 1, Duration::from_millis(200));
    driver.put(&[]);
    driver.put(&[]);
    let outcomes = driver.outcomes(2);
    assert!(outcomes.iter().all(|(.., action)| action.is_err()), "{outcomes:?}");
}

#[test]
fn a_service_that_was_away_is_asked_again_after_the_pause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy");
    let mut driver = Driver::new(Bind::Unix(path.clone()), 2, PATIENT);
    assert!(driver.ask(&[]).unwrap_err().contains("no connection"));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0; 1000];
            while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"action=DUNNO\n\n");
            }
        }
    });
    let begun = Instant::now();
    while let Err(why) = driver.ask(&[]) {
        assert!(why.contains("asked again in") && begun.elapsed() < PATIENT, "{why}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_caller_that_has_gone_is_not_asked_for() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let (address, _) = service(move |_, mut stream| {
        while question(&mut stream).is_some() {
            *counted.lock().unwrap() += 1;
            let _ = stream.write_all(b"action=OK\n\n");
        }
    });
    let mut driver = Driver::new(Bind::Tcp(address), 1, PATIENT);
    driver.put(&[]);
    driver.pool.forget(Asker::numbered(1));
    assert!(driver.pool.is_idle());
    driver.ask(&[]).unwrap();
    assert_eq!(*asked.lock().unwrap(), 1);
}

/// A program that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn postgrey_defers_and_then_agrees() {
    let postgrey = Path::new("/usr/sbin/postgrey");
    if !postgrey.exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let whoami = |flag: &str| String::from_utf8(Command::new("id").arg(flag).output().unwrap().stdout).unwrap().trim().to_owned();
    let child = Command::new(postgrey)
        .arg(format!("--unix={}", socket.display()))
        .arg(format!("--dbdir={}", folder.path().display()))
        .arg(format!("--user={}", whoami("-un")))
        .arg(format!("--group={}", whoami("-gn")))
        .args(["--delay=1", "--auto-whitelist-clients=0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(child);
    let mut driver = Driver::new(Bind::Unix(socket), 2, PATIENT);
    let mail = [
        ("protocol_state", "RCPT"),
        ("client_address", "192.0.2.7"),
        ("client_name", "mail.example.net"),
        ("sender", "a@example.net"),
        ("recipient", "b@example.org"),
        ("instance", "1.1"),
    ];
    let begun = Instant::now();
    let (mut deferred, mut said) = (0, String::new());
    while begun.elapsed() < PATIENT {
        match driver.ask(&mail) {
            Ok(action) if action.starts_with("DEFER_IF_PERMIT") => deferred += 1,
            Ok(action) if deferred > 0 => {
                said = action;
                break;
            }
            // It takes a moment to come up.
            other => assert!(other.is_err(), "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(deferred > 0 && (said.starts_with("PREPEND X-Greylist: delayed") || said == "DUNNO"), "{deferred} {said}");
}
