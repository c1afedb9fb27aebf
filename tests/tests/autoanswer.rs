//! autoanswer from an alias: whom it answers, whom never, once where it is told to remember; and two of them never talk.

use end_to_end::load::Session;
use end_to_end::{LONG, ORDINARY, Suite, files, programs, wait_until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

fn script(path: &Path, config: &Path, owner: u32) {
    let program = programs().join("autoanswer");
    fs::write(path, format!("#!/bin/sh\nZPOST_CONFIG={} exec {} \"$@\"\n", config.display(), program.display())).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        chown(path, Some(owner), None).unwrap();
    }
}

/// `echo` answers everything, `once` each sender once in a week, `echo2` is another like the first.
fn suite() -> Suite {
    let suite = Suite::builder().with_maildirs().prepare();
    let here = suite.folder.path().display();
    let aliases = format!(
        "echo: \"|{here}/autoanswer\"\necho2: \"|{here}/autoanswer --brief\"\nonce: \"|{here}/autoanswer -f {here}/mail/answered -r 7d --from once@local.example\"\n"
    );
    fs::write(suite.path("aliases"), aliases).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), text.replacen("[local]\n", &format!("[local]\naliases = [\"{here}/aliases\"]\n"), 1)).unwrap();
    suite.give_away();
    script(&suite.path("autoanswer"), &suite.config(), ORDINARY);
    let mut suite = suite;
    suite.start();
    suite
}

fn send(suite: &Suite, from: &str, to: &str, header: &str) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let content = format!("{header}Subject: hello\r\nMessage-ID: <one@far.example>\r\n\r\nbody\r\n");
    let (code, text) = session.message(from, &[to], content.as_bytes()).unwrap();
    assert_eq!(code, 250, "{text}");
}

fn mailbox(suite: &Suite, user: &str) -> Vec<String> {
    let folder = suite.path("mail").join(user).join("new");
    files(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect()
}

#[test]
fn people_are_answered_and_nobody_else_ever() {
    let suite = suite();
    send(&suite, "ann@local.example", "echo@local.example", "From: Someone <else@far.example>\r\nReply-To: other@far.example\r\n");
    wait_until("ann is answered", LONG, || mailbox(&suite, "ann").len() == 1);
    let answer = mailbox(&suite, "ann").remove(0);
    for line in [
        "Return-Path: <>",
        "From: echo@local.example",
        "To: ann@local.example",
        "Subject: your message has arrived (Re: hello)",
        "Auto-Submitted: auto-replied",
        "In-Reply-To: <one@far.example>",
        "  Reply-To: other@far.example",
        "  Message-ID: <one@far.example>",
    ] {
        assert!(answer.lines().any(|l| l == line), "{line}: {answer}");
    }
    let never = [
        ("", ""),
        ("echo@local.example", ""),
        ("list-bounces@local.example", ""),
        ("owner-list@local.example", ""),
        ("mailer-daemon@local.example", ""),
        ("ann@local.example", "List-Id: <x.far.example>\r\n"),
        ("ann@local.example", "Precedence: bulk\r\n"),
        ("ann@local.example", "Auto-Submitted: auto-generated\r\n"),
        // One answers the other: what is an answer is not answered.
        ("echo2@local.example", "Auto-Submitted: auto-replied\r\n"),
    ];
    for (from, header) in never {
        send(&suite, from, "echo@local.example", header);
    }
    suite.wait_drained(LONG);
    let written: Vec<String> = files(&suite.path("mail"));
    assert_eq!((mailbox(&suite, "ann").len(), written), (1, vec!["ann".to_owned()]));
    // Even a message that looks like a person's between two of them ends with one answer.
    send(&suite, "echo2@local.example", "echo@local.example", "");
    wait_until("echo answers echo2", LONG, || {
        suite.log().lines().any(|l| l.contains(" delivered ") && l.contains("to=echo2@local.example"))
    });
    suite.wait_drained(LONG);
    assert_eq!(files(&suite.path("mail")), ["ann"]);
}

#[test]
fn once_is_once_after_restarts_too() {
    let mut suite = suite();
    for round in 0..3 {
        send(&suite, "ann@local.example", "once@local.example", "");
        wait_until("it is delivered", LONG, || {
            suite.log().lines().filter(|l| l.contains(" delivered ") && l.contains("to=once@local.example")).count() == round + 1
        });
        suite.wait_drained(LONG);
        assert_eq!(mailbox(&suite, "ann").len(), 1, "round {round}");
        assert!(mailbox(&suite, "ann")[0].contains("\nFrom: once@local.example\n"));
        assert_eq!(suite.stop(), Some(0));
        suite.start();
    }
    let known = fs::read_to_string(suite.path("mail/answered")).unwrap();
    assert!(known.lines().count() == 1 && known.ends_with(" ann@local.example\n"), "{known}");
    // Another sender is another matter, and a week later so is the same one.
    send(&suite, "bob@local.example", "once@local.example", "");
    wait_until("bob is answered", LONG, || mailbox(&suite, "bob").len() == 1);
    suite.wait_drained(LONG);
    let text = fs::read_to_string(suite.path("mail/answered")).unwrap();
    let earlier = |line: &str| {
        let (time, who) = line.split_once(' ').unwrap();
        format!("{} {who}\n", time.parse::<u64>().unwrap() - 8 * 86_400)
    };
    fs::write(suite.path("mail/answered"), text.lines().map(earlier).collect::<String>()).unwrap();
    send(&suite, "ann@local.example", "once@local.example", "");
    wait_until("ann is answered again", LONG, || mailbox(&suite, "ann").len() == 2);
}

/// Root's suite: the program runs as `alias_user`, and the answer is that user's with the null sender.
#[test]
fn with_privilege_it_runs_as_the_user_of_aliases() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: becoming users needs root");
        return;
    }
    let suite = Suite::builder().prepare();
    let here = suite.folder.path().to_path_buf();
    for path in [here.clone(), suite.path("post"), suite.path("run")] {
        chown(path, Some(0), Some(0)).unwrap();
    }
    let kept = here.join("kept");
    fs::create_dir(&kept).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o1777)).unwrap();
    script(&here.join("autoanswer"), &suite.config(), 0);
    fs::write(here.join("aliases"), format!("echo: \"|{0}/autoanswer -f {0}/kept/answered\"\nann: {0}/kept/ann/\n", here.display()))
        .unwrap();
    let config = fs::read_to_string(suite.config()).unwrap()
        + &format!(
            "[local]\ndomains = [\"local.example\"]\nusers = \"passwd\"\nalias_user = \"games\"\naliases = [\"{}/aliases\"]\n",
            here.display()
        )
        + "[users]\ndefault = \"daemon\"\nsmtpserver = \"nobody\"\nresolver = \"nobody\"\n";
    fs::write(suite.config(), config).unwrap();
    let zpost =
        |arguments: &[&str]| Command::new(programs().join("zpost")).env("ZPOST_CONFIG", suite.config()).args(arguments).output().unwrap();
    let _guard = Stop(here.clone());
    let started = zpost(&["start"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    send(&suite, "ann@local.example", "echo@local.example", "");
    let folder = kept.join("ann/new");
    wait_until("ann is answered", LONG, || files(&folder).len() == 1);
    let answer = fs::read_to_string(folder.join(&files(&folder)[0])).unwrap();
    assert!(answer.contains("Return-Path: <>\n") && answer.contains("\nAuto-Submitted: auto-replied\n"), "{answer}");
    let games = nix::unistd::User::from_name("games").unwrap().unwrap().uid.as_raw();
    assert_eq!(fs::metadata(kept.join("answered")).unwrap().uid(), games);
    assert!(answer.contains("\nFrom: echo@local.example\n"), "{answer}");
}

/// Stops the suite, also when a test fails.
struct Stop(std::path::PathBuf);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = Command::new(programs().join("zpost")).env("ZPOST_CONFIG", self.0.join("zpost.toml")).args(["stop", "--now"]).output();
        if std::thread::panicking() {
            let log = self.0.join("post/log");
            files(&log).iter().for_each(|name| eprintln!("{}", fs::read_to_string(log.join(name)).unwrap_or_default()));
        }
    }
}
