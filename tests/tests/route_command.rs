//! `zpost route` and `zpost lookup` against a running suite: several at once, JSON, through a pipe, at a terminal.

use end_to_end::{LONG, Suite, programs, wait_until};
use nix::pty::openpty;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Mutex};

const TABLES: &str = "[[table]]\nname = \"people\"\nkind = \"inline\"\nentries = { ann = \"ann.lee\", bob = \"bob.ray\" }\n\
    [[table]]\nname = \"away\"\nkind = \"socketmap\"\nmap = \"m\"\nservers = [\"unix:/nonexistent/socket\"]\n\
    [[route]]\ndomain = \"there.example\"\nchannel = \"smtp\"\nhost = \"gate.example\"\n";

fn suite() -> Suite {
    Suite::builder().with_maildirs().with(TABLES).start()
}

fn both(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// `zpost ...` with these lines as its standard input.
fn piped(suite: &Suite, arguments: &[&str], lines: &str) -> (Option<i32>, String, String) {
    let mut command = suite.command(programs().join("zpost"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("XDG_STATE_HOME", suite.path("mail"));
    let mut child = command.spawn().unwrap();
    // It may end before it has read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    both(&child.wait_with_output().unwrap())
}

#[test]
fn several_addresses_and_keys_at_once() {
    let suite = suite();
    let routes = suite.json(&["route", "a@there.example", "b@there.example", "--sender", "s@x.example"]);
    assert_eq!(routes.as_array().unwrap().len(), 2);
    for (at, address) in ["a@there.example", "b@there.example"].into_iter().enumerate() {
        assert_eq!(routes[at]["address"], address);
        assert_eq!(routes[at]["sender"], "s@x.example");
        assert_eq!(routes[at]["routes"][0]["host"], "gate.example");
        assert!(routes[at]["refused"].is_null() && routes[at]["steps"].is_array());
    }
    assert_eq!(suite.json(&["route", "a@there.example"])["address"], "a@there.example", "one is no list");

    assert_eq!(both(&suite.zpost(&["lookup", "people", "ann"])), (Some(0), "ann.lee\n".to_owned(), String::new()));
    assert_eq!(
        both(&suite.zpost(&["lookup", "people", "ann", "bob"])),
        (Some(0), "ann: ann.lee\nbob: bob.ray\n".to_owned(), String::new())
    );
    let (code, out, trouble) = both(&suite.zpost(&["lookup", "people", "ann", "eve"]));
    assert_eq!((code, out.as_str()), (Some(1), "ann: ann.lee\n"));
    assert!(trouble.contains("eve is not in table people"), "{trouble}");
    let one = suite.json(&["lookup", "people", "ann"]);
    assert_eq!((one["table"].as_str(), one["key"].as_str(), one["found"].as_bool()), (Some("people"), Some("ann"), Some(true)));
    assert_eq!(one["values"], serde_json::json!(["ann.lee"]));
    assert!(one["place"].as_str().is_some_and(|place| !place.is_empty()) && one["trouble"].is_null(), "{one}");

    let (code, _, trouble) = both(&suite.zpost(&["lookup", "poeple", "ann"]));
    assert_eq!((code, trouble.contains("did you mean `people`?")), (Some(78), true), "{trouble}");
    let (code, out, trouble) = both(&suite.zpost(&["lookup", "away", "ann"]));
    assert_eq!((code, out.as_str()), (Some(75), ""), "{trouble}");
    assert!(trouble.contains("table away has no answer for ann now"), "{trouble}");
    let (code, out, _) = both(&suite.zpost(&["lookup", "away", "ann", "--json"]));
    let silent: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(code == Some(75) && silent["found"].is_null() && silent["trouble"].is_string(), "{silent}");
}

/// Each member of an alias has its line, and the exit status tells of the worst. A slip in the alias file makes nobody unknown,
/// and whoever asks is told of it.
#[test]
fn every_member_is_told_and_a_slip_bounces_nobody() {
    let builder = Suite::builder();
    let aliases = builder.folder().join("aliases");
    fs::write(&aliases, "team: tim, ghost\nsound: tim\nslip tim\n").unwrap();
    let mail = builder.folder().join("mail/%u").display().to_string();
    let suite = builder
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{mail}\"\nusers = \"known\"\naliases = [{aliases:?}]\n\
             [[table]]\nname = \"known\"\nkind = \"inline\"\nentries = {{ tim = \"\" }}\n"
        ))
        .start();
    let (code, out, _) = both(&suite.zpost(&["route", "team@local.example"]));
    assert_eq!(code, Some(67), "{out}");
    assert!(out.contains("team@local.example: channel local host - user tim@local.example\n"), "{out}");
    assert!(out.contains("team@local.example: ghost@local.example: refused: 5.1.1 User unknown\n"), "{out}");
    assert_eq!(both(&suite.zpost(&["route", "sound@local.example"])).0, Some(0));
    assert_eq!(both(&suite.zpost(&["route", "nobody@local.example"])).0, Some(67));
    let (code, out, _) = both(&suite.zpost(&["route", "slip@local.example", "--explain"]));
    assert_eq!((code, out.contains("aliases:3: no colon after the name")), (Some(75), true), "{out}");
    let (code, _, said) = both(&suite.command(programs().join("newaliases")).output().unwrap());
    assert_eq!((code, said.contains("aliases:3: no colon after the name")), (Some(65), true), "{said}");
    let (code, _, said) = both(&suite.zpost(&["config", "check"]));
    assert_eq!((code, said.contains("warning: ") && said.contains("aliases:3: no colon after the name")), (Some(0), true), "{said}");
}

#[test]
fn a_question_a_line_through_a_pipe() {
    let mut suite = suite();
    let lines = "# comment\n\na@there.example\nlookup people ann\nlookup people eve\nexplain on\na@there.example\nquit\nb@there.example\n";
    let (code, out, trouble) = piped(&suite, &["route"], lines);
    let wanted = "a@there.example: channel smtp host gate.example user a@there.example\nann: ann.lee\neve: not there\n";
    assert_eq!((code, trouble.as_str()), (Some(1), ""), "{out}");
    assert!(out.starts_with(wanted), "{out}");
    let rest = out.split_at(wanted.len()).1;
    assert!(rest.lines().count() > 1 && rest.lines().nth(1).unwrap().starts_with("  "), "the rules: {rest}");
    assert!(!out.contains("b@there.example") && !out.contains("route>"), "{out}");

    let (code, out, trouble) =
        piped(&suite, &["route", "--json"], "a@there.example\nsender s@x.example\nb@there.example\nlookup people ann\n");
    assert_eq!(code, Some(0), "{trouble}");
    let documents: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 3);
    assert_eq!((&documents[0]["sender"], &documents[1]["sender"]), (&"".into(), &"s@x.example".into()));
    assert_eq!(documents[2]["values"][0], "ann.lee");

    let (code, out, trouble) =
        piped(&suite, &["route"], "a@@b\nlookup nonesuch k\nexplain perhaps\n\u{1b}[2J@b.example\na@there.example\n");
    assert_eq!((code, out.lines().count()), (Some(78), 1), "the last line is answered: {out}");
    for wanted in ["line 1: `a@@b` is no address", "line 2: no [[table]]", "line 3: usage: explain on|off", "line 4: `\\u001b[2J"] {
        assert!(trouble.contains(wanted), "{wanted} is not in {trouble}");
    }
    assert!(!suite.path("mail/zpost").exists(), "a pipe has no history");

    suite.stop();
    for lines in ["", "a@there.example\n"] {
        let (code, out, trouble) = piped(&suite, &["route"], lines);
        assert_eq!((code, out.as_str()), (Some(69), ""));
        assert!(trouble.contains("zpost is not running"), "{trouble}");
    }
}

/// `zpost route` at a pseudo-terminal.
struct Console {
    child: Child,
    keys: File,
    screen: Arc<Mutex<String>>,
}

impl Console {
    fn open(suite: &Suite) -> Self {
        let pty = openpty(None, None).unwrap();
        let mut command = suite.command(programs().join("zpost"));
        command.arg("route").env("TERM", "xterm").env("HOME", suite.path("home")).env_remove("XDG_STATE_HOME");
        let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        command.stdin(slave(&pty.slave)).stdout(slave(&pty.slave)).stderr(slave(&pty.slave));
        let child = command.spawn().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut reader, shared) = (File::from(pty.master.try_clone().unwrap()), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        let console = Self { child, keys: File::from(pty.master), screen };
        console.shows("route> ");
        console
    }

    /// Waits for a text on a screen that is blank since the last keys.
    fn shows(&self, text: &str) {
        wait_until(&format!("the screen shows {text}"), LONG, || self.screen.lock().unwrap().contains(text));
    }

    fn types(&mut self, keys: &str) {
        self.screen.lock().unwrap().clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn leaves(mut self, keys: &str) {
        self.types(keys);
        wait_until("it ends", LONG, || self.child.try_wait().unwrap().is_some());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ANSWER: &str = "a@there.example: channel smtp host gate.example user a@there.example";

#[test]
fn a_terminal_has_editing_and_history() {
    let suite = Suite::builder().with_maildirs().with(TABLES).prepare();
    fs::create_dir(suite.path("home")).unwrap();
    suite.give_away();
    let mut suite = suite;
    suite.start();
    let mut console = Console::open(&suite);
    // A slip, taken back with two backspaces.
    console.types("a@there.exampleXX\u{7f}\u{7f}\r");
    console.shows(ANSWER);
    console.types("lookup people eve\r");
    console.shows("eve: not there");
    console.types("a@@b\r");
    console.shows("is no address");
    // Thrice up, and the control byte that a terminal gives for an interrupt leaves the session alive.
    console.types("half a line\u{3}");
    console.shows("route> ");
    console.types("\u{1b}[A\u{1b}[A\u{1b}[A\r");
    console.shows(ANSWER);
    console.leaves("quit\r");

    let file = suite.path("home/.local/state/zpost/route-history");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a@there.example\nlookup people eve\na@@b\na@there.example\nquit\n");

    // The next session has it; `quit` is the youngest.
    let mut console = Console::open(&suite);
    console.types("\u{1b}[A\u{1b}[A\r");
    console.shows(ANSWER);
    // The suite goes away and comes back under it.
    suite.stop();
    console.types("a@there.example\r");
    console.shows("zpost is not running");
    suite.start();
    console.types("a@there.example\r");
    console.shows(ANSWER);
    console.leaves("\u{4}");
}
