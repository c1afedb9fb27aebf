//! Reload and upgrade while clients come and go: nobody is refused, no session fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod suite;

use ipc::control::{Reply, Request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use suite::{Suite, greeted};

fn works(stream: &mut TcpStream) {
    stream.write_all(b"word").unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"word");
}

fn generation(line: &str) -> u32 {
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

/// Four clients that connect, talk and leave until told to stop; gives the sessions they had.
fn under_load<T>(port: u16, work: impl FnOnce() -> T) -> (u64, T) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = || {
            let mut sessions = 0;
            while !stop.load(Relaxed) {
                let (mut stream, line) = greeted(port);
                assert!(line.starts_with("220"), "{line:?}");
                works(&mut stream);
                sessions += 1;
            }
            sessions
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let result = work();
        stop.store(true, Relaxed);
        (clients.into_iter().map(|c| c.join().expect("a client failed")).sum(), result)
    })
}

#[test]
fn reload_under_load_refuses_nobody() {
    let suite = Suite::start("");
    let (mut held, line) = greeted(suite.port);
    assert_eq!(generation(&line), 1);
    let (sessions, ()) = under_load(suite.port, || {
        for number in 2..=4 {
            let replies = suite.ask(&Request::Reload);
            assert!(matches!(&replies[..], [Reply::Done(text)] if text.contains(&format!("generation {number}"))), "{replies:?}");
            assert_eq!(generation(&greeted(suite.port).1), number);
        }
    });
    assert!(sessions > 0);
    works(&mut held);
}

#[test]
fn reload_changes_listeners_and_keeps_the_old_on_faults() {
    let suite = Suite::start("");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = other.local_addr().unwrap().port();
    suite.configure(&[second, suite.port], "");
    let replies = suite.ask(&Request::Reload);
    assert!(matches!(&replies[..], [Reply::Refused { code: 78, reason }] if reason.contains("port in use")), "{replies:?}");
    drop(other);
    assert!(matches!(&suite.ask(&Request::Reload)[..], [Reply::Done(_)]));
    // The same listener now has another index.
    assert!(greeted(suite.port).1.starts_with("220 1 "));
    assert!(greeted(second).1.starts_with("220 0 "));
    suite.configure(&[second], "");
    suite.ask(&Request::Reload);
    assert!(TcpStream::connect(("127.0.0.1", suite.port)).is_err());
    assert!(greeted(second).1.starts_with("220 0 "));
    std::fs::write(suite.config(), "nonsense").unwrap();
    assert!(matches!(&suite.ask(&Request::Reload)[..], [Reply::Refused { code: 78, .. }]));
    assert!(greeted(second).1.starts_with("220 0 "));
}

#[test]
fn reload_starts_and_ends_the_content_filter() {
    let suite = Suite::start("");
    let filters = |s: &ipc::control::Status| s.processes.iter().filter(|p| p.service == "contentfilter").count();
    suite.configure(&[suite.port], "[filter]\nprogram = [\"/bin/cat\"]\n");
    suite.ask(&Request::Reload);
    assert_eq!(filters(&suite.status()), 1);
    suite.configure(&[suite.port], "");
    suite.ask(&Request::Reload);
    suite.await_status("without a filter", |s| filters(s) == 0);
}

#[test]
fn upgrade_under_load_refuses_nobody_and_fails_no_session() {
    let suite = Suite::start("[processes]\nsmtpserver_min = 2\n");
    let before = suite.status();
    let (mut held, _) = greeted(suite.port);
    let (sessions, ()) = under_load(suite.port, || {
        for number in 2..=4 {
            let replies = suite.ask(&Request::Upgrade);
            assert!(matches!(&replies[..], [Reply::Done(text)] if text.contains(&format!("generation {number}"))), "{replies:?}");
        }
    });
    assert!(sessions > 0);
    works(&mut held);
    let after = suite.await_status("settled", |s| s.sessions == 1);
    assert_eq!(after.pid, before.pid);
    assert!(after.troubles.is_empty(), "{:?}", after.troubles);
    drop(held);
    let old: Vec<u32> = before.processes.iter().map(|p| p.pid).collect();
    // The worker of the last session was left in peace until now.
    suite.await_status("renewed", |s| s.processes.iter().all(|p| !old.contains(&p.pid)));
}

#[test]
fn a_broken_new_program_changes_nothing() {
    let suite = Suite::start("");
    let program = suite.folder.path().join("bin/zpost-master");
    std::fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink("/bin/false", &program).unwrap();
    let replies = suite.ask(&Request::Upgrade);
    assert!(matches!(&replies[..], [Reply::Refused { code: 78, .. }]), "{replies:?}");
    greeted(suite.port);
}
