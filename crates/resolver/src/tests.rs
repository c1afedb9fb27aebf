//! Questions over a contact point, answered from a DNS server of our own.

use crate::conversation::{MOST_OPEN, converse};
use crate::files::Files;
use crate::lookups::Lookups;
use crate::test_server::TestServer;
use daemon::Counters;
use hickory_resolver::proto::rr::RecordType;
use ipc::dns::{Answer, Ask, MailHost, Question, RecordKind, Told, Trouble};
use ipc::{Caller, Channel, ContactPoint};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::LocalSet;

#[path = "client_tests.rs"]
mod clients;

/// A resolver on a thread of its own, serving a contact point with the conversation's real code.
struct Running {
    server: TestServer,
    caller: Caller,
    _drain: watch::Sender<bool>,
}

fn settings(server: &TestServer) -> settings::Dns {
    settings::Dns {
        servers: vec![server.address],
        deadline: Duration::from_millis(1500),
        cache_entries: 1000,
        negative_ttl: Duration::from_secs(300),
        max_ttl: Duration::from_secs(86400),
        validation: settings::Validation::Local,
        trust_anchor: None,
    }
}

fn start() -> Running {
    let server = TestServer::start();
    let settings = settings(&server);
    let (ours, theirs) = ipc::channel::pair().unwrap();
    let (drain, draining) = watch::channel(false);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serve = async {
            let lookups = Rc::new(Lookups::new(&settings, Files::default(), Counters::detached("resolver").unwrap()).unwrap());
            let contact = ContactPoint::new(theirs).unwrap();
            let watched = crate::watch::watch(&contact, tokio::io::Interest::READABLE).unwrap();
            loop {
                watched.readable().await.unwrap().clear_ready();
                loop {
                    match contact.accept::<Told, Ask>() {
                        Ok(Some(channel)) => drop(tokio::task::spawn_local(converse(channel, Rc::clone(&lookups), draining.clone()))),
                        Ok(None) => break,
                        Err(_) => return,
                    }
                }
            }
        };
        runtime.block_on(LocalSet::new().run_until(serve));
    });
    Running { server, caller: Caller::new(ours).unwrap(), _drain: drain }
}

impl Running {
    fn call(&self) -> Channel<Ask, Told> {
        self.caller.call().unwrap()
    }

    fn ask(&self, question: Question) -> Result<Answer, Trouble> {
        let mut channel = self.call();
        channel.send(&Ask { number: 7, question }).unwrap();
        let told = receive(&mut channel);
        assert_eq!(told.number, 7);
        told.answer
    }

    fn hosts(&self, domain: &str) -> Result<Vec<MailHost>, Trouble> {
        self.ask(Question::MailHosts { domain: domain.into(), validate: false }).map(|answer| match answer {
            Answer::MailHosts(found) => found.hosts,
            other => panic!("{other:?}"),
        })
    }
}

fn receive(channel: &mut Channel<Ask, Told>) -> Told {
    channel.recv_by(Instant::now() + Duration::from_secs(20)).unwrap().0
}

fn names(hosts: &[MailHost]) -> Vec<&str> {
    hosts.iter().map(|host| host.name.as_str()).collect()
}

#[test]
fn mail_hosts_by_preference_with_addresses() {
    let running = start();
    let hosts = running.hosts("Good.Example.").unwrap();
    assert_eq!(names(&hosts), ["a.good.example", "b.good.example"]);
    assert_eq!(hosts[0].addresses, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    let hosts = running.hosts("plain.example").unwrap();
    assert_eq!((hosts[0].preference, names(&hosts)), (0, vec!["plain.example"]));
    assert_eq!(names(&running.hosts("alias.example").unwrap()), ["alias.example"]);
    assert_eq!(names(&running.hosts("mixed.example").unwrap()), ["a.good.example"]);
}

#[test]
fn absence_has_its_kinds() {
    let running = start();
    assert_eq!(running.hosts("nowhere.example"), Err(Trouble::NoSuchName));
    assert_eq!(running.hosts("bare.nowhere.example"), Err(Trouble::NoSuchName));
    assert_eq!(running.hosts("empty.example"), Err(Trouble::NoRecords));
    assert_eq!(running.hosts("null.example"), Err(Trouble::NullMx));
    assert_eq!(running.hosts("[10.0.0.1]"), Err(Trouble::Invalid));
    assert_eq!(running.hosts("a b"), Err(Trouble::Invalid));
    let unresolved = running.hosts("unresolved.example").unwrap();
    assert_eq!((names(&unresolved), unresolved[0].addresses.len()), (vec!["gone.good.example"], 0));
}

#[test]
fn trouble_is_temporary() {
    let running = start();
    for domain in ["broken.example", "silent.example", "down.example", "unusable.example"] {
        assert!(matches!(running.hosts(domain), Err(Trouble::Temporary(_))), "{domain}");
    }
    assert_eq!(names(&running.hosts("halfdown.example").unwrap()), ["a.good.example"]);
}

#[test]
fn loops_end() {
    let running = start();
    for domain in ["loop1.example", "ring.example"] {
        let answer = running.hosts(domain);
        assert!(matches!(answer, Err(Trouble::Temporary(_) | Trouble::NoRecords)), "{domain} {answer:?}");
    }
}

#[test]
fn floods_are_cut() {
    let running = start();
    let hosts = running.hosts("many.example").unwrap();
    assert_eq!(hosts.len(), 20);
    assert!(hosts.is_sorted_by_key(|host| host.preference) && hosts[0].name == "m0.x");
    assert_eq!(running.server.asked("m99.x", RecordType::A), 0);
    let Ok(Answer::Addresses(wide)) = running.ask(Question::Addresses { host: "wide.example".into() }) else { panic!() };
    assert_eq!(wide.len(), 20);
}

#[test]
fn names_and_texts() {
    let running = start();
    let names = running.ask(Question::Names { address: "10.0.0.1".parse().unwrap() });
    assert_eq!(names, Ok(Answer::Names(vec!["a.good.example".into()])));
    let absent = running.ask(Question::Names { address: "10.0.0.2".parse().unwrap() });
    assert_eq!(absent, Err(Trouble::NoRecords));
    let text = running.ask(Question::Text { name: "text.example".into() });
    assert_eq!(text, Ok(Answer::Text(vec!["one two".into()])));
}

/// For lookup tables.
#[test]
fn records_as_texts() {
    let running = start();
    let ask = |name: &str, kind: RecordKind| match running.ask(Question::Records { name: name.into(), kind }) {
        Ok(Answer::Records { texts, ttl }) => {
            // Of records the server says 300 seconds, of their absence 60.
            let most = Duration::from_secs(if texts.is_empty() { 60 } else { 300 });
            assert!(ttl <= most && ttl > most - Duration::from_secs(50), "{name}: {ttl:?}");
            Ok(texts)
        }
        Ok(other) => panic!("{other:?}"),
        Err(trouble) => Err(trouble),
    };
    assert_eq!(ask("Text.example", RecordKind::Txt), Ok(vec!["one two".to_owned()]));
    assert_eq!(ask("10.0.0.1", RecordKind::Ptr), Ok(vec!["a.good.example".to_owned()]));
    assert_eq!(ask("1.0.0.10.in-addr.arpa", RecordKind::Ptr), Ok(vec!["a.good.example".to_owned()]));
    assert_eq!(ask("many.example", RecordKind::Mx).unwrap()[..2], ["0 m0.x", "1 m1.x"]);
    assert_eq!(ask("wide.example", RecordKind::A).unwrap().len(), 20);
    assert_eq!(ask("alias.example", RecordKind::Cname), Ok(vec!["plain.example".to_owned()]));
    for absent in ["text.example", "nowhere.example"] {
        assert_eq!(ask(absent, RecordKind::Cname), Ok(Vec::new()), "{absent}");
    }
    assert!(matches!(ask("broken.example", RecordKind::Mx), Err(Trouble::Temporary(_))));
    assert_eq!(ask("a b", RecordKind::Txt), Err(Trouble::Invalid));
}

#[test]
fn each_thing_is_asked_once() {
    let running = start();
    let mut channel = running.call();
    for number in 0..200 {
        channel.send(&Ask { number, question: Question::MailHosts { domain: "good.example".into(), validate: false } }).unwrap();
    }
    let mut numbers: Vec<u64> = (0..200).map(|_| receive(&mut channel).number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<u64>>());
    running.hosts("good.example").unwrap();
    assert_eq!(running.server.asked("good.example", RecordType::MX), 1);
    assert_eq!(running.server.asked("a.good.example", RecordType::A), 1);
    assert_eq!(running.server.asked("gone.good.example", RecordType::A), 1);
    running.hosts("broken.example").unwrap_err();
    let tries = running.server.asked("broken.example", RecordType::MX);
    running.hosts("broken.example").unwrap_err();
    assert_eq!(running.server.asked("broken.example", RecordType::MX), tries);
}

#[test]
fn a_caller_with_too_many_questions_waits_and_gets_all() {
    let running = start();
    let mut channel = running.call();
    let many = MOST_OPEN as u64 * 3;
    for number in 0..many {
        channel.send(&Ask { number, question: Question::Text { name: format!("t{number}.example") } }).unwrap();
    }
    for _ in 0..many {
        receive(&mut channel);
    }
}

#[test]
fn a_malformed_frame_ends_only_its_conversation() {
    let running = start();
    let mut good = running.call();
    let bad = std::os::unix::net::UnixDatagram::from(running.call().into_end());
    bad.send(b"\x30nonsense").unwrap();
    let mut bad: Channel<Ask, Told> = Channel::new(bad.into()).unwrap();
    assert!(matches!(bad.recv_by(Instant::now() + Duration::from_secs(20)), Err(ipc::RecvError::Closed)));
    good.send(&Ask { number: 1, question: Question::MailHosts { domain: "good.example".into(), validate: false } }).unwrap();
    assert!(receive(&mut good).answer.is_ok());
}
