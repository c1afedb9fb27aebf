//! AUTH: real clients by every mechanism, what is refused, lock-outs, senders, an authserver that dies.

use data_encoding::BASE64;
use end_to_end::logins::{Site, plain, run};
use end_to_end::{LONG, Suite, installed, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::process::{Command, Stdio};

const PASSWORD: &str = "tr0ub4dor,&=3";
const FILE: &str = "backends = [\"file\"]\npassword_file = \"{at}/passwords\"\nfailure_delay = 0\n";

fn site(more: &str) -> Site {
    let site = Site::start(&format!("{FILE}{more}"), Suite::builder());
    site.user("tim", PASSWORD, "");
    site
}

/// Nothing that the suite has written anywhere tells the password.
fn assert_secret(site: &Site) {
    for text in [site.suite.log(), site.suite.errors()] {
        for secret in [PASSWORD, &BASE64.encode(PASSWORD.as_bytes()), &plain("tim", PASSWORD)] {
            assert!(!text.contains(secret), "a secret in the log");
        }
    }
}

fn received(site: &Site, user: &str) -> String {
    let folder = site.suite.path(&format!("mail/{user}/new"));
    let name = end_to_end::files(&folder).remove(0);
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn swaks_and_python_log_in() {
    let site = site("");
    let port = site.submission.to_string();
    for (mechanism, user) in [("PLAIN", "plain"), ("LOGIN", "login")] {
        let to = format!("{user}@local.example");
        let arguments = ["--server", "127.0.0.1", "--port", &port, "--tls", "--from", "tim@local.example", "--to", &to];
        let login = ["--auth", mechanism, "--auth-user", "tim", "--auth-password"];
        let (good, text) = run("swaks", &[&arguments[..], &login, &[PASSWORD]].concat());
        assert!(good, "{text}");
        wait_until("swaks' message is delivered", LONG, || site.delivered(user) == 1);
        let (good, text) = run("swaks", &[&arguments[..], &login, &["wrong"]].concat());
        assert!(!good && text.contains("535 5.7.8"), "{text}");
    }
    let message = received(&site, "plain");
    assert!(message.contains("with ESMTPSA id"), "{message}");
    assert!(!message.contains("tim@local.example as") && !message.contains("authenticated as"), "{message}");
    let script = "import smtplib,ssl,sys\nc=smtplib.SMTP_SSL('localhost',int(sys.argv[1]),context=ssl.create_default_context(cafile=sys.argv[2]))\n\
        c.login('TIM',sys.argv[3])\nc.sendmail('tim@local.example','python@local.example','Subject: x\\r\\n\\r\\nhello\\r\\n')\nc.quit()\n";
    let (good, text) = run("python3", &["-c", script, &site.submissions.to_string(), &site.path("server.pem"), PASSWORD]);
    assert!(good, "{text}");
    wait_until("Python's message is delivered", LONG, || site.delivered("python") == 1);
    assert_eq!(site.suite.counter("authserver", "accepted"), 3);
    assert_eq!(site.suite.counter("authserver", "refused"), 2);
    site.suite.logged("login user=tim peer=127.0.0.1 mechanism=PLAIN tls=true");
    site.suite.logged("login_failed user=tim peer=127.0.0.1 mechanism=LOGIN");
    assert_secret(&site);
}

/// SCRAM by two implementations that are not ours, with and without channel binding.
#[test]
fn gsasl_and_msmtp_log_in_by_scram() {
    if !installed("gsasl") || !installed("msmtp") {
        return eprintln!("SKIPPED: gsasl or msmtp is not installed");
    }
    let site = site("");
    let (ca, port) = (site.path("server.pem"), site.submission.to_string());
    let gsasl = |mechanism: &str, password: &str| {
        let mechanism = format!("--mechanism={mechanism}");
        let ca = format!("--x509-ca-file={ca}");
        let password = format!("--password={password}");
        // With a binding in hand gsasl takes no mechanism that could have one and has not.
        let binding = if mechanism.ends_with("-PLUS") { "--verbose" } else { "--no-cb" };
        run("gsasl", &["--smtp", binding, &ca, &mechanism, "--authentication-id=tim", &password, "localhost", &port])
    };
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN"] {
        let (good, text) = gsasl(mechanism, PASSWORD);
        assert!(good && text.contains("235 2.7.0"), "{mechanism}: {text}");
        let (_, text) = gsasl(mechanism, "wrong");
        assert!(text.contains("535 5.7.8"), "{mechanism}: {text}");
    }
    site.suite.logged("mechanism=SCRAM-SHA-256-PLUS");
    let (host, port) = ("--host=localhost", format!("--port={port}"));
    let mut msmtp = Command::new("msmtp");
    msmtp.args([host, &port, "--tls=on", "--tls-starttls=on", "--auth=scram-sha-256", "--user=tim"]);
    msmtp.arg(format!("--tls-trust-file={ca}")).arg(format!("--passwordeval=printf '%s' '{PASSWORD}'"));
    msmtp.args(["--from=tim@local.example", "scram@local.example"]);
    let mut child = msmtp.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Subject: x\n\nhello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("msmtp's message is delivered", LONG, || site.delivered("scram") == 1);
    assert_secret(&site);
}

#[test]
fn auth_is_offered_where_it_should_be_and_opens_what_it_should() {
    let site = site("received_user = true\n");
    // Port 25 is for other servers.
    let (mut smtp, _) = end_to_end::load::Session::open(site.suite.port).unwrap();
    assert!(!smtp.command("EHLO a.example").unwrap().1.contains("AUTH"));
    assert_eq!(smtp.command("AUTH PLAIN =").unwrap().0, 502);
    // Not without TLS.
    let (mut clear, _) = end_to_end::load::Session::open(site.submission).unwrap();
    assert!(!clear.command("EHLO a.example").unwrap().1.contains("AUTH"));
    assert_eq!(clear.command(&format!("AUTH PLAIN {}", plain("tim", PASSWORD))).unwrap().0, 538);
    assert_eq!(clear.command("MAIL FROM:<tim@local.example>").unwrap().0, 530);
    let mut session = site.session();
    let offered = session.command("EHLO a.example").unwrap().1;
    assert!(offered.contains("AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"), "{offered}");
    assert_eq!(session.command("MAIL FROM:<tim@local.example>").unwrap().0, 530);
    assert_eq!(session.command("AUTH CRAM-MD5").unwrap().0, 504);
    assert_eq!(session.command("AUTH LOGIN dGlt").unwrap(), (334, "334 UGFzc3dvcmQ6\r\n".to_owned()));
    assert_eq!(session.command(&BASE64.encode(PASSWORD.as_bytes())).unwrap().0, 235);
    assert_eq!(session.command("AUTH PLAIN =").unwrap().0, 503, "once a session");
    let (code, text) = session.message("tim@local.example", &["ann@local.example"], b"Subject: x\r\n\r\nhello\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
    wait_until("the message is delivered", LONG, || site.delivered("ann") == 1);
    let message = received(&site, "ann");
    assert!(message.contains("with ESMTPSA id") && message.contains("authenticated as tim"), "{message}");
}

/// attacks.md 31.
#[test]
fn messages_that_are_none_and_moments_that_are_wrong() {
    let site = site("failures_per_address = 0\nfailures_per_network = 0\n");
    let mut session = site.session();
    let mut say = |line: &str| session.command(line).unwrap().0;
    for (line, code) in [
        ("AUTH", 501),
        ("AUTH PLAIN %%%", 501),
        ("AUTH PLAIN AAA", 501),
        ("AUTH PLAIN =", 501),
        (&format!("AUTH PLAIN {}", BASE64.encode(b"tim\0x")), 501),
        (&format!("AUTH PLAIN {}", BASE64.encode(b"\0tim\0a\0b")), 501),
        (&format!("AUTH PLAIN {}", plain("tim", "x")), 535),
        (&format!("AUTH PLAIN {}", plain("nobody-here", "x")), 535),
        (&format!("AUTH PLAIN {}", plain("tim", &"x".repeat(9000))), 501),
        (&format!("AUTH SCRAM-SHA-256 {}", BASE64.encode(&[b'n'; 8000])), 501),
    ] {
        assert_eq!(say(line), code, "{line:.60}");
    }
    assert_eq!((say("AUTH LOGIN"), say("*")), (334, 501));
    assert_eq!((say("AUTH PLAIN"), say("=")), (334, 501));
    let mut session = site.session();
    assert_eq!(session.command("AUTH PLAIN").unwrap(), (334, "334 \r\n".to_owned()));
    assert_eq!(session.command(&"A".repeat(30_000)).unwrap().0, 500);
    let good = format!("AUTH PLAIN {}", plain("tim", PASSWORD));
    // Two in one piece: the second does not wait for the reply to the first.
    session.send(format!("{good}\r\nNOOP\r\n").as_bytes()).unwrap();
    assert_eq!(session.reply().unwrap().0, 554);
    let mut session = site.session();
    assert_eq!(session.command(&good).unwrap().0, 235);
    assert_eq!(session.command("MAIL FROM:<tim@local.example>").unwrap().0, 250);
    assert_eq!(session.command(&good).unwrap().0, 503);
    // The same answers to SCRAM for a user that exists and one that does not.
    let challenge = |user: &str| {
        let first = BASE64.encode(format!("n,,n={user},r=abcdef").as_bytes());
        let (code, text) = site.session().command(&format!("AUTH SCRAM-SHA-256 {first}")).unwrap();
        let text = String::from_utf8(BASE64.decode(text.trim().trim_start_matches("334 ").as_bytes()).unwrap()).unwrap();
        (code, text.split_once(",s=").unwrap().1.to_owned())
    };
    assert_eq!(challenge("nobody-here"), challenge("nobody-here"));
    assert_ne!(challenge("nobody-here"), challenge("nobody-else"));
    assert_eq!(challenge("tim").1.len(), challenge("nobody-here").1.len());
    assert_secret(&site);
}

#[test]
fn who_fails_too_often_waits_and_is_locked_out() {
    let auth = "backends = [\"file\"]\npassword_file = \"{at}/passwords\"\nfailure_delay = \"200ms\"\nfailures_per_address = 4\nlock_time = \"10s\"\n";
    let site = Site::start(auth, Suite::builder());
    site.user("tim", PASSWORD, "");
    let times: Vec<std::time::Duration> = (0..4)
        .map(|_| {
            let mut session = site.session();
            let begun = std::time::Instant::now();
            assert_eq!(session.command(&format!("AUTH PLAIN {}", plain("tim", "wrong"))).unwrap().0, 535);
            begun.elapsed()
        })
        .collect();
    assert!(times[3].as_millis() >= 1600 && times[2].as_millis() >= 800, "{times:?}");
    assert_eq!(site.plain("tim", PASSWORD).0, 421, "the right password does not help");
    site.suite.logged("locked_out level=warning what=address peer=127.0.0.1");
    wait_until("the lock ends", LONG, || site.plain("tim", PASSWORD).0 == 235);
    assert_eq!(site.suite.counter("authserver", "lockouts"), 1);
}

#[test]
fn a_lock_outlives_the_authserver_however_it_ends() {
    let mut site = site("failures_per_user = 2\n");
    let failures = site.suite.postoffice("authserver/failures");
    for _ in 0..2 {
        assert_eq!(site.plain("tim", "wrong").0, 535);
    }
    let locked =
        || std::fs::read_to_string(&failures).is_ok_and(|text| text.lines().any(|line| line.contains(" u tim ") && !line.ends_with('-')));
    wait_until("the lock is written", LONG, locked);
    let authserver = |site: &Site| site.suite.pids().into_iter().find(|(name, _)| name == "authserver").map(|(_, pid)| pid);
    // Killed: its successor answers, and knows. (A login that comes between the two is undecided.)
    let answer = |site: &Site| {
        let mut code = 454;
        wait_until("an authserver answers", LONG, || {
            code = site.plain("tim", PASSWORD).0;
            code != 454
        });
        code
    };
    let end = |site: &Site| {
        let old = authserver(site).unwrap();
        kill(Pid::from_raw(i32::try_from(old).unwrap()), Signal::SIGKILL).unwrap();
        wait_until("another authserver runs", LONG, || authserver(site).is_some_and(|pid| pid != old));
    };
    end(&site);
    assert_eq!(answer(&site), 421, "the lock is forgotten");
    assert_eq!(site.suite.stop(), Some(0));
    site.suite.start();
    assert_eq!(answer(&site), 421, "the lock is forgotten");
    // A file that is none, written while nobody else writes it: said, and everybody begins anew.
    assert_eq!(site.suite.stop(), Some(0));
    std::fs::write(&failures, [0xff; 300]).unwrap();
    site.suite.start();
    site.suite.logged("state_damaged level=warning");
    assert_eq!(answer(&site), 235);
}

/// The authserver's walls stand before the folder does: a reload gives it a successor who may read there.
#[test]
fn a_folder_of_passwords_that_comes_later_is_read_after_a_reload() {
    let auth = "backends = [\"file\"]\npassword_file = \"{at}/later/passwords\"\nfailure_delay = 0\n";
    let site = Site::start(auth, Suite::builder());
    assert_eq!(site.plain("tim", PASSWORD).0, 454);
    std::fs::create_dir(site.suite.path("later")).unwrap();
    site.suite.give_away();
    site.user("tim", PASSWORD, "");
    assert!(site.suite.zpost(&["reload"]).status.success());
    wait_until("a successor reads it", LONG, || site.plain("tim", PASSWORD).0 == 235);
}

#[test]
fn users_give_the_senders_that_are_theirs() {
    let site = site("senders = \"own\"\nsender_logins = \"{at}/logins\"\n");
    end_to_end::logins::private_file(&site.suite.path("logins"), "sales@local.example: eve, ann\n", 0o644);
    site.user("eve", PASSWORD, "@local.example");
    let may = |user: &str, sender: &str| {
        let mut session = site.session();
        assert_eq!(session.command(&format!("AUTH PLAIN {}", plain(user, PASSWORD))).unwrap().0, 235);
        session.command(&format!("MAIL FROM:<{sender}>")).unwrap().0
    };
    assert_eq!(may("tim", "tim@local.example"), 250);
    assert_eq!(may("tim", ""), 250);
    assert_eq!(may("tim", "eve@local.example"), 553);
    assert_eq!(may("eve", "anything@local.example"), 250);
    assert_eq!(may("eve", "eve@other.example"), 553);
    site.user("ann", PASSWORD, "");
    assert_eq!(may("ann", "Sales@local.example"), 250);
    assert_eq!(may("ann", "ann@local.example"), 553, "what is listed is all");
    // A changed and a removed user, without a reload.
    site.user("tim", "another", "");
    assert_eq!((site.plain("tim", PASSWORD).0, site.plain("tim", "another").0), (535, 235));
    assert!(site.passwd(&["--delete", "tim"], "").status.success());
    assert_eq!(site.plain("tim", "another").0, 535);
    let output = site.passwd(&["--delete", "tim"], "");
    assert_eq!(output.status.code(), Some(67), "no such user");
}

#[test]
fn an_authserver_that_dies_costs_a_moment() {
    let site = site("");
    let authserver = || site.suite.pids().into_iter().find(|(name, _)| name == "authserver").map(|(_, pid)| pid);
    let mut session = site.session();
    assert_eq!(session.command("AUTH LOGIN").unwrap().0, 334);
    let old = authserver().unwrap();
    kill(Pid::from_raw(i32::try_from(old).unwrap()), Signal::SIGKILL).unwrap();
    wait_until("another authserver runs", LONG, || authserver().is_some_and(|pid| pid != old));
    assert_eq!(session.command("dGlt").unwrap().0, 454, "its exchange is lost");
    assert_eq!(session.command(&format!("AUTH PLAIN {}", plain("tim", PASSWORD))).unwrap().0, 235, "the session is not");
    // Stopped in the middle of a question: the deadline ends it.
    let mut session = site.session();
    let pid = Pid::from_raw(i32::try_from(authserver().unwrap()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    session.send(format!("AUTH PLAIN {}\r\n", plain("tim", PASSWORD)).as_bytes()).unwrap();
    kill(pid, Signal::SIGKILL).unwrap();
    let (code, text) = session.reply().unwrap();
    assert!(code == 454 || code == 235, "{text}");
}

#[test]
fn a_password_file_that_others_can_read_is_not_used() {
    let site = site("");
    use std::os::unix::fs::PermissionsExt;
    let mode = |bits| std::fs::set_permissions(site.suite.path("passwords"), std::fs::Permissions::from_mode(bits)).unwrap();
    mode(0o644);
    let (code, text) = site.plain("tim", PASSWORD);
    assert_eq!(code, 454, "{text}");
    site.suite.logged("can be read by everybody");
    mode(0o600);
    assert_eq!(site.plain("tim", PASSWORD).0, 235);
}
