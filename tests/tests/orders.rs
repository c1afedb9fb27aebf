//! What operators order: every command, by every way of selecting, in every state that a recipient waits in; at once
//! (there is no scan to wait for), and again after the scheduler was killed. And what they freeze.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, free_port, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::time::Instant;

const COMMANDS: [&str; 6] = ["retry", "hold", "release", "reroute", "expire", "delete"];
/// Each selects one message of its case alone.
const WAYS: [&str; 8] = ["id", "sender", "recipient", "domain", "channel", "host", "state", "older"];

fn no_scan() -> &'static str {
    "[queue]\ntransport_scan = \"1d\"\nretry_first = \"1h\"\nretry_longest = \"2h\"\n"
}

/// A next hop that takes the connection and never says a word: what goes there is active.
fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn kill_scheduler(suite: &Suite) {
    let pid = |suite: &Suite| suite.pids().into_iter().find(|(name, _)| name == "scheduler").map(|(_, pid)| pid);
    let before = pid(suite).unwrap();
    kill(Pid::from_raw(i32::try_from(before).unwrap()), Signal::SIGKILL).unwrap();
    wait_until("another scheduler is there", LONG, || {
        pid(suite).is_some_and(|now| now != before) && suite.zpost(&["queue", "--json"]).status.success()
    });
}

/// Every undelivered recipient with its state and its channel.
fn recipients(suite: &Suite) -> BTreeMap<String, (String, String)> {
    let queue = suite.json(&["queue"]);
    let all = queue.as_array().unwrap().iter().flat_map(|message| message["recipients"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.map(|r| (text(&r["address"]), (text(&r["state"]), text(&r["channel"])))).collect()
}

/// One message that a case is about.
struct Case {
    command: &'static str,
    way: &'static str,
    id: String,
    name: String,
}

impl Case {
    /// The options that select it.
    fn selection(&self, state: &str) -> Vec<String> {
        let Self { way, id, name, .. } = self;
        let recipient = format!("u@{name}.{state}.example");
        let with_recipient =
            |more: &[&str]| more.iter().map(|s| (*s).to_owned()).chain(["--recipient".to_owned(), recipient.clone()]).collect();
        match *way {
            "id" => vec![id.clone()],
            "sender" => vec!["--sender".to_owned(), format!("{name}@sender.example")],
            "recipient" => vec!["--recipient".to_owned(), recipient.to_uppercase()],
            "domain" => vec!["--domain".to_owned(), format!("{name}.{state}.example")],
            "host" => vec!["--host".to_owned(), host(name)],
            "channel" => with_recipient(&["--channel", "smtp"]),
            "state" => with_recipient(&["--state", state]),
            _ => with_recipient(&["--older", "0s"]),
        }
    }

    fn address(&self, state: &str) -> String {
        format!("u@{}.{state}.example", self.name)
    }
}

/// An address of the loopback network for each case.
fn host(name: &str) -> String {
    let number = name.bytes().fold(0u32, |n, b| n.wrapping_mul(31).wrapping_add(u32::from(b)));
    format!("127.{}.{}.{}", 1 + (number >> 14) % 200, (number >> 7) % 128, 1 + number % 120)
}

fn names() -> Vec<(&'static str, &'static str, String)> {
    let all = COMMANDS.iter().flat_map(|command| WAYS.iter().map(move |way| (*command, *way)));
    all.map(|(command, way)| (command, way, format!("{command}-{way}"))).collect()
}

/// What must have become of a recipient after a command; `None`: any state is right as long as it is there.
fn expected(command: &str, state: &str, after: Option<&(String, String)>) -> bool {
    let state_now = after.map(|(state, _)| state.as_str());
    match (command, state) {
        ("retry", "held") => state_now == Some("held"),
        ("retry", _) => state_now.is_some(),
        ("hold", "active") => matches!(state_now, Some("active" | "held")),
        ("hold", _) => state_now == Some("held"),
        ("release", _) => state_now.is_some_and(|now| now != "held"),
        // Its message is given back, and a new one has its recipients; or, from a job, when that ends.
        ("reroute", "active") => state_now == Some("active"),
        ("reroute", _) => state_now.is_some_and(|now| now != "held"),
        ("expire", "active") => state_now == Some("active"),
        ("expire", _) => after.is_none_or(|(state, channel)| channel == "error" || state == "failed"),
        ("delete", "active") => matches!(state_now, Some("active") | None),
        ("delete", _) => state_now.is_none(),
        _ => false,
    }
}

/// Does the command have anything to do for a recipient in this state?
fn touches(command: &str, state: &str) -> bool {
    match command {
        "retry" => matches!(state, "queued" | "deferred"),
        "hold" => state != "held",
        "release" => state == "held",
        _ => true,
    }
}

/// A suite in which everything waits in one state.
fn filled(state: &str, silent: u16) -> (Suite, Vec<Case>) {
    let dead = free_port();
    let mut builder = Suite::builder().with(no_scan());
    let port = if state == "active" { silent } else { dead };
    for (_, way, name) in names() {
        let target = if way == "host" { host(&name) } else { "127.0.0.1".to_owned() };
        let host = format!("{target}:{port}");
        builder = builder.with(&format!("[[route]]\ndomain = \"{name}.{state}.example\"\nchannel = \"smtp\"\nhost = \"{host}\"\n"));
    }
    let suite = builder.with("[[destination]]\nhost = [\"*\"]\nconcurrency_first = 100\nconcurrency_most = 100\n").start();
    if state == "queued" || state == "held" {
        assert!(suite.zpost(&["freeze"]).status.success());
    }
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let mut cases = Vec::new();
    for (command, way, name) in names() {
        let (from, to) = (format!("{name}@sender.example"), format!("u@{name}.{state}.example"));
        let (code, text) = session.message(&from, &[&to], b"Subject: x\r\n\r\nbody\r\n").unwrap();
        assert_eq!(code, 250, "{text}");
        cases.push(Case { command, way, id: text.trim().rsplit(' ').next().unwrap().to_owned(), name });
    }
    if state == "held" {
        wait_until("all are queued", LONG, || recipients(&suite).len() == cases.len());
        assert!(suite.zpost(&["hold", "--all"]).status.success());
    }
    wait_until("all are in their state", LONG, || {
        let all = recipients(&suite);
        all.len() == cases.len() && all.values().all(|(now, _)| now == state)
    });
    (suite, cases)
}

fn every_command_in(state: &'static str) {
    let (_listener, port) = silent();
    let (mut suite, cases) = filled(state, port);
    let run = |suite: &Suite, case: &Case, dry: bool| {
        let mut arguments = vec![case.command.to_owned()];
        let mut selection = case.selection(state);
        if let Some(value) = selection.get_mut(1).filter(|_| case.way == "host") {
            // As the queue shows it.
            let all = suite.json(&["queue", &case.id]);
            *value = all[0]["recipients"][0]["host"].as_str().unwrap().to_owned();
        }
        arguments.extend(selection);
        if dry {
            arguments.push("--dry-run".to_owned());
        }
        arguments.push("--json".to_owned());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = suite.zpost(&arguments);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let touched = value["messages"].as_array().map(|all| all.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
        touched.unwrap_or_else(|| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    let before = recipients(&suite);
    for case in &cases {
        let touched = run(&suite, case, true);
        let wanted: Vec<String> = touches(case.command, state).then(|| case.id.clone()).into_iter().collect();
        assert_eq!(touched, wanted, "{} by {} of {state}", case.command, case.way);
    }
    assert_eq!(recipients(&suite), before, "--dry-run touches nothing");
    for case in &cases {
        let touched = run(&suite, case, false);
        assert_eq!(!touched.is_empty(), touches(case.command, state), "{} by {} of {state}", case.command, case.way);
    }
    let check = |suite: &Suite, when: &str| {
        let all = recipients(suite);
        let wrong = |case: &&Case| !expected(case.command, state, all.get(&case.address(state)));
        let wrong: Vec<String> =
            cases.iter().filter(wrong).map(|c| format!("{} by {}: {:?}", c.command, c.way, all.get(&c.address(state)))).collect();
        (wrong.is_empty(), format!("{when}: {wrong:?}"))
    };
    let settled = |suite: &Suite, when: &str| {
        let begun = Instant::now();
        while let (false, said) = check(suite, when) {
            assert!(begun.elapsed() < LONG, "{state}: {said}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    settled(&suite, "at once");
    kill_scheduler(&suite);
    let marked: BTreeSet<&str> = BTreeSet::from(["hold", "delete", "expire", "release"]);
    wait_until("what was held, deleted, expired or released is so after a kill", LONG, || {
        let all = recipients(&suite);
        cases.iter().filter(|case| marked.contains(case.command)).all(|case| {
            let after = all.get(&case.address(state));
            match (case.command, state) {
                // A job that was under way is lost with the scheduler; the mark was written before.
                ("hold", _) => after.is_some_and(|(now, _)| now == "held"),
                ("delete", _) => after.is_none(),
                ("expire", "active") => after.is_some(),
                _ => expected(case.command, state, after),
            }
        })
    });
    suite.stop();
}

#[test]
fn every_command_for_what_is_queued() {
    every_command_in("queued");
}

#[test]
fn every_command_for_what_is_deferred() {
    every_command_in("deferred");
}

#[test]
fn every_command_for_what_is_active() {
    every_command_in("active");
}

#[test]
fn every_command_for_what_is_held() {
    every_command_in("held");
}

/// Frozen parts wait, others go; over a kill of the scheduler, of the master, and an upgrade; and status, why and
/// destination say so.
#[test]
fn a_frozen_part_waits_until_it_is_thawed_whatever_dies_meanwhile() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(no_scan()).start();
    let freeze = |suite: &Suite, arguments: &[&str]| {
        let output = suite.zpost(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let parts = [["--sender", "anna@sender.example"], ["--recipient", "r@b.example"], ["--domain", ".sub.example"]];
    parts.iter().for_each(|part| freeze(&suite, &[&["freeze"], &part[..]].concat()));
    freeze(&suite, &["freeze", "--channel", "smtp", "--host", "127.9.9.*"]);
    assert_eq!(suite.zpost(&["freeze", "--host", "a{b"]).status.code(), Some(64), "a pattern that is none");
    let send = |suite: &Suite, from: &str, to: &str| {
        let (mut session, _) = Session::open(suite.port).unwrap();
        session.command("EHLO me.example").unwrap();
        let (code, text) = session.message(from, &[to], b"Subject: x\r\n\r\nbody\r\n").unwrap();
        assert_eq!(code, 250, "{text}");
        text.trim().rsplit(' ').next().unwrap().to_owned()
    };
    let frozen = [send(&suite, "anna@sender.example", "x@a.example"), send(&suite, "b@sender.example", "r@b.example")];
    send(&suite, "b@sender.example", "y@x.sub.example");
    send(&suite, "b@sender.example", "free@b.example");
    wait_until("what is not frozen goes", LONG, || sink.messages().len() == 1);
    let still = |suite: &Suite, when: &str| {
        let list = suite.json(&["freeze", "--list"]);
        assert_eq!(list["parts"].as_array().unwrap().len(), 4, "{when}");
        for id in &frozen {
            wait_until(when, LONG, || suite.json(&["why", id])["recipients"][0]["reason"] == "frozen");
        }
        assert_eq!(sink.messages().len(), 1, "{when}");
    };
    still(&suite, "at first");
    kill_scheduler(&suite);
    still(&suite, "after a kill of the scheduler");
    suite.kill();
    assert!(String::from_utf8_lossy(&suite.zpost(&["freeze", "--list"]).stdout).contains("sender=anna@sender.example"), "from the spool");
    suite.start();
    still(&suite, "after a kill of the master");
    assert!(suite.zpost(&["upgrade"]).status.success());
    wait_until("the new scheduler answers", LONG, || suite.zpost(&["freeze", "--list"]).status.success());
    still(&suite, "after an upgrade");
    let status = suite.json(&["status"]);
    assert_eq!(status["frozen_parts"].as_array().unwrap().len(), 4);
    let text = String::from_utf8_lossy(&suite.zpost(&["why", &frozen[1], "r@b.example"]).stdout).into_owned();
    assert!(text.contains("frozen by `recipient=r@b.example`"), "{text}");
    assert_eq!(suite.zpost(&["thaw", "--sender", "nobody@sender.example"]).status.code(), Some(64));
    parts.iter().enumerate().for_each(|(at, part)| {
        freeze(&suite, &[&["thaw"], &part[..]].concat());
        wait_until("it goes at once", LONG, || sink.messages().len() == at + 2);
    });
    assert!(suite.zpost(&["freeze"]).status.success());
    freeze(&suite, &["thaw", "--all"]);
    assert_eq!(suite.json(&["freeze", "--list"])["parts"].as_array().unwrap().len(), 0);
    assert_eq!(suite.json(&["status"])["frozen"], false);
    suite.stop();
}

/// A list that is not whole may have had anything on it.
#[test]
fn a_damaged_list_of_freezes_freezes_everything_and_says_so() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(no_scan()).start();
    assert!(suite.zpost(&["freeze", "--host", "nobody.example"]).status.success());
    suite.stop();
    std::fs::write(suite.postoffice("transport/.freezes"), "zpost freezes 1\nhost=nob").unwrap();
    suite.give_away();
    suite.start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    assert_eq!(session.message("a@sender.example", &["b@b.example"], b"Subject: x\r\n\r\nbody\r\n").unwrap().0, 250);
    wait_until("it is there, and frozen", LONG, || {
        let queue = suite.json(&["queue"]);
        let id = queue[0]["id"].as_str().unwrap_or_default().to_owned();
        !id.is_empty() && suite.json(&["why", &id])["recipients"][0]["reason"] == "frozen"
    });
    let status = String::from_utf8_lossy(&suite.zpost(&["status"]).stdout).into_owned();
    assert!(status.contains("frozen: everything"), "{status}");
    suite.logged("freezes_not_read");
    assert!(suite.zpost(&["thaw", "--all"]).status.success());
    wait_until("it goes", LONG, || sink.messages().len() == 1);
    suite.stop();
}

/// The general freeze too stays over everything.
#[test]
fn the_general_freeze_outlives_scheduler_master_and_upgrade() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(no_scan()).start();
    assert!(suite.zpost(&["freeze"]).status.success());
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let (_, text) = session.message("a@sender.example", &["b@b.example"], b"Subject: x\r\n\r\nbody\r\n").unwrap();
    let id = text.trim().rsplit(' ').next().unwrap().to_owned();
    drop(session);
    let still = |suite: &Suite, when: &str| {
        wait_until(when, LONG, || {
            let output = suite.zpost(&["why", &id, "--json"]);
            serde_json::from_slice::<Value>(&output.stdout).is_ok_and(|why| why["recipients"][0]["reason"] == "suite-frozen")
        });
        assert!(sink.messages().is_empty(), "{when}");
    };
    still(&suite, "at first");
    kill_scheduler(&suite);
    still(&suite, "after a kill of the scheduler");
    suite.kill();
    let stopped = String::from_utf8_lossy(&suite.zpost(&["why", &id]).stdout).into_owned();
    assert!(stopped.contains("zpost is not running"), "{stopped}");
    suite.start();
    still(&suite, "after a kill of the master");
    assert!(suite.zpost(&["upgrade"]).status.success());
    still(&suite, "after an upgrade");
    assert!(suite.zpost(&["thaw"]).status.success());
    wait_until("it goes", LONG, || sink.messages().len() == 1);
    suite.stop();
}

/// As `zpost queue | head` does.
#[test]
fn a_reader_that_goes_away_ends_the_listing_quietly() {
    let mut suite = Suite::builder().relaying_to(free_port()).with(no_scan()).start();
    assert!(suite.zpost(&["freeze"]).status.success());
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    for _ in 0..2000 {
        assert_eq!(session.message("a@sender.example", &["b@b.example"], b"Subject: x\r\n\r\nbody\r\n").unwrap().0, 250);
    }
    wait_until("all are there", LONG, || suite.json(&["queue"]).as_array().unwrap().len() == 2000);
    let mut command = suite.command(end_to_end::programs().join("zpost"));
    command.args(["queue", "--json"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    suite.stop();
}
