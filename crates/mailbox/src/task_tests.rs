//! Programs and files of aliases, done by whoever runs the tests.
#![allow(clippy::unwrap_used)]
use crate::local::deliver;
use crate::tests::{job, manner, message};
use ipc::agents::Job;
use ipc::deliveries::{Answer, Copy, Manner, Task, TaskKind};
use status::Outcome;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }
    fn task(&self, kind: TaskKind, text: &str, source: Option<&str>) -> Task {
        let owner = Some(nix::unistd::geteuid().as_raw());
        Task { kind, text: text.to_owned(), source: source.map(|name| self.text(name)), owner }
    }
    fn deliver(&self, task: Task, manner: &Manner) -> Answer {
        let content = "Subject: x\n\nbody\n";
        let copy = Copy {
            job: Job { recipients: job(&[("list@x.example", "-")], 0).recipients, ..job(&[], content.len() as u64) },
            user: "me".into(),
            home: None,
            shell: String::new(),
            detail: None,
            mailbox: crate::task::place(&task),
            forward: false,
            task: Some(task),
        };
        deliver(&copy, manner, &message(content))
    }
}

#[test]
fn a_program_gets_the_message_and_a_file_is_appended_to() {
    let place = Place::new();
    place.write("program", &format!("#!/bin/sh\n[ $# = 2 ] && cat > {}\n", place.text("out")), 0o755);
    let command = format!("{} one 'two words'", place.text("program"));
    let answer = place.deliver(place.task(TaskKind::Program, &command, None), &manner());
    assert_eq!(answer.outcome, Outcome::Delivered, "{answer:?}");
    let out = fs::read_to_string(place.path("out")).unwrap();
    assert!(out.contains("Delivered-To: list@x.example\n") && out.ends_with("\nbody\n"), "{out}");
    for (name, inside) in [("box", "box"), ("dir/", "dir/new")] {
        let answer = place.deliver(place.task(TaskKind::File, &place.text(name), None), &manner());
        assert_eq!(answer.outcome, Outcome::Delivered, "{answer:?}");
        assert!(place.path(inside).exists());
    }
}

#[test]
fn what_a_user_wants_must_stand_in_the_users_file() {
    let place = Place::new();
    place.write("program", "#!/bin/sh\nexec cat > /dev/null\n", 0o755);
    let command = place.text("program");
    place.write("list", &format!("ann\n|{command}\n{}\n", place.text("box")), 0o644);
    let program = || place.task(TaskKind::Program, &command, Some("list"));
    let file = || place.task(TaskKind::File, &place.text("box"), Some("list"));
    assert_eq!(place.deliver(program(), &manner()).outcome, Outcome::Delivered);
    assert_eq!(place.deliver(file(), &manner()).outcome, Outcome::Delivered);
    let waits = |task: Task, manner: &Manner, part: &str| {
        let answer = place.deliver(task, manner);
        assert!(answer.outcome == Outcome::Deferred && answer.text.contains(part), "{answer:?}");
    };
    waits(program(), &Manner { programs: false, ..manner() }, "forward_programs");
    waits(place.task(TaskKind::Program, "/bin/true", Some("list")), &manner(), "does not stand there");
    waits(place.task(TaskKind::Program, &command, Some("none")), &manner(), "none");
    place.write("list", &format!("|{command}\n"), 0o666);
    waits(program(), &manner(), "can have written");
}

#[test]
fn what_is_wrong_waits_and_runs_no_shell() {
    let place = Place::new();
    place.write("open", "#!/bin/sh\n", 0o777);
    for (kind, text, part) in [
        (TaskKind::Program, "/bin/sh -c 'x'; true".to_owned(), "shell"),
        (TaskKind::Program, "relative".to_owned(), "absolute"),
        (TaskKind::Program, String::new(), "no program"),
        (TaskKind::Program, place.text("open"), "can be changed"),
        (TaskKind::Program, place.text("missing"), "missing"),
        (TaskKind::File, "/a/../b".to_owned(), "plain absolute"),
    ] {
        let answer = place.deliver(place.task(kind, &text, None), &manner());
        assert!(answer.outcome == Outcome::Deferred && answer.text.contains(part), "{text}: {answer:?}");
    }
}
