//! The whole process on a thread: the test is master and routermux.

use crate::service::serve_at;
use daemon::{Contacts, Counters, Signals, Started};
use ipc::master::{ToChild, ToMaster};
use ipc::routing::{Answer, Ask, FromRouter, Question, ToRouter};
use ipc::{Channel, RecvError};
use spool::{Owners, Spool};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

struct Bench {
    folder: tempfile::TempDir,
    master: Channel<ToChild, ToMaster>,
    mux: Channel<ToRouter, FromRouter>,
    process: JoinHandle<ExitCode>,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    Spool::create(folder.path(), &Owners::default()).unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "joe\n").unwrap();
    let text = format!(
        "[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nusers = \"{}\"\n",
        folder.path().display(),
        users.display()
    );
    let settings = Arc::new(settings::parse(&text, "test").unwrap());
    let (ours, theirs) = ipc::channel::pair().unwrap();
    let (mux, jobs) = ipc::channel::pair().unwrap();
    let process = std::thread::spawn(move || {
        let started = Started {
            service: "router".into(),
            index: 0,
            generation: 0,
            channel: String::new(),
            settings,
            master: Channel::new(theirs).unwrap(),
            contacts: Contacts::default(),
            counters: Counters::detached("router").unwrap(),
            signals: Signals::block().unwrap(),
        };
        serve_at(started, Some(jobs))
    });
    let mut bench = Bench { folder, master: Channel::new(ours).unwrap(), mux: Channel::new(mux).unwrap(), process };
    assert!(matches!(bench.master.recv_by(soon()).unwrap().0, ToMaster::Ready));
    bench
}

impl Bench {
    fn ask(&mut self, number: u64, address: &str) {
        let question = Question::Verify { address: address.into(), sender: String::new() };
        self.mux.send(&ToRouter::Ask(Ask { number, question })).unwrap();
    }
    fn hear(&mut self) -> FromRouter {
        self.mux.recv_by(soon()).unwrap().0
    }
}

#[test]
fn questions_and_files_are_served_and_a_bad_file_stops_nothing() {
    let mut bench = bench();
    let names: Vec<String> = (0..16).map(|n| format!("file{n}")).collect();
    for name in &names {
        let text = if name == "file3" { "nonsense\n" } else { "from <>\nto joe@local.example\nenv-end\n\nbody\n" };
        std::fs::write(bench.folder.path().join("router").join(name), text).unwrap();
    }
    bench.mux.send(&ToRouter::Files(names.clone())).unwrap();
    bench.ask(1, "joe@local.example");
    bench.ask(2, "max@local.example");
    let (mut codes, mut done) = (Vec::new(), Vec::new());
    while codes.len() < 2 || done.is_empty() {
        match bench.hear() {
            FromRouter::Told(told) => codes.push(match told.answer {
                Answer::Routed { quads, .. } => (told.number, quads[0].user.clone()),
                Answer::Refused { reply, .. } => (told.number, reply.to_string()),
            }),
            FromRouter::Done(files) => done = files,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(codes, [(1, "joe@local.example".to_owned()), (2, "550 5.1.1 User unknown".to_owned())]);
    assert_eq!(done, names);
    assert_eq!(std::fs::read_dir(bench.folder.path().join("router")).unwrap().count(), 0);
    assert!(bench.folder.path().join("deferred/file3.reason").exists());
}

#[test]
fn a_drained_router_says_so_and_ends_when_it_is_closed() {
    let mut bench = bench();
    bench.master.send(&ToChild::Drain).unwrap();
    assert!(matches!(bench.hear(), FromRouter::Leaving));
    bench.ask(1, "joe@local.example");
    assert!(matches!(bench.hear(), FromRouter::Told(_)));
    drop(bench.mux);
    assert_eq!(bench.process.join().unwrap(), ExitCode::SUCCESS);
}

#[test]
fn a_router_without_master_or_routermux_ends() {
    let Bench { mux, process, master: _master, .. } = bench();
    drop(mux);
    assert_eq!(process.join().unwrap(), ExitCode::SUCCESS);
    let Bench { mut mux, process, master, .. } = bench();
    drop(master);
    assert_eq!(process.join().unwrap(), ExitCode::from(75));
    assert!(matches!(mux.recv_by(soon()), Err(RecvError::Closed)));
}
