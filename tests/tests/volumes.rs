//! Several volumes: mail is spread, a slow disk stalls only its own messages, a missing one only its own mail.

use end_to_end::load::Session;
use end_to_end::{LONG, ORDINARY, Sink, Suite, files, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const QUICK: &str = "[queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\n";

fn send(port: u16, count: usize) {
    let (mut session, _) = Session::open(port).unwrap();
    session.command("EHLO load.example").unwrap();
    for number in 0..count {
        let content = format!("Subject: spread\r\nX-Number: {number}\r\n\r\nbody\r\n");
        let answer = session.message("load@sender.example", &["rcpt@sink.example"], content.as_bytes()).unwrap();
        assert_eq!(answer.0, 250, "{}", answer.1);
    }
}

/// Messages in a folder with hash folders.
fn queued(volume: &Path) -> usize {
    let queue = volume.join("queue");
    files(&queue).iter().map(|xx| files(&queue.join(xx)).len()).sum()
}

/// Drops files into `router/` of a volume, as any submitter may.
fn drop_files(suite: &Suite, volume: &Path, kind: &str, count: usize) {
    for number in 0..count {
        let name = format!("{kind}-{number}");
        let text = format!("from <load@sender.example>\nto <rcpt@sink.example>\nenv-end\nX-Number: {name}\nSubject: dropped\n\nbody\n");
        let path = volume.join("public").join(&name);
        fs::write(&path, text).unwrap();
        if nix::unistd::Uid::effective().is_root() {
            std::os::unix::fs::chown(&path, Some(ORDINARY), None).unwrap();
        }
        fs::rename(path, volume.join("router").join(&name)).unwrap();
    }
    assert!(suite.config().exists());
}

#[test]
fn mail_is_spread_found_by_the_commands_and_delivered_from_every_volume() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(QUICK).with_volume("disk2").start();
    assert!(suite.zpost(&["freeze"]).status.success());
    send(suite.port, 40);
    let (post, disk2) = (suite.postoffice(""), suite.path("disk2"));
    wait_until("all are routed", LONG, || queued(&post) + queued(&disk2) == 40);
    assert!(queued(&post) >= 10 && queued(&disk2) >= 10, "{} and {}", queued(&post), queued(&disk2));
    wait_until("the queue shows all", LONG, || suite.json(&["queue"]).as_array().unwrap().len() == 40);
    let hash = files(&disk2.join("queue")).into_iter().find(|xx| !files(&disk2.join("queue").join(xx)).is_empty()).unwrap();
    let id = files(&disk2.join("queue").join(hash)).remove(0);
    for command in ["show", "trace", "why"] {
        assert!(suite.zpost(&[command, &id]).status.success(), "{command}");
    }
    assert!(suite.zpost(&["hold", &id]).status.success());
    // What is marked there survives there, and the stopped suite's queue is that of all volumes.
    suite.stop();
    assert_eq!(suite.json(&["queue"]).as_array().unwrap().len(), 40);
    suite.start();
    assert!(suite.zpost(&["thaw"]).status.success());
    wait_until("all but the held one", LONG, || sink.headers("X-Number").len() == 39);
    wait_until("one is held", LONG, || queued(&disk2) == 1 && queued(&post) == 0);
    assert!(suite.zpost(&["delete", &id]).status.success());
    wait_until("deleted", LONG, || queued(&disk2) == 0);
    // A file dropped there by hand, with and without a notice.
    drop_files(&suite, &disk2, "dropped", 2);
    assert!(suite.zpost(&["notify", "router", "disk2/dropped-0"]).status.success());
    wait_until("the dropped ones", LONG, || sink.headers("X-Number").len() == 41);
    suite.stop();
}

#[test]
fn a_missing_volume_keeps_only_its_own_mail() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).with(QUICK).with_volume("disk2").start();
    assert!(suite.zpost(&["freeze"]).status.success());
    send(suite.port, 20);
    let disk2 = suite.path("disk2");
    wait_until("routed", LONG, || queued(&suite.postoffice("")) + queued(&disk2) == 20);
    let kept = queued(&disk2);
    suite.stop();
    // The disk is not mounted: an empty folder.
    fs::rename(&disk2, suite.path("elsewhere")).unwrap();
    fs::create_dir(&disk2).unwrap();
    suite.give_away();
    suite.start();
    wait_until("the status names it", LONG, || {
        let status = suite.zpost(&["status"]);
        status.status.code() == Some(1) && String::from_utf8_lossy(&status.stdout).contains("volume disk2")
    });
    assert!(suite.zpost(&["thaw"]).status.success());
    send(suite.port, 10);
    wait_until("the others flow", LONG, || sink.headers("X-Number").len() == 20 - kept + 10);
    assert_eq!(files(&disk2), Vec::<String>::new(), "nothing is written below the mount point");
    fs::remove_dir(&disk2).unwrap();
    fs::rename(suite.path("elsewhere"), &disk2).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    wait_until("its mail flows when it is back", LONG, || sink.headers("X-Number").len() == 30);
    wait_until("healthy again", LONG, || suite.zpost(&["status"]).status.code() == Some(0));
    suite.stop();
}

/// The library that makes calls slow.
fn library(folder: &Path) -> PathBuf {
    let library = folder.join("slow.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/volumes/slow.c");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status().unwrap();
    assert!(status.success());
    library
}

/// How long the postoffice takes to route and deliver so many dropped files.
fn time(suite: &Suite, kind: &str, count: usize) -> Duration {
    let begin = Instant::now();
    drop_files(suite, &suite.postoffice(""), kind, count);
    wait_until("all of the fast disk are delivered", LONG, || {
        std::thread::sleep(Duration::from_millis(20));
        suite.spooled() == 0
    });
    begin.elapsed()
}

/// Half a second for every call on one disk; the other keeps 90 % of its speed. Measured between two runs without the slow
/// one, and again when the machine had something else to do meanwhile.
#[test]
fn a_slow_disk_stalls_only_its_own_messages() {
    const FILES: usize = 3000;
    let sink = Sink::start();
    let builder = Suite::builder().relaying_to(sink.port).with(QUICK).with_volume("disk2");
    let mut suite = builder.prepare();
    let (library, flag) = (library(suite.folder.path()), suite.path("slow-now"));
    let disk2 = suite.path("disk2");
    let environment = format!(
        "[processes.environment]\nLD_PRELOAD = \"{}\"\nSLOW_BELOW = \"{}\"\nSLOW_WHILE = \"{}\"\n",
        library.display(),
        disk2.display(),
        flag.display()
    );
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), text + &environment).unwrap();
    suite.start();
    time(&suite, "warm", FILES / 3);
    let mut ratios = Vec::new();
    let mut before = time(&suite, "alone", FILES);
    for round in 0..6 {
        fs::write(&flag, "").unwrap();
        drop_files(&suite, &disk2, &format!("slow{round}"), 400);
        // The slow disk is at work: it gives some, far from all.
        wait_until("the slow disk is at work", LONG, || files(&disk2.join("router")).len() < 400);
        let begun = Instant::now();
        let beside = time(&suite, &format!("beside{round}"), FILES);
        let took = begun.elapsed();
        let left = files(&disk2.join("router")).len() + queued(&disk2);
        assert!(left > 400 - 40 - usize::try_from(took.as_millis() / 100).unwrap(), "it was slow: {left} left after {took:?}");
        fs::remove_file(&flag).unwrap();
        wait_until("the slow disk's mail flows again", LONG, || {
            std::thread::sleep(Duration::from_millis(100));
            suite.spooled() + files(&disk2.join("router")).len() + queued(&disk2) == 0
        });
        let after = time(&suite, &format!("alone{round}"), FILES);
        eprintln!("{FILES} messages in {before:?} and {after:?} alone, between them in {beside:?} beside the slow disk");
        let ratio = (before + after).as_secs_f64() / 2.0 / beside.as_secs_f64();
        if ratio >= 0.9 {
            return;
        }
        ratios.push(ratio);
        before = after;
    }
    panic!("of the speed alone: {ratios:?}");
}
