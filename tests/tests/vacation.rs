//! vacation, from a user's `.forward`: whom it answers, once, and whom never.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, files, programs, wait_until};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

fn owned(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chown(path, Some(user()), None).unwrap();
}

/// Whom the suite runs as.
fn user() -> u32 {
    if nix::unistd::Uid::effective().is_root() { 65534 } else { nix::unistd::Uid::effective().as_raw() }
}

struct Site {
    suite: Suite,
    home: PathBuf,
}

impl Site {
    fn new() -> Self {
        let builder = Suite::builder();
        let folder = builder.folder().to_owned();
        let home = folder.join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(user()), None).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.join("users"), format!("joe {}\nann\nlist-bounces\n", home.display())).unwrap();
        let local = format!("[local]\ndomains = [\"local.example\"]\nmaildir = \"{0}/mail/%u\"\nusers = \"{0}/users\"\n", folder.display());
        let suite = builder.with(&local).start();
        // Programs of `.forward` get nothing of our environment: the script says which suite this is.
        let script =
            format!("#!/bin/sh\nZPOST_CONFIG={} exec {} \"$@\"\n", suite.config().display(), programs().join("vacation").display());
        owned(&home.join("vacation"), &script, 0o755);
        owned(&home.join(".forward"), &format!("\\joe\n\"|{}/vacation -r 7d joe\"\n", home.display()), 0o644);
        owned(&home.join(".vacation.msg"), "Subject: gone fishing\n\nYour words about \"$SUBJECT\" wait.\n", 0o644);
        Self { suite, home }
    }

    fn send(&self, from: &str, header: &str) {
        let (mut session, _) = Session::open(self.suite.port).unwrap();
        session.command("EHLO x.example").unwrap();
        assert_eq!(session.command(&format!("MAIL FROM:<{from}>")).unwrap().0, 250);
        assert_eq!(session.command("RCPT TO:<joe@local.example>").unwrap().0, 250);
        assert_eq!(session.command("DATA").unwrap().0, 354);
        session.send(format!("{header}\r\n\r\nbody\r\n.\r\n").as_bytes()).unwrap();
        assert_eq!(session.reply().unwrap().0, 250);
    }

    fn mailbox(&self, user: &str) -> Vec<String> {
        let folder = self.suite.path("mail").join(user).join("new");
        files(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect()
    }

    fn known(&self) -> String {
        fs::read_to_string(self.home.join(".vacation.db")).unwrap_or_default()
    }
}

#[test]
fn people_are_answered_once_and_nobody_else_ever() {
    let mut site = Site::new();
    let to = "To: Joe <joe@local.example>\r\nMessage-ID: <one@far.example>\r\nSubject: lunch";
    site.send("ann@local.example", to);
    wait_until("ann is answered", LONG, || site.mailbox("ann").len() == 1);
    let answer = site.mailbox("ann").remove(0);
    for line in [
        "Return-Path: <>",
        "From: joe@local.example",
        "To: ann@local.example",
        "Subject: gone fishing (Re: lunch)",
        "Auto-Submitted: auto-replied",
        "In-Reply-To: <one@far.example>",
        "Your words about \"lunch\" wait.",
    ] {
        assert!(answer.lines().any(|l| l == line), "{line}: {answer}");
    }
    site.suite.wait_drained(LONG);
    let known = site.known();
    assert!(known.ends_with(" ann@local.example\n") && known.lines().count() == 1, "{known}");
    assert_eq!(site.suite.stop(), Some(0));
    site.suite.start();
    // Once in seven days, whatever is restarted; never to a list, a program, the null sender, or himself; never what names
    // joe nowhere.
    site.send("ann@local.example", to);
    site.send("list-bounces@local.example", &format!("{to}\r\nList-Id: <x.local.example>"));
    site.send("ann@local.example", &format!("{to}\r\nAuto-Submitted: auto-replied"));
    site.send("", to);
    site.send("joe@local.example", to);
    site.send("other@far.example", "To: undisclosed-recipients:;\r\nSubject: all");
    wait_until("joe has all seven, and no answer", LONG, || site.mailbox("joe").len() == 7);
    site.suite.wait_drained(LONG);
    assert_eq!((site.mailbox("ann").len(), site.mailbox("list-bounces").len(), site.known()), (1, 0, known));
    // Forgotten, he is answered again; and the user sees who was.
    let script = site.home.join("vacation");
    let run = |verb: &str| Command::new(&script).arg(verb).env("HOME", &site.home).env("LOGNAME", "joe").output().unwrap();
    let list = String::from_utf8(run("list").stdout).unwrap();
    assert!(list.contains("ann@local.example"), "{list}");
    assert!(run("clear").status.success());
    assert_eq!(site.known(), "");
    site.send("ann@local.example", to);
    wait_until("ann is answered again", LONG, || site.mailbox("ann").len() == 2);
}

#[test]
fn an_answer_that_cannot_be_sent_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let run = |sendmail: &str, more: &[&str]| {
        let mut child = Command::new(programs().join("vacation"))
            .args(["-d", "--sendmail", sendmail, "-s", "ann@far.example", "-a", "joe@local.example"])
            .args(more)
            .env("HOME", folder.path())
            .env_remove("SENDER")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::Write;
        // It may refuse before it has read.
        let _ = child.stdin.take().unwrap().write_all(b"To: joe@local.example\n\nbody\n");
        child.wait_with_output().unwrap()
    };
    // What takes an answer reads it to its end.
    let taker = folder.path().join("sendmail");
    owned(&taker, "#!/bin/sh\nexec cat > /dev/null\n", 0o755);
    let taker = taker.to_str().unwrap();
    let failed = run("/bin/false", &[]);
    assert_eq!(failed.status.code(), Some(75), "tried again: {}", String::from_utf8_lossy(&failed.stderr));
    let taken = run(taker, &[]);
    assert_eq!(String::from_utf8_lossy(&taken.stdout), "answered: ann@far.example\n");
    assert!(String::from_utf8_lossy(&run(taker, &[]).stdout).contains("answered lately"));
    fs::write(folder.path().join("bad"), "Bcc: all@far.example\n\nx").unwrap();
    let bad = folder.path().join("bad");
    let refused = run(taker, &["-m", bad.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("line 1: Bcc"), "{}", String::from_utf8_lossy(&refused.stderr));
    let usage = Command::new(programs().join("vacation")).arg("--soon").output().unwrap();
    assert_eq!(usage.status.code(), Some(64));
}
