//! The master with stand-in children: sessions, deaths, limits, faults, drain.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod suite;

use ipc::control::{Reply, Request, Selection};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::process::Stdio;
use suite::{Suite, greeted};

#[test]
fn sessions_go_to_the_least_loaded_worker() {
    let suite = Suite::start("[processes]\nsmtpserver_min = 3\nsmtpserver_max = 3\n");
    let sessions: Vec<_> = (0..6).map(|_| greeted(suite.port)).collect();
    let workers: HashSet<&str> = sessions.iter().map(|(_, line)| line.split_whitespace().nth(3).unwrap()).collect();
    assert_eq!(workers.len(), 3);
    let status = suite.status();
    assert_eq!(status.sessions, 6);
    assert!(status.troubles.is_empty(), "{:?}", status.troubles);
    let (mut stream, _) = greeted(suite.port);
    stream.write_all(b"hello").unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    drop((sessions, stream));
    suite.await_status("without sessions", |s| s.sessions == 0);
}

#[test]
fn every_child_is_replaced_when_killed() {
    let suite = Suite::start("");
    let before = suite.await_status("with an agent", |s| s.processes.iter().any(|p| p.service == "ta-smtp" && p.state == "ready"));
    for process in &before.processes {
        // An agent may be gone already, with the scheduler killed before it.
        let killed = kill(Pid::from_raw(i32::try_from(process.pid).unwrap()), Signal::SIGKILL);
        assert!(killed.is_ok() || process.service == "ta-smtp", "{}: {killed:?}", process.service);
    }
    let old: HashSet<u32> = before.processes.iter().map(|p| p.pid).collect();
    let services: HashSet<String> = before.processes.iter().map(|p| p.service.clone()).collect();
    let after = suite.await_status("whole again", |s| {
        let now: HashSet<String> = s.processes.iter().map(|p| p.service.clone()).collect();
        s.troubles.is_empty() && now == services && s.processes.iter().all(|p| !old.contains(&p.pid) && p.state == "ready")
    });
    assert!(after.processes.iter().any(|p| p.restarts == 1 && p.last_end.contains("SIGKILL")), "{after:?}");
    greeted(suite.port);
}

#[test]
fn a_crash_loop_backs_off_and_shows() {
    let mut suite =
        Suite::prepare("[processes]\nrestart_first = \"1m\"\nrestart_longest = \"1m\"\nenvironment = { STAND_IN_FAILS = \"resolver\" }\n");
    let mut child = suite.command().stderr(Stdio::null()).spawn().unwrap();
    let control = suite.folder.path().join("run/control");
    while !control.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the master ended");
        std::thread::yield_now();
    }
    let status =
        suite.await_status("in trouble", |s| s.troubles.iter().any(|t| t.starts_with("resolver waits") && t.contains("exit status 9")));
    assert_eq!(status.processes.iter().find(|p| p.service == "resolver").unwrap().state, "waiting");
    // The rest works: a session is served.
    greeted(suite.port);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // In the background `zpost start` waits: there it is given up with the reason.
    suite.configure(&[suite.port], "[processes]\nrestart_first = \"10ms\"\nenvironment = { STAND_IN_FAILS = \"resolver\" }\n");
    let output = suite.command().arg("--background").output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&output.stderr).contains("resolver does not start"));
    suite.configure(&[suite.port], "");
    suite.launch();
}

#[test]
fn an_address_past_its_limit_hears_421() {
    let suite = Suite::start("[connections]\nper_address = 2\n");
    let held: Vec<_> = (0..2).map(|_| greeted(suite.port)).collect();
    assert!(held.iter().all(|(_, line)| line.starts_with("220")));
    assert!(greeted(suite.port).1.starts_with("421 "));
    drop(held);
    suite.await_status("without sessions", |s| s.sessions == 0);
    assert!(greeted(suite.port).1.starts_with("220"));
    let counted = suite.ask(&Request::Counters).into_iter().any(|reply| match reply {
        Reply::Counters(all) => all.contains(&("master".into(), 0, "refused_address".into(), 1)),
        _ => false,
    });
    assert!(counted);
}

#[test]
fn faults_stop_the_start_and_leave_nothing() {
    let suite = Suite::prepare("");
    let taken = std::net::TcpListener::bind(("127.0.0.1", suite.port)).unwrap();
    let output = suite.command().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("zpost.toml:8:8: port in use"), "{text}");
    drop(taken);
    suite.configure(&[suite.port], "[nonsense]\nx = 1\n");
    let output = suite.command().output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("zpost.toml:") && text.contains("nonsense") && !text.contains(":0:0:"), "{text}");
    suite.configure(&[suite.port], "");
    std::fs::remove_file(suite.folder.path().join("bin/ta-hold")).unwrap();
    let output = suite.command().output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ta-hold is missing"));
}

#[test]
fn one_master_a_run_folder_and_a_killed_one_leaves_no_hindrance() {
    let mut suite = Suite::start("");
    let output = suite.command().output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("already running"));
    suite.signal(Signal::SIGKILL);
    suite.await_end();
    suite.launch();
    greeted(suite.port);
}

#[test]
fn stop_drains_and_is_bounded() {
    let mut suite = Suite::start("[processes]\ndrain = \"1s\"\nenvironment = { STAND_IN_STUBBORN = \"1\" }\n");
    // A session that never ends is cut when the time is over.
    let held = greeted(suite.port);
    assert!(matches!(suite.ask(&Request::Stop { now: false })[..], [Reply::Done(_)]));
    suite.await_notice("STOPPING=1");
    assert_eq!(suite.await_end(), Some(0));
    drop(held);
    suite.launch();
    suite.signal(Signal::SIGTERM);
    assert_eq!(suite.await_end(), Some(0));
    suite.launch();
    let _held = greeted(suite.port);
    suite.ask(&Request::Stop { now: true });
    assert_eq!(suite.await_end(), Some(0));
}

#[test]
fn commands_are_handed_on_and_junk_is_dropped() {
    let suite = Suite::start("");
    let junk = std::os::unix::net::UnixDatagram::from(
        nix::sys::socket::socket(
            nix::sys::socket::AddressFamily::Unix,
            nix::sys::socket::SockType::SeqPacket,
            nix::sys::socket::SockFlag::SOCK_CLOEXEC,
            None,
        )
        .unwrap(),
    );
    let address = nix::sys::socket::UnixAddr::new(&suite.folder.path().join("run/control")).unwrap();
    nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&junk), &address).unwrap();
    junk.send(b"junk").unwrap();
    assert_eq!(junk.recv(&mut [0; 9]).unwrap_or(0), 0);
    let queue = suite.ask(&Request::Queue(Selection::default()));
    assert!(matches!(&queue[..], [Reply::Done(text)] if text.starts_with("scheduler ")), "{queue:?}");
    let route = suite.ask(&Request::Route { address: "a@b".into(), sender: String::new() });
    assert!(matches!(&route[..], [Reply::Done(text)] if text.starts_with("routermux ")), "{route:?}");
    // The scheduler asked for an agent when it began.
    suite.await_status("with an agent", |s| s.processes.iter().any(|p| p.service == "ta-smtp" && p.state == "ready"));
}

#[test]
fn frozen_stays_frozen_over_a_restart() {
    let mut suite = Suite::start("");
    suite.ask(&Request::Freeze);
    assert!(suite.status().frozen);
    suite.ask(&Request::Stop { now: true });
    suite.await_end();
    suite.launch();
    assert!(suite.status().frozen);
    suite.ask(&Request::Thaw);
    assert!(!suite.status().frozen);
}
