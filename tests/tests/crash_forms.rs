//! Deaths while mail of a list is routed, marked, removed and sent, each member with a sender and header of its own: nothing is
//! lost, and nobody ever gets a message with another's sender or without the edits.

use end_to_end::killer::Killer;
use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, files, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const QUICK: &str = "[processes]\nrestart_first = \"20ms\"\nrestart_longest = \"200ms\"\n\
    [queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\nretry_longest = \"2s\"\n";
/// The last is refused, so that control files are marked before they go.
const MEMBERS: [&str; 4] = ["a@sink.example", "b@sink.example", "c@sink.example", "lost@bad.example"];

fn suite(sink: &Sink) -> Suite {
    let builder = Suite::builder();
    let lists = builder.folder().join("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("news"), MEMBERS.join("\n")).unwrap();
    fs::write(lists.join("news.toml"), "owner = \"boss\"\n").unwrap();
    let more = format!(
        "{QUICK}[lists]\nfolder = \"{}\"\nverp = true\nheaders = true\n[headers]\nmasquerade = [\"in.example\"]\n[bounce]\ngather = \"0s\"\n\
         [[route]]\ndomain = \"bad.example\"\nchannel = \"error\"\nhost = \"5.1.1:nobody\"\n",
        lists.display()
    );
    builder.with(&more).relaying_to(sink.port).with_maildirs().start()
}

/// One message to the list, with its number; whether it was taken.
fn send(suite: &Suite, number: usize) -> bool {
    let Ok((mut session, 220)) = Session::open(suite.port) else { return false };
    if session.command("EHLO x.example").is_err() {
        return false;
    }
    let content = format!("From: joe@h.in.example\r\nX-Number: {number}\r\nSubject: x\r\n\r\nbody\r\n");
    matches!(session.message("ann@far.example", &["news@local.example"], content.as_bytes()), Ok((250, _)))
}

/// Who has which number; every copy is looked at.
fn arrivals(sink: &Sink) -> BTreeMap<String, BTreeSet<usize>> {
    let mut all: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for message in sink.messages() {
        let text = String::from_utf8_lossy(&message).replace("\r\n", "\n");
        // The last one may be being written.
        if !text.contains("\nbody\n") {
            continue;
        }
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let path = |name: &str| line(name).split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let (sender, recipient) = (path("X-Mail-Args: "), path("X-Rcpt-Args: "));
        assert_eq!(sender, format!("news-owner+{}@local.example", recipient.replace('@', "=")), "{text}");
        assert_eq!(text.matches("\nList-Id: <news.local.example>\n").count(), 1, "{text}");
        assert!(text.contains("\nFrom: joe@in.example\n"), "{text}");
        all.entry(recipient).or_default().insert(line("X-Number: ").parse().unwrap());
    }
    all
}

/// Members of whom the owner has had a report for each number.
fn reported(suite: &Suite) -> BTreeSet<usize> {
    let folder = suite.path("mail/boss/new");
    let texts = files(&folder).into_iter().filter_map(|name| fs::read_to_string(folder.join(name)).ok());
    let lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.iter().filter_map(|line| line.strip_prefix("X-Number: ")?.parse().ok()).collect()
}

fn all_arrive(suite: &Suite, sink: &Sink, taken: &[usize]) {
    wait_until("every member has every message", LONG, || {
        let all = arrivals(sink);
        let has = |member: &&str| all.get(*member).is_some_and(|numbers| taken.iter().all(|number| numbers.contains(number)));
        MEMBERS.iter().take(3).all(has) || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            false
        }
    });
    suite.wait_drained(LONG);
    let reported = reported(suite);
    assert!(taken.iter().all(|number| reported.contains(number)), "the owner was not told of all failures: {reported:?}");
    // All that has come by now is as it should be, repeats too.
    arrivals(sink);
}

fn dies_at(service: &str, call: &str, when: usize) {
    let sink = Sink::start();
    let suite = suite(&sink);
    let mut taken: Vec<usize> = Vec::new();
    // An agent begins with its first job.
    if service == "ta-smtp" {
        assert!(send(&suite, 0));
        taken.push(0);
        wait_until("an agent runs", LONG, || suite.pids().iter().any(|(name, _)| name == service));
        suite.wait_drained(LONG);
    }
    let victim = suite.pids().into_iter().find(|(name, _)| name == service).unwrap().1;
    let killer = Killer::attach(victim, call, when);
    let begin = std::time::Instant::now();
    for number in 1.. {
        assert!(begin.elapsed() < LONG, "nothing is taken after {call} number {when} of {service}");
        if send(&suite, number) {
            taken.push(number);
        }
        if taken.len() >= 8 {
            break;
        }
    }
    all_arrive(&suite, &sink, &taken);
    assert!(suite.pids().iter().all(|(_, pid)| *pid != victim), "{service} met no {call} number {when}");
    drop(killer);
}

#[test]
fn a_router_that_dies_keeps_the_forms() {
    for when in [1, 2, 3] {
        dies_at("router", "renameat2,renameat,rename", when);
    }
}

#[test]
fn a_scheduler_that_dies_while_marking_keeps_the_forms() {
    for when in [1, 2] {
        dies_at("scheduler", "pwrite64", when);
    }
}

#[test]
fn a_scheduler_that_dies_while_removing_keeps_the_forms() {
    for when in [1, 2, 3] {
        dies_at("scheduler", "unlinkat,unlink", when);
    }
}

/// Between the parts of one job too.
#[test]
fn an_agent_that_dies_while_sending_keeps_the_forms() {
    for when in [1, 3, 5, 8] {
        dies_at("ta-smtp", "write,writev,sendto,sendmsg", when);
    }
}

/// One after the other while mail flows, and the whole suite at last.
#[test]
fn a_storm_of_deaths_keeps_the_forms() {
    let sink = Sink::start();
    let mut suite = suite(&sink);
    let services = ["router", "scheduler", "ta-smtp", "routermux", "ta-errormail"];
    let (mut taken, mut number) = (Vec::new(), 0);
    for round in 0..15 {
        while taken.len() < (round + 1) * 8 {
            number += 1;
            if send(&suite, number) {
                taken.push(number);
            }
        }
        if round % 7 == 6 {
            suite.kill();
            suite.start();
        } else {
            let victim = services[round % services.len()];
            for (_, pid) in suite.pids().iter().filter(|(name, _)| name == victim) {
                let _ = kill(Pid::from_raw(i32::try_from(*pid).unwrap()), Signal::SIGKILL);
            }
        }
    }
    all_arrive(&suite, &sink, &taken);
}
