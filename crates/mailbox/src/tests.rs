#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use crate::delivery::{Copy, Mailbox};
use crate::mbox;
use crate::original::Original;
use crate::service::Mailboxes;
use crate::verdict::Verdict;
use ipc::agents::{Job, JobRecipient, ToAgent, ToScheduler};
use ipc::deliveries::{DetailFolders, Lock, Manner};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use status::Outcome;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TRACE: &str = "Return-Path: <s@a.example>\nDelivered-To: joe@x.example\n";

pub fn message(content: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    write!(file, "env-end\n{content}").unwrap();
    file
}

fn with_copy<T>(content: &str, act: impl FnOnce(&Copy<'_>) -> T) -> T {
    let file = message(content);
    let original = Original::open(&file, &job(&[], content.len() as u64)).unwrap();
    act(&copy(&original, &manner()))
}

fn copy<'a>(original: &'a Original<'a>, manner: &'a Manner) -> Copy<'a> {
    Copy { original, sender: "s@a.example", address: "joe@x.example", user: "joe", detail: None, manner, now: 0 }
}

/// `[local]` as it is by default.
pub fn manner() -> Manner {
    let config = "[paths]\npostoffice = \"/nowhere\"\n[identity]\nhostname = \"h.example\"\n";
    Manner { hostname: "h/o:st".into(), ..crate::manner::of(&settings::parse(config, "test").unwrap()) }
}

fn deliver(mailbox: &Mailbox, content: &str) -> Verdict {
    with_copy(content, |copy| mailbox.deliver(copy))
}

fn only_file(folder: &Path) -> String {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    fs::read_to_string(&files[0]).unwrap()
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_maildir_is_made_and_holds_the_exact_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("joe/Maildir");
    for content in ["", "no end of line", &"Subject: x\n\n>From line\n.\n".repeat(30_000)] {
        let _ = fs::remove_dir_all(&maildir);
        assert_eq!(deliver(&Mailbox::Maildir(maildir.clone()), content).outcome, Outcome::Delivered);
        assert_eq!(only_file(&maildir.join("new")), format!("{TRACE}{content}"));
        assert_eq!((count(&maildir.join("tmp")), count(&maildir.join("cur"))), (0, 0));
        assert_eq!(fs::metadata(&maildir).unwrap().permissions().mode() & 0o777, 0o700);
    }
    fs::remove_dir(maildir.join("cur")).unwrap();
    assert_eq!(deliver(&Mailbox::Maildir(maildir.clone()), "x").outcome, Outcome::Delivered);
    assert_eq!(count(&maildir.join("new")), 2);
}

#[test]
fn a_maildir_that_cannot_be_made_defers() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("joe"), "a file").unwrap();
    let verdict = deliver(&Mailbox::Maildir(folder.path().join("joe/Maildir")), "x");
    assert_eq!((verdict.outcome, verdict.status.to_string()), (Outcome::Deferred, "4.3.5".into()));
}

#[test]
fn a_message_shorter_than_its_job_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let content = "x".repeat(300_000);
    let file = message(&content);
    let original = Original::open(&file, &job(&[], content.len() as u64 + 1)).unwrap();
    let manner = manner();
    let copy = copy(&original, &manner);
    for mailbox in [Mailbox::Maildir(folder.path().join("d")), Mailbox::Mbox(folder.path().join("m"))] {
        assert_eq!(mailbox.deliver(&copy).outcome, Outcome::Deferred);
    }
    assert_eq!((count(&folder.path().join("d/tmp")), count(&folder.path().join("d/new"))), (0, 0));
    assert_eq!(fs::read(folder.path().join("m")).unwrap(), b"");
}

#[test]
fn an_mbox_gets_separated_and_quoted_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joe");
    fs::write(&path, "From old\n\nlast line without end").unwrap();
    for content in ["Subject: 1\n\nFrom here\n", "Subject: 2\n\n>From there"] {
        assert_eq!(deliver(&Mailbox::Mbox(path.clone()), content).outcome, Outcome::Delivered);
    }
    let from = "From s@a.example Thu Jan  1 00:00:00 1970\n";
    let expected = format!(
        "From old\n\nlast line without end\n\n{from}{TRACE}Subject: 1\n\n>From here\n\n{from}{TRACE}Subject: 2\n\n>>From there\n\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(count(folder.path()), 1);
}

#[test]
fn what_is_no_plain_own_file_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "untouched").unwrap();
    let link = folder.path().join("link");
    symlink(&target, &link).unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [&link, &fifo, &folder.path().to_path_buf()] {
        assert_eq!(deliver(&Mailbox::Mbox(path.clone()), "x\n").outcome, Outcome::Deferred, "{path:?}");
    }
    fs::hard_link(&target, folder.path().join("second")).unwrap();
    assert_eq!(deliver(&Mailbox::Mbox(target.clone()), "x\n").outcome, Outcome::Deferred);
    assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
}

fn record_locked(file: &File) {
    let whole =
        nix::libc::flock { l_type: nix::libc::F_WRLCK as i16, l_whence: nix::libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole)).unwrap();
}

#[test]
fn other_lockers_are_waited_for_and_then_given_up_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joe");
    let dot = folder.path().join("joe.lock");
    let attempt = |patience: Duration| {
        let manner = Manner { lock_wait: u64::try_from(patience.as_millis()).unwrap(), ..manner() };
        with_copy("x\n", |copy| mbox::deliver(&path, &Copy { manner: &manner, ..*copy }))
    };
    fs::write(&dot, "1").unwrap();
    let verdict = attempt(Duration::from_millis(10)).unwrap_err();
    assert_eq!((verdict.outcome, verdict.status.to_string()), (Outcome::Deferred, "4.2.0".into()));
    assert!(dot.exists());
    fs::remove_file(&dot).unwrap();
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    record_locked(&reader);
    assert_eq!(attempt(Duration::from_millis(10)).unwrap_err().outcome, Outcome::Deferred);
    assert!(!dot.exists());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| attempt(Duration::from_secs(60)));
        drop(reader);
        waiting.join().unwrap().unwrap();
    });
    // A lock whose owner is long gone does not stop the mail for good.
    let file = File::create(&dot).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    attempt(Duration::from_secs(60)).unwrap();
    assert!(!dot.exists());
}

/// Every lock stops every order of locks that has it, and nothing is left locked.
#[test]
fn the_matrix_of_locks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joe");
    fs::write(&path, "").unwrap();
    let dot = folder.path().join("joe.lock");
    let orders = [
        vec![Lock::Dot],
        vec![Lock::Fcntl],
        vec![Lock::Flock],
        vec![Lock::Dot, Lock::Fcntl],
        vec![Lock::Fcntl, Lock::Dot],
        vec![Lock::Flock, Lock::Fcntl, Lock::Dot],
        vec![Lock::Dot, Lock::Flock, Lock::Fcntl],
    ];
    for locks in orders {
        let manner = Manner { locks: locks.clone(), lock_wait: 10, ..manner() };
        let attempt = || with_copy("x\n", |copy| mbox::deliver(&path, &Copy { manner: &manner, ..*copy })).is_ok();
        for held in [Lock::Dot, Lock::Fcntl, Lock::Flock] {
            let other = File::options().read(true).write(true).open(&path).unwrap();
            match held {
                Lock::Dot => fs::write(&dot, "1").unwrap(),
                Lock::Fcntl => record_locked(&other),
                Lock::Flock => other.lock().unwrap(),
            }
            assert_eq!(attempt(), !locks.contains(&held), "{locks:?} while {held:?} is held");
            if held == Lock::Dot {
                fs::remove_file(&dot).unwrap();
            }
            drop(other);
            assert!(attempt(), "{locks:?} after {held:?}");
            assert!(!dot.exists());
        }
    }
}

/// A process that is killed in the middle leaves its dot lock, with the length before, and half a message.
#[test]
fn half_a_message_of_a_killed_agent_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joe");
    let dot = folder.path().join("joe.lock");
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let old = "From old\n\nold\n\n";
    let tear = |host: &str| {
        fs::write(&path, format!("{old}From s@a Thu Jan  1 00:00:00 1970\nSubject: ha")).unwrap();
        let inode = fs::metadata(&path).unwrap();
        let lead = "From s@a Thu Jan  1 00:00:00 1970|";
        fs::write(&dot, format!("{}\nzpost {host}\npiece {} {} {} {lead}\n", gone.id(), old.len(), inode.dev(), inode.ino())).unwrap();
    };
    tear("h/o:st");
    assert_eq!(deliver(&Mailbox::Mbox(path.clone()), "whole\n").outcome, Outcome::Delivered);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{old}From s@a.example Thu Jan  1 00:00:00 1970\n{TRACE}whole\n\n"));
    // The process of another host may live.
    tear("elsewhere");
    let manner = Manner { lock_wait: 10, ..manner() };
    assert!(with_copy("x\n", |copy| mbox::deliver(&path, &Copy { manner: &manner, ..*copy })).is_err());
    // Without a note it stays, as a message of its own.
    fs::remove_file(&dot).unwrap();
    assert_eq!(deliver(&Mailbox::Mbox(path.clone()), "whole\n").outcome, Outcome::Delivered);
    assert!(fs::read_to_string(&path).unwrap().contains("Subject: ha\n\nFrom s@a.example "));
}

#[test]
fn details_choose_folders() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("Maildir");
    let put = |detail: &str, detail_folders| {
        let manner = Manner { detail_folders, ..manner() };
        let mailbox = Mailbox::Maildir(maildir.clone());
        let verdict = with_copy("x\n", |copy| mailbox.deliver(&Copy { manner: &manner, detail: Some(detail), ..*copy }));
        assert_eq!(verdict.outcome, Outcome::Delivered, "{detail}: {}", verdict.text);
    };
    let new = |name: &str| fs::read_dir(maildir.join(name).join("new")).map_or(0, Iterator::count);
    put("news", DetailFolders::Existing);
    assert_eq!(new(""), 1);
    fs::create_dir(maildir.join(".News")).unwrap();
    put("news", DetailFolders::Existing);
    put("news", DetailFolders::Never);
    assert_eq!((new(""), new(".News")), (2, 1));
    put("lists.rust", DetailFolders::Made);
    assert!(new(".lists.rust") == 1 && maildir.join(".lists.rust/maildirfolder").exists());
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, maildir.join(".link")).unwrap();
    for hostile in ["link", "../../outside", ".", "..", "a/b", "cur/x"] {
        put(hostile, DetailFolders::Made);
    }
    assert_eq!((new(""), count(&outside), count(folder.path())), (8, 0, 2));
}

#[test]
fn links_in_place_of_a_maildirs_folders_are_not_followed() {
    for name in ["tmp", "new", "cur"] {
        let folder = tempfile::tempdir().unwrap();
        let (maildir, outside) = (folder.path().join("Maildir"), folder.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        for make in [0, 1, 2] {
            let _ = fs::remove_dir_all(&maildir);
            fs::create_dir(&maildir).unwrap();
            match make {
                0 => symlink(&outside, maildir.join(name)).unwrap(),
                1 => fs::write(maildir.join(name), "").unwrap(),
                _ => nix::unistd::mkfifo(&maildir.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap(),
            }
            let verdict = deliver(&Mailbox::Maildir(maildir.clone()), "x\n");
            assert_eq!((verdict.outcome, verdict.status.to_string()), (Outcome::Deferred, "4.3.5".into()), "{name} {make}");
            assert_eq!(count(&outside), 0);
        }
    }
}

#[test]
fn a_full_maildir_defers_and_a_failed_delivery_gives_its_room_back() {
    let folder = tempfile::tempdir().unwrap();
    let manner = Manner { quota: 250, ..manner() };
    let put = |content: &str| {
        let mailbox = Mailbox::Maildir(folder.path().join("m"));
        with_copy(content, |copy| mailbox.deliver(&Copy { manner: &manner, ..*copy })).status.to_string()
    };
    assert_eq!(put(&"x".repeat(100)), "2.0.0");
    assert_eq!(put(&"x".repeat(100)), "4.2.2");
    assert_eq!(put("small\n"), "2.0.0");
    let size = TRACE.len() + 100;
    assert_eq!(fs::read_to_string(folder.path().join("m/maildirsize")).unwrap(), format!("250S\n{size} 1\n{} 1\n", TRACE.len() + 6));
    let name = fs::read_dir(folder.path().join("m/new")).unwrap().next().unwrap().unwrap().file_name();
    assert!(name.to_string_lossy().contains(",S="));
}

#[test]
fn deliveries_at_once_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joe");
    let body = |n: usize| format!("Subject: {n}\n\n{}", format!("line of {n}\n").repeat(2000));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (path, body) = (path.clone(), body(n));
            scope.spawn(move || assert_eq!(deliver(&Mailbox::Mbox(path), &body).outcome, Outcome::Delivered));
        }
    });
    let all = fs::read_to_string(&path).unwrap();
    assert_eq!(all.matches("From s@a.example ").count(), 4);
    for n in 0..4 {
        assert!(all.contains(&body(n)));
    }
}

/// The limit of file sizes stands for a full disk. It holds for a whole process, so the test runs itself anew.
#[test]
fn a_delivery_that_fails_half_way_leaves_the_mailbox_as_it_was() {
    if let Some(folder) = std::env::var_os("MAILBOX_TEST_FOLDER") {
        return limited(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "tests::a_delivery_that_fails_half_way_leaves_the_mailbox_as_it_was";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let status = child.args(["--exact", name]).env("MAILBOX_TEST_FOLDER", folder.path()).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read_to_string(folder.path().join("joe")).unwrap(), "From x\n\nold\n\n");
    assert_eq!((count(&folder.path().join("dir/tmp")), count(&folder.path().join("dir/new"))), (0, 0));
}

fn limited(folder: &Path) {
    crate::service::survive_file_size_limit();
    let path = folder.join("joe");
    fs::write(&path, "From x\n\nold\n\n").unwrap();
    let content = "some content\n".repeat(100_000);
    let file = message(&content);
    setrlimit(Resource::RLIMIT_FSIZE, 700_000, 700_000).unwrap();
    let original = Original::open(&file, &job(&[], content.len() as u64)).unwrap();
    let manner = manner();
    let copy = copy(&original, &manner);
    for mailbox in [Mailbox::Mbox(path), Mailbox::Maildir(folder.join("dir"))] {
        let verdict = mailbox.deliver(&copy);
        assert_eq!((verdict.outcome, verdict.status.to_string()), (Outcome::Deferred, "4.2.2".into()), "{}", verdict.text);
    }
}

pub fn job(recipients: &[(&str, &str)], size: u64) -> Job {
    let recipient = |(index, (user, attributes)): (usize, &(&str, &str))| JobRecipient {
        index: u32::try_from(index).unwrap(),
        user: (*user).into(),
        attributes: (*attributes).into(),
        original: None,
        via: None,
        dsn: Default::default(),
        failure: None,
    };
    Job {
        number: 7,
        message: "0123456789abcdef".into(),
        channel: "local".into(),
        host: "-".into(),
        sender: "s@a.example".into(),
        verp: false,
        edits: envelope::Edits::default(),
        body_offset: 8,
        size,
        arrived: 0,
        bodytype: Default::default(),
        smtputf8: false,
        envid: None,
        ret: None,
        terms: Default::default(),
        sharing: Default::default(),
        recipients: recipients.iter().enumerate().map(recipient).collect(),
    }
}

#[test]
fn many_jobs_are_delivered_at_once_and_a_drain_finishes_them() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, scheduler) = ipc::channel::pair().unwrap();
    let (child, _master) = ipc::channel::pair().unwrap();
    let maildir = folder.path().join("joe");
    let config = format!(
        "[paths]\npostoffice = \"{0}\"\n[identity]\nhostname = \"mta.example\"\n[local]\nmaildir = \"{0}/%u\"\nusers = \"any\"\n",
        folder.path().display()
    );
    let service = std::thread::spawn(move || {
        let counters = daemon::Counters::detached("ta-mailbox").unwrap();
        let mailboxes = Mailboxes::as_own_user(Arc::new(settings::parse(&config, "test").unwrap()), counters);
        let link = agent::Link::new(ipc::Channel::new(jobs).unwrap());
        let signals = daemon::Signals::block().unwrap();
        let mut service = crate::threads::Service::new(link, ipc::Channel::new(child).unwrap(), signals, mailboxes).unwrap();
        let code = service.turns().unwrap();
        service.crew.dismiss();
        code
    });
    let mut scheduler = ipc::Channel::<ToAgent, ToScheduler>::new(scheduler).unwrap();
    let work: Vec<_> = (0..30).map(|number| Job { number, ..job(&[("joe@x", "-")], 2) }).collect();
    scheduler.send_with(&ToAgent::Jobs(work), (0..30).map(|_| message("x\n").into()).collect()).unwrap();
    scheduler.send(&ToAgent::Drain).unwrap();
    let mut reported = 0;
    while let Ok((frame, _)) = scheduler.recv_by(Instant::now() + Duration::from_secs(60)) {
        if let ToScheduler::Reports(reports) = frame {
            assert!(reports.iter().all(|r| r.results[0].outcome == Outcome::Delivered));
            reported += reports.len();
        }
    }
    assert_eq!((reported, service.join().unwrap(), count(&maildir.join("new"))), (30, 0, 30));
}

#[test]
fn a_job_gets_a_result_for_every_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let config = format!(
        "[paths]\npostoffice = \"{place}\"\n[identity]\nhostname = \"mta.example\"\n[local]\ndelivery = \"mbox\"\nmbox = \"%h/%d/%u\"\nusers = \"any\"\n"
    );
    let settings = settings::parse(&config, "test").unwrap();
    let counters = daemon::Counters::detached("ta-mailbox").unwrap();
    let mailboxes = Mailboxes::as_own_user(Arc::new(settings), counters);
    fs::create_dir(folder.path().join("x")).unwrap();
    let home = format!("home={place}");
    let recipients = [("joe@x", home.as_str()), ("../joe@x", &home), ("ann@x", "-"), ("\"a b\"@x", &home)];
    let report = mailboxes.deliver(&job(&recipients, 2), &message("x\n"));
    let got: Vec<String> = report.results.iter().map(|r| r.status.to_string()).collect();
    assert_eq!((report.job, got), (7, ["2.0.0", "5.1.3", "4.3.5", "2.0.0"].map(String::from).to_vec()));
    assert_eq!(fs::metadata(folder.path().join("x/joe")).unwrap().mode() & 0o777, 0o600);
    assert!(folder.path().join("x/a b").exists());
}
