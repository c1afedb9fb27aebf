//! What the SMTP server asks of its clients.

use super::{Running, receive, start};
use hickory_resolver::proto::rr::RecordType;
use ipc::dns::{Answer, Ask, ListSubject, Listed, Question, Spf, SpfResult, Trouble};
use std::net::{IpAddr, Ipv4Addr};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Running {
    fn verified(&self, client: &str) -> Result<Answer, Trouble> {
        self.ask(Question::VerifiedNames { address: address(client) })
    }

    fn listed(&self, subject: ListSubject) -> Result<Listed, Trouble> {
        self.ask(Question::List { zone: "bl.example".into(), subject }).map(|answer| match answer {
            Answer::Listed(listed) => listed,
            other => panic!("{other:?}"),
        })
    }

    fn spf(&self, sender: Option<&str>) -> Spf {
        let question = Question::Spf { address: address("10.0.0.1"), hello: "mail.example".into(), sender: sender.map(str::to_owned) };
        match self.ask(question) {
            Ok(Answer::Spf(spf)) => spf,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn names_are_verified() {
    let running = start();
    assert_eq!(running.verified("10.0.0.1"), Ok(Answer::Names(vec!["a.good.example".into()])));
    assert_eq!(running.verified("::ffff:10.0.0.1"), Ok(Answer::Names(vec!["a.good.example".into()])));
    assert_eq!(running.verified("10.0.0.7"), Ok(Answer::Names(vec!["many-homed.example".into()])));
    assert_eq!(running.verified("10.0.0.8"), Err(Trouble::NoRecords));
    assert!(matches!(running.verified("10.0.0.9"), Err(Trouble::Temporary(_))));
    assert_eq!(running.verified("10.0.0.10"), Err(Trouble::NoRecords));
}

#[test]
fn of_many_names_ten_are_looked_up() {
    let running = start();
    assert_eq!(running.verified("10.0.0.11"), Err(Trouble::NoRecords));
    let asked: usize = (0..40).map(|n| running.server.asked(&format!("n{n}.flood.example"), RecordType::A)).sum();
    assert_eq!(asked, 10);
}

#[test]
fn lists_say_codes_and_a_text() {
    let running = start();
    let codes = vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 10)];
    let listed = running.listed(ListSubject::Address(address("10.0.0.1"))).unwrap();
    assert_eq!(listed, Listed { codes: codes.clone(), text: "listed,??[2J see http://x/".into() });
    assert_eq!(running.listed(ListSubject::Domain("Bad.example".into())), Ok(Listed { codes, text: String::new() }));
    assert_eq!(running.listed(ListSubject::Address(address("10.0.0.2"))), Ok(Listed::default()));
    assert!(matches!(running.listed(ListSubject::Address(address("10.0.0.3"))), Err(Trouble::Temporary(_))));
    assert_eq!(running.listed(ListSubject::Domain("[10.0.0.1]".into())), Err(Trouble::Invalid));
}

#[test]
fn an_absence_from_a_list_is_cached() {
    let running = start();
    for _ in 0..3 {
        assert_eq!(running.listed(ListSubject::Address(address("10.0.0.99"))), Ok(Listed::default()));
    }
    assert_eq!(running.server.asked("99.0.0.10.bl.example", RecordType::A), 1);
    assert_eq!(running.server.asked("99.0.0.10.bl.example", RecordType::TXT), 0);
}

#[test]
fn spf_by_our_look_ups() {
    let running = start();
    let spf = |result, domain: &str, explanation: &str| Spf { result, domain: domain.into(), explanation: explanation.into() };
    assert_eq!(running.spf(Some("x@Spf.example")), spf(SpfResult::Fail, "spf.example", "10.0.0.1 may not"));
    assert_eq!(running.spf(Some("a+b=c@spf.example")), spf(SpfResult::Pass, "spf.example", ""));
    assert_eq!(running.spf(Some("x@empty.example")), spf(SpfResult::None, "empty.example", ""));
    assert_eq!(running.spf(Some("x@broken.example")), spf(SpfResult::TempError, "broken.example", ""));
    assert_eq!(running.spf(Some("x@slow.spf.example")).result, SpfResult::TempError);
    assert_eq!(running.spf(Some("x@[10.0.0.1]")).result, SpfResult::None);
    assert_eq!(running.spf(None), spf(SpfResult::None, "mail.example", ""));
    assert_eq!(running.server.asked("spf.example", RecordType::TXT), 1);
}

#[test]
fn lists_are_asked_in_parallel() {
    let running = start();
    let mut channel = running.call();
    // The first answers come although the last waits for a server that says nothing.
    let silent = Question::List { zone: "silent.example".into(), subject: ListSubject::Address(address("10.0.0.1")) };
    let quick = Question::List { zone: "bl.example".into(), subject: ListSubject::Address(address("10.0.0.1")) };
    for (number, question) in [silent.clone(), quick.clone(), silent, quick].into_iter().enumerate() {
        channel.send(&Ask { number: number as u64, question }).unwrap();
    }
    let mut order: Vec<u64> = (0..4).map(|_| receive(&mut channel).number).collect();
    order[..2].sort_unstable();
    order[2..].sort_unstable();
    assert_eq!(order, [1, 3, 0, 2]);
}
