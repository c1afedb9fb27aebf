//! kill -9 of anything at any moment, and a stop after each durable step: nothing acknowledged is lost.

use end_to_end::killer::Killer;
use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, installed, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Short back-off and scans: a test restarts things far more often than life does.
const QUICK: &str = "[processes]\nrestart_first = \"20ms\"\nrestart_longest = \"200ms\"\n[queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\nretry_longest = \"2s\"\n";

/// How big the storm is: `ZPOST_TEST_LONG=1` gives the full 20,000 messages and 200 kills.
fn storm() -> (usize, usize) {
    if std::env::var_os("ZPOST_TEST_LONG").is_some() { (20_000, 200) } else { (3_000, 40) }
}

/// Sends numbered messages until `total` are acknowledged; a message without 250 is sent again under a new number.
fn send_all(port: u16, total: usize, acknowledged: &Mutex<HashSet<usize>>, next: &AtomicUsize, in_flight: &AtomicUsize) {
    while acknowledged.lock().unwrap().len() < total {
        let Ok((mut session, 220)) = Session::open(port) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        if session.command("EHLO load.example").is_err() {
            continue;
        }
        for _ in 0..20 {
            if acknowledged.lock().unwrap().len() >= total {
                break;
            }
            let number = next.fetch_add(1, Relaxed);
            let content = format!("Subject: storm\r\nX-Number: {number}\r\n\r\n{}\r\n", "x".repeat(500));
            match session.message("load@sender.example", &["rcpt@sink.example"], content.as_bytes()) {
                Ok((250, _)) => {
                    acknowledged.lock().unwrap().insert(number);
                }
                Ok(_) => {}
                Err(_) => {
                    in_flight.fetch_add(1, Relaxed);
                    break;
                }
            }
        }
    }
}

/// Another number from the clock's low bits: which process dies is up to chance, and printed.
fn chance(below: usize) -> usize {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    (nanos as usize / 64) % below.max(1)
}

#[test]
fn twenty_thousand_messages_survive_two_hundred_kills() {
    let (total, kills) = storm();
    let sink = Sink::start();
    survive(&sink, Suite::builder().relaying_to(sink.port).with(QUICK).start(), total, kills);
}

#[test]
fn nothing_is_lost_with_two_volumes_either() {
    let (total, kills) = storm();
    let sink = Sink::start();
    let suite = survive(&sink, Suite::builder().relaying_to(sink.port).with(QUICK).with_volume("disk2").start(), total / 2, kills);
    let used = |folder: &str| suite.log().lines().filter(|l| l.contains(" accepted ") && l.contains(folder)).count();
    assert!(used("volume=disk2") > total / 10, "the second volume took its share");
}

/// Sends while processes die; every acknowledged message arrives.
fn survive(sink: &Sink, mut suite: Suite, total: usize, kills: usize) -> Suite {
    let port = suite.port;
    let acknowledged = Mutex::new(HashSet::new());
    let (next, in_flight, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let mut victims: HashMap<String, usize> = HashMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| send_all(port, total, &acknowledged, &next, &in_flight))).collect();
        let mut killed = 0;
        while killed < kills && !done.load(Relaxed) {
            let share = acknowledged.lock().unwrap().len() * kills / total;
            if share < killed && !workers.iter().all(|w| w.is_finished()) {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            if killed % 20 == 19 {
                suite.kill();
                suite.start();
                *victims.entry("zpost-master".to_owned()).or_default() += 1;
                killed += 1;
                continue;
            }
            let pids = suite.pids();
            let (name, pid) = &pids[1 + chance(pids.len() - 1)];
            if kill(Pid::from_raw(i32::try_from(*pid).unwrap()), Signal::SIGKILL).is_ok() {
                *victims.entry(name.clone()).or_default() += 1;
                killed += 1;
            }
        }
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Relaxed);
    });
    eprintln!("killed: {victims:?}");
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut arrived: HashMap<usize, usize> = HashMap::new();
    wait_until("every acknowledged message arrives", Duration::from_secs(600), || {
        arrived.clear();
        for number in sink.headers("X-Number") {
            *arrived.entry(number.parse().unwrap()).or_default() += 1;
        }
        acknowledged.iter().all(|n| arrived.contains_key(n)) || {
            std::thread::sleep(Duration::from_millis(500));
            false
        }
    });
    let repeats: usize = arrived.values().map(|n| n - 1).sum();
    let unacknowledged = arrived.keys().filter(|n| !acknowledged.contains(n)).count();
    eprintln!("acknowledged {} arrived {} repeats {repeats} arrived without 250 seen {unacknowledged}", acknowledged.len(), arrived.len());
    // What was in flight at one kill: the jobs of the agents (concurrency_most) and what the scheduler had not yet
    // marked of them; for sessions, one message each.
    assert!(repeats <= kills * 100, "{repeats} repeats");
    assert!(unacknowledged <= in_flight.load(Relaxed) + 8, "{unacknowledged} of {}", in_flight.load(Relaxed));
    assert_eq!(suite.zpost(&["queue", "--json"]).status.code(), Some(0));
    suite
}

/// The first process of `service` dies at the `when`-th such call of one of its threads. Only one: a file over which two
/// routers die is set aside.
fn crash_at(service: &str, call: &str, when: usize) {
    assert!(installed("strace"), "strace is not installed: scripts/test installs it");
    let sink = Sink::start();
    // One recipient of each message fails, so that its control file is marked before it is removed.
    let failing = "[[route]]\ndomain = \"bad.example\"\nchannel = \"error\"\nhost = \"5.1.1:nobody\"\n";
    let suite = Suite::builder().with(failing).relaying_to(sink.port).with(QUICK).start();
    let victim = suite.pids().into_iter().find(|(name, _)| name == service).unwrap().1;
    let killer = Killer::attach(victim, call, when);
    let mut acknowledged = Vec::new();
    let mut number = 0;
    let start = Instant::now();
    while acknowledged.len() < 24 {
        assert!(start.elapsed() < LONG, "no acceptance after {call} number {when} of {service}");
        number += 1;
        let Ok((mut session, 220)) = Session::open(suite.port) else { continue };
        if session.command("EHLO x.example").is_err() {
            continue;
        }
        let content = format!("Subject: x\r\nX-Number: {number}\r\n\r\nbody\r\n");
        if matches!(session.message("a@sender.example", &["b@sink.example", "c@bad.example"], content.as_bytes()), Ok((250, _))) {
            acknowledged.push(number.to_string());
        }
    }
    wait_until("every acknowledged message arrives", LONG, || {
        let arrived: HashSet<String> = sink.headers("X-Number").into_iter().collect();
        acknowledged.iter().all(|n| arrived.contains(n))
    });
    suite.wait_drained(LONG);
    assert!(suite.pids().iter().all(|(_, pid)| *pid != victim), "{service} met no {call} number {when}");
    drop(killer);
}

#[test]
fn a_server_that_dies_while_accepting_loses_nothing() {
    for when in [1, 2] {
        crash_at("smtpserver", "openat", when);
        crash_at("smtpserver", "fsync,fdatasync", when);
        crash_at("smtpserver", "renameat2,renameat,rename", when);
    }
}

/// The first rename moves the message to queue/, the second names its control file.
#[test]
fn a_router_that_dies_while_routing_loses_nothing() {
    for when in [1, 2, 3] {
        crash_at("router", "renameat2,renameat,rename", when);
    }
}

#[test]
fn a_scheduler_that_dies_while_marking_loses_nothing() {
    for when in [1, 2] {
        crash_at("scheduler", "pwrite64", when);
    }
}

/// queue/ first, then transport/.
#[test]
fn a_scheduler_that_dies_while_removing_loses_nothing() {
    for when in [1, 2, 3] {
        crash_at("scheduler", "unlinkat,unlink", when);
    }
}
