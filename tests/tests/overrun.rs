//! Overrun: connections by the thousand that bring nothing, while good clients go on being served.

use end_to_end::flood::{Parts, be_a_part};
use end_to_end::load::Session;
use end_to_end::memory::pss_kib;
use end_to_end::{LONG, Suite, wait_until};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// For which all of loopback is the open internet.
fn suite(sections: &str) -> Suite {
    let mut suite = Suite::builder().with_maildirs().with("[first_contact]\nexempt = []\n").with(sections).prepare();
    let text = std::fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "");
    std::fs::write(suite.config(), text).unwrap();
    suite.start();
    suite
}

/// What good clients met with.
#[derive(Debug, Default)]
struct Met {
    tried: usize,
    accepted: usize,
    /// Until the banner.
    waits: Vec<Duration>,
}

/// One good client: connects, delivers one message, goes.
fn visit(port: u16, from: Ipv4Addr, met: &mut Met) {
    met.tried += 1;
    let begin = Instant::now();
    let Ok((mut session, code)) = Session::open_from(from, port) else { return };
    if code != 220 {
        return;
    }
    met.waits.push(begin.elapsed());
    let sent = session
        .command("EHLO good.example")
        .and_then(|_| session.message("a@sender.example", &["joe@local.example"], b"Subject: x\r\n\r\nx\r\n"));
    if sent.is_ok_and(|(code, _)| code == 250) {
        met.accepted += 1;
    }
    let _ = session.command("QUIT");
}

fn good(client: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 200, client, 1 + number % 50)
}

/// Good clients, so many at a time, each with a rest between two messages, until told to stop.
fn good_clients(port: u16, clients: u8, rest: Duration, stop: &AtomicBool) -> Met {
    let mut all = Met::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                scope.spawn(move || {
                    let mut met = Met::default();
                    for number in (0..u8::MAX).cycle() {
                        if stop.load(Relaxed) {
                            break;
                        }
                        visit(port, good(client, number), &mut met);
                        std::thread::sleep(rest);
                    }
                    met
                })
            })
            .collect();
        for met in threads.into_iter().map(|thread| thread.join().unwrap()) {
            all.tried += met.tried;
            all.accepted += met.accepted;
            all.waits.extend(met.waits);
        }
    });
    all
}

fn pss_of(suite: &Suite, service: &str) -> Vec<u64> {
    suite.pids().iter().filter(|(name, _)| name == service).map(|(_, pid)| pss_kib(*pid)).collect()
}

#[derive(Debug)]
struct Figures {
    met: Met,
    held: u64,
    workers: usize,
    worker_kib: u64,
    master_kib: u64,
    base_kib: u64,
    failed: usize,
}

/// A flood of `count` while good clients deliver; it stays for `stay`.
fn overrun(suite: &Suite, count: u32, per_second: u32, stay: Duration) -> Figures {
    // They have been here before, as good clients have.
    let mut before = Met::default();
    for client in 0..4 {
        for number in 0..50 {
            visit(suite.port, good(client, number), &mut before);
        }
    }
    assert_eq!(before.accepted, before.tried);
    let base_kib = pss_of(suite, "smtpserver").into_iter().max().unwrap_or(0);
    let (port, stop) = (suite.port, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| good_clients(port, 4, Duration::from_millis(50), &stop));
        let begin = Instant::now();
        let mut flood = Parts::start("a_part_of_the_flood", port, count, per_second);
        let (made, failed) = flood.poured();
        eprintln!("{made} connections in {:?}, {failed} failed", begin.elapsed());
        let held = suite.counter("master", "sessions_now");
        let (workers, master) = (pss_of(suite, "smtpserver"), pss_of(suite, "zpost-master"));
        // The promise is about a minute.
        std::thread::sleep(stay);
        stop.store(true, Relaxed);
        let met = clients.join().unwrap();
        Figures { met, held, workers: workers.len(), worker_kib: workers.iter().sum(), master_kib: master.iter().sum(), base_kib, failed }
    })
}

fn say(figures: &mut Figures) -> (Duration, Duration) {
    let waits = &mut figures.met.waits;
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or_default();
    let (middle, late, last) = (at(50), at(95), at(100));
    let each = (figures.worker_kib.saturating_sub(figures.base_kib * figures.workers as u64)) as f64 / figures.held.max(1) as f64;
    eprintln!(
        "held {} in {} workers of {} KiB in all ({each:.2} KiB a session), master {} KiB; good clients: {} of {} accepted, banner after {middle:?} (50 %), {late:?} (95 %), {last:?} (last)",
        figures.held, figures.workers, figures.worker_kib, figures.master_kib, figures.met.accepted, figures.met.tried
    );
    (middle, late)
}

fn per_session_kib(figures: &Figures) -> u64 {
    figures.worker_kib.saturating_sub(figures.base_kib * figures.workers as u64) / figures.held.max(1)
}

/// Not a test of its own: what a flood runs in other processes.
#[test]
fn a_part_of_the_flood() {
    be_a_part();
}

#[test]
fn four_thousand_strangers_do_not_shut_good_clients_out() {
    let suite = suite("[connections]\ntotal = 1500\nreserve = 100\n");
    let mut figures = overrun(&suite, 4_000, 1_000, Duration::from_secs(2));
    say(&mut figures);
    assert_eq!(figures.failed, 0);
    assert!(figures.held <= 1500, "{}", figures.held);
    assert!(figures.met.accepted * 100 >= figures.met.tried * 95, "{} of {}", figures.met.accepted, figures.met.tried);
    assert!(per_session_kib(&figures) < 16);
    assert!(suite.counter("smtpserver", "shed") > 0 && suite.counter("smtpserver", "not_smtp") > 0);
    wait_until("all of them are gone", LONG, || suite.counter("master", "sessions_now") == 0);
}

/// The promise: 50,000 connections at 5,000 a second.
#[test]
fn fifty_thousand_strangers() {
    if std::env::var_os("ZPOST_TEST_LONG").is_none() {
        return;
    }
    for sections in ["", "[connections]\ntotal = 60000\n[processes]\nsmtpserver_max = 4\nsessions_per_worker = 15000\n"] {
        let suite = suite(sections);
        let mut figures = overrun(&suite, 50_000, 5_000, Duration::from_secs(50));
        let (_, late) = say(&mut figures);
        let counters: Vec<(&str, u64)> = ["sessions", "shed", "not_smtp", "timeouts", "overloaded", "messages"]
            .map(|name| (name, suite.counter("smtpserver", name)))
            .into();
        eprintln!("{counters:?}, refused {}", suite.counter("master", "refused_total"));
        assert!(figures.met.accepted * 100 >= figures.met.tried * 95, "{} of {}", figures.met.accepted, figures.met.tried);
        assert!(per_session_kib(&figures) < 16);
        // The promise is 100 ms; a busy test machine gets room.
        assert!(late < Duration::from_secs(1), "{late:?}");
    }
}
