//! The client side against real peers: Postfix as next hop and as smart host with logins, Dovecot's LMTP.

use end_to_end::load::Session;
use end_to_end::{Dovecot, LONG, Postfix, Sink, Suite, dovecot, files, postfix, wait_until};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

/// Sends whole lines; the id. Recipients with their parameters.
fn send(suite: &Suite, mail: &str, recipients: &[(&str, &str)], content: &[u8]) -> String {
    let mut session = Session::open(suite.port).unwrap().0;
    let mut say = |line: &str| {
        let (code, text) = session.command(line).unwrap();
        assert_eq!(code, 250, "{line}: {text}");
        text
    };
    say("EHLO client.example");
    say(&format!("MAIL FROM:<sender@near.example> {mail}"));
    for (to, parameters) in recipients {
        say(&format!("RCPT TO:<{to}> {parameters}"));
    }
    assert_eq!(session.command("DATA").unwrap().0, 354);
    session.send(&stuffed(content)).unwrap();
    let (code, text) = session.reply().unwrap();
    assert_eq!(code, 250, "{text}");
    text.split_whitespace().last().unwrap().to_owned()
}

/// With dots doubled and the final one (RFC 5321 section 4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 100);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

fn route(domain: &str, channel: &str, host: &str) -> String {
    format!("[[route]]\ndomain = \"{domain}\"\nchannel = \"{channel}\"\nhost = \"{host}\"\n")
}

/// What a Unix mailbox makes of wire content.
fn as_stored(content: &[u8]) -> Vec<u8> {
    let mut stored: Vec<u8> = Vec::with_capacity(content.len());
    for byte in content {
        if *byte == b'\n' && stored.last() == Some(&b'\r') {
            stored.pop();
        }
        stored.push(*byte);
    }
    if stored.last() != Some(&b'\n') {
        stored.push(b'\n');
    }
    stored
}

fn drop_file(suite: &Suite, name: &str, text: &str) {
    let public = suite.postoffice("public").join(name);
    fs::write(&public, text).unwrap();
    chown(&public, Some(end_to_end::ORDINARY), Some(end_to_end::ORDINARY)).unwrap();
    fs::rename(public, suite.postoffice("router").join(name)).unwrap();
}

/// A Postfix with mailboxes for some users of near.example and far.example; the second server takes no more than 100,000 octets.
fn with_mailboxes() -> Postfix {
    let users: String = ["sender@near", "a@far", "b@far", "big@far", "dots@far", "open@far", "utf8@far"]
        .iter()
        .map(|user| format!("{{ {user}.example = {}/ }} ", user.split('@').next().unwrap()))
        .collect();
    let main = format!(
        "virtual_mailbox_domains = far.example near.example\nvirtual_mailbox_maps = inline:{{ {users} }}\n\
         virtual_mailbox_base = {{at}}/mail\nvirtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\n\
         message_size_limit = 20000000\nvirtual_mailbox_limit = 0\n"
    );
    Postfix::start(&main, &["", "-o message_size_limit=100000"])
}

#[test]
fn postfix_gets_chunks_byte_by_byte() {
    if !postfix::usable() {
        return;
    }
    let postfix = with_mailboxes();
    let suite = Suite::builder().relaying_to(postfix.ports[0]).start();
    let head =
        "Subject: content\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    let line = |n: usize| format!("{n:07} .{}\r\n", "0123456789abcdef ".repeat(3));
    let big: String = (0..86_000).map(line).collect();
    let cases = [
        ("a", "hello \u{fc}\r\n".to_owned()),
        ("big", big),
        ("dots", ".\r\n..\r\n.leading\r\n...\r\nlast\r\n.\r\n".to_owned()),
        ("b", String::new()),
    ];
    assert!(cases[1].1.len() > 5_000_000);
    for (user, body) in &cases {
        let content = format!("{head}{body}");
        send(&suite, "BODY=8BITMIME", &[(&format!("{user}@far.example"), "")], content.as_bytes());
        wait_until(user, LONG, || postfix.mailbox(user).len() == 1);
        let arrived = postfix.mailbox(user).remove(0);
        assert!(arrived.ends_with(&as_stored(content.as_bytes())), "{user}: {} of {} octets", arrived.len(), content.len());
    }
    // Only a dropped file can end in the middle of a line.
    drop_file(&suite, "open", "from <sender@near.example>\nto <open@far.example>\nenv-end\nSubject: open\n\n.first\nno line end");
    wait_until("the dropped message", LONG, || postfix.mailbox("open").len() == 1);
    assert!(postfix.mailbox("open")[0].ends_with(b"Subject: open\n\n.first\nno line end\n"));
    // A header that is no ASCII.
    let content = "Subject: gr\u{fc}n\r\nTo: utf8@far.example\r\n\r\nx\r\n";
    send(&suite, "BODY=8BITMIME SMTPUTF8", &[("utf8@far.example", "")], content.as_bytes());
    wait_until("the message in UTF-8", LONG, || postfix.mailbox("utf8").len() == 1);
    assert!(postfix.mailbox("utf8")[0].ends_with(&as_stored(content.as_bytes())));
    suite.wait_drained(LONG);
    drop(suite);
    let ended = |postfix: &Postfix| postfix.log().lines().filter(|l| l.contains("disconnect from") && l.contains("bdat=")).count();
    wait_until("Postfix counts the commands of our session", LONG, || ended(&postfix) > 0);
    assert!(!postfix.log().contains(" data="), "all by BDAT: {}", postfix.log());
}

#[test]
fn postfix_has_the_duty_to_report() {
    if !postfix::usable() {
        return;
    }
    let postfix = with_mailboxes();
    let suite = Suite::builder().relaying_to(postfix.ports[0]).start();
    let asks = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bone@far.example";
    send(&suite, "ENVID=E+2B1 RET=HDRS", &[("a@far.example", asks), ("b@far.example", "NOTIFY=NEVER")], b"Subject: x\r\n\r\nthe body\r\n");
    wait_until("Postfix's report", LONG, || postfix.mailbox("sender").len() == 1);
    let report = String::from_utf8(postfix.mailbox("sender").remove(0)).unwrap();
    for part in [
        "Original-Envelope-Id: E+1\n",
        "Original-Recipient: rfc822;first+one@far.example\n",
        "Final-Recipient: rfc822; a@far.example\n",
        "Action: delivered\n",
        "text/rfc822-headers",
    ] {
        assert!(report.contains(part), "{part}\n{report}");
    }
    assert!(!report.contains("b@far.example\nOriginal") && !report.contains("the body"), "{report}");
    suite.wait_drained(LONG);
    assert_eq!(suite.counter("ta-errormail", "successes"), 0, "no report by us");
    assert!(!suite.log().contains("kind=relayed"), "{}", suite.log());
}

#[test]
fn postfix_refuses_a_size_and_one_of_two_recipients() {
    if !postfix::usable() {
        return;
    }
    let postfix = with_mailboxes();
    let suite = Suite::builder()
        .with(&route("far.example", "smtp", &format!("127.0.0.1:{}", postfix.ports[1])))
        .relaying_to(postfix.ports[0])
        .start();
    let large = format!("Subject: large\r\n\r\n{}", format!("{}\r\n", "y".repeat(70)).repeat(2000)).into_bytes();
    send(&suite, "", &[("a@far.example", "")], &large);
    let line = suite.wait_for("failed", "a@far.example");
    assert!(line.contains("status=5.3.4"), "{line}");
    // Our own report about it comes by the other server.
    wait_until("the report about the size", LONG, || postfix.mailbox("sender").len() == 1);
    send(&suite, "", &[("nobody@far.example", ""), ("b@far.example", "")], b"Subject: small\r\n\r\nx\r\n");
    let (refused, taken) = (suite.wait_for("failed", "nobody@far.example"), suite.wait_for("delivered", "b@far.example"));
    assert!(refused.contains("status=5.1.1") && refused.contains("User unknown"), "{refused}");
    assert!(taken.contains("status=2."), "{taken}");
    wait_until("the report about the user", LONG, || postfix.mailbox("sender").len() == 2);
    wait_until("the message for the other", LONG, || postfix.mailbox("b").len() == 1);
    assert!(postfix.mailbox("a").is_empty());
    suite.wait_drained(LONG);
}

/// A password file that the suite may read and nobody else.
fn secret(password: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{password}\n")).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    chown(file.path(), Some(end_to_end::ORDINARY), Some(end_to_end::ORDINARY)).unwrap();
    file
}

/// One server for each mechanism, for users of `dovecot`.
fn with_logins(dovecot: &Dovecot, mechanisms: &[&str]) -> Postfix {
    let options = |mechanism: &&str| {
        format!(
            "-o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=yes -o smtpd_sasl_mechanism_filter={mechanism} \
             -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"
        )
    };
    let servers: Vec<String> = mechanisms.iter().map(options).collect();
    let main = format!("default_transport = discard:\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n", dovecot.auth().display());
    Postfix::start(&main, &servers.iter().map(String::as_str).collect::<Vec<_>>())
}

fn credentials(name: &str, user: &str, file: &tempfile::NamedTempFile) -> String {
    format!("[[credentials]]\nname = \"{name}\"\nuser = \"{user}\"\npassword_file = \"{}\"\n", file.path().display())
}

const PASSWORD: &str = "ge heim\u{fc}\"%&9";

/// Neither the password nor its usual disguises.
fn is_silent(text: &str, password: &str) {
    for part in [password.to_owned(), base64(password.as_bytes()), base64(format!("\0joe\0{password}").as_bytes())] {
        assert!(!text.contains(&part), "{part} in {text}");
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|three| {
            let all = three.iter().fold(0u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            (0..4).map(move |at| if at > three.len() { '=' } else { char::from(DIGITS[(all >> (18 - 6 * at) & 63) as usize]) })
        })
        .collect()
}

#[test]
fn a_smart_host_with_each_kind_of_login() {
    if !postfix::usable() || !dovecot::usable() {
        return;
    }
    let mechanisms = ["plain", "login", "cram-md5", "scram-sha-256"];
    let dovecot = Dovecot::start(&[&format!("joe:{PASSWORD}")]);
    let postfix = with_logins(&dovecot, &mechanisms);
    let file = secret(PASSWORD);
    let mut builder =
        Suite::builder().with(&credentials("c", "joe", &file)).with("[[destination]]\ncredentials = \"c\"\ntls = \"encrypt\"\n");
    for (mechanism, port) in mechanisms.iter().zip(&postfix.ports) {
        builder = builder.with(&route(&format!("{mechanism}.example"), "smtp", &format!("127.0.0.1:{port}")));
    }
    let suite = builder.start();
    for mechanism in mechanisms {
        send(&suite, "", &[(&format!("r@{mechanism}.example"), "")], b"Subject: x\r\n\r\nx\r\n");
        let line = suite.wait_for("delivered", &format!("r@{mechanism}.example"));
        assert!(line.contains("tls=\"TLS"), "{line}");
        let accepted = format!("sasl_method={}, sasl_username=joe", mechanism.to_uppercase());
        wait_until(&accepted, LONG, || postfix.log().contains(&accepted));
    }
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    is_silent(&suite.log(), PASSWORD);
    is_silent(&suite.errors(), PASSWORD);
}

#[test]
fn a_wrong_password_waits_and_is_shown() {
    if !postfix::usable() || !dovecot::usable() {
        return;
    }
    let wrong = "fal sch&7%";
    let dovecot = Dovecot::start(&[&format!("joe:{PASSWORD}")]);
    for mechanism in ["plain", "scram-sha-256"] {
        let postfix = with_logins(&dovecot, &[mechanism]);
        let file = secret(wrong);
        let mut suite = Suite::builder()
            .with(&credentials("upstream", "joe", &file))
            .with("[[destination]]\ncredentials = \"upstream\"\ntls = \"encrypt\"\n[queue]\nretry_first = \"1s\"\nretry_longest = \"1s\"\n")
            .relaying_to(postfix.ports[0])
            .start();
        send(&suite, "", &[("r@far.example", "")], b"Subject: x\r\n\r\nx\r\n");
        let line = suite.wait_for("deferred", "r@far.example");
        assert!(line.contains("status=4.7.8") && line.contains("535"), "{mechanism}: {line}");
        let status = |suite: &Suite| String::from_utf8(suite.zpost(&["status"]).stdout).unwrap();
        wait_until("the status shows it", LONG, || status(&suite).contains("login with credentials upstream refused by"));
        is_silent(&status(&suite), wrong);
        assert!(suite.lines("failed", "r@far.example").is_empty() && suite.spooled() == 1);
        is_silent(&suite.log(), wrong);
        is_silent(&postfix.log(), wrong);
        // The right one, after a restart: the message has waited.
        fs::write(file.path(), format!("{PASSWORD}\n")).unwrap();
        suite.stop();
        suite.start();
        suite.wait_for("delivered", "r@far.example");
        suite.wait_drained(LONG);
        assert!(!status(&suite).contains("refused by"), "{}", status(&suite));
        assert!(files(&suite.path("mail")).is_empty());
    }
}

/// Of three recipients of one message one gets it, one is not known, and one cannot get it now.
fn three_results(dovecot: &Dovecot, way: &str, tls: &str) {
    let before = dovecot.mailbox("joe").len();
    let sink = Sink::start();
    let suite = Suite::builder().with(way).relaying_to(sink.port).start();
    let content = "Subject: lmtp\r\n\r\n.dot\r\ngr\u{fc}n\r\n".as_bytes();
    let recipients = [("joe@local.example", ""), ("torn@local.example", ""), ("nobody@local.example", "")];
    let id = send(&suite, "BODY=8BITMIME", &recipients, content);
    let delivered = suite.wait_for("delivered", "joe@local.example");
    assert!(delivered.contains("status=2.") && delivered.contains(tls), "{delivered}");
    let failed = suite.wait_for("failed", "nobody@local.example");
    assert!(failed.contains("status=5.1.1") && failed.contains("User doesn't exist"), "{failed}");
    let deferred = suite.wait_for("deferred", "torn@local.example");
    assert!(deferred.contains("status=4."), "{deferred}");
    let arrived = dovecot.mailbox("joe");
    assert_eq!(arrived.len(), before + 1);
    assert!(arrived.iter().all(|message| message.ends_with(&as_stored(content))));
    wait_until("the report about the unknown one", LONG, || sink.messages().len() == 1);
    let report = String::from_utf8(sink.messages().remove(0)).unwrap();
    assert!(report.contains("nobody@local.example") && !report.contains("torn@"), "{report}");
    let why = suite.json(&["why", &id]);
    assert_eq!(why["message"]["recipients"].as_array().unwrap().iter().filter(|r| r["state"] == "deferred").count(), 1, "{why}");
    assert_eq!(suite.counter("ta-smtp", "connections"), 2, "one to Dovecot, one with the report");
}

#[test]
fn dovecot_by_lmtp_over_a_socket_and_over_tcp_with_tls() {
    if !dovecot::usable() {
        return;
    }
    // What is for `torn` is taken at RCPT and cannot be stored after the content.
    let dovecot = Dovecot::start(&["joe@local.example:x", "torn@local.example:x:userdb_mail=maildir:/proc/nowhere"]);
    let socket = format!("unix:{}/lmtp", dovecot.folder.path().display());
    let tcp = format!("127.0.0.1:{}", dovecot.port);
    three_results(&dovecot, &route("local.example", "lmtp", &socket), "");
    let secured = "[[destination]]\nchannel = \"lmtp\"\ntls = \"encrypt\"\n";
    three_results(&dovecot, &(route("local.example", "lmtp", &tcp) + secured), "tls=\"TLSv1.3");
    let local = format!("[local]\ndomains = [\"local.example\"]\ndelivery = \"lmtp\"\nlmtp = \"{socket}\"\nusers = \"any\"\n");
    three_results(&dovecot, &local, "");
}

#[test]
fn recipients_share_transactions() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).with("[queue]\nrecipients_per_job = 30\n").start();
    let all: Vec<String> = (0..1000).map(|n| format!("r{n}@d{}.example", n % 7)).collect();
    send(&suite, "", &all.iter().map(|to| (to.as_str(), "")).collect::<Vec<_>>(), b"Subject: list\r\n\r\nx\r\n");
    wait_until("all arrive", LONG, || sink.headers("X-Rcpt-Args").len() >= all.len());
    suite.wait_drained(LONG);
    let sizes: Vec<usize> = sink.messages().iter().map(|m| String::from_utf8_lossy(m).matches("X-Rcpt-Args: ").count()).collect();
    assert_eq!((sizes.len(), sizes.iter().max(), sizes.iter().sum()), (34, Some(&30), all.len()), "{sizes:?}");
    let once: std::collections::BTreeSet<String> = sink.headers("X-Rcpt-Args").into_iter().collect();
    assert_eq!(once.len(), all.len());
}
