//! The whole process on a thread: the test is master and routermux.

use crate::service::serve_at;
use daemon::{Counters, Started};
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
    bench_of("")
}

/// With further lines for `[local]`, and whole sections.
fn bench_of(more: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    Spool::create(folder.path(), &Owners::default()).unwrap();
    let users = folder.path().join("users");
    std::fs::write(&users, "joe\n").unwrap();
    let text = format!(
        "[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nusers = \"{}\"\n{more}",
        folder.path().display(),
        users.display()
    );
    let settings = Arc::new(settings::parse(&text, "test").unwrap());
    let (ours, theirs) = ipc::channel::pair().unwrap();
    let (mux, jobs) = ipc::channel::pair().unwrap();
    let process = std::thread::spawn(move || {
        let started = Started::detached("router", settings, theirs, Counters::detached("router").unwrap()).unwrap();
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
                Answer::Kinship(kinship) => panic!("{kinship:?}"),
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

/// Questions that come faster than they are answered keep nobody waiting: the master is heard between them.
#[test]
fn a_flood_of_questions_lets_the_master_in() {
    let nobody: Vec<String> = (0..500).map(|n| format!("nobody{n}")).collect();
    let table = format!("[[table]]\nname = \"many\"\nkind = \"inline\"\n[table.entries]\nall = \"{}\"\n", nobody.join(","));
    let mut bench = bench_of(&format!("aliases = [\"many\"]\n{table}"));
    let mut asked = 0;
    let mut ask = |bench: &mut Bench| {
        asked += 1;
        bench.ask(asked, "all@local.example");
    };
    // So many, of some milliseconds each, that there is always one in the socket.
    (0..250).for_each(|_| ask(&mut bench));
    assert!(matches!(bench.hear(), FromRouter::Told(_)));
    bench.master.send(&ToChild::Drain).unwrap();
    let mut answered = 0;
    while let FromRouter::Told(_) = bench.hear() {
        answered += 1;
        assert!(answered < 600, "nobody looks at what the master says");
        ask(&mut bench);
    }
}

/// Microseconds of processor time of this process.
fn spent_of() -> i64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).iter().sum()
}

/// Decisions a second of one router, the conversation with its routermux included:
/// `cargo test --release -p router --lib measure -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout, clippy::cast_precision_loss)]
fn measure_routings() {
    let mut bench = bench();
    let count = 200_000;
    let (start, before) = (Instant::now(), spent_of());
    let put = |bench: &mut Bench, number: u64| match number % 3 {
        0 => bench.ask(number, "joe@local.example"),
        1 => bench.ask(number, &format!("user{number}@remote{}.example", number % 1000)),
        _ => bench.ask(number, "nobody@local.example"),
    };
    (0..32).for_each(|number| put(&mut bench, number));
    let mut answered = 0;
    while answered < count {
        if let FromRouter::Told(_) = bench.hear() {
            answered += 1;
            if answered + 32 <= count {
                put(&mut bench, answered + 31);
            }
        }
    }
    let (time, spent) = (start.elapsed().as_secs_f64(), (spent_of() - before) as f64 / count as f64);
    println!(
        "{count} questions: {:.0} a second; {spent:.2} us of processor time each, both sides of the conversation",
        count as f64 / time
    );
    let files = 20_000;
    for n in 0..files {
        let text = format!("from <a@b.example>\nto <user{n}@remote{}.example>\nenv-end\nSubject: x\n\nbody\n", n % 1000);
        std::fs::write(bench.folder.path().join("router").join(format!("file{n}")), text).unwrap();
    }
    let (start, before, mut given, mut done) = (Instant::now(), spent_of(), 0, 0);
    let mut give = |bench: &mut Bench| {
        let names: Vec<String> = (given..(given + 16).min(files)).map(|n| format!("file{n}")).collect();
        given += names.len();
        if !names.is_empty() {
            bench.mux.send(&ToRouter::Files(names)).unwrap();
        }
    };
    give(&mut bench);
    give(&mut bench);
    while done < files {
        if let FromRouter::Done(names) = bench.hear() {
            done += names.len();
            give(&mut bench);
        }
    }
    let (time, spent) = (start.elapsed().as_secs_f64(), (spent_of() - before) as f64 / files as f64);
    println!("{files} files: {:.0} a second; {spent:.1} us of processor time each", files as f64 / time);
}
