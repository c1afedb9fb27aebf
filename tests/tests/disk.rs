//! A full disk and failing calls: 452 or 451, never a 250, and recovery without a restart.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, files, wait_until};
use std::process::Command;

fn send(port: u16, number: usize, size: usize) -> u16 {
    let Ok((mut session, _)) = Session::open(port) else { return 0 };
    if session.command("EHLO x.example").is_err() {
        return 0;
    }
    let content = format!("Subject: x\r\nX-Number: {number}\r\n\r\n{}\r\n", "0123456789abcdef\r\n".repeat(size / 18));
    session.message("a@sender.example", &["b@sink.example"], content.as_bytes()).map_or(0, |(code, _)| code)
}

/// A small filesystem mounted on the postoffice; unmounted when dropped.
struct Small(std::path::PathBuf);
impl Small {
    fn mount(on: std::path::PathBuf, options: &str) -> Option<Self> {
        let options = format!("{options},mode=0755,uid=65534,gid=65534");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&on).status();
        status.is_ok_and(|s| s.success()).then_some(Self(on))
    }
}
impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_gives_452_and_loses_nothing() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: mounting a small filesystem needs root");
        return;
    }
    let sink = Sink::start();
    // Declared first, so that a failing test shows its log before the filesystem goes.
    let small;
    let mut suite = Suite::builder()
        .relaying_to(sink.port)
        .with("[server]\nmin_free_bytes = \"64KiB\"\n[queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\n")
        .prepare();
    small = Small::mount(suite.postoffice(""), "size=4m").expect("mount a tmpfs");
    suite.start();
    assert!(suite.zpost(&["freeze"]).status.success());
    let mut accepted = Vec::new();
    let mut refused = 0;
    for number in 0..60 {
        match send(suite.port, number, 200_000) {
            250 => accepted.push(number.to_string()),
            code => {
                assert!([452, 451].contains(&code), "{code} for message {number}");
                refused += 1;
            }
        }
    }
    assert!(!accepted.is_empty() && refused > 5, "{} accepted, {refused} refused", accepted.len());
    // A draft is thrown away behind the reply.
    wait_until("no partial message stays", LONG, || files(&suite.postoffice("public")).is_empty());
    // Delivery frees the disk; acceptance resumes by itself.
    assert!(suite.zpost(&["thaw"]).status.success());
    suite.wait_drained(LONG);
    wait_until("acceptance resumes", LONG, || send(suite.port, 1000, 200_000) == 250);
    wait_until("all accepted ones arrive", LONG, || {
        let arrived = sink.headers("X-Number");
        accepted.iter().all(|n| arrived.contains(n)) && arrived.contains(&"1000".to_owned())
    });
    suite.wait_drained(LONG);
    assert_eq!(sink.headers("X-Number").len(), accepted.len() + 1, "no refused message was delivered");
    suite.stop();
    drop(small);
}

/// Lets some calls of each thread of the suite fail; with `on` only those at that folder.
fn injected(call: &str, error: &str, when: &str, on: Option<&str>) {
    let sink = Sink::start();
    let inject = format!("inject={call}:error={error}:when={when}");
    let trace = format!("trace={call}");
    let mut wrapper = vec!["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    if on.is_some() {
        wrapper.extend(["-P", "SPOOL"]);
    }
    let mut suite = Suite::builder()
        .relaying_to(sink.port)
        .with("[queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\n")
        .under(&wrapper)
        .prepare();
    if let Some(folder) = on {
        suite.replace_wrapper("SPOOL", &suite.postoffice(folder).display().to_string());
    }
    suite.start();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for number in 0..30 {
        match send(suite.port, number, 2000) {
            250 => accepted.push(number.to_string()),
            code => {
                assert!([451, 452].contains(&code), "{code} for message {number}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the fault was never met");
    wait_until("all accepted ones arrive", LONG, || {
        let arrived = sink.headers("X-Number");
        accepted.iter().all(|n| arrived.contains(n))
    });
    suite.wait_drained(LONG);
    assert_eq!(sink.headers("X-Number").len(), accepted.len(), "no refused message was delivered");
    suite.stop();
}

#[test]
fn fsync_that_fails_with_eio_gives_451() {
    // The descriptor is that of a file whose name nobody knows before; only the servers sync here.
    injected("fsync,fdatasync", "EIO", "2+3", None);
}

#[test]
fn rename_that_fails_gives_451() {
    injected("renameat2,renameat,rename", "EIO", "2+3", Some("public"));
}

#[test]
fn a_file_that_cannot_be_made_for_want_of_inodes_gives_452() {
    injected("openat", "ENOSPC", "2+3", Some("public"));
}
