//! What a `.forward` does, delivered as whoever runs the tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use crate::local::deliver;
use crate::tests::{job, manner, message};
use ipc::agents::Job;
use ipc::deliveries::{Answer, Copy, Manner, Place, PlaceKind};
use status::Outcome;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new(forward: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Self { folder };
        fs::create_dir(home.path("home")).unwrap();
        fs::set_permissions(home.path("home"), fs::Permissions::from_mode(0o755)).unwrap();
        home.write(".forward", &forward.replace("HOME", home.path("home").to_str().unwrap()));
        home
    }
    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }
    fn write(&self, name: &str, text: &str) {
        let path = self.path("home").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    fn deliver_with(&self, content: &str, detail: Option<&str>, manner: &Manner) -> Answer {
        let copy = Copy {
            job: Job { recipients: job(&[("joe@x.example", "-")], 0).recipients, ..job(&[], content.len() as u64) },
            user: "joe".into(),
            home: Some(self.path("home").to_str().unwrap().to_owned()),
            shell: String::new(),
            detail: detail.map(str::to_owned),
            mailbox: Place { kind: PlaceKind::Mbox, path: self.path("box").to_str().unwrap().to_owned() },
            forward: true,
            task: None,
        };
        deliver(&copy, manner, &message(content))
    }
    fn deliver(&self, content: &str) -> Answer {
        self.deliver_with(content, None, &manner())
    }
    fn mailbox(&self) -> usize {
        messages(&self.path("box"))
    }
    fn script(&self, name: &str, text: &str) {
        self.write(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(self.path("home").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn messages(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().matches("From s@a.example ").count()
}

#[test]
fn a_loop_is_found_by_delivered_to() {
    let home = Home::new("");
    let answer = home.deliver("Subject: x\ndelivered-to: JOE@x.example\n\nbody\n");
    assert_eq!((answer.outcome, answer.status.to_string()), (Outcome::Failed, "5.4.6".into()));
    assert_eq!(home.deliver("Delivered-To: other@x.example\n\nDelivered-To: joe@x.example\n").outcome, Outcome::Delivered);
    assert_eq!(home.mailbox(), 1);
}

#[test]
fn every_kind_of_entry_gets_its_copy() {
    let home = Home::new("\\joe, ann@a.example\nHOME/file\nHOME/dir/\n/dev/null\n|HOME/script 'one two' $x\n");
    let answer = home.deliver("x\n");
    assert_eq!((answer.outcome, home.mailbox()), (Outcome::Delivered, 1), "a fault keeps the mail");
    assert!(answer.warning.unwrap().contains("line 5: `$`"));
    let home = Home::new("\\joe, ann@a.example\nHOME/file\nHOME/dir/\n/dev/null\n|HOME/script 'one two' \"\"\n");
    home.script("script", "for word in \"$@\"; do echo \"[$word]\"; done > out; env | sort >> out; cat >> out");
    let answer = home.deliver("Message-ID: <m@x>\n\nx\n");
    assert_eq!(answer.outcome, Outcome::Delivered, "{}", answer.text);
    assert_eq!((answer.addresses, answer.kept), (vec!["ann@a.example".to_owned()], true));
    assert_eq!((home.mailbox(), messages(&home.path("home/file"))), (1, 1));
    assert_eq!(fs::read_dir(home.path("home/dir/new")).unwrap().count(), 1);
    let out = fs::read_to_string(home.path("home/out")).unwrap();
    for line in ["[one two]\n[]\n", "SENDER=s@a.example\n", "USER=joe\n", "Delivered-To: joe@x.example\nMessage-ID: <m@x>\n\nx\n"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    assert!(!out.contains("CARGO"), "nothing of our environment");
}

#[test]
fn exit_codes_decide_and_a_deferral_stops_the_rest() {
    for (code, outcome, file, addresses) in [(0, Outcome::Delivered, 1, 1), (75, Outcome::Deferred, 0, 0), (67, Outcome::Failed, 1, 1)] {
        let home = Home::new("HOME/file, ann@a.example\n|HOME/script");
        home.script("script", &format!("exit {code}"));
        let answer = home.deliver("x\n");
        assert_eq!((answer.outcome, messages(&home.path("home/file")), answer.addresses.len()), (outcome, file, addresses), "{code}");
    }
    let home = Home::new("|HOME/script");
    home.script("script", "exec sleep 60");
    let answer = home.deliver_with("x\n", None, &Manner { program_time: 300, ..manner() });
    assert_eq!(answer.outcome, Outcome::Deferred, "{}", answer.text);
}

#[test]
fn what_is_not_safe_is_not_used_and_the_mail_is_kept() {
    let kept = |home: &Home, manner: &Manner, why: &str| {
        let answer = home.deliver_with("x\n", None, manner);
        assert_eq!((answer.outcome, home.mailbox()), (Outcome::Delivered, 1), "{why}: {}", answer.text);
        assert!(answer.addresses.is_empty() && answer.warning.unwrap().contains(why) && answer.text.contains(why));
    };
    let home = Home::new("ann@a.example");
    fs::set_permissions(home.path("home"), fs::Permissions::from_mode(0o775)).unwrap();
    kept(&home, &manner(), "home folder can be written by others");
    let home = Home::new("");
    fs::remove_file(home.path("home/.forward")).unwrap();
    symlink("/etc/hostname", home.path("home/.forward")).unwrap();
    kept(&home, &manner(), ".forward is a link");
    let home = Home::new("|HOME/script");
    kept(&home, &manner(), "No such file");
    let home = Home::new("|HOME/script");
    home.script("script", "exit 0");
    fs::set_permissions(home.path("home/script"), fs::Permissions::from_mode(0o777)).unwrap();
    kept(&home, &manner(), "can be changed by others");
    let home = Home::new("|/bin/true");
    kept(&home, &Manner { programs: false, ..manner() }, "programs are not allowed");
}

#[test]
fn files_that_are_links_or_pipes_are_not_written() {
    let home = Home::new("HOME/target");
    symlink("/etc/hostname", home.path("home/target")).unwrap();
    assert_eq!(home.deliver("x\n").outcome, Outcome::Deferred);
    fs::remove_file(home.path("home/target")).unwrap();
    nix::unistd::mkfifo(&home.path("home/target"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(home.deliver("x\n").outcome, Outcome::Deferred);
}

#[test]
fn a_detail_has_its_own_file_and_a_home_that_is_missing_defers() {
    let home = Home::new("ann@a.example");
    home.write(".forward+lists", "lists@a.example");
    let to = |detail| home.deliver_with("x\n", Some(detail), &manner()).addresses;
    assert_eq!(to("lists"), ["lists@a.example"]);
    for other in ["else", "../.forward+lists", "", "x\0y"] {
        assert_eq!(to(other), ["ann@a.example"], "{other:?}");
    }
    fs::rename(home.path("home"), home.path("elsewhere")).unwrap();
    let answer = home.deliver("x\n");
    assert_eq!((answer.outcome, answer.status.to_string()), (Outcome::Deferred, "4.3.5".into()));
    assert_eq!(home.deliver_with("x\n", None, &Manner { require_home: false, ..manner() }).outcome, Outcome::Delivered);
    assert_eq!(home.mailbox(), 1);
}
