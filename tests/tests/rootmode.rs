//! Started as root: every process becomes its own user; system accounts get their mail as themselves.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, files, programs, wait_until};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Who a process runs as: real, effective and saved user ids.
fn uids(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap_or_default();
    line.split_whitespace().take(3).filter_map(|u| u.parse().ok()).collect()
}

fn user_add(name: &str, home: &str) {
    let _ = Command::new("useradd").args(["-m", "-d", home, "-s", "/bin/false", name]).output();
}

#[test]
fn children_become_their_users_and_mail_is_delivered_as_the_recipient() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let suite = Suite::builder().prepare();
    let folder = suite.folder.path().to_path_buf();
    let home = folder.join("home");
    fs::create_dir_all(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    user_add("zptrecipient", home.join("zptrecipient").to_str().unwrap());
    let text = fs::read_to_string(suite.config()).unwrap()
        + "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"%h/Maildir\"\nusers = \"passwd\"\n\
           [users]\ndefault = \"daemon\"\nsmtpserver = \"nobody\"\nresolver = \"nobody\"\n";
    fs::write(suite.config(), text).unwrap();
    for below in ["post", "run"] {
        std::os::unix::fs::chown(suite.path(below), Some(0), Some(0)).unwrap();
    }
    let zpost =
        |arguments: &[&str]| Command::new(programs().join("zpost")).env("ZPOST_CONFIG", suite.config()).args(arguments).output().unwrap();
    let started = zpost(&["start"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let stop = scopeguard(|| {
        let _ = Command::new(programs().join("zpost")).env("ZPOST_CONFIG", folder.join("zpost.toml")).args(["stop", "--now"]).output();
        let _ = Command::new("userdel").args(["-r", "zptrecipient"]).output();
    });
    let status: serde_json::Value = serde_json::from_slice(&zpost(&["status", "--json"]).stdout).unwrap();
    for process in status["processes"].as_array().unwrap() {
        let service = process["service"].as_str().unwrap();
        let pid = u32::try_from(process["pid"].as_u64().unwrap()).unwrap();
        let want = match service {
            "smtpserver" | "resolver" => 65534,
            "ta-mailbox" => continue,
            _ => 1,
        };
        assert_eq!(uids(pid), vec![want; 3], "{service}");
    }
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let (code, text) = session.message("a@sender.example", &["zptrecipient@local.example"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
    assert_eq!(session.command("MAIL FROM:<a@sender.example>").unwrap().0, 250);
    assert_eq!(session.command("RCPT TO:<no-such-account@local.example>").unwrap().0, 550);
    let new = home.join("zptrecipient/Maildir/new");
    wait_until("the mail is in the account's own Maildir", LONG, || files(&new).len() == 1);
    let delivered = fs::metadata(new.join(&files(&new)[0])).unwrap();
    let account = fs::metadata(home.join("zptrecipient")).unwrap();
    assert_eq!(delivered.uid(), account.uid());
    // An ordinary user submits without rights to the spool, and the kernel says who it is.
    let mut child = Command::new("setpriv")
        .args(["--reuid", "zptrecipient", "--regid", "nogroup", "--clear-groups"])
        .arg(programs().join("sendmail"))
        .arg("zptrecipient@local.example")
        .env("ZPOST_CONFIG", suite.config())
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"Subject: from a user\n\nx\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("that mail arrives too", LONG, || files(&new).len() == 2);
    drop(stop);
}

/// Runs a closure at the end of a scope, also when a test fails.
fn scopeguard<F: FnMut()>(end: F) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(end)
}
