//! The process as master, routers, sessions and submitters see it.

use crate::bench::{Bench, answer, ask, done, files, refused, soon};
use ipc::control::{Reply as Answered, Request};
use ipc::master::{Peer, ToChild};
use ipc::routing::{Answer, Ask, FromRouter, Question, ToRoutermux, Told};
use ipc::{Channel, RecvError};
use std::process::ExitCode;
use std::time::Instant;

#[test]
fn what_waits_in_the_spool_is_found_and_junk_is_only_counted() {
    let mut bench = Bench::with(&["dropped"]);
    bench.notice("junk");
    bench.notice("NEW ../../etc/passwd");
    bench.notice("NEW elsewhere name");
    bench.notice("NEW one");
    bench.notice("NEW router two");
    bench.notice("NEW one");
    let mut router = bench.router(0);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let names = files(&mut router);
        seen.extend(names.clone());
        done(&mut router, names);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["dropped", "one", "two"]);
    assert_eq!(bench.end(), ExitCode::SUCCESS);
    assert_eq!((bench.counter("datagrams"), bench.counter("datagrams_malformed")), (6, 3));
}

#[test]
fn questions_come_back_to_their_caller() {
    let mut bench = Bench::new();
    let mut session: Channel<ToRoutermux, Told> = bench.caller.call().unwrap();
    let question = Question::Verify { address: "a@b".into(), sender: String::new() };
    session.send(&ToRoutermux::Ask(Ask { number: 77, question: question.clone() })).unwrap();
    let mut first = bench.router(0);
    ask(&mut first);
    // The router dies over it: another gets it, once.
    drop(first);
    let mut second = bench.router(0);
    let again = ask(&mut second);
    assert_eq!(again.question, question);
    second.send(&FromRouter::Told(Told { number: again.number, answer: answer() })).unwrap();
    let told = session.recv_by(soon()).unwrap().0;
    assert_eq!((told.number, refused(&told)), (77, 250));
    let question = Question::Verify { address: "other@b".into(), sender: String::new() };
    session.send(&ToRoutermux::Ask(Ask { number: 78, question })).unwrap();
    ask(&mut second);
    drop(second);
    ask(&mut bench.router(1));
    let told = session.recv_by(soon()).unwrap().0;
    assert_eq!((told.number, refused(&told)), (78, 451));
    assert_eq!(bench.end(), ExitCode::SUCCESS);
}

#[test]
fn a_file_that_kills_two_routers_is_set_aside() {
    let mut bench = Bench::with(&["good1", "poison", "good2"]);
    let (mut good, mut deaths, mut index) = (Vec::new(), 0, 0);
    let mut router = bench.router(index);
    while good.len() < 2 || deaths < 2 {
        let names = files(&mut router);
        if names.contains(&"poison".to_owned()) {
            deaths += usize::from(names.len() == 1);
            index += 1;
            router = bench.router(index);
        } else {
            good.extend(names.clone());
            done(&mut router, names);
        }
    }
    let deadline = soon();
    while bench.counter("set_aside") == 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    good.sort();
    assert_eq!(good, ["good1", "good2"]);
    let aside = bench.folder.path().join("deferred");
    assert!(aside.join("poison").exists());
    assert!(std::fs::read_to_string(aside.join("poison.reason")).unwrap().contains("two routers died"));
    assert_eq!(bench.end(), ExitCode::SUCCESS);
}

#[test]
fn old_and_leaving_routers_are_closed_when_idle() {
    let mut bench = Bench::new();
    let (mut old, mut leaving) = (bench.router(0), bench.router(1));
    bench.notice("NEW a");
    let names = files(&mut old);
    leaving.send(&FromRouter::Leaving).unwrap();
    assert!(matches!(leaving.recv_by(soon()), Err(RecvError::Closed)));
    old.send(&FromRouter::Spent { addresses: 1000, memory: 0 }).unwrap();
    done(&mut old, names);
    assert!(matches!(old.recv_by(soon()), Err(RecvError::Closed)));
    bench.notice("NEW b");
    let mut large = bench.router(0);
    assert_eq!(files(&mut large), ["b"]);
    large.send(&FromRouter::Spent { addresses: 10, memory: 600 << 20 }).unwrap();
    done(&mut large, vec!["b".to_owned()]);
    assert!(matches!(large.recv_by(soon()), Err(RecvError::Closed)));
    assert_eq!(bench.counter("routers_replaced"), 3);
}

#[test]
fn the_route_command_gets_its_explanation() {
    let mut bench = Bench::new();
    let mut router = bench.router(0);
    let (ours, theirs) = ipc::channel::pair().unwrap();
    let mut command: Channel<Request, Answered> = Channel::new(ours).unwrap();
    let request = Request::Route { address: "a@b".into(), sender: String::new() };
    let peer = Peer::Local { uid: 0, gid: 0, pid: 1 };
    bench.master.send_with(&ToChild::Command { request, peer }, vec![theirs]).unwrap();
    let asked = ask(&mut router);
    assert!(matches!(asked.question, Question::Explain { .. }));
    router.send(&FromRouter::Told(Told { number: asked.number, answer: answer() })).unwrap();
    assert!(matches!(command.recv_by(soon()).unwrap().0, Answered::Routed(Answer::Routed { .. })));
    assert!(matches!(command.recv_by(soon()).unwrap().0, Answered::End));
}

#[test]
fn a_drain_waits_for_what_is_in_hand() {
    let mut bench = Bench::new();
    let mut router = bench.router(0);
    bench.notice("NEW a");
    let names = files(&mut router);
    bench.master.send(&ToChild::Drain).unwrap();
    bench.notice("NEW b");
    done(&mut router, names);
    assert!(matches!(router.recv_by(soon()), Err(RecvError::Closed)));
    assert_eq!(bench.process.take().unwrap().join().unwrap(), ExitCode::SUCCESS);
}

#[test]
fn without_its_master_it_ends_at_once() {
    let bench = Bench::new();
    let Bench { master, process, .. } = bench;
    drop(master);
    assert_eq!(process.unwrap().join().unwrap(), ExitCode::from(75));
}
