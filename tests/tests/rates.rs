//! The rate tracker in a running suite: limits, what is shown and forgotten, its own restart, overload, and that it sleeps
//! while nobody is there.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A session from an address, past its greeting.
fn session(suite: &Suite, source: [u8; 4]) -> Session {
    let (mut session, code) = Session::open_from(Ipv4Addr::from(source), suite.port).unwrap();
    assert_eq!(code, 220);
    assert_eq!(session.command("EHLO client.example").unwrap().0, 250);
    session
}

/// One MAIL that leads nowhere; its reply.
fn mail(session: &mut Session, sender: &str) -> (u16, String) {
    let reply = session.command(&format!("MAIL FROM:<{sender}>")).unwrap();
    assert_eq!(session.command("RSET").unwrap().0, 250);
    reply
}

/// The row of a subject.
fn row(suite: &Suite, kind: &str, subject: &str) -> Value {
    let rows = suite.json(&["rates", subject, "--kind", kind]);
    rows.as_array().unwrap().iter().find(|row| row["subject"] == subject).cloned().unwrap_or(Value::Null)
}

fn pid(suite: &Suite) -> Option<u32> {
    suite.pids().into_iter().find(|(name, _)| name == "ratetracker").map(|(_, pid)| pid)
}

#[test]
fn limits_of_addresses_networks_and_sender_domains() {
    let suite = Suite::builder()
        .with_maildirs()
        .with("[rates]\nexempt = []\nmessages_per_address = 2\nmessages_per_network = 4\nmessages_per_sender_domain = 3\n")
        .start();
    let mut first = session(&suite, [127, 0, 0, 1]);
    assert_eq!(mail(&mut first, "u@a.example").0, 250);
    assert_eq!(mail(&mut first, "u@a.example").0, 250);
    let (code, text) = mail(&mut first, "u@a.example");
    assert!(code == 450 && text.contains("too many messages from your address (127.0.0.1)"), "{code} {text}");
    // Another host of the network.
    let mut second = session(&suite, [127, 0, 0, 7]);
    assert_eq!(mail(&mut second, "u@b.example").0, 250);
    let (code, text) = mail(&mut second, "u@b.example");
    assert!(code == 450 && text.contains("from your network (127.0.0.7)"), "{code} {text}");
    // Another network, the same domain.
    let mut third = session(&suite, [127, 0, 1, 5]);
    assert_eq!(mail(&mut third, "v@B.example").0, 250);
    let (code, text) = mail(&mut third, "u@b.example");
    assert!(code == 450 && text.contains("from your domain (b.example)"), "{code} {text}");

    let shown = row(&suite, "address", "127.0.0.1");
    assert_eq!((shown["messages"].as_u64(), shown["excesses"].as_u64()), (Some(3), Some(1)), "{shown}");
    assert!(shown["last"].as_str().is_some_and(|last| last.ends_with('Z')), "{shown}");
    let domain = row(&suite, "domain", "@b.example");
    assert_eq!((domain["messages"].as_u64(), domain["excesses"].as_u64()), (Some(4), Some(2)), "{domain}");
    assert!(suite.counter("ratetracker", "refused") >= 3);

    // The largest come first, in columns.
    let text = String::from_utf8(suite.zpost(&["rates", "--top", "2"]).stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() == 3 && lines[0].starts_with("KIND") && lines[1].contains("network") && lines[1].contains("127.0.0.0/24"),
        "{text}"
    );

    let cleared = suite.zpost(&["rates", "--clear", "127.0.0.0/24"]);
    assert_eq!(String::from_utf8_lossy(&cleared.stdout), "3 forgotten\n", "{cleared:?}");
    assert_eq!(mail(&mut first, "u@c.example").0, 250);
    assert_eq!(suite.zpost(&["rates", "--clear"]).status.code(), Some(64));
    assert!(suite.zpost(&["rates", "--clear", "--all"]).status.success());
    assert_eq!(mail(&mut third, "u@b.example").0, 250);
    assert_eq!(row(&suite, "domain", "@b.example")["messages"].as_u64(), Some(1));
    suite.logged(" cleared ");
}

#[test]
fn recipients_and_aborts_count() {
    let suite = Suite::builder().with_maildirs().with("[rates]\nexempt = []\nrecipients_per_address = 2\naborts_per_network = 1\n").start();
    let mut first = session(&suite, [127, 0, 0, 1]);
    assert_eq!(first.command("MAIL FROM:<u@a.example>").unwrap().0, 250);
    for (n, code) in [(1, 250), (2, 250), (3, 450)] {
        assert_eq!(first.command(&format!("RCPT TO:<r{n}@local.example>")).unwrap().0, code);
    }
    drop(first);
    let mut second = session(&suite, [127, 0, 0, 2]);
    assert_eq!(second.command("MAIL FROM:<u@a.example>").unwrap().0, 250);
    drop(second);
    wait_until("both sessions count as aborted", LONG, || row(&suite, "network", "127.0.0.0/24")["aborts"].as_u64() == Some(2));
    let (_, code) = Session::open_from(Ipv4Addr::new(127, 0, 0, 3), suite.port).unwrap();
    assert_eq!(code, 421, "the door is closed to that network");
    assert_eq!(row(&suite, "address", "127.0.0.1")["recipients"].as_u64(), Some(3));
}

#[test]
fn counts_survive_kill_and_restart() {
    let mut suite = Suite::builder().with_maildirs().with("[rates]\nexempt = []\nmessages_per_address = 3\nsave = \"1s\"\n").start();
    let mut client = session(&suite, [127, 0, 0, 1]);
    (0..3).for_each(|_| assert_eq!(mail(&mut client, "u@a.example").0, 250));
    let file = suite.postoffice("ratetracker/state");
    let written = || std::fs::read_to_string(&file).unwrap_or_default();
    wait_until("the counts are on disk", LONG, || {
        written().lines().any(|line| line.contains(" e address 127.0.0.1 ") && line.split(' ').any(|word| word.ends_with(":1:3")))
    });
    let before = pid(&suite).unwrap();
    kill(Pid::from_raw(i32::try_from(before).unwrap()), Signal::SIGKILL).unwrap();
    wait_until("another ratetracker is there", LONG, || pid(&suite).is_some_and(|now| now != before));
    assert_eq!(row(&suite, "address", "127.0.0.1")["messages"].as_u64(), Some(3));
    assert_eq!(mail(&mut client, "u@a.example").0, 450);
    drop(client);
    // A drained one loses nothing, however short ago it was.
    assert_eq!(suite.stop(), Some(0));
    suite.start();
    assert_eq!(row(&suite, "address", "127.0.0.1")["messages"].as_u64(), Some(4));
    assert_eq!(mail(&mut session(&suite, [127, 0, 0, 1]), "u@a.example").0, 450);
}

#[test]
fn overload_is_shown_and_passes() {
    let suite = Suite::builder()
        .with("[connections]\ntotal = 20\n[overload]\nsessions = \"20 60 90\"\nsync = \"\"\npressure = \"\"\nmemory = \"\"\n")
        .start();
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    let sessions: Vec<Session> = (0..5).map(|_| session(&suite, [127, 0, 0, 1])).collect();
    wait_until("the suite says that it is overloaded", LONG, || {
        let output = suite.zpost(&["status"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.code() == Some(1) && text.contains("trouble: the host is overloaded, level 1 of 3: many connections")
    });
    assert_eq!(suite.counter("ratetracker", "overload_now"), 1);
    drop(sessions);
    wait_until("it is over", LONG, || suite.zpost(&["status"]).status.code() == Some(0));
    assert_eq!(suite.counter("ratetracker", "overload_now"), 0);
}

#[test]
fn an_idle_suite_is_left_asleep() {
    let suite = Suite::builder().with("[rates]\nsave = \"1s\"\n").start();
    drop(session(&suite, [127, 0, 0, 1]));
    let path = format!("/proc/{}/status", pid(&suite).unwrap());
    let switches = || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.lines().filter(|line| line.contains("voluntary_ctxt_switches")).map(str::to_owned).collect::<Vec<_>>()
    };
    wait_until("the ratetracker sleeps", LONG, || {
        let before = switches();
        std::thread::sleep(Duration::from_secs(3));
        before == switches()
    });
    assert!(suite.counter("ratetracker", "saves") >= 1);
}

/// A suite for which loopback is the open internet.
fn open_suite(sections: &str) -> Suite {
    let mut suite = Suite::builder().with_maildirs().with("[first_contact]\nexempt = []\n").with(sections).prepare();
    let text = std::fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "\"127.9.9.9\"");
    std::fs::write(suite.config(), text).unwrap();
    suite.start();
    suite
}

fn recipient(session: &mut Session) -> (u16, String) {
    assert_eq!(session.command("MAIL FROM:<list-17@a.example>").unwrap().0, 250);
    let reply = session.command("RCPT TO:<joe@local.example>").unwrap();
    assert_eq!(session.command("RSET").unwrap().0, 250);
    reply
}

#[test]
fn a_new_triplet_waits_and_is_remembered() {
    let mut suite = open_suite("[[access]]\ngreylist = true\n[greylist]\ndelay = \"3s\"\n[rates]\nsave = \"1s\"\n");
    // Each attempt is a session of its own: in one there may be only so many without a message.
    let attempt = |suite: &Suite| recipient(&mut session(suite, [127, 0, 0, 1]));
    let (code, text) = attempt(&suite);
    assert!(code == 450 && text.contains("greylisted"), "{code} {text}");
    let shown = suite.json(&["rates", "--kind", "grey"]);
    assert_eq!(shown[0]["subject"], "127.0.0.0/24 <list-#@a.example> <joe@local.example>", "{shown}");
    assert_eq!(shown[0]["state"], "waiting");
    wait_until("it has waited long enough", LONG, || attempt(&suite).0 == 250);
    assert_eq!(suite.json(&["rates", "joe@local.example", "--kind", "grey"])[0]["state"], "passed");
    assert_eq!(suite.json(&["rates", "--kind", "passed"])[0]["subject"], "127.0.0.0/24");
    suite.stop();
    suite.start();
    let mut second = session(&suite, [127, 0, 0, 200]);
    assert_eq!(recipient(&mut second).0, 250, "of the same network");
    assert!(suite.zpost(&["rates", "--kind", "grey", "--clear", "--all"]).status.success());
    assert_eq!(recipient(&mut second).0, 450);
    assert_eq!(recipient(&mut session(&suite, [127, 0, 5, 1])).0, 450, "another network");
}

#[test]
fn limits_of_policy_may_be_hard_and_count_once() {
    let suite = open_suite("[[access]]\nclient = [\"127.0.0.1\"]\nmax_messages = 1\nhard_limits = true\n");
    let mut first = session(&suite, [127, 0, 0, 1]);
    let (code, text) = first.message("u@a.example", &["joe@local.example"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
    let (code, text) = mail(&mut first, "u@a.example");
    assert!(code == 550 && text.contains("too many messages from your address"), "{code} {text}");
    // What was accepted is told a moment later.
    wait_until("the recipient is counted", LONG, || row(&suite, "address", "127.0.0.1")["recipients"].as_u64() == Some(1));
    let shown = row(&suite, "address", "127.0.0.1");
    assert_eq!((shown["messages"].as_u64(), shown["excesses"].as_u64()), (Some(2), Some(1)), "{shown}");
}
