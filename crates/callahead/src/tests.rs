//! A prober against next hops that follow a script, and against smtp-sink.

use crate::lookups::Lookups;
use crate::memory::Memory;
use crate::prober::Prober;
use daemon::Counters;
use ipc::callahead::{Ask, Told, Verdict};
use ipc::dns::{Answer, MailHost, MailHosts, Question, Trouble};
use ipc::{Caller, Channel, ContactPoint};
use mio::{Events, Poll, Token};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use subdaemon::Asker;

/// The loop around a prober. The time it is told can run ahead of the clock.
struct Driver {
    poll: Poll,
    prober: Prober,
    next: usize,
    number: u64,
    ahead: Duration,
}

const RESOLVER: Token = Token(1);

impl Driver {
    fn new(more: &str) -> Self {
        Self::with(more, None)
    }

    fn with(more: &str, resolver: Option<Caller>) -> Self {
        let text = format!(
            "[paths]\npostoffice = \"/tmp/x\"\nrun = \"/tmp/x/run\"\n[identity]\nhostname = \"us.example\"\n\
             [[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n[call_ahead]\ndomains = [\"ours.example\", \".ours.example\"]\n{more}"
        );
        let settings = Arc::new(settings::parse(&text, "x").unwrap());
        // No folder is there: nothing is kept.
        let memory = Memory::open(std::path::Path::new("/nonexistent"), &settings.call_ahead);
        let prober = Prober::new(&settings, memory, Lookups::new(resolver, RESOLVER), Counters::detached("callahead").unwrap());
        Self { poll: Poll::new().unwrap(), prober, next: 10, number: 0, ahead: Duration::ZERO }
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn put(&mut self, recipient: &str, host: &str, channel: &str) -> u64 {
        self.number += 1;
        let ask = Ask { number: self.number, recipient: recipient.into(), host: host.into(), channel: channel.into() };
        self.prober.ask(Asker::numbered(1), ask, self.now());
        self.number
    }

    fn turn(&mut self) {
        let (now, next) = (self.now(), &mut self.next);
        self.prober.work(now, self.poll.registry(), &mut || {
            *next += 1;
            Token(*next)
        });
        let mut events = Events::with_capacity(64);
        let sleep = self.prober.wake().map_or(Duration::from_millis(100), |at| at.saturating_duration_since(now));
        self.poll.poll(&mut events, Some(sleep.min(Duration::from_millis(100)))).unwrap();
        for event in &events {
            self.prober.event(event.token(), now);
        }
    }

    fn answers(&mut self, count: usize) -> Vec<(u64, Verdict)> {
        let (mut answers, late) = (Vec::new(), Instant::now() + Duration::from_secs(30));
        while answers.len() < count {
            assert!(Instant::now() < late, "only {answers:?}");
            self.turn();
            answers.extend(self.prober.take_answers().into_iter().map(|(_, Told { number, verdict })| (number, verdict)));
        }
        answers
    }

    fn ask(&mut self, recipient: &str, host: &str) -> Verdict {
        self.put(recipient, host, "smtp");
        self.answers(1).remove(0).1
    }
}

/// What a server has heard: commands, in order, over all connections.
type Heard = Arc<Mutex<Vec<String>>>;

/// A server that answers each command by `reply`; `None` closes the connection.
fn server(greeting: &'static str, reply: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, heard, reply) = (listener.local_addr().unwrap(), Heard::default(), Arc::new(reply));
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (reply, all) = (Arc::clone(&reply), Arc::clone(&all));
            std::thread::spawn(move || session(stream, greeting, &*reply, &all));
        }
    });
    (address, heard)
}

fn session(mut stream: TcpStream, greeting: &str, reply: &dyn Fn(&str) -> Option<&'static str>, heard: &Heard) {
    heard.lock().unwrap().push("connected".into());
    let _ = stream.write_all(format!("{greeting}\r\n").as_bytes());
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        heard.lock().unwrap().push(line.clone());
        let Some(reply) = reply(&line) else { return };
        let _ = stream.write_all(format!("{reply}\r\n").as_bytes());
    }
}

/// Knows `yes*`, refuses `no*`, defers others.
#[allow(clippy::unnecessary_wraps, reason = "as servers that close have it")]
fn knows(line: &str) -> Option<&'static str> {
    Some(match line.strip_prefix("RCPT TO:<") {
        Some(recipient) if recipient.starts_with("yes") => "250 2.1.5 ok",
        Some(recipient) if recipient.starts_with("no") => "550 5.1.1 no such\x1b user",
        Some(_) => "451 4.3.0 later",
        None => "250 ok",
    })
}

fn count(heard: &Heard, start: &str) -> usize {
    heard.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn one_session_for_several_recipients_and_answers_are_remembered() {
    let (address, heard) = server("220 hi", knows);
    let (mut driver, host) = (Driver::new(""), address.to_string());
    for _ in 0..3 {
        assert_eq!(driver.ask("yes@ours.example", &host), Verdict::Taken);
        let Verdict::Refused(reply) = driver.ask("no@ours.example", &host) else { panic!() };
        assert_eq!((reply.code, reply.text.contains('\u{1b}')), (550, false));
        assert!(matches!(driver.ask("maybe@ours.example", &host), Verdict::Unknown(_)));
    }
    assert_eq!((count(&heard, "connected"), count(&heard, "RCPT"), count(&heard, "MAIL FROM:<>")), (1, 3, 3));
    assert_eq!((count(&heard, "DATA"), count(&heard, "RSET")), (0, 3));
}

#[test]
fn equal_questions_are_asked_once_and_sessions_are_few() {
    let (address, heard) = server("220 hi", knows);
    let (mut driver, host) = (Driver::new("sessions = 2\n"), address.to_string());
    for n in 0..40 {
        driver.put(&format!("yes{}@ours.example", n % 10), &host, "smtp");
    }
    let answers = driver.answers(40);
    assert!(answers.iter().all(|(_, verdict)| *verdict == Verdict::Taken));
    assert_eq!((count(&heard, "RCPT"), count(&heard, "connected")), (10, 2));
}

/// A question about others' recipients (to find out what their servers take, or to fill the cache with it) is not asked.
#[test]
fn only_recipients_of_the_domains_are_asked_about_and_remembered() {
    let (address, heard) = server("220 hi", knows);
    let (mut driver, host) = (Driver::new(""), address.to_string());
    for other in ["yes@example.com", "yes@notours.example", "yes@ours.example.com", "yes", "@ours.example"] {
        assert!(matches!(driver.ask(other, &host), Verdict::Unknown(_)), "{other}");
    }
    assert_eq!(count(&heard, "connected"), 0);
    assert_eq!(driver.ask("yes@sub.ours.example", &host), Verdict::Taken);
}

#[test]
fn what_holds_is_refreshed_and_what_has_ended_is_asked_anew() {
    let (address, heard) = server("220 hi", knows);
    let (mut driver, host) = (Driver::new("taken_ttl = \"10h\"\nrefused_ttl = \"1h\"\n"), address.to_string());
    driver.ask("yes@ours.example", &host);
    driver.ask("no@ours.example", &host);
    driver.ahead = Duration::from_secs(6 * 3600);
    // Answered from memory, and asked for anew.
    driver.put("yes@ours.example", &host, "smtp");
    assert_eq!(driver.prober.take_answers().len(), 1);
    let late = Instant::now() + Duration::from_secs(20);
    while count(&heard, "RCPT TO:<yes") < 2 {
        assert!(Instant::now() < late);
        driver.turn();
    }
    driver.ask("no@ours.example", &host);
    assert_eq!(count(&heard, "RCPT TO:<no"), 2);
    driver.ahead = Duration::from_secs(12 * 3600);
    assert_eq!(driver.ask("yes@ours.example", &host), Verdict::Taken);
}

#[test]
fn a_session_closed_between_questions_is_made_anew() {
    let closes = |line: &str| if line == "RSET" { None } else { knows(line) };
    let (address, heard) = server("220 hi", closes);
    let mut driver = Driver::new("sessions = 1\n");
    for n in 0..4 {
        driver.put(&format!("yes{n}@ours.example"), &address.to_string(), "smtp");
    }
    assert!(driver.answers(4).iter().all(|(_, verdict)| *verdict == Verdict::Taken));
    assert_eq!(count(&heard, "connected"), 4);
}

#[test]
fn a_next_hop_in_trouble_is_unknown_and_left_alone() {
    let (address, heard) = server("554 not you", knows);
    let (mut driver, host) = (Driver::new(""), address.to_string());
    assert!(matches!(driver.ask("yes1@ours.example", &host), Verdict::Unknown(why) if why.contains("554")));
    assert!(matches!(driver.ask("yes2@ours.example", &host), Verdict::Unknown(_)));
    assert_eq!(count(&heard, "connected"), 1);
    for host in ["127.0.0.1:1", "", "[", "a b"] {
        assert!(matches!(driver.ask("yes@ours.example", host), Verdict::Unknown(_)), "{host:?}");
    }
    driver.put("yes@ours.example", &host, "pipe");
    assert!(matches!(driver.answers(1)[0].1, Verdict::Unknown(_)));
}

#[test]
fn a_slow_next_hop_keeps_nobody_longer_than_the_timeout_and_its_answer_is_for_the_next() {
    let slow = Arc::new(std::sync::Barrier::new(2));
    let gate = Arc::clone(&slow);
    let (address, _) = server("220 hi", move |line| {
        if line.starts_with("RCPT") {
            gate.wait();
        }
        knows(line)
    });
    let (mut driver, host) = (Driver::new("timeout = \"1s\"\n"), address.to_string());
    assert!(matches!(driver.ask("yes@ours.example", &host), Verdict::Unknown(_)));
    slow.wait();
    assert_eq!(driver.ask("yes@ours.example", &host), Verdict::Taken);
}

#[test]
fn lmtp_and_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 hi\r\n").unwrap();
        let mut heard = Vec::new();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            let over = line.starts_with("RCPT");
            heard.push(line.clone());
            stream.write_all(format!("{}\r\n", knows(&line).unwrap()).as_bytes()).unwrap();
            if over {
                return heard;
            }
        }
        heard
    });
    let mut driver = Driver::new("");
    driver.put("yes@ours.example", &format!("unix:{}", path.display()), "lmtp");
    assert_eq!(driver.answers(1)[0].1, Verdict::Taken);
    assert_eq!(served.join().unwrap(), ["LHLO us.example", "MAIL FROM:<>", "RCPT TO:<yes@ours.example>"]);
}

/// A resolver that knows what the test says.
fn resolver(answer: impl Fn(&Question) -> Result<Answer, Trouble> + Send + 'static) -> Caller {
    let (call, serve) = ipc::channel::pair().unwrap();
    std::thread::spawn(move || {
        let point = ContactPoint::new(serve).unwrap();
        let mut channel: Channel<ipc::dns::Told, ipc::dns::Ask> = loop {
            match point.accept() {
                Ok(Some(channel)) => break channel,
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return,
            }
        };
        while let Ok((ask, _)) = channel.recv_by(Instant::now() + Duration::from_secs(60)) {
            let _ = channel.send(&ipc::dns::Told { number: ask.number, answer: answer(&ask.question) });
        }
    });
    Caller::new(call).unwrap()
}

#[test]
fn hosts_by_name_the_next_address_and_never_ourselves() {
    let (address, heard) = server("220 hi", knows);
    let dead = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let host = |name: &str, ips: &[&str]| MailHost {
        preference: 10,
        name: name.into(),
        addresses: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        secure: false,
    };
    let answer = move |question: &Question| match question {
        Question::MailHosts { domain, .. } => match domain.as_str() {
            "near.example" => Ok(Answer::MailHosts(MailHosts { hosts: vec![host("mx", &["127.0.0.3", "127.0.0.1"])], secure: false })),
            "us.example" => Ok(Answer::MailHosts(MailHosts { hosts: vec![host("us.example", &["192.0.2.1"])], secure: false })),
            _ => Err(Trouble::NoSuchName),
        },
        Question::Addresses { .. } => Ok(Answer::Addresses(vec!["127.0.0.1".parse().unwrap()])),
        other => panic!("{other:?}"),
    };
    let mut driver = Driver::with("", Some(resolver(answer)));
    assert_eq!(driver.ask("yes@ours.example", &format!("near.example:{}", address.port())), Verdict::Taken);
    assert_eq!(driver.ask("yes1@ours.example", &format!("[near.example]:{}", address.port())), Verdict::Taken);
    for ourselves in ["us.example", "127.0.0.1:2525", "[mx.example]:2525", "0.0.0.0:2525"] {
        assert!(matches!(driver.ask("yes@ours.example", ourselves), Verdict::Unknown(why) if why.contains("this host")), "{ourselves}");
    }
    for unknown in ["nowhere.example".to_owned(), dead.to_string()] {
        assert!(matches!(driver.ask("yes@ours.example", &unknown), Verdict::Unknown(_)), "{unknown}");
    }
    assert_eq!(count(&heard, "RCPT"), 2);
}

#[test]
fn an_address_that_says_nothing_leaves_time_for_the_next() {
    let (address, _) = server("220 hi", knows);
    // Connections are made, and nobody speaks.
    let _silent = TcpListener::bind(("127.0.0.9", address.port())).unwrap();
    let ips = ["127.0.0.9", "127.0.0.1"].map(|ip| ip.parse().unwrap());
    let mut driver = Driver::with("timeout = \"6s\"\n", Some(resolver(move |_| Ok(Answer::Addresses(ips.to_vec())))));
    assert_eq!(driver.ask("yes@ours.example", &format!("[near.example]:{}", address.port())), Verdict::Taken);
}

#[test]
fn without_a_resolver_names_are_unknown() {
    assert!(matches!(Driver::new("").ask("yes@ours.example", "near.example"), Verdict::Unknown(_)));
}

/// Ends with the test.
struct Sink(std::process::Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn smtp_sink_takes_and_refuses() {
    let sink = "/usr/sbin/smtp-sink";
    if !std::path::Path::new(sink).exists() {
        return;
    }
    let run = |options: &[&str]| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let user: &[&str] = if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" { &["-u", "nobody"] } else { &[] };
        let child = Command::new(sink).args(user).args(options).args([&host, "10"]).stderr(Stdio::null()).spawn().unwrap();
        let late = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&host).is_err() {
            assert!(Instant::now() < late);
            std::thread::sleep(Duration::from_millis(20));
        }
        (Sink(child), host)
    };
    let (_taking, host) = run(&[]);
    assert_eq!(Driver::new("").ask("a@ours.example", &host), Verdict::Taken);
    let (_refusing, host) = run(&["-f", "RCPT"]);
    assert!(matches!(Driver::new("").ask("a@ours.example", &host), Verdict::Refused(reply) if reply.code / 100 == 5));
    let (_deferring, host) = run(&["-r", "RCPT"]);
    assert!(matches!(Driver::new("").ask("a@ours.example", &host), Verdict::Unknown(_)));
}
