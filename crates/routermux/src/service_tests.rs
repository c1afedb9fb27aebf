//! The whole process on a thread: the test is master, router, session and submitter.

use crate::service::serve_at;
use daemon::{Contacts, Counters, Signals, Started};
use ipc::control::{Reply as Answered, Request};
use ipc::master::{Peer, ToChild, ToMaster};
use ipc::routing::{Answer, Ask, FromRouter, Question, ToRouter, ToRoutermux, Told};
use ipc::{Caller, Channel, ContactPoint, RecvError};
use spool::{Owners, Spool};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type RouterEnd = Channel<FromRouter, ToRouter>;

struct Bench {
    folder: tempfile::TempDir,
    master: Channel<ToChild, ToMaster>,
    notify: UnixDatagram,
    caller: Caller,
    counters: Counters,
    process: Option<JoinHandle<ExitCode>>,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

impl Bench {
    fn new() -> Self {
        Self::with(&[])
    }

    /// These files wait in `router/` already.
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        for name in files {
            std::fs::write(folder.path().join("router").join(name), "x").unwrap();
        }
        let text = format!(
            "[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example\"\n\
             [[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n[queue]\nrouter_scan = \"1h\"\n[processes]\naddresses_per_router = 1000\n",
            folder.path().display()
        );
        let settings = Arc::new(settings::parse(&text, "test").unwrap());
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let (calling, answering) = ipc::channel::pair().unwrap();
        let (notify, theirs_notify) = UnixDatagram::pair().unwrap();
        let counters = Counters::detached("routermux").unwrap();
        let row = counters.clone();
        let process = std::thread::spawn(move || {
            let started = Started {
                service: "routermux".into(),
                index: 0,
                generation: 0,
                channel: String::new(),
                settings,
                master: Channel::new(theirs).unwrap(),
                contacts: Contacts::default(),
                counters: row,
                signals: Signals::block().unwrap(),
            };
            serve_at(started, Some(theirs_notify.into()), Some(ContactPoint::new(answering).unwrap()))
        });
        let mut bench = Self {
            folder,
            master: Channel::new(ours).unwrap(),
            notify,
            caller: Caller::new(calling).unwrap(),
            counters,
            process: Some(process),
        };
        assert!(matches!(bench.master.recv_by(soon()).unwrap().0, ToMaster::Ready));
        bench
    }

    fn router(&mut self, index: u64) -> RouterEnd {
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let frame = ToChild::Agent { ticket: index, channel: "router".into(), pid: 1 };
        self.master.send_with(&frame, vec![theirs]).unwrap();
        Channel::new(ours).unwrap()
    }

    fn notice(&self, text: &str) {
        self.notify.send(text.as_bytes()).unwrap();
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.read_row(0, "routermux").into_iter().find(|(n, _)| *n == name).unwrap().1
    }

    fn end(&mut self) -> ExitCode {
        self.master.send(&ToChild::Drain).unwrap();
        self.process.take().unwrap().join().unwrap()
    }
}

fn files(router: &mut RouterEnd) -> Vec<String> {
    match router.recv_by(soon()).unwrap().0 {
        ToRouter::Files(names) => names,
        ToRouter::Ask(ask) => panic!("{ask:?}"),
    }
}

fn ask(router: &mut RouterEnd) -> Ask {
    match router.recv_by(soon()).unwrap().0 {
        ToRouter::Ask(ask) => ask,
        ToRouter::Files(names) => panic!("{names:?}"),
    }
}

fn done(router: &mut RouterEnd, files: Vec<String>, addresses: u64) {
    router.send(&FromRouter::Done { files, addresses }).unwrap();
}

fn refused(told: &Told) -> u16 {
    match &told.answer {
        Answer::Refused { reply, .. } => reply.code,
        Answer::Routed { .. } => 250,
    }
}

fn answer() -> Answer {
    Answer::Routed { quads: Vec::new(), steps: vec!["why".into()] }
}

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
        done(&mut router, names, 1);
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
            done(&mut router, names, 0);
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
    done(&mut old, names, 1000);
    assert!(matches!(old.recv_by(soon()), Err(RecvError::Closed)));
    bench.notice("NEW b");
    assert_eq!(files(&mut bench.router(0)), ["b"]);
    assert_eq!(bench.counter("routers_replaced"), 2);
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
    done(&mut router, names, 1);
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
