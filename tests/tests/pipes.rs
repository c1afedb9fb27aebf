//! Mail piped into programs: the real ones of Debian, and small ones that misbehave.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, files, installed, programs, wait_until};
use nix::unistd::Uid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Writes down its arguments, environment and input; the recipient's name decides the exit code.
const RECORDER: &str = r#"#!/usr/bin/python3
import json, os, sys, time
data = sys.stdin.buffer.read().decode("latin-1")
out = sys.argv[1]
user = sys.argv[-1]
name = str(time.time_ns()) + "-" + str(os.getpid())
record = {"arguments": sys.argv[2:], "environment": dict(os.environ), "input": data, "folder": os.getcwd(),
          "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(), "umask": os.umask(0),
          "descriptors": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)), "sid": os.getsid(0) == os.getpid()}
with open(out + "/." + name, "w") as f:
    json.dump(record, f)
os.rename(out + "/." + name, out + "/" + name)
if user.startswith("code"):
    print("says", user)
    sys.exit(int(user[4:]))
if user.startswith("status"):
    print("5.2.1 mailbox is closed\x1b[2J"); sys.exit(67)
if user.startswith("flood"):
    for _ in range(20000): print("x" * 100)
if user.startswith("slow"):
    time.sleep(1000)
if user.startswith("crash"):
    os.abort()
"#;

fn script(suite: &Suite, name: &str, text: &str) -> String {
    let path = suite.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A suite whose domain `pipe.example` goes to a pipe described by `pipe` with `@` for the scratch folder.
fn piping(pipe: &str) -> Suite {
    let mut suite = Suite::builder().prepare();
    let folder = suite.folder.path().display().to_string();
    fs::create_dir(suite.path("out")).unwrap();
    script(&suite, "recorder", RECORDER);
    let text = fs::read_to_string(suite.config()).unwrap()
        + "[[route]]\ndomain = \"pipe.example\"\nchannel = \"pipe\"\nhost = \"test\"\n[log]\nlevel = \"debug\"\n"
        + "[[pipe]]\nname = \"test\"\n"
        + &pipe.replace('@', &folder)
        + "\n";
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    suite
}

fn send(suite: &Suite, from: &str, to: &[&str], content: &str) -> u16 {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    session.message(from, to, content.as_bytes()).unwrap().0
}

fn records(suite: &Suite) -> Vec<serde_json::Value> {
    let names = files(&suite.path("out"));
    names
        .iter()
        .filter(|n| !n.starts_with('.'))
        .map(|n| serde_json::from_slice(&fs::read(suite.path("out").join(n)).unwrap()).unwrap())
        .collect()
}

/// The log line of the attempt for a recipient.
fn attempt(suite: &Suite, to: &str) -> String {
    let mut found = String::new();
    wait_until("the attempt is logged", LONG, || {
        found = suite.log().lines().find(|l| l.contains(" piped ") && l.contains(to)).unwrap_or_default().to_owned();
        !found.is_empty()
    });
    found
}

#[test]
fn exit_codes_floods_crashes_and_the_deadline() {
    let suite = piping("program = [\"@/recorder\", \"@/out\", \"%u\"]\ntimeout = \"15s\"\nmax_output = 1000");
    let table = [
        ("code0", "2.0.0"),
        ("code1", "4.3.0"),
        ("code64", "4.3.0"),
        ("code65", "5.6.0"),
        ("code67", "5.1.1"),
        ("code68", "5.1.2"),
        ("code69", "5.3.0"),
        ("code70", "4.3.0"),
        ("code73", "4.2.0"),
        ("code75", "4.3.0"),
        ("code77", "5.7.1"),
        ("code127", "4.3.5"),
        ("status", "5.2.1"),
        ("flood", "2.0.0"),
        ("crash", "4.3.0"),
        ("slow", "4.4.7"),
    ];
    let to: Vec<String> = table.iter().map(|(user, _)| format!("{user}@pipe.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    assert_eq!(send(&suite, "me@sender.example", &to, "Subject: x\r\n\r\nx\r\n"), 250);
    for (user, status) in table {
        let line = attempt(&suite, &format!("{user}@pipe.example"));
        assert!(line.contains(&format!("status={status} ")), "{user}: {line}");
    }
    assert!(attempt(&suite, "code67@").contains("says code67"));
    // What a program says goes into logs and reports escaped.
    assert!(attempt(&suite, "status@").contains("mailbox is closed\\\\x1b[2J"), "{}", attempt(&suite, "status@"));
    suite.logged("pipe_flooded");
    assert_eq!(suite.counter("ta-pipe", "timeouts"), 1);
    // Nothing of it is left running.
    let left = Command::new("pgrep").args(["-f", &suite.path("recorder").display().to_string()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn hostile_addresses_stay_inside_their_arguments() {
    let suite = piping("program = [\"@/recorder\", \"@/out\", \"%s\", \"x%o\", \"--\", \"%u\"]\nflags = \"FPDOe\"");
    let content = "Message-ID: <$(touch evil)@x>\r\nSubject: x\r\n\r\nFrom me\r\nx\r\n";
    let hostile = [
        "\";touch evil\"@pipe.example",
        "\"`touch evil`\"@pipe.example",
        "\"$(touch evil)\"@pipe.example",
        "-oQ/evil@pipe.example",
        "\"|touch evil&\"@pipe.example",
    ];
    for to in hostile {
        assert_eq!(send(&suite, "\"$(touch evil)\"@sender.example", &[to], content), 250, "{to}");
    }
    wait_until("all are piped", LONG, || records(&suite).len() == hostile.len());
    let mut users: Vec<String> = records(&suite).iter().map(|r| r["arguments"][3].as_str().unwrap().to_owned()).collect();
    users.sort();
    let mut wanted = [";touch evil", "`touch evil`", "$(touch evil)", "-oQ/evil", "|touch evil&"].map(str::to_owned);
    wanted.sort();
    assert_eq!(users, wanted);
    for record in records(&suite) {
        assert_eq!(record["arguments"].as_array().unwrap().len(), 4, "{record}");
        assert_eq!(record["arguments"][0], "\"$(touch evil)\"@sender.example");
        assert_eq!(record["environment"]["MESSAGEID"], "<$(touch evil)@x>");
        assert_eq!(record["environment"]["PATH"], "/usr/local/bin:/usr/bin:/bin");
        let mut names: Vec<&str> = record["environment"].as_object().unwrap().keys().map(String::as_str).collect();
        names.retain(|n| !["LC_CTYPE", "TZ"].contains(n));
        names.sort_unstable();
        assert_eq!(
            names,
            ["HOME", "IFS", "INFROM", "INRCPT", "LOGNAME", "MESSAGEID", "MSGSPOOLID", "PATH", "RECIPIENT", "SENDER", "SHELL", "USER"]
        );
        assert_eq!(record["descriptors"], serde_json::json!([0, 1, 2]));
        assert_eq!((&record["sid"], &record["umask"]), (&true.into(), &0o077.into()));
        let input = record["input"].as_str().unwrap();
        assert!(input.starts_with("From \"$(touch-evil)\"@sender.example "), "{input}");
        assert!(
            input.contains("\nReturn-Path: <\"$(touch evil)\"@sender.example>\nDelivered-To: ") && input.ends_with("From me\nx\n"),
            "{input}"
        );
    }
    let spread = [suite.path(""), suite.path("out"), suite.path("post")];
    assert!(spread.iter().all(|folder| !folder.join("evil").exists()));
    // Without -- before it the address is refused, for good, and the program does not run.
    let suite = piping("program = [\"@/recorder\", \"@/out\", \"%u\"]");
    assert_eq!(send(&suite, "me@sender.example", &["-oQ/evil@pipe.example"], content), 250);
    assert!(attempt(&suite, "-oQ/evil@").contains("status=5.1.3"));
    assert!(records(&suite).is_empty());
}

#[test]
fn one_run_for_many_recipients_as_batch_smtp() {
    let suite = piping("program = [\"@/recorder\", \"@/out\", \"%e:%d\", \"%u\"]\nflags = \"mBR\"");
    assert_eq!(send(&suite, "", &["a+x@pipe.example", "b@pipe.example"], "Subject: x\r\n\r\n..\r\nend\r\n"), 250);
    wait_until("it is piped", LONG, || records(&suite).len() == 1);
    let record = &records(&suite)[0];
    assert_eq!(record["arguments"], serde_json::json!(["x:pipe.example", ":pipe.example", "a", "b"]));
    let input = record["input"].as_str().unwrap();
    let start = "HELO mta.test.example\r\nMAIL FROM:<>\r\nRCPT TO:<a+x@pipe.example>\r\nRCPT TO:<b@pipe.example>\r\nDATA\r\n";
    assert!(input.starts_with(start) && input.ends_with("\r\n\r\n..\r\nend\r\n.\r\nQUIT\r\n"), "{input}");
}

fn delivered_by(program: &str, pipe: &str, prepare: &dyn Fn(&Suite)) {
    if !installed(program) && !fs::exists(program).unwrap() {
        return eprintln!("skipped: {program} is not installed");
    }
    let mut suite = Suite::builder().prepare();
    let folder = suite.folder.path().display().to_string();
    prepare(&suite);
    let text = fs::read_to_string(suite.config()).unwrap()
        + "[[route]]\ndomain = \"pipe.example\"\nchannel = \"pipe\"\nhost = \"test\"\n[log]\nlevel = \"debug\"\n[[pipe]]\nname = \"test\"\n"
        + &pipe.replace('@', &folder);
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    assert_eq!(send(&suite, "me@sender.example", &["joe@pipe.example"], "Subject: by a program\r\n\r\nhello\r\n"), 250);
    let line = attempt(&suite, "joe@");
    assert!(line.contains("status=2."), "{line}");
    let new = suite.path("mail/joe/new");
    let names = files(&new);
    assert_eq!(names.len(), 1, "{line}");
    let text = fs::read_to_string(new.join(&names[0])).unwrap();
    assert!(text.contains("Subject: by a program\n") && text.ends_with("hello\n"), "{text}");
}

#[test]
fn procmail_delivers() {
    delivered_by("procmail", "program = [\"/usr/bin/procmail\", \"-m\", \"WHO=%u\", \"@/procmailrc\"]\nflags = \"F\"\n", &|suite| {
        let rules = format!("MAILDIR={}/mail\nDEFAULT=$WHO/\n:0\n$WHO/\n", suite.folder.path().display());
        fs::write(suite.path("procmailrc"), rules).unwrap();
    });
}

#[test]
fn maildrop_delivers() {
    delivered_by("maildrop", "program = [\"/usr/bin/maildrop\", \"@/mailfilter\", \"%u\"]\n", &|suite| {
        let folder = suite.folder.path().display();
        let status = Command::new("maildirmake.maildrop").arg(suite.path("mail/joe")).status();
        if !status.is_ok_and(|s| s.success()) {
            for part in ["new", "cur", "tmp"] {
                fs::create_dir_all(suite.path("mail/joe").join(part)).unwrap();
            }
        }
        fs::write(suite.path("mailfilter"), format!("to \"{folder}/mail/joe/\"\n")).unwrap();
        fs::set_permissions(suite.path("mailfilter"), fs::Permissions::from_mode(0o600)).unwrap();
    });
}

#[test]
fn dovecot_lda_delivers() {
    let pipe = "program = [\"/usr/lib/dovecot/dovecot-lda\", \"-c\", \"@/dovecot.conf\", \"-f\", \"%s\", \"-a\", \"%r\"]\n";
    delivered_by("/usr/lib/dovecot/dovecot-lda", pipe, &|suite| {
        let folder = suite.folder.path().display();
        let text = format!(
            "mail_location = maildir:{folder}/mail/joe\nlog_path = {folder}/dovecot.log\nmail_home = {folder}/mail\nbase_dir = {folder}/run\n\
             protocol lda {{\n postmaster_address = postmaster@x.example\n}}\n"
        );
        fs::write(suite.path("dovecot.conf"), text).unwrap();
    });
}

#[test]
fn what_others_may_change_is_refused_at_the_start() {
    let suite = Suite::builder().with("[[pipe]]\nname = \"x\"\nprogram = [\"/tmp/zpost-no-such-program\"]\n").prepare();
    let output = suite.zpost(&["start"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/tmp/zpost-no-such-program"), "{}", String::from_utf8_lossy(&output.stderr));
    let open = script(&suite, "open", "#!/bin/sh\n");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap().replace("/tmp/zpost-no-such-program", &open);
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    let output = suite.zpost(&["start"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can be changed by others"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn started_as_root_the_program_becomes_the_user_for_good() {
    if !Uid::effective().is_root() {
        return eprintln!("skipped: needs root");
    }
    let suite = Suite::builder().prepare();
    let folder = suite.folder.path().display().to_string();
    // A program of root's, below folders of root's.
    let place = tempfile::TempDir::with_prefix("zpost-pipe-").unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let recorder = place.path().join("recorder");
    fs::write(&recorder, RECORDER).unwrap();
    fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(suite.path("out")).unwrap();
    fs::set_permissions(suite.path("out"), fs::Permissions::from_mode(0o777)).unwrap();
    let base = fs::read_to_string(suite.config()).unwrap()
        + &format!(
            "[[route]]\ndomain = \"pipe.example\"\nchannel = \"pipe\"\nhost = \"test\"\n[users]\ndefault = \"daemon\"\n\
             [[pipe]]\nname = \"test\"\nprogram = [\"{}\", \"{folder}/out\", \"%u\"]\n",
            recorder.display()
        );
    for below in ["post", "run"] {
        std::os::unix::fs::chown(suite.path(below), Some(0), Some(0)).unwrap();
    }
    let zpost =
        |arguments: &[&str]| Command::new(programs().join("zpost")).env("ZPOST_CONFIG", suite.config()).args(arguments).output().unwrap();
    for (user, fault) in [("", "must be given"), ("user = \"daemon\"\n", "a user of the suite")] {
        fs::write(suite.config(), format!("{base}{user}")).unwrap();
        let output = zpost(&["start"]);
        assert_eq!(output.status.code(), Some(78));
        assert!(String::from_utf8_lossy(&output.stderr).contains(fault), "{}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(suite.config(), format!("{base}user = \"nobody\"\n")).unwrap();
    let started = zpost(&["start"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let code = std::panic::catch_unwind(|| send(&suite, "me@sender.example", &["joe@pipe.example"], "Subject: x\r\n\r\nx\r\n"));
    let arrived = std::panic::catch_unwind(|| wait_until("it is piped", LONG, || records(&suite).len() == 1));
    let _ = zpost(&["stop", "--now"]);
    assert_eq!(code.unwrap(), 250);
    arrived.unwrap();
    let record = &records(&suite)[0];
    assert_eq!((&record["uids"], &record["gids"]), (&serde_json::json!([65534, 65534, 65534]), &serde_json::json!([65534, 65534, 65534])));
    assert_eq!((&record["groups"], &record["environment"]["USER"]), (&serde_json::json!([65534]), &"nobody".into()));
}
