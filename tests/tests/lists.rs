//! Lists, and programs and files of aliases, with the real programs.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, files, programs, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

const USER: u32 = end_to_end::ORDINARY;

/// A suite whose lists are these files, with a sink for sink.example and a domain that refuses everybody.
fn suite(files: &[(&str, &str)], more: &str) -> (Suite, Sink) {
    let sink = Sink::start();
    let mut suite = Suite::builder()
        .with(&format!("[[route]]\ndomain = \"sink.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", sink.port))
        .with("[[route]]\ndomain = \"dead.example\"\nchannel = \"error\"\nhost = \"5.1.1 nobody lives here\"\n")
        .with_maildirs()
        .prepare();
    let text = fs::read_to_string(suite.config()).unwrap();
    let aliases = format!("users = \"any\"\naliases = [\"{}\"]", suite.path("aliases").display());
    let lists = format!("[lists]\nfolder = \"{}\"\n{more}", suite.path("lists").display());
    fs::write(suite.config(), text.replace("users = \"any\"", &aliases) + &lists).unwrap();
    fs::create_dir(suite.path("lists")).unwrap();
    fs::set_permissions(suite.path("lists"), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in [("aliases", "")].iter().chain(files) {
        write(&suite.path(name), &text.replace("HERE", suite.folder.path().to_str().unwrap()), 0o644);
    }
    suite.give_away();
    suite.start();
    (suite, sink)
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn send(suite: &Suite, from: &str, to: &str) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let (code, text) = session.message(from, &[to], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(code, 250, "{to}: {text}");
}

fn mail(suite: &Suite, user: &str) -> Vec<String> {
    let folder = suite.path("mail").join(user).join("new");
    files(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default()).collect()
}

#[test]
fn a_list_reaches_its_members_and_failures_its_owner() {
    let (suite, sink) = suite(
        &[
            ("lists/staff", "# all of us\nann, Far <far@sink.example>\nteam\nlost@dead.example\nann@local.example\n"),
            ("lists/staff.toml", "owner = \"boss\"\n"),
            ("lists/team", "tina@sink.example\nstaff\n"),
            ("lists/team.toml", "owner = \"lead\"\n"),
        ],
        "",
    );
    send(&suite, "someone@far.example", "Staff@local.example");
    wait_until("members have it", LONG, || mail(&suite, "ann").len() == 1 && sink.messages().len() == 2);
    wait_until("the owner hears of the failure", LONG, || mail(&suite, "boss").len() == 1);
    assert!(mail(&suite, "ann")[0].contains("Return-Path: <staff-owner@local.example>"));
    let bounce = mail(&suite, "boss").remove(0);
    assert!(bounce.contains("lost@dead.example") && bounce.contains("Return-Path: <>"), "{bounce}");
    let senders: BTreeSet<String> = sink.headers("X-Mail-Args").iter().map(|args| args.split('>').next().unwrap().to_owned()).collect();
    let expected = ["<staff-owner@local.example", "<team-owner@local.example"].map(str::to_owned);
    assert_eq!(senders, expected.into_iter().collect(), "each list's owner, the innermost one's");
    for (number, to) in ["staff-request", "owner-staff", "staff-owner"].iter().enumerate() {
        send(&suite, "someone@far.example", &format!("{to}@local.example"));
        wait_until("the owner has it", LONG, || mail(&suite, "boss").len() == number + 2);
    }
    assert!(mail(&suite, "boss").iter().any(|text| text.contains("Return-Path: <someone@far.example>")));
    suite.wait_drained(LONG);
    assert_eq!((mail(&suite, "ann").len(), sink.messages().len()), (1, 2), "nobody twice");
}

#[test]
fn a_moderated_list_asks_its_moderators() {
    let (suite, sink) = suite(
        &[
            ("lists/news", "reader@sink.example\n"),
            ("lists/news.toml", "owner = \"boss\"\nmoderated = true\nmoderators = [\"mod@local.example\"]\n"),
        ],
        "",
    );
    send(&suite, "someone@far.example", "news@local.example");
    wait_until("the moderator has it", LONG, || mail(&suite, "mod").len() == 1);
    suite.wait_drained(LONG);
    assert!(mail(&suite, "mod")[0].contains("Return-Path: <someone@far.example>"));
    assert_eq!((sink.messages().len(), mail(&suite, "boss").len()), (0, 0));
    send(&suite, "mod@local.example", "news@local.example");
    wait_until("the member has it", LONG, || sink.messages().len() == 1);
    // A slip of the pen opens no list.
    write(&suite.path("lists/news.toml"), "moderatet = true\n", 0o644);
    let log = || suite.log();
    // A session for each try: one that says so often RSET is ended.
    let waits = || {
        let (mut session, _) = Session::open(suite.port).unwrap();
        session.command("EHLO me.example").unwrap();
        session.command("MAIL FROM:<someone@far.example>").unwrap();
        // Nobody verifies recipients here: it is taken, and waits.
        session.command("RCPT TO:<news@local.example>").unwrap().0 == 451
    };
    wait_until("new mail is put off", LONG, waits);
    wait_until("the log says why", LONG, || log().contains("lookup_failed") && log().contains("moderatet"));
    assert_eq!(sink.messages().len(), 1);
}

/// What another user may have put there does not run, and costs no mail.
#[test]
fn an_unsafe_file_names_addresses_only() {
    let files =
        [("aliases", "good: :include:HERE/good\nbad: :include:HERE/bad\n"), ("good", "ann\n"), ("bad", "|/bin/touch HERE/RAN\nann\n")];
    let (suite, _sink) = suite(&files, "");
    for name in ["good", "bad"] {
        fs::set_permissions(suite.path(name), fs::Permissions::from_mode(0o664)).unwrap();
        send(&suite, "someone@far.example", &format!("{name}@local.example"));
    }
    wait_until("addresses are used all the same", LONG, || mail(&suite, "ann").len() == 1);
    wait_until("the log names the file", LONG, || {
        let log = suite.log();
        ["good", "bad"].iter().all(|name| log.contains(&format!("path={}", suite.path(name).display()))) && log.contains("unsafe_file")
    });
    wait_until("the other waits", LONG, || {
        let queue = suite.json(&["queue"]).to_string();
        queue.contains("bad@local.example") && queue.contains("hold")
    });
    assert!(!suite.path("RAN").exists());
}

/// Where the suite is an ordinary user's, its files are that user's, and so is what they name.
#[test]
fn a_program_and_a_file_of_an_alias() {
    let files = [("aliases", "prog: \"|HERE/script 'one, two'\", :include:HERE/more\nkeep: HERE/kept/\n"), ("more", "HERE/box\n")];
    let (suite, _sink) = suite(&files, "");
    let script = suite.path("script");
    write(&script, &format!("#!/bin/sh\necho \"$#:$1:$RECIPIENT\" > {0}/ARGS\ncat > {0}/MAIL\n", suite.folder.path().display()), 0o755);
    if nix::unistd::Uid::effective().is_root() {
        chown(&script, Some(USER), Some(USER)).unwrap();
    }
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let to = ["prog@local.example", "keep@local.example"];
    assert_eq!(session.message("a@far.example", &to, b"Subject: x\r\n\r\nbody\r\n").unwrap().0, 250);
    suite.wait_drained(LONG);
    assert_eq!(fs::read_to_string(suite.path("ARGS")).unwrap(), "1:one, two:prog@local.example\n");
    let mail = fs::read_to_string(suite.path("MAIL")).unwrap();
    assert!(mail.contains("Delivered-To: prog@local.example\n") && mail.ends_with("body\n"), "{mail}");
    assert!(fs::read_to_string(suite.path("box")).unwrap().starts_with("From a@far.example "));
    assert_eq!(end_to_end::files(&suite.path("kept/new")).len(), 1);
}

/// Root's suite: root's aliases run as `alias_user`, a user's list as that user, and nothing as root.
#[test]
fn programs_run_as_whoever_named_them() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("SKIPPED: becoming users needs root");
        return;
    }
    let suite = Suite::builder().prepare();
    let here = suite.folder.path().to_path_buf();
    chown(&here, Some(0), Some(0)).unwrap();
    for below in ["post", "run"] {
        chown(suite.path(below), Some(0), Some(0)).unwrap();
    }
    let _guard = Guard(here.clone());
    for name in ["zplalias", "zpluser"] {
        let output = Command::new("useradd").args(["-m", "-s", "/bin/false", "-d"]).arg(here.join(name)).arg(name).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::set_permissions(here.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let uid = |name: &str| nix::unistd::User::from_name(name).unwrap().unwrap().uid.as_raw();
    let (alias, user) = (uid("zplalias"), uid("zpluser"));
    let out = here.join("out");
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o1777)).unwrap();
    let script = here.join("script");
    write(&script, &format!("#!/bin/sh\ncat > {}/$1\n", out.display()), 0o755);
    // The user's own file, one that others can write, and one that names more than its owner has.
    let own = |name: &str, text: &str, mode: u32| {
        let path = here.join("zpluser").join(name);
        write(&path, &text.replace("SCRIPT", script.to_str().unwrap()), mode);
        chown(&path, Some(user), None).unwrap();
        path.display().to_string()
    };
    let (list, open) = (own("list", "|SCRIPT byuser\n", 0o644), own("open", "|SCRIPT byopen\n", 0o666));
    write(
        &here.join("aliases"),
        &format!(
            "byroot: |{0} byroot\nbyuser: :include:{list}\nbyopen: :include:{open}\nboth: byroot, {1}/box\n",
            script.display(),
            out.display()
        ),
        0o644,
    );
    let config = fs::read_to_string(suite.config()).unwrap()
        + &format!(
            "[local]\ndomains = [\"local.example\"]\nusers = \"passwd\"\nalias_user = \"zplalias\"\naliases = [\"{}/aliases\"]\n",
            here.display()
        )
        + "[users]\ndefault = \"daemon\"\nsmtpserver = \"nobody\"\nresolver = \"nobody\"\n";
    fs::write(suite.config(), config).unwrap();
    let started = zpost(&here, &["start"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    for name in ["byroot", "byuser", "byopen", "both"] {
        send(&suite, "someone@far.example", &format!("{name}@local.example"));
    }
    let owner = |name: &str| fs::metadata(out.join(name)).map(|metadata| metadata.uid()).ok();
    wait_until("each program has run", LONG, || ["byroot", "byuser", "box"].iter().all(|name| owner(name).is_some()));
    assert_eq!((owner("byroot"), owner("byuser"), owner("box")), (Some(alias), Some(user), Some(alias)));
    let held = || String::from_utf8_lossy(&zpost(&here, &["queue", "--channel", "hold"]).stdout).contains("byopen");
    wait_until("the unsafe one waits", LONG, held);
    assert_eq!(owner("byopen"), None);
}

fn zpost(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(programs().join("zpost")).env("ZPOST_CONFIG", folder.join("zpost.toml")).args(arguments).output().unwrap()
}

/// Stops the suite and removes the accounts, also when a test fails.
struct Guard(std::path::PathBuf);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = zpost(&self.0, &["stop", "--now"]);
        for name in ["zplalias", "zpluser"] {
            let _ = Command::new("userdel").args(["-f", "-r", name]).output();
        }
        if std::thread::panicking() {
            let log = self.0.join("post/log");
            files(&log).iter().for_each(|name| eprintln!("{}", fs::read_to_string(log.join(name)).unwrap_or_default()));
        }
    }
}

/// A list of many is taken at once, becomes one control file, and every member is served once.
#[test]
fn a_list_of_twenty_thousand() {
    let members: String = (0..20_000).map(|n| format!("m{n}@d{}.many.example\n", n % 20)).collect();
    let (suite, _sink) = suite(&[("lists/many", members.as_str())], "[[route]]\ndomain = \".many.example\"\nchannel = \"discard\"\n");
    send(&suite, "someone@far.example", "many@local.example");
    send(&suite, "someone@far.example", "many-owner@local.example");
    let routed = |count: &str| suite.log().lines().filter(|line| line.contains(" routed ") && line.contains(count)).count();
    wait_until("it is routed", LONG, || routed("nrcpt=20000 ") == 1);
    suite.wait_drained(LONG);
    let done = || suite.log().lines().filter(|line| line.contains(" delivered ") && line.contains("channel=discard")).count();
    wait_until("all are in the log", LONG, || done() >= 20_000);
    assert_eq!(done(), 20_000);
}
