//! Deaths at the moments that reports, holds, orders and what is remembered of servers have: each of them survives, or is
//! learned again.

use end_to_end::killer::Killer;
use end_to_end::load::Session;
use end_to_end::{LONG, ORDINARY, Sink, Suite, files, free_port, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

const QUICK: &str = "[processes]\nrestart_first = \"20ms\"\nrestart_longest = \"200ms\"\n\
    [queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\nretry_longest = \"1s\"\n";

fn send(suite: &Suite, recipients: &[&str]) {
    let mut session = Session::open(suite.port).unwrap().0;
    session.command("EHLO x.example").unwrap();
    let recipients: Vec<String> = recipients.iter().map(|r| (*r).to_owned()).collect();
    let answer = session.transaction("<sender@local.example>", &recipients, b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(answer.0, 250, "{}", answer.1);
}

fn kill_now(pid: u32) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
}

fn pid_of(suite: &Suite, service: &str) -> Option<u32> {
    suite.pids().into_iter().find(|(name, _)| name == service).map(|(_, pid)| pid)
}

/// kill -9 of the service's process; returns once another one serves.
fn strike(suite: &Suite, service: &str) {
    let mut old = 0;
    wait_until("it runs", LONG, || pid_of(suite, service).is_some_and(|pid| std::mem::replace(&mut old, pid) != pid || pid != 0));
    kill_now(old);
    wait_until("its successor is healthy", LONG, || {
        pid_of(suite, service).is_some_and(|pid| pid != old) && suite.zpost(&["status"]).status.code() == Some(0)
    });
}

fn mailbox(suite: &Suite, user: &str) -> Vec<String> {
    let new = suite.path("mail").join(user).join("new");
    files(&new).iter().map(|name| fs::read_to_string(new.join(name)).unwrap()).collect()
}

/// State bytes of the recipients in all control files.
fn states(suite: &Suite) -> String {
    let transport = suite.postoffice("transport");
    let mut states = String::new();
    for hash in files(&transport).iter().filter(|name| !name.starts_with('.')) {
        for name in files(&transport.join(hash)).iter().filter(|name| !name.starts_with('.')) {
            let text = fs::read(transport.join(hash).join(name)).unwrap_or_default();
            let lines = text.split(|b| *b == b'\n');
            states.extend(lines.filter(|line| line.first() == Some(&b'r') && line.get(2) == Some(&b' ')).map(|line| char::from(line[1])));
        }
    }
    states
}

#[test]
fn a_master_that_was_killed_does_not_hinder_the_next_start() {
    let suite = Suite::builder().with_maildirs().prepare();
    let start = || {
        let output = suite.zpost(&["start"]);
        assert!(output.status.success(), "{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    };
    start();
    for _ in 0..15 {
        let pid = suite.json(&["status"])["pid"].as_u64().unwrap();
        kill_now(u32::try_from(pid).unwrap());
        start();
        assert_ne!(suite.json(&["status"])["pid"].as_u64().unwrap(), pid);
    }
    // One that lives is still in the way.
    let output = suite.zpost(&["start"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    send(&suite, &["<box@local.example>"]);
    wait_until("mail flows", LONG, || mailbox(&suite, "box").len() == 1);
    assert!(suite.zpost(&["stop", "--now"]).status.success());
}

/// What dies late still holds the lock: the start waits for it.
#[test]
fn a_lock_that_goes_in_a_moment_is_waited_for() {
    let mut suite = Suite::builder().with_maildirs().start();
    suite.kill();
    let lock = fs::File::options().write(true).open(suite.path("run/master.lock")).unwrap();
    lock.lock().unwrap();
    let ready = suite.spawn();
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(300) {
        let mut text = [0; 512];
        let told = ready.recv(&mut text).map(|n| String::from_utf8_lossy(&text[..n]).into_owned());
        assert!(!told.is_ok_and(|text| text.contains("READY=1")), "it does not start while another has the lock");
    }
    drop(lock);
    let mut text = [0; 512];
    wait_until("it starts", LONG, || ready.recv(&mut text).is_ok_and(|n| String::from_utf8_lossy(&text[..n]).contains("READY=1")));
    assert_eq!(suite.stop(), Some(0));
}

/// The report waits for the other recipient; meanwhile the scheduler and the whole suite die.
#[test]
fn reports_that_wait_to_be_gathered_survive() {
    let gather = "[bounce]\ngather = \"15s\"\n[[route]]\ndomain = \"bad.example\"\nchannel = \"error\"\nhost = \"5.1.1:nobody\"\n";
    let mut suite = Suite::builder().with(gather).relaying_to(free_port()).with_maildirs().with(QUICK).start();
    send(&suite, &["<box@local.example> NOTIFY=SUCCESS", "<late@far.example>", "<x@bad.example>"]);
    wait_until("one report of each kind is pending", LONG, || {
        let states = states(&suite);
        states.contains('s') && states.contains('f')
    });
    strike(&suite, "scheduler");
    strike(&suite, "scheduler");
    suite.kill();
    suite.start();
    assert_eq!(mailbox(&suite, "sender").len(), 0, "the moment of the test is that before the report");
    let all = |wanted: &str| mailbox(&suite, "sender").iter().filter(|text| text.contains(wanted)).count();
    wait_until("both are told", LONG, || all("Action: delivered") > 0 && all("Action: failed") > 0);
    wait_until("both are settled", LONG, || {
        let mut states: Vec<char> = states(&suite).chars().collect();
        states.sort_unstable();
        states == [' ', '+', '-']
    });
    let told = mailbox(&suite, "sender").len();
    strike(&suite, "scheduler");
    assert_eq!((all("Action: delivered"), all("Action: failed")), (1, 1), "each is told once");
    assert!(told <= 2 && mailbox(&suite, "sender").len() == told && mailbox(&suite, "box").len() == 1);
}

#[test]
fn a_delay_is_told_once_however_often_the_scheduler_dies() {
    let port = free_port();
    let mut suite =
        Suite::builder().relaying_to(port).with_maildirs().with(QUICK).with("[[channel]]\nname = \"smtp\"\nwarn_after = \"2s\"\n").start();
    send(&suite, &["<late@far.example>"]);
    let told = || mailbox(&suite, "sender").iter().filter(|text| text.contains("Action: delayed")).count();
    let tried = || suite.log().lines().filter(|line| line.contains(" deferred ") && line.contains("late@far.example")).count();
    let mut kills = 0;
    while told() == 0 {
        // A life is long enough for one attempt.
        let tries = tried();
        wait_until("it is tried, or told", LONG, || tried() > tries || told() > 0);
        strike(&suite, "scheduler");
        kills += 1;
        assert!(kills < 200, "nothing is told");
    }
    wait_until("the report is done with", LONG, || suite.spooled() == 1);
    let before = told();
    assert!(before <= 2, "{before} reports with {kills} kills");
    for _ in 0..3 {
        strike(&suite, "scheduler");
    }
    let tries = tried();
    wait_until("it is tried again", LONG, || tried() >= tries + 2);
    assert_eq!(told(), before, "and nothing more is told");
    let sink = Sink::on(port, &[]);
    wait_until("it arrives in the end", LONG, || sink.messages().len() == 1);
    suite.wait_drained(LONG);
    suite.stop();
}

#[test]
fn what_waits_for_an_order_waits_for_it_after_a_death_too() {
    let sink = Sink::start();
    let orders = "[[destination]]\nhost = [\"127.0.0.1*\"]\ndomain = []\nqueue_only = true\n".replace("domain = []\n", "");
    let mut suite = Suite::builder().relaying_to(sink.port).with(QUICK).with(&orders).start();
    send(&suite, &["<a@far.example>"]);
    send(&suite, &["<b@held.example>"]);
    let count = |arguments: &[&str]| suite.json(&[&["queue"], arguments].concat()).as_array().unwrap().len();
    wait_until("both wait", LONG, || count(&[]) == 2);
    assert!(suite.zpost(&["hold", "--domain", "held.example"]).status.success());
    wait_until("one is held", LONG, || count(&["--state", "held"]) == 1);
    for _ in 0..3 {
        strike(&suite, "scheduler");
        wait_until("both are known again", LONG, || count(&[]) == 2);
    }
    assert_eq!((sink.messages().len(), count(&["--state", "held"])), (0, 1));
    let has = |who: &str| sink.headers("X-Rcpt-Args").iter().any(|to| to.contains(who));
    // The order, and a death right behind it: at the latest the next order is heard. It may have gone before the death, and
    // then goes again.
    assert!(suite.zpost(&["etrn", "far.example"]).status.success());
    kill_now(pid_of(&suite, "scheduler").unwrap());
    wait_until("what was ordered goes", LONG, || {
        let _ = suite.zpost(&["etrn", "far.example"]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        has("a@far.example")
    });
    assert!(!has("b@held.example"));
    wait_until("the held one is known again", LONG, || count(&["--state", "held"]) == 1);
    assert!(suite.zpost(&["release", "--domain", "held.example"]).status.success());
    wait_until("the released one goes too", LONG, || {
        let _ = suite.zpost(&["etrn", "held.example"]);
        std::thread::sleep(std::time::Duration::from_millis(100));
        has("b@held.example")
    });
    suite.wait_drained(LONG);
    suite.stop();
}

#[test]
fn a_freeze_outlives_the_scheduler_and_the_master() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(QUICK).start();
    assert!(suite.zpost(&["freeze"]).status.success());
    send(&suite, &["<a@far.example>"]);
    strike(&suite, "scheduler");
    suite.kill();
    suite.start();
    let known = || suite.json(&["queue"]).as_array().unwrap().len();
    wait_until("it is known", LONG, || known() == 1);
    strike(&suite, "scheduler");
    wait_until("it is known again", LONG, || known() == 1);
    assert_eq!(sink.messages().len(), 0);
    assert!(suite.zpost(&["thaw"]).status.success());
    wait_until("it goes", LONG, || sink.messages().len() == 1);
    suite.wait_drained(LONG);
    suite.stop();
}

/// Gives a file or folder to the suite's user.
fn plant(path: &Path, make: impl FnOnce(&Path)) {
    make(path);
    if nix::unistd::Uid::effective().is_root() {
        chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}

/// The scheduler's memory of sites and tlspolicy's shelf: whatever stands there, both start and mail flows.
#[test]
fn torn_memories_hinder_nothing() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(QUICK).start();
    let (memory, kept) = (suite.postoffice("transport/.sites"), suite.postoffice("tlspolicy"));
    suite.stop();
    let whole = "zpost sites 1\nsmtp @127.0.0.1 7 7 4000000000 3 4000000000 1 1 1 4000000000\n";
    let texts = [&whole[..0], &whole[..7], &whole[..14], &whole[..30], whole, "\0\0\0\0\0\0\0\0", "zpost sites 1\n\u{fffd}\n"];
    for (number, text) in (1..).zip(texts) {
        plant(&memory, |path| fs::write(path, text).unwrap());
        for name in ["policies/torn.example", "policies/.new", "results/20990101", "results/2026-11-21", "results/new"] {
            let path = kept.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            plant(&path, |path| fs::write(path, text).unwrap());
        }
        suite.start();
        send(&suite, &["<a@far.example>"]);
        wait_until("mail flows", LONG, || sink.messages().len() == number);
        assert_eq!(suite.zpost(&["status"]).status.code(), Some(0), "{text}");
        suite.stop();
    }
    let _ = fs::remove_file(&memory);
    plant(&memory, |path| fs::create_dir(path).unwrap());
    plant(&kept.join("policies/folder.example"), |path| fs::create_dir(path).unwrap());
    suite.start();
    send(&suite, &["<a@far.example>"]);
    wait_until("mail flows beside folders too", LONG, || sink.messages().len() == texts.len() + 1);
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    suite.stop();
}

/// ta-mailbox dies around the submission of what a `.forward` sends on: nothing is lost, and what is repeated is one message.
fn forwarding_dies_at(call: &str, when: usize) {
    let suite = Suite::builder().prepare();
    let home = suite.path("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join(".forward"), "ann\n").unwrap();
    fs::write(suite.path("users"), format!("joe {}\nann\nsender\n", home.display())).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap()
        + QUICK
        + &format!(
            "[local]\ndomains = [\"local.example\"]\nmaildir = \"{0}/mail/%u\"\nusers = \"{0}/users\"\n",
            suite.folder.path().display()
        );
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    for path in [home.clone(), home.join(".forward")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut suite = suite;
    suite.start();
    send(&suite, &["<ann@local.example>"]);
    wait_until("the agent runs", LONG, || mailbox(&suite, "ann").len() == 1);
    let victim = pid_of(&suite, "ta-mailbox").unwrap();
    let killer = Killer::attach(victim, call, when);
    for _ in 0..3 {
        send(&suite, &["<joe@local.example> NOTIFY=SUCCESS"]);
    }
    let reports = || mailbox(&suite, "sender").iter().filter(|text| text.contains("Action: delivered")).count();
    wait_until("all three arrive and are told of", LONG, || mailbox(&suite, "ann").len() >= 4 && reports() >= 3);
    suite.wait_drained(LONG);
    assert_ne!(pid_of(&suite, "ta-mailbox"), Some(victim), "it met no {call} number {when}");
    let (copies, told) = (mailbox(&suite, "ann").len() - 1, reports());
    assert!((3..=6).contains(&copies) && (3..=6).contains(&told), "{copies} copies, {told} reports at {call} number {when}");
    drop(killer);
    suite.stop();
}

#[test]
fn an_agent_that_dies_while_it_forwards_loses_nothing() {
    for (call, when) in [("fsync,fdatasync", 1), ("renameat2,renameat,rename", 1), ("sendto,sendmsg,write", 1), ("sendto,sendmsg,write", 2)]
    {
        forwarding_dies_at(call, when);
    }
}
