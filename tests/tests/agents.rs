//! Transport agents of others, by standard input and output and by the agents socket: one that works, and those that do not.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, SuiteBuilder, files, wait_until};
use nix::unistd::Uid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("etc/agents/example.py");
    fs::read_to_string(path).unwrap()
}

/// A suite whose domain `own.example` goes to channel `own`; `agent` goes below its `[[agent]]`, with `@` for the folder.
fn suite_with(program: &str, agent: &str) -> Suite {
    suite_of(Suite::builder(), program, agent)
}

fn suite_of(builder: SuiteBuilder, program: &str, agent: &str) -> Suite {
    let mut suite = builder.prepare();
    let folder = suite.folder.path().display().to_string();
    fs::create_dir(suite.path("out")).unwrap();
    fs::write(suite.path("agent"), program).unwrap();
    fs::set_permissions(suite.path("agent"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap()
        + "[[route]]\ndomain = \"own.example\"\nchannel = \"own\"\n[log]\nlevel = \"debug\"\n[[agent]]\nchannel = \"own\"\n"
        + &agent.replace('@', &folder)
        + "\n";
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    suite
}

fn send(suite: &Suite, to: &[&str]) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let (code, text) = session.message("me@sender.example", to, b"Subject: own\r\n\r\nhello\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
}

/// The log line of what became of a recipient.
fn outcome(suite: &Suite, to: &str) -> String {
    let mut found = String::new();
    wait_until(&format!("{to} has a result"), LONG, || {
        let log = suite.log();
        let mut lines = log.lines().filter(|l| [" delivered ", " deferred ", " failed "].iter().any(|e| l.contains(e)));
        found = lines.find(|l| l.contains(&format!("to={to}"))).unwrap_or_default().to_owned();
        !found.is_empty()
    });
    found
}

const PROGRAM: &str = "program = [\"@/agent\", \"@/out\"]";

#[test]
fn the_example_delivers_by_standard_input_and_output() {
    let suite = suite_with(&example(), PROGRAM);
    for n in 0..20 {
        send(&suite, &["joe@own.example", &format!("user{n}@own.example"), "\"../x\"@own.example"]);
    }
    wait_until("all are delivered", LONG, || files(&suite.path("out")).len() == 21);
    wait_until("joe has all", LONG, || fs::read_to_string(suite.path("out/joe")).unwrap().matches("Subject: own").count() == 20);
    let mut text = String::new();
    wait_until("user7 has all of it", LONG, || {
        text = fs::read_to_string(suite.path("out/user7")).unwrap();
        text.ends_with("Subject: own\n\nhello\n")
    });
    assert!(text.starts_with("Received: from "), "{text}");
    assert!(outcome(&suite, "\"\\\"../x").contains("5.1.3") || suite.log().contains("status=5.1.3"));
    assert_eq!(suite.counter("ta-line", "restarts"), 0);
}

struct Outsider(Child);
impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// The agent program, started beside the suite as `user`, for a channel.
fn outsider(suite: &Suite, user: Option<&str>, channel: &str) -> Outsider {
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]).arg(suite.path("agent"));
            command
        }
        None => suite.command(suite.path("agent")),
    };
    command.arg(suite.path("out")).arg(channel).arg(suite.path("run/agents")).stdin(Stdio::null()).stderr(Stdio::null());
    Outsider(command.spawn().unwrap())
}

#[test]
fn the_example_delivers_by_the_agents_socket_and_credentials_count() {
    let suite = suite_with(&example(), "user = \"daemon\"");
    send(&suite, &["joe@own.example"]);
    if Uid::effective().is_root() {
        fs::set_permissions(suite.path("out"), fs::Permissions::from_mode(0o777)).unwrap();
        // A user that no [[agent]] names is not let in; one that does may serve its own channel only.
        let _stranger = outsider(&suite, Some("games"), "own");
        wait_until("the stranger is refused", LONG, || suite.log().contains("agent_refused"));
        let _wrong = outsider(&suite, Some("daemon"), "smtp");
        wait_until("the wrong channel is refused", LONG, || suite.log().contains("agent_dropped"));
        let _agent = outsider(&suite, Some("daemon"), "own");
        wait_until("joe has it", LONG, || suite.path("out/joe").exists());
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(suite.path("out/joe")).unwrap().uid(), 1);
    } else {
        let _agent = outsider(&suite, None, "own");
        wait_until("joe has it", LONG, || suite.path("out/joe").exists());
    }
    assert!(outcome(&suite, "joe@own.example").contains("delivered"));
}

/// An agent that says `{"hungry": 1}`, reads a job and then does what `act` says with `job` and `say`.
fn misbehaving(act: &str) -> String {
    format!(
        "#!/usr/bin/python3\nimport json, os, sys, time\nsay = lambda words: print(json.dumps(words), flush=True)\n\
         say({{\"hungry\": 1}})\njob = json.loads(sys.stdin.readline())\nmine = [r[\"recipient\"] for r in job[\"recipients\"]]\n{act}\n"
    )
}

#[test]
fn agents_that_misbehave_only_defer() {
    for (act, wanted) in [
        ("sys.exit(3)", "it has closed its output"),
        ("os.abort()", "it has closed its output"),
        ("print('rubbish', flush=True); time.sleep(1000)", "a line that is no object of the protocol"),
        (
            "say({'result': job['job'], 'recipient': 999999, 'outcome': 'delivered'}); time.sleep(1000)",
            "a result for a recipient it was not given",
        ),
        ("say({'result': job['job'] + 1, 'outcome': 'delivered'}); time.sleep(1000)", "a result for a job it does not have"),
        (
            "say({'result': job['job'], 'outcome': 'delivered', 'status': '5.0.0'}); time.sleep(1000)",
            "a status that does not fit the outcome",
        ),
        ("while True: os.write(1, b'x' * 65536)", "a line is too long"),
        ("while True: os.write(1, b'{\"hungry\": 1000}\\n' * 1000)", "it asks for too much"),
        ("time.sleep(1000)", "it has not answered in time"),
    ] {
        // Only who is silent is to be waited for to the end.
        let timeout = if wanted.contains("in time") { "1s" } else { "60s" };
        let suite = suite_with(&misbehaving(act), &format!("{PROGRAM}\ntimeout = \"{timeout}\""));
        send(&suite, &["joe@own.example"]);
        let line = outcome(&suite, "joe@own.example");
        assert!(line.contains(" deferred ") && line.contains(wanted), "{act}: {line}");
    }
}

#[test]
fn texts_of_an_agent_are_escaped_and_its_wish_is_heard() {
    let act = "say({'result': job['job'], 'outcome': 'deferred', 'status': '4.2.2', 'text': 'full\\n\\u001b[2Jevil=1', 'retry_after': 77}); sys.stderr.write('odd \\x1b[2J\\n'); sys.stderr.flush(); time.sleep(1000)";
    let suite = suite_with(&misbehaving(act), PROGRAM);
    send(&suite, &["joe@own.example"]);
    let line = outcome(&suite, "joe@own.example");
    assert!(line.contains("status=4.2.2") && line.contains("full??[2Jevil=1"), "{line}");
    wait_until("its error output is in the log", LONG, || suite.log().contains("agent_says"));
    assert!(!suite.log().contains('\u{1b}'));
}

#[test]
fn an_outsider_that_talks_rubbish_or_never_answers_is_dropped() {
    let script = "#!/usr/bin/python3\nimport socket, sys, time\nlink = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\nlink.connect(sys.argv[3])\n\
        for line in sys.argv[2].split('|'):\n    link.send(line.encode())\ntime.sleep(1000)\n";
    let suite = suite_with(script, "timeout = \"1s\"");
    let register = "{\"register\":\"own\"}";
    for (words, wanted) in [
        ("{rubbish".to_owned(), "no object of the protocol"),
        ("{\"hungry\":1}".to_owned(), "it has not registered"),
        (format!("{register}|{register}"), "it has registered already"),
        (format!("{register}|{{\"result\":1,\"outcome\":\"delivered\"}}"), "a result for a job it does not have"),
    ] {
        let _agent = outsider(&suite, None, &words);
        wait_until(wanted, LONG, || suite.log().lines().any(|l| l.contains("agent_dropped") && l.contains(wanted)));
    }
    send(&suite, &["joe@own.example"]);
    let _agent = outsider(&suite, None, &format!("{register}|{{\"hungry\":1}}"));
    wait_until("the silent one is dropped", LONG, || suite.log().contains("did not answer in time"));
}

/// Members of a list, each with a sender of its own, in one job after the other: the agent sees who sends to whom, and is
/// still hungry afterwards. By both ways.
#[test]
fn members_of_a_list_have_their_senders() {
    let program =
        example().replace("mailbox.write(content)", "mailbox.write(recipient.get('sender', job['sender']).encode() + b'\\n' + content)");
    for (by_socket, agent) in [(false, PROGRAM), (true, "user = \"daemon\"")] {
        let builder = Suite::builder().with_maildirs();
        let lists = builder.folder().join("lists");
        fs::create_dir(&lists).unwrap();
        let members: String = (0..5).map(|n| format!("m{n}@own.example\n")).collect();
        fs::write(lists.join("news"), members).unwrap();
        let more = format!("[lists]\nfolder = \"{}\"\nverp = true\nheaders = true\n", lists.display());
        let suite = suite_of(builder.with(&more), &program, agent);
        let _outsider = by_socket.then(|| outsider(&suite, None, "own"));
        for _ in 0..3 {
            send(&suite, &["news@local.example"]);
        }
        send(&suite, &["joe@own.example"]);
        wait_until("joe has his", LONG, || suite.path("out/joe").exists());
        suite.wait_drained(LONG);
        for n in 0..5 {
            let text = fs::read_to_string(suite.path(&format!("out/m{n}"))).unwrap();
            let sender = format!("news-owner+m{n}=own.example@local.example\n");
            assert_eq!((text.matches(&sender).count(), text.matches("List-Id: <news.local.example>\n").count()), (3, 3), "{text}");
        }
        assert!(fs::read_to_string(suite.path("out/joe")).unwrap().starts_with("me@sender.example\n"));
    }
}

/// Takes as many jobs as it is told, keeps them all, and writes down what it was given with each.
const HOARDER: &str = r#"#!/usr/bin/python3
import fcntl, hashlib, json, os, socket, sys
count = int(sys.argv[2])
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect(sys.argv[3])
say = lambda words: link.send(json.dumps(words).encode())
say({"register": "own"})
say({"hungry": count})
jobs = []
while len(jobs) < count:
    data, fds, _, _ = socket.recv_fds(link, 200000, 1)
    jobs.append((json.loads(data), fds[0]))
facts = []
shared = int([line for line in open("/proc/meminfo") if line.startswith("Shmem:")][0].split()[1])
for job, fd in jobs:
    status = os.fstat(fd)
    facts.append({"file": [status.st_dev, status.st_ino], "names": status.st_nlink, "access": fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE,
                  "begins": os.read(fd, 300).decode(), "offset": job["offset"], "size": job["size"], "length": status.st_size,
                  "hash": hashlib.sha256(os.pread(fd, 1 << 30, 0)).hexdigest(), "shared_kib": shared})
with open(sys.argv[1] + "/new", "w") as file:
    json.dump(facts, file)
os.rename(sys.argv[1] + "/new", sys.argv[1] + "/facts")
for job, fd in jobs:
    os.close(fd)
    say({"result": job["job"], "outcome": "delivered"})
link.recv(1000)
"#;

/// A message whose header is another for a list's members is one file on the disk for all their jobs, not one in memory for
/// each.
#[test]
fn jobs_of_one_message_share_one_file() {
    const JOBS: usize = 20;
    let builder = Suite::builder().with_maildirs();
    let lists = builder.folder().join("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("news"), (0..JOBS).map(|n| format!("m{n}@own.example\n")).collect::<String>()).unwrap();
    let more =
        format!("[lists]\nfolder = \"{}\"\nheaders = true\n[queue]\nrecipients_per_job = 1\nconcurrency_first = {JOBS}\n", lists.display());
    let suite = suite_of(builder.with(&more), HOARDER, "user = \"daemon\"");
    let _outsider = outsider(&suite, None, &JOBS.to_string());
    let lines = std::env::var("ZPOST_TEST_LINES").map_or(20_000, |lines| lines.parse().unwrap());
    let content = format!("Subject: large\r\n\r\n{}", format!("{}\r\n", "x".repeat(98)).repeat(lines));
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    assert_eq!(session.message("me@sender.example", &["news@local.example"], content.as_bytes()).unwrap().0, 250);
    let facts = suite.path("out/facts");
    wait_until("all jobs are given", LONG, || facts.exists());
    let facts: serde_json::Value = serde_json::from_str(&fs::read_to_string(facts).unwrap()).unwrap();
    let facts = facts.as_array().unwrap();
    eprintln!("shared memory of the machine: {} KiB", facts[0]["shared_kib"]);
    assert_eq!(facts.len(), JOBS);
    for fact in facts {
        assert!(fact["begins"].as_str().unwrap().contains("List-Id: <news.local.example>"), "{fact}");
        assert_eq!((&fact["offset"], &fact["size"]), (&0.into(), &fact["length"]), "{fact}");
        assert_eq!((&fact["file"], &fact["hash"]), (&facts[0]["file"], &facts[0]["hash"]), "another file");
        assert_eq!((&fact["names"], &fact["access"]), (&0.into(), &nix::libc::O_RDONLY.into()), "{fact}");
    }
    suite.wait_drained(LONG);
}
