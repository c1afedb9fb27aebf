//! Tables that another process answers for; the test is that process.

use crate::relations_tests::configuration;
use crate::{Found, Keeper, Relations, TableError};
use ipc::tables::{Answer, LookedUp, Lookup};
use ipc::{Caller, Channel, ContactPoint};
use mio::{Events, Poll, Token};
use std::time::{Duration, Instant};

const PEOPLE: &str = "[[table]]\nname = \"people\"\nkind = \"tcp\"\nservers = [\"127.0.0.1:1\"]\nkeys = [\"exact\", \"without_detail\", \"@domain\"]\ntimeout = \"2s\"\n";

type End = Channel<LookedUp, Lookup>;

/// The process behind the contact point.
struct Process {
    contact: ContactPoint,
    end: Option<End>,
}

fn tables(declared: &str) -> (Relations, Process) {
    let (caller, serving) = ipc::channel::pair().unwrap();
    let callers = vec![("table-tcp", Caller::new(caller).unwrap())];
    (Relations::new(&configuration(declared), callers), Process { contact: ContactPoint::new(serving).unwrap(), end: None })
}

impl Process {
    /// The questions that have come, by key.
    fn asked(&mut self) -> Vec<(u64, String)> {
        if let Some(end) = self.contact.accept().unwrap() {
            self.end = Some(end);
        }
        let Some(end) = &mut self.end else { return Vec::new() };
        let mut all = Vec::new();
        while let Ok(Some((lookup, _))) = end.recv() {
            all.push((lookup.number, lookup.key));
        }
        all
    }

    fn answer(&mut self, number: u64, answer: Answer) {
        self.end.as_mut().unwrap().send(&LookedUp { number, answer }).unwrap();
    }

    /// Answers what has come by this map; the keys that came.
    fn serve(&mut self, map: &[(&str, &str)]) -> Vec<String> {
        let asked = self.asked();
        for (number, key) in &asked {
            let value = map.iter().find(|(known, _)| known == key);
            self.answer(*number, value.map_or(Answer::Absent, |(_, value)| Answer::Found(vec![(*value).to_owned()])));
        }
        asked.into_iter().map(|(_, key)| key).collect()
    }
}

fn values(found: Result<Option<Found>, TableError>) -> Option<String> {
    found.unwrap().map(|found| found.values.join("|"))
}

#[test]
fn all_forms_are_asked_at_once_and_each_once() {
    let (mut tables, mut process) = tables(PEOPLE);
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(tables.find(began, "people", "Joe+x@A.example"), Err(TableError::Pending));
    }
    assert_eq!(process.serve(&[("@a.example", "%1@b")]), ["joe+x@a.example", "joe@a.example", "@a.example"]);
    assert!(tables.hear(Instant::now()));
    let found = tables.find(began, "people", "Joe+x@A.example").unwrap().unwrap();
    assert_eq!((found.values, found.keeper), (vec!["Joe+x@b".to_owned()], Keeper::Nobody));
    assert!(!tables.hear(Instant::now()) && tables.due().is_none());
    // Of another user only what is about him is asked.
    let _ = tables.find(Instant::now(), "people", "max@a.example");
    assert_eq!(process.serve(&[]), ["max@a.example"]);
}

#[test]
fn what_is_found_counts_only_after_the_forms_before_it() {
    let (mut tables, mut process) = tables(PEOPLE);
    let began = Instant::now();
    let _ = tables.find(began, "people", "joe+x@a");
    let asked = process.asked();
    process.answer(asked[2].0, Answer::Found(vec!["domain".into()]));
    tables.hear(Instant::now());
    assert_eq!(tables.find(began, "people", "joe+x@a"), Err(TableError::Pending));
    process.answer(asked[0].0, Answer::Absent);
    process.answer(asked[1].0, Answer::Found(vec!["bare".into()]));
    tables.hear(Instant::now());
    assert_eq!(values(tables.find(began, "people", "joe+x@a")), Some("bare".into()));
}

#[test]
fn what_must_not_be_sent_is_in_no_table() {
    let (mut tables, mut process) = tables(PEOPLE);
    for key in ["a\nb@c", "a\0@c", "a\u{7f}@c", &format!("{}@c", "x".repeat(10_000))] {
        assert_eq!(tables.find(Instant::now(), "people", key), Ok(None));
    }
    assert!(process.asked().is_empty() && process.end.is_none());
}

#[test]
fn trouble_and_foul_answers_are_temporary() {
    let (mut tables, mut process) = tables(PEOPLE);
    for (user, answer) in [
        ("a", Answer::Trouble("down".into())),
        ("b", Answer::Found(vec!["x\ny".into()])),
        ("c", Answer::Found(vec!["x".repeat(40_000), "y".repeat(40_000)])),
    ] {
        let began = Instant::now();
        let _ = tables.find(began, "people", user);
        for (number, _) in process.asked() {
            process.answer(number, answer.clone());
        }
        assert!(tables.hear(Instant::now()));
        assert!(matches!(tables.find(began, "people", user), Err(TableError::Temporary(reason)) if reason.starts_with("table people: ")));
    }
    // Nobody to ask is no absence either.
    let mut lonely = Relations::new(&configuration(PEOPLE), Vec::new());
    assert!(matches!(lonely.find(Instant::now(), "people", "x"), Err(TableError::Temporary(_))));
}

#[test]
fn a_question_has_its_deadline_and_a_late_answer_is_nobodys() {
    let (mut tables, mut process) = tables(PEOPLE);
    let began = Instant::now();
    let _ = tables.find(began, "people", "a");
    let asked = process.asked();
    let due = tables.due().unwrap();
    assert!(due >= began + Duration::from_secs(3) && !tables.hear(due.checked_sub(Duration::from_millis(1)).unwrap()));
    let due = due + Duration::from_secs(1);
    assert!(tables.hear(due));
    assert!(matches!(tables.find(began, "people", "a"), Err(TableError::Temporary(reason)) if reason.contains("in time")));
    assert_eq!(tables.due(), None);
    for (number, _) in asked {
        process.answer(number, Answer::Found(vec!["late".into()]));
    }
    assert!(!tables.hear(due));
}

#[test]
fn a_broken_conversation_is_opened_anew_but_not_at_once() {
    let (mut tables, mut process) = tables(PEOPLE);
    let began = Instant::now();
    let _ = tables.find(began, "people", "a");
    assert_eq!(process.asked().len(), 2);
    process.end = None;
    assert!(tables.hear(Instant::now()));
    assert!(matches!(tables.find(began, "people", "a"), Err(TableError::Temporary(_))));
    // The next question waits for a new conversation.
    assert_eq!(tables.find(began, "people", "b"), Err(TableError::Pending));
    assert!(process.asked().is_empty());
    let due = tables.due().unwrap();
    assert!(due <= began + Duration::from_secs(2));
    assert!(!tables.hear(due));
    assert_eq!(process.serve(&[("b", "1")]).len(), 2);
    assert!(tables.hear(due));
    assert_eq!(values(tables.find(began, "people", "b")), Some("1".into()));
    // What is no frame breaks it too.
    let _ = tables.find(began, "people", "c");
    let end = process.end.take().unwrap().into_end();
    sys::send(&std::os::unix::net::UnixDatagram::from(end), b"garbage", &[]).unwrap();
    assert!(tables.hear(Instant::now()));
    assert!(matches!(tables.find(began, "people", "c"), Err(TableError::Temporary(_))));
}

#[test]
fn at_most_so_many_questions_are_open() {
    let (mut tables, mut process) = tables("[[table]]\nname = \"people\"\nkind = \"tcp\"\nservers = [\"127.0.0.1:1\"]\n");
    let began = Instant::now();
    for n in 0..1100 {
        assert_eq!(tables.find(began, "people", &n.to_string()), Err(TableError::Pending));
    }
    let mut asked = 0;
    while asked < 1000 {
        asked += process.serve(&[]).len();
        tables.hear(Instant::now());
    }
    assert!(process.asked().is_empty());
    assert_eq!(tables.find(began, "people", "5"), Ok(None));
    assert_eq!(tables.find(began, "people", "1005"), Err(TableError::Pending));
    assert_eq!(process.serve(&[]), ["1005"]);
}

#[test]
fn a_reload_keeps_answers_and_the_conversation() {
    let (caller, serving) = ipc::channel::pair().unwrap();
    let (caller, contact) = (Caller::new(caller).unwrap(), ContactPoint::new(serving).unwrap());
    let again = vec![("table-tcp", caller.try_clone().unwrap())];
    let mut tables = Relations::new(&configuration(PEOPLE), vec![("table-tcp", caller)]);
    let mut process = Process { contact, end: None };
    let began = Instant::now();
    let _ = tables.find(began, "people", "a");
    process.serve(&[("a", "1")]);
    tables.hear(Instant::now());
    let _ = tables.find(began, "people", "open");
    let old = process.asked();
    let more = format!("[[table]]\nname = \"other\"\nkind = \"group\"\n{PEOPLE}");
    tables.reload(&configuration(&more), again);
    assert_eq!(values(tables.find(Instant::now(), "people", "a")), Some("1".into()));
    assert_eq!(tables.find(began, "people", "open"), Err(TableError::Pending));
    let anew = process.asked();
    assert!(anew.iter().all(|(number, _)| old.iter().all(|(before, _)| before != number)) && anew.len() == old.len());
    for (number, _) in old {
        process.answer(number, Answer::Found(vec!["old".into()]));
    }
    assert!(!tables.hear(Instant::now()));
}

#[test]
fn conversations_wake_the_loop_also_those_opened_later() {
    let (mut tables, mut process) = tables(PEOPLE);
    let mut poll = Poll::new().unwrap();
    tables.register(poll.registry(), Token(4)).unwrap();
    let _ = tables.find(Instant::now(), "people", "a");
    tables.register(poll.registry(), Token(4)).unwrap();
    process.serve(&[]);
    let mut events = Events::with_capacity(4);
    while !events.iter().any(|event| event.token() == Token(4) && event.is_readable()) {
        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
        assert!(!events.is_empty());
    }
    let (mut tables, mut process) = self::tables(PEOPLE);
    let began = Instant::now();
    let _ = tables.find(began, "people", "a");
    process.serve(&[]);
    tables.wait(began + Duration::from_secs(10));
    assert!(tables.hear(Instant::now()));
}
