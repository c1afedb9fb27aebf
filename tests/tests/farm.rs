//! The router farm when routers hang, die or grow.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

fn send(suite: &Suite, user: &str) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let (code, text) = session.message("anna@sender.example", &[&format!("{user}@local.example")], b"Subject: x\r\n\r\nbody\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
}

fn delivered(suite: &Suite, user: &str) -> usize {
    fs::read_dir(suite.path("mail").join(user).join("new")).map_or(0, Iterator::count)
}

fn routers(suite: &Suite) -> Vec<u32> {
    suite.pids().into_iter().filter(|(name, _)| name == "router").map(|(_, pid)| pid).collect()
}

/// A process that hangs holds up nothing but what it has in hand, and that not for long.
#[test]
fn a_router_that_hangs_is_replaced_and_its_work_is_done() {
    let suite = Suite::builder().with_maildirs().with("[processes]\nrouters = 2\nrouter_silence = \"5s\"").start();
    let all = routers(&suite);
    let stopped = all[0];
    kill(Pid::from_raw(i32::try_from(stopped).unwrap()), Signal::SIGSTOP).unwrap();
    // The least loaded gets what comes: sooner or later each of both, and a question of RCPT is put to the other then.
    for _ in 0..3 {
        send(&suite, "joe");
    }
    wait_until("all are delivered", LONG, || delivered(&suite, "joe") == 3);
    wait_until("a successor", LONG, || routers(&suite).iter().filter(|pid| **pid != stopped).count() == 2);
    suite.logged("router_silent");
    suite.logged("killed");
    assert_eq!(suite.counter("routermux", "set_aside"), 0);
}

/// A message that a router cannot take in within its memory kills it, twice, and is then set aside; all others flow.
#[test]
fn a_message_that_eats_memory_kills_two_routers_and_no_more() {
    let suite = Suite::builder()
        .with_maildirs()
        .with("[processes]\nrouters = 2\nrouter_memory = \"32MiB\"\nrestart_first = \"10ms\"\nrestart_longest = \"100ms\"\n[queue]\nrouter_scan = \"1s\"")
        .start();
    let mut poison = String::from("from <>\n");
    for n in 0..500_000 {
        poison.push_str(&format!("to <u{n}@local.example>\n"));
    }
    poison.push_str("env-end\nSubject: much\n\nbody\n");
    let folder = suite.postoffice("router");
    fs::write(suite.path("poison"), poison).unwrap();
    fs::rename(suite.path("poison"), folder.join("poison")).unwrap();
    for n in 0..40 {
        send(&suite, "joe");
        if n % 10 == 9 {
            wait_until("what came is delivered", LONG, || delivered(&suite, "joe") > n);
        }
    }
    wait_until("it is set aside with its reason", LONG, || {
        fs::read_to_string(suite.postoffice("deferred/poison.reason")).is_ok_and(|reason| reason.contains("two routers died"))
    });
    assert!(suite.postoffice("deferred/poison").exists());
    send(&suite, "max");
    wait_until("mail flows", LONG, || delivered(&suite, "max") == 1);
    assert_eq!(suite.counter("routermux", "set_aside"), 1);
    assert!((2..=4).contains(&suite.log().matches("router_lost").count()), "not more than its share of routers");
}
