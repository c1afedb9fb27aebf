//! Mail in by SMTP, by `sendmail` and by a dropped file; out by SMTP and into Maildirs; and back as a bounce.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, files, programs, wait_until};
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Maildir and sink behind one suite.
fn suite_and_sink() -> (Suite, Sink) {
    let sink = Sink::start();
    let suite = Suite::builder()
        .with(&format!("[[route]]\ndomain = \"sink.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", sink.port))
        .with_maildirs()
        .start();
    (suite, sink)
}

fn maildir(suite: &Suite, user: &str) -> Vec<String> {
    files(&suite.path("mail").join(user).join("new"))
}

fn mail_text(suite: &Suite, user: &str) -> String {
    let folder = suite.path("mail").join(user).join("new");
    let names = files(&folder);
    String::from_utf8_lossy(&fs::read(folder.join(&names[0])).unwrap()).into_owned()
}

#[test]
fn swaks_to_maildir_and_sink() {
    let (suite, sink) = suite_and_sink();
    for to in ["anna@local.example", "bert@sink.example"] {
        let output = Command::new("swaks")
            .args(["--server", &format!("127.0.0.1:{}", suite.port), "--from", "me@sender.example", "--to", to])
            .args(["--header", "Subject: by swaks", "--body", "hello\n.\n..dots\nend"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    wait_until("both arrive", LONG, || maildir(&suite, "anna").len() == 1 && sink.messages().len() == 1);
    let text = mail_text(&suite, "anna");
    assert!(text.starts_with("Return-Path: <me@sender.example>\nDelivered-To: anna@local.example\nReceived: from "), "{text}");
    assert!(text.contains("hello\n.\n..dots\nend\n"), "{text}");
    assert!(text.contains("\tby mta.test.example with ESMTP id "), "{text}");
    assert!(String::from_utf8_lossy(&sink.text()).contains("Subject: by swaks"));
    suite.wait_drained(LONG);
    assert_eq!(files(&suite.postoffice("deferred")), Vec::<String>::new());
}

#[test]
fn smtp_source_pipelines_and_reuses_connections() {
    let (suite, sink) = suite_and_sink();
    for options in [&["-d"][..], &[], &["-r", "5"]] {
        let status = Command::new("smtp-source")
            .args(["-s", "8", "-m", "40", "-l", "3000", "-f", "a@sender.example", "-t", "x@sink.example"])
            .args(options)
            .arg(format!("127.0.0.1:{}", suite.port))
            .status()
            .unwrap();
        assert!(status.success());
    }
    wait_until("all arrive", LONG, || sink.messages().len() >= 120);
    suite.wait_drained(LONG);
    assert_eq!(sink.messages().len(), 120);
}

#[test]
fn python_smtplib_with_pipelined_recipients() {
    let (suite, sink) = suite_and_sink();
    let script = format!(
        "import smtplib\ns = smtplib.SMTP('127.0.0.1', {})\ns.ehlo()\nassert s.has_extn('pipelining') and s.has_extn('8bitmime') and s.has_extn('dsn')\n\
         r = s.sendmail('py@sender.example', ['one@local.example', 'two@sink.example'], 'Subject: py\\r\\n\\r\\nline\\r\\n.leading dot\\r\\n', mail_options=['BODY=8BITMIME'], rcpt_options=['NOTIFY=FAILURE'])\n\
         assert r == {{}}\ns.quit()\n",
        suite.port
    );
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("both arrive", LONG, || maildir(&suite, "one").len() == 1 && sink.messages().len() == 1);
    assert!(mail_text(&suite, "one").contains("\n.leading dot\n"));
}

#[test]
fn the_sendmail_command_submits() {
    let (suite, _sink) = suite_and_sink();
    let mut child = suite
        .command(programs().join("sendmail"))
        .args(["-t", "-oi", "-f", "me@sender.example", "-F", "My Name"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"To: carl@local.example\nBcc: dora@local.example\nSubject: by sendmail\n\nbody\n.\nafter the dot\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("both arrive", LONG, || maildir(&suite, "carl").len() == 1 && maildir(&suite, "dora").len() == 1);
    let text = mail_text(&suite, "carl");
    assert!(text.contains("body\n.\nafter the dot\n"), "{text}");
    assert!(!text.contains("Bcc:"), "{text}");
    assert!(text.contains("From: My Name <me@sender.example>") || text.contains("From: \"My Name\" <me@sender.example>"), "{text}");
    assert!(text.contains("Message-ID: ") && text.contains("Date: "), "{text}");
}

fn drop_file(suite: &Suite, name: &str, text: &str) {
    let public = suite.postoffice("public").join(name);
    fs::write(&public, text).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(&public, Some(65534), Some(65534)).unwrap();
    }
    fs::rename(public, suite.postoffice("router").join(name)).unwrap();
}

const DROPPED: &str = "from <sender@example.org>\nto <emil@local.example>\nenv-end\nFrom: sender@example.org\nSubject: dropped\n\nbody\n";

#[test]
fn a_dropped_file_is_delivered_with_a_datagram_and_without() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).with("[queue]\nrouter_scan = \"1s\"\n").with_maildirs().start();
    drop_file(&suite, "my-letter.1", DROPPED);
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(b"NEW my-letter.1", suite.path("run/notify/router")).unwrap();
    wait_until("the announced file arrives", LONG, || maildir(&suite, "emil").len() == 1);
    assert!(mail_text(&suite, "emil").contains("Subject: dropped\n\nbody\n"));
    drop_file(&suite, "unannounced", DROPPED);
    wait_until("the unannounced file arrives", LONG, || maildir(&suite, "emil").len() == 2);
}

#[test]
fn a_malformed_file_lands_in_deferred_with_its_reason_and_blocks_nobody() {
    let (suite, _sink) = suite_and_sink();
    drop_file(&suite, "bad", "from <a@b>\nnonsense here\nenv-end\n\nx\n");
    drop_file(&suite, "empty", "");
    drop_file(&suite, "norcpt", "from <a@example.org>\nenv-end\nSubject: x\n\nx\n");
    drop_file(&suite, "good", DROPPED);
    for name in ["bad", "empty", "norcpt", "good"] {
        let socket = UnixDatagram::unbound().unwrap();
        socket.send_to(format!("NEW {name}").as_bytes(), suite.path("run/notify/router")).unwrap();
    }
    wait_until("the good one arrives", LONG, || maildir(&suite, "emil").len() == 1);
    wait_until("the bad ones are set aside", LONG, || files(&suite.postoffice("deferred")).len() == 6);
    wait_until("the reason is written", LONG, || {
        let reason = fs::read_to_string(suite.postoffice("deferred/bad.reason")).unwrap();
        reason.contains("line 2") && reason.contains("nonsense")
    });
}

#[test]
fn junk_datagrams_change_nothing_but_a_counter() {
    let (suite, _sink) = suite_and_sink();
    let router = UnixDatagram::unbound().unwrap();
    router.connect(suite.path("run/notify/router")).unwrap();
    let scheduler = UnixDatagram::unbound().unwrap();
    scheduler.connect(suite.path("run/notify/scheduler")).unwrap();
    let start = Instant::now();
    let junk: &[&[u8]] = &[b"", b"\0", b"NEW", b"NEW ../../etc/passwd", b"NEW a/b", b"OLD x", b"NEW x y z", &[0xff; 900], b"NEW \n"];
    let mut sent = 0u64;
    while sent < 10_000 {
        for socket in [&router, &scheduler] {
            if socket.send(junk[usize::try_from(sent).unwrap() % junk.len()]).is_ok() {
                sent += 1;
            }
        }
        if sent.is_multiple_of(100) {
            // 1,000 a second.
            let due = start + Duration::from_millis(sent);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    wait_until("they are counted", LONG, || {
        suite.counter("routermux", "datagrams_malformed") + suite.counter("scheduler", "datagrams_malformed") == sent
    });
    assert!(suite.log().len() < 200_000, "junk must not flood the log");
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    // A forged notice of a file that does not exist does nothing either, and mail still flows.
    router.send(b"NEW 0123456789abcdef").unwrap();
    scheduler.send(b"NEW 0123456789abcdef").unwrap();
    drop_file(&suite, "after", DROPPED);
    router.send(b"NEW after").unwrap();
    wait_until("mail still flows", LONG, || maildir(&suite, "emil").len() == 1);
}

#[test]
fn unknown_users_are_refused_and_failures_come_back_as_one_report() {
    let sink = Sink::with(&["-f", "rcpt"]);
    let suite = Suite::builder()
        .with(&format!("[[route]]\ndomain = \"sink.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", sink.port))
        .with("[[route]]\ndomain = \"refused.example\"\nchannel = \"error\"\nhost = \"5.1.2 nobody lives there\"\n");
    let users = suite.prepare();
    fs::write(users.path("users"), "frida\n# a comment\ngustav\n").unwrap();
    let text = fs::read_to_string(users.config()).unwrap()
        + &format!(
            "[local]\ndomains = [\"local.example\"]\nmaildir = \"{}\"\nusers = \"{}\"\n",
            users.path("mail/%u").display(),
            users.path("users").display()
        );
    fs::write(users.config(), text).unwrap();
    let mut suite = users;
    suite.give_away();
    suite.start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    session.command("MAIL FROM:<frida@local.example>").unwrap();
    let (code, text) = session.command("RCPT TO:<nobody-here@local.example>").unwrap();
    assert!(code == 550 && text.starts_with("550 5.1.1 "), "{text}");
    assert_eq!(session.command("RCPT TO:<gustav+detail@local.example>").unwrap().0, 250);
    assert_eq!(session.command("RSET").unwrap().0, 250);
    let (code, text) = session
        .message(
            "frida@local.example",
            &["a@sink.example", "b@sink.example", "c@refused.example"],
            b"Subject: lost\r\nMessage-ID: <orig@x>\r\n\r\nbody\r\n",
        )
        .unwrap();
    assert_eq!(code, 250, "{text}");
    wait_until("the bounce arrives", LONG, || !maildir(&suite, "frida").is_empty());
    suite.wait_drained(LONG);
    let bounces = maildir(&suite, "frida");
    let mut all = String::new();
    for name in &bounces {
        all.push_str(&fs::read_to_string(suite.path("mail/frida/new").join(name)).unwrap());
    }
    assert!(all.starts_with("Return-Path: <>\n"), "{all}");
    for part in [
        "multipart/report",
        "Auto-Submitted: auto-",
        "In-Reply-To: <orig@x>",
        "Final-Recipient: rfc822; a@sink.example",
        "Final-Recipient: rfc822; b@sink.example",
        "Final-Recipient: rfc822; c@refused.example",
        "Action: failed",
        "nobody lives there",
        "Diagnostic-Code: smtp;",
        "Subject: lost",
    ] {
        assert!(all.contains(part), "{part:?} is missing in {all}");
    }
}

#[test]
fn a_bounce_that_bounces_makes_no_other() {
    let sink = Sink::with(&["-f", "rcpt"]);
    let suite = Suite::builder().relaying_to(sink.port).start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    assert_eq!(session.message("gone@sink.example", &["gone@sink.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().0, 250);
    wait_until("one bounce is made and dropped", LONG, || suite.counter("ta-errormail", "suppressed") >= 1);
    suite.wait_drained(LONG);
    assert_eq!(suite.counter("ta-errormail", "bounces"), 1);
}

#[test]
fn aliases_nest_include_and_end_in_loops_without_harm() {
    let suite = Suite::builder().with_maildirs().prepare();
    fs::write(suite.path("list"), "hans@local.example\nida\n").unwrap();
    let list = suite.path("list").display().to_string();
    fs::write(suite.path("aliases"), format!("team: lead, :include:{list}\nlead: jakob,\n  team\nself: self\n")).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap().replace("users = \"any\"", "users = \"any\"\naliases = [\"ALIASES\"]");
    fs::write(suite.config(), text.replace("ALIASES", &suite.path("aliases").display().to_string())).unwrap();
    let mut suite = suite;
    suite.give_away();
    suite.start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    assert_eq!(session.message("x@sender.example", &["team@local.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().0, 250);
    wait_until("each member gets one", LONG, || ["hans", "ida", "jakob"].iter().all(|u| maildir(&suite, u).len() == 1));
    suite.wait_drained(LONG);
    let explained = suite.zpost(&["route", "team@local.example", "--explain"]);
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(text.contains("jakob") && text.contains("aliases"), "{text}");
}

#[test]
fn lmtp_in_and_lmtp_out_over_a_unix_socket() {
    // One suite delivers by LMTP into the other's LMTP listener.
    let inner = Suite::builder().with_maildirs();
    let inner = inner.prepare();
    let socket = inner.path("run/lmtp");
    let text =
        fs::read_to_string(inner.config()).unwrap() + &format!("[[listener]]\nkind = \"lmtp\"\nbind = \"unix:{}\"\n", socket.display());
    fs::write(inner.config(), text).unwrap();
    let mut inner = inner;
    inner.give_away();
    inner.start();
    let outer = Suite::builder()
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"lmtp\"\nlmtp = \"unix:{}\"\nusers = \"any\"\n",
            socket.display()
        ))
        .start();
    let (mut session, _) = Session::open(outer.port).unwrap();
    session.command("EHLO me.example").unwrap();
    assert_eq!(
        session.message("x@sender.example", &["karl@local.example", "lena@local.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().0,
        250
    );
    wait_until("both got it through LMTP", LONG, || maildir(&inner, "karl").len() == 1 && maildir(&inner, "lena").len() == 1);
    outer.wait_drained(LONG);
}
