//! The sandbox of ta-smtp from outside: the kernel says what holds, and mail still goes.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, wait_until};
use std::fs;

fn delivers(sandbox: &str) -> (Suite, Sink) {
    let sink = Sink::start();
    let suite =
        Suite::builder().relaying_to(sink.port).with(&format!("[processes]\nsandbox = \"{sandbox}\"\n[log]\nlevel = \"debug\"\n")).start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let content = format!("Subject: x\r\n\r\n{}", "y\r\n".repeat(200_000));
    assert_eq!(session.message("a@sender.example", &["b@far.example"], content.as_bytes()).unwrap().0, 250);
    wait_until("the mail arrives", LONG, || sink.messages().len() == 1);
    (suite, sink)
}

fn status_of_agent(suite: &Suite) -> String {
    let pids = suite.pids();
    let (_, pid) = pids.iter().find(|(service, _)| service == "ta-smtp").expect("ta-smtp is still there");
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap()
}

#[test]
fn the_client_is_confined_and_delivers() {
    let (suite, _sink) = delivers("try");
    let status = status_of_agent(&suite);
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2") && status.contains("Seccomp_filters:\t3"), "{status}");
    let log = suite.log();
    match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if !list.contains("landlock") => eprintln!("SKIPPED: this kernel has no Landlock"),
        _ => assert!(log.contains("walls=landlock,seccomp"), "{log}"),
    }
}

#[test]
fn off_is_off() {
    let (suite, _sink) = delivers("off");
    assert!(status_of_agent(&suite).contains("Seccomp:\t0"));
}
