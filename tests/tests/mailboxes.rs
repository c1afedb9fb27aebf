//! ta-mailbox: as each recipient, `.forward`, locks, kills.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, files, programs, wait_until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn send(suite: &Suite, to: &str, subject: &str, body: &str) {
    send_with(suite, to, "", subject, body);
}

fn send_with(suite: &Suite, to: &str, parameters: &str, subject: &str, body: &str) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    assert_eq!(session.command("MAIL FROM:<sender@local.example> RET=HDRS").unwrap().0, 250);
    assert_eq!(session.command(&format!("RCPT TO:<{to}>{parameters}")).unwrap().0, 250, "{to}");
    assert_eq!(session.command("DATA").unwrap().0, 354);
    session.send(format!("Subject: {subject}\r\n\r\n{body}\r\n.\r\n").as_bytes()).unwrap();
    assert_eq!(session.reply().unwrap().0, 250);
}

fn is_root(what: &str) -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("SKIPPED: {what} needs root");
    }
    root
}

/// System accounts that live as long as this.
struct Accounts(Vec<String>);

impl Accounts {
    fn add(names: &[&str], homes: &Path) -> Self {
        for name in names {
            let home = homes.join(name);
            let output = Command::new("useradd").args(["-m", "-s", "/bin/false", "-d"]).arg(&home).arg(name).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }
    fn uid(name: &str) -> u32 {
        nix::unistd::User::from_name(name).unwrap().unwrap().uid.as_raw()
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("userdel").args(["-f", "-r", name]).output();
        }
    }
}

/// A suite started as root: every process becomes its own user.
struct Rooted {
    suite: Suite,
}

impl Rooted {
    fn start(local: &str) -> Self {
        let suite = Suite::builder().prepare();
        let text = fs::read_to_string(suite.config()).unwrap()
            + &format!("[local]\ndomains = [\"local.example\", \"second.example\"]\nusers = \"passwd\"\n{local}\n")
            + "[users]\ndefault = \"daemon\"\nsmtpserver = \"nobody\"\nresolver = \"nobody\"\n[queue]\nretry_first = \"1s\"\n";
        fs::write(suite.config(), text).unwrap();
        for below in ["post", "run"] {
            chown(suite.path(below), Some(0), Some(0)).unwrap();
        }
        let rooted = Self { suite };
        let started = rooted.zpost(&["start"]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        rooted
    }
    fn zpost(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(programs().join("zpost")).env("ZPOST_CONFIG", self.suite.config()).args(arguments).output().unwrap()
    }
    fn log(&self) -> String {
        let folder = self.suite.postoffice("log");
        files(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default()).collect()
    }
}

impl Drop for Rooted {
    fn drop(&mut self) {
        let _ = self.zpost(&["stop", "--now"]);
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn new_mail(home: &Path) -> Vec<String> {
    files(&home.join("Maildir/new"))
}

fn write_as(path: &Path, text: &str, uid: u32, mode: u32) {
    fs::write(path, text).unwrap();
    chown(path, Some(uid), None).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_forward_is_followed_as_its_user_and_never_as_anybody_else() {
    if !is_root("delivery as each recipient") {
        return;
    }
    let homes = tempfile::TempDir::with_prefix("zpost-homes-").unwrap();
    fs::set_permissions(homes.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let names = ["zpmann", "zpmjoe", "zpmloop", "zpmlink", "zpmself"];
    let _accounts = Accounts::add(&names, homes.path());
    let [ann, joe, looping, link, own] = names.map(|name| homes.path().join(name));
    // Everything at once: own mailbox, another user, a file, a program that says who it is.
    let script = joe.join("script");
    let uid = Accounts::uid("zpmjoe");
    write_as(
        &script,
        "#!/bin/sh\nid > ID; env > ENV; tr '\\0' ' ' < /proc/$$/status | grep -E '^(Uid|Gid|Groups|SigBlk)' > STATUS; ls /proc/self/fd > FDS\ncat > MAIL\n",
        uid,
        0o755,
    );
    let forward = format!("\\zpmjoe, zpmann\n{0}/copy\n\"|{0}/script 'a b'\"\n", joe.display());
    write_as(&joe.join(".forward"), &forward, uid, 0o644);
    write_as(&joe.join(".forward+quiet"), "/dev/null\n", uid, 0o644);
    write_as(&looping.join(".forward"), "zpmother@local.example\n", Accounts::uid("zpmloop"), 0o644);
    write_as(&own.join(".forward"), "zpmself@second.example, zpmself+x@local.example, zpmann\n", Accounts::uid("zpmself"), 0o644);
    symlink(joe.join(".forward"), link.join(".forward")).unwrap();
    let aliases = homes.path().join("aliases");
    fs::write(&aliases, "zpmother: zpmloop\n").unwrap();
    let rooted = Rooted::start(&format!("maildir = \"%h/Maildir\"\naliases = [\"{}\"]\n", aliases.display()));
    let suite = &rooted.suite;
    send_with(suite, "zpmjoe@local.example", " NOTIFY=SUCCESS", "one", "x");
    // What the program writes last, it writes after everything else of joe's is done.
    let piped = || fs::read_to_string(joe.join("MAIL")).is_ok_and(|text| text.ends_with("\nx\n"));
    wait_until("both have it, and the program", LONG, || new_mail(&joe).len() == 1 && new_mail(&ann).len() == 1 && piped());
    let text = fs::read_to_string(ann.join("Maildir/new").join(&new_mail(&ann)[0])).unwrap();
    for line in ["Return-Path: <sender@local.example>\n", "Delivered-To: zpmjoe@local.example\n", "Delivered-To: zpmann@local.example\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("Received: from localhost"), "the hop counts: {text}");
    for (file, folder, name) in [("copy", &joe, "zpmjoe"), ("MAIL", &joe, "zpmjoe"), ("Maildir", &ann, "zpmann")] {
        assert_eq!(fs::metadata(folder.join(file)).unwrap().uid(), Accounts::uid(name), "{file}");
    }
    let status = fs::read_to_string(joe.join("STATUS")).unwrap();
    let line =
        |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(line("Uid:"), vec![uid.to_string(); 4], "{status}");
    assert_eq!(line("Gid:"), vec![uid.to_string(); 4], "{status}");
    assert_eq!(line("Groups:"), vec![uid.to_string()], "{status}");
    let environment = fs::read_to_string(joe.join("ENV")).unwrap();
    assert!(environment.contains("SENDER=sender@local.example\n") && !environment.contains("ZPOST"), "{environment}");
    assert_eq!(fs::read_to_string(joe.join("FDS")).unwrap().split_whitespace().count(), 4, "0, 1, 2 and that of the listing itself");
    // The detail's own file.
    send(suite, "zpmjoe+quiet@local.example", "quiet", "x");
    let done = |line: &str| line.contains(" delivered ") && line.contains("to=zpmjoe+quiet@local.example");
    wait_until("the quiet one is done with", LONG, || rooted.log().lines().any(done));
    // A link is not followed: the mail stays in the mailbox, and the log says why.
    send(suite, "zpmlink@local.example", "link", "x");
    wait_until("kept", LONG, || new_mail(&link).len() == 1);
    wait_until("the log says why", LONG, || rooted.log().contains("forward_not_used") && rooted.log().contains(".forward is a link"));
    // Own addresses, of whatever local domain, are the mailbox.
    send(suite, "zpmself@local.example", "self", "x");
    wait_until("in the own mailbox and with ann", LONG, || new_mail(&own).len() == 1 && new_mail(&ann).len() == 2);
    // A circle through an alias ends with 5.4.6 and reaches nobody's mailbox.
    send(suite, "zpmloop@local.example", "circle", "x");
    wait_until("the circle is found", LONG, || rooted.log().contains("5.4.6"));
    assert_eq!((new_mail(&looping).len(), new_mail(&joe).len()), (0, 1), "and the quiet one was discarded");
}

#[test]
fn what_users_put_in_the_way_is_not_followed_and_the_mail_waits() {
    if !is_root("delivery as each recipient") {
        return;
    }
    let homes = tempfile::TempDir::with_prefix("zpost-homes-").unwrap();
    fs::set_permissions(homes.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let names = ["zpwsym", "zpwfifo", "zpwhard", "zpwdir", "zpwgone", "zpwok"];
    let _accounts = Accounts::add(&names, homes.path());
    let victim = homes.path().join("victim");
    write_as(&victim, "untouched\n", 0, 0o666);
    let boxed = |name: &str| homes.path().join(name).join("mbox");
    symlink(&victim, boxed("zpwsym")).unwrap();
    nix::unistd::mkfifo(&boxed("zpwfifo"), nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    fs::hard_link(&victim, boxed("zpwhard")).unwrap();
    fs::create_dir(boxed("zpwdir")).unwrap();
    let (home, away) = (homes.path().join("zpwgone"), homes.path().join("away"));
    fs::rename(&home, &away).unwrap();
    let rooted = Rooted::start("delivery = \"mbox\"\nmbox = \"%h/mbox\"\n");
    for name in names {
        send(&rooted.suite, &format!("{name}@local.example"), name, "x");
    }
    wait_until("the good one has its mail", LONG, || fs::metadata(boxed("zpwok")).is_ok_and(|m| m.len() > 0));
    assert_eq!(fs::metadata(boxed("zpwok")).unwrap().uid(), Accounts::uid("zpwok"));
    // 4.2.0: no file of the user's own; 4.3.5: no home.
    wait_until("the others wait", LONG, || {
        let log = rooted.log();
        let waits = |name: &str| log.lines().any(|l| l.contains(&format!("to={name}@")) && (l.contains("4.2.0") || l.contains("4.3.")));
        names.iter().filter(|name| waits(name)).count() == 5
    });
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched\n");
    // Back again, and the mail is there: nothing is lost by a home that was not mounted.
    fs::rename(&away, &home).unwrap();
    for name in ["zpwsym", "zpwhard", "zpwfifo"] {
        fs::remove_file(boxed(name)).unwrap();
    }
    fs::remove_dir(boxed("zpwdir")).unwrap();
    wait_until("all have theirs", LONG, || {
        let _ = rooted.zpost(&["flush"]);
        names.iter().all(|name| fs::read_to_string(boxed(name)).is_ok_and(|text| text.matches("\nSubject: ").count() == 1))
    });
}

/// The messages of an mbox by their subjects; each must be whole: begin with From, end with its own last line.
fn whole_messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut subjects = Vec::new();
    for message in text.split("\n\nFrom ").map(|m| m.strip_prefix("From ").unwrap_or(m)).filter(|m| !m.is_empty()) {
        let subject = message.lines().find_map(|l| l.strip_prefix("Subject: ")).unwrap_or_else(|| panic!("no subject: {message:.300}"));
        assert_eq!(message.matches("Subject: ").count(), 1, "two in one: {message:.300}");
        assert!(
            message.trim_end().ends_with(&format!("end of {subject}")),
            "torn: {subject}: {}",
            &message[message.len().saturating_sub(200)..]
        );
        subjects.push(subject.to_owned());
    }
    subjects.sort();
    subjects
}

fn mbox_suite(folder: &Path, more: &str) -> Suite {
    Suite::builder()
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"mbox\"\nmbox = \"{}/%u\"\nusers = \"any\"\n{more}\n[queue]\nretry_first = \"1s\"",
            folder.display()
        ))
        .start()
}

fn shared_folder() -> tempfile::TempDir {
    let folder = tempfile::TempDir::with_prefix("zpost-mboxes-").unwrap();
    if nix::unistd::Uid::effective().is_root() {
        chown(folder.path(), Some(65534), Some(65534)).unwrap();
    }
    folder
}

const APPENDER: &str = r#"
import mailbox, sys, time
for n in range(int(sys.argv[2])):
    box = mailbox.mbox(sys.argv[1])
    while True:
        try:
            box.lock()
            break
        except mailbox.ExternalClashError:
            time.sleep(0.01)
    try:
        text = "Subject: python%d\n\n%send of python%d\n" % (n, "line\n" * 3000, n)
        box.add(mailbox.mboxMessage(text))
        box.flush()
    finally:
        box.unlock()
        box.close()
"#;

#[test]
fn two_agents_and_a_mail_program_share_an_mbox() {
    for locks in ["", "mbox_locks = [\"fcntl\", \"dot\"]\nmbox_lock_time = \"60s\""] {
        let folder = shared_folder();
        let path = folder.path().join("joe");
        let suites = [mbox_suite(folder.path(), locks), mbox_suite(folder.path(), locks)];
        let body = |subject: &str| format!("{}end of {subject}", "line\r\n".repeat(20_000));
        let mut python = suites[0].command("python3").args(["-c", APPENDER]).arg(&path).arg("25").spawn().unwrap();
        std::thread::scope(|scope| {
            for (at, suite) in suites.iter().enumerate() {
                scope.spawn(move || {
                    for n in 0..25 {
                        let subject = format!("suite{at}n{n}");
                        send(suite, "joe@local.example", &subject, &body(&subject));
                    }
                });
            }
        });
        assert!(python.wait().unwrap().success());
        for suite in &suites {
            suite.wait_drained(LONG);
        }
        let mut expected: Vec<String> =
            (0..25).flat_map(|n| [format!("python{n}"), format!("suite0n{n}"), format!("suite1n{n}")]).collect();
        expected.sort();
        assert_eq!(whole_messages(&path), expected);
    }
}

fn pid_of(suite: &Suite, service: &str) -> Option<i32> {
    let status = suite.json(&["status"]);
    let processes = status["processes"].as_array()?;
    processes.iter().find(|p| p["service"] == service).and_then(|p| i32::try_from(p["pid"].as_i64()?).ok())
}

#[test]
fn an_agent_that_is_killed_loses_nothing_and_tears_nothing() {
    let folder = shared_folder();
    let path = folder.path().join("joe");
    let suite = mbox_suite(folder.path(), "");
    let done = AtomicBool::new(false);
    let mut kills = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..60 {
                let subject = format!("n{n:02}");
                send(&suite, "joe@local.example", &subject, &format!("{}end of {subject}", "line\r\n".repeat(200_000)));
            }
            done.store(true, Relaxed);
        });
        while !done.load(Relaxed) || kills < 5 {
            // In the middle of an append, as often as can be: the file grows.
            let before = fs::metadata(&path).map_or(0, |m| m.len());
            wait_until("the mailbox grows", LONG, || done.load(Relaxed) || fs::metadata(&path).map_or(0, |m| m.len()) != before);
            if let Some(pid) = pid_of(&suite, "ta-mailbox") {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
                kills += 1;
            }
            if kills >= 12 {
                break;
            }
        }
    });
    suite.wait_drained(LONG);
    let mut found = whole_messages(&path);
    found.dedup();
    assert_eq!(found, (0..60).map(|n| format!("n{n:02}")).collect::<Vec<_>>(), "after {kills} kills");
}

#[test]
fn a_notifier_is_told_and_a_full_maildir_bounces() {
    let folder = shared_folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let socket = folder.path().join("biff");
    let biff = UnixDatagram::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    biff.set_read_timeout(Some(LONG)).unwrap();
    let maildirs: PathBuf = folder.path().join("%u");
    let suite = Suite::builder()
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\nmaildir = \"{}\"\nusers = \"any\"\nnotify = \"unix:{}\"\nquota = \"64KiB\"\nquota_action = \"fail\"\ndetail_folders = \"made\"",
            maildirs.display(),
            socket.display()
        ))
        .start();
    send(&suite, "joe+lists@local.example", "one", "x");
    let mut text = [0; 1000];
    let length = biff.recv(&mut text).unwrap();
    let told = String::from_utf8_lossy(&text[..length]).into_owned();
    let path = told.strip_prefix("joe@0:").unwrap();
    assert!(path.contains("/joe/.lists/new/") && fs::metadata(path).is_ok(), "{told}");
    send(&suite, "joe@local.example", "big", &"0123456789\r\n".repeat(7000));
    let sender = folder.path().join("sender/new");
    wait_until("the sender is told", LONG, || files(&sender).len() == 1);
    let report = fs::read_to_string(sender.join(&files(&sender)[0])).unwrap();
    assert!(report.contains("5.2.2") && report.contains("over its quota"), "{report}");
    assert_eq!(files(&folder.path().join("joe/new")), Vec::<String>::new());
}

#[test]
fn a_suite_of_one_user_forwards_by_a_table_of_homes() {
    let folder = shared_folder();
    let home = folder.path().join("home");
    let suite = Suite::builder().prepare();
    fs::create_dir(&home).unwrap();
    let table = folder.path().join("users");
    fs::write(&table, format!("joe {}\nann\nsender\n", home.display())).unwrap();
    let uid = if nix::unistd::Uid::effective().is_root() { 65534 } else { nix::unistd::Uid::effective().as_raw() };
    chown(&home, Some(uid), None).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    write_as(&home.join(".forward"), "ann\n", uid, 0o644);
    let text = fs::read_to_string(suite.config()).unwrap()
        + &format!(
            "[local]\ndomains = [\"local.example\"]\nmaildir = \"{}/mail/%u\"\nusers = \"{}\"\n",
            folder.path().display(),
            table.display()
        );
    fs::write(suite.config(), text).unwrap();
    fs::create_dir(folder.path().join("mail")).unwrap();
    chown(folder.path().join("mail"), Some(uid), None).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut suite = suite;
    suite.start();
    send_with(&suite, "joe@local.example", " NOTIFY=SUCCESS ORCPT=rfc822;first@x.example", "one", "x");
    let new = |user: &str| folder.path().join("mail").join(user).join("new");
    wait_until("ann has it", LONG, || files(&new("ann")).len() == 1);
    // One address and nothing else: the duty to report goes with it, so one report comes, of the delivery to ann.
    wait_until("the report of success", LONG, || files(&new("sender")).len() == 1);
    let report = fs::read_to_string(new("sender").join(&files(&new("sender"))[0])).unwrap();
    assert!(report.contains("Action: delivered") && report.contains("Original-Recipient: rfc822; first@x.example"), "{report}");
    suite.wait_drained(LONG);
    assert_eq!((files(&new("joe")).len(), files(&new("sender")).len()), (0, 1));
}
