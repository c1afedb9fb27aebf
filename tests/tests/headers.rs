//! Headers and senders on the way out: submissions, forms of one message, lists, forwarding.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, files, free_port, wait_until};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Drops a file into the spool, as a program does.
fn drop_file(suite: &Suite, name: &str, text: &str) {
    let draft = suite.postoffice("public").join(name);
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, suite.postoffice("router").join(name)).unwrap();
    let _ = std::os::unix::net::UnixDatagram::unbound().unwrap().send_to(format!("NEW {name}").as_bytes(), suite.path("run/notify/router"));
}

fn send(suite: &Suite, sender: &str, to: &[&str], content: &str) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    assert_eq!(session.command(&format!("MAIL FROM:<{sender}>")).unwrap().0, 250);
    for to in to {
        let (code, text) = session.command(&format!("RCPT TO:<{to}>")).unwrap();
        assert_eq!(code, 250, "{to}: {text:?}");
    }
    assert_eq!(session.command("DATA").unwrap().0, 354);
    session.send(format!("{}\r\n.\r\n", content.replace('\n', "\r\n")).as_bytes()).unwrap();
    assert_eq!(session.reply().unwrap().0, 250);
}

/// What smtp-sink has, by sender.
fn taken(sink: &Sink) -> Vec<(String, String)> {
    let one = |message: Vec<u8>| {
        let text = String::from_utf8_lossy(&message).into_owned();
        let sender = text.lines().find_map(|line| line.strip_prefix("X-Mail-Args: <")).and_then(|rest| rest.split('>').next());
        (sender.unwrap_or_default().to_owned(), text.replace("\r\n", "\n"))
    };
    let mut all: Vec<(String, String)> = sink.messages().into_iter().map(one).collect();
    all.sort();
    all
}

fn arrived(sink: &Sink, count: usize) -> Vec<(String, String)> {
    wait_until("the mail is there", LONG, || taken(sink).len() >= count);
    let all = taken(sink);
    assert_eq!(all.len(), count, "{all:?}");
    all
}

fn in_mailbox(suite: &Suite, user: &str) -> Vec<String> {
    let folder = suite.path("mail").join(user).join("new");
    files(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect()
}

fn mailbox(suite: &Suite, user: &str, count: usize) -> Vec<String> {
    wait_until("the mailbox has it", LONG, || in_mailbox(suite, user).len() >= count);
    in_mailbox(suite, user)
}

#[test]
fn a_dropped_message_is_completed_and_tells_nobody_of_blind_copies() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).with_maildirs().start();
    let content = "Subject: hello\nBcc: secret@sink.example,\n other@sink.example\nTo: joe@local.example\n\nBcc: this is text\n";
    drop_file(
        &suite,
        "one",
        &format!("from <ann@local.example>\nfullname Ann Other\nto secret@sink.example\nto joe@local.example\nenv-end\n{content}"),
    );
    let (sender, text) = arrived(&sink, 1).remove(0);
    assert_eq!(sender, "ann@local.example");
    let local = mailbox(&suite, "joe", 1).remove(0);
    for text in [&text, &local] {
        for there in [
            "\nDate: ",
            "\nMessage-ID: <",
            "\nFrom: Ann Other <ann@local.example>\n",
            "\nTo: joe@local.example\n",
            "\n\nBcc: this is text\n",
        ] {
            assert!(text.contains(there), "{there}\n{text}");
        }
        assert!(!text.contains("secret@sink.example,") && !text.contains("other@sink.example"), "{text}");
    }
    suite.wait_drained(LONG);
}

/// `sendmail` completes its messages itself; what the router adds is nothing.
#[test]
fn what_sendmail_brings_has_each_field_once() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).with_maildirs().start();
    let mut child = suite.command(end_to_end::programs().join("sendmail")).args(["-t", "-i"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"To: joe@local.example\nBcc: x@sink.example\nSubject: s\n\nbody\n").unwrap();
    assert!(child.wait().unwrap().success());
    let text = arrived(&sink, 1).remove(0).1;
    let local = mailbox(&suite, "joe", 1).remove(0);
    for text in [&text, &local] {
        for name in ["Date: ", "Message-ID: ", "From: ", "Subject: "] {
            assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), 1, "{name}\n{text}");
        }
        assert!(!text.contains("Bcc"), "{text}");
    }
}

#[test]
fn spellings_outside_and_the_mailbox_as_it_was() {
    let sink = Sink::start();
    let suite = Suite::builder()
        .relaying_to(sink.port)
        .with_maildirs()
        .with(
            "[[table]]\nname = \"people\"\nkind = \"inline\"\nentries = { \"joe@h.in.example\" = \"joe.doe@in.example\", \"root@in.example\" = \"@out.example\" }\n\
             [headers]\ncanonical = [\"people\"]\nmasquerade = [\"in.example\"]\ngeneric = [\"people\"]\n",
        )
        .start();
    let content = "From: \"joe@h.in.example\" <joe@h.in.example>\nTo: a@sink.example, (root@h.in.example) root@h.in.example\nSubject: root@h.in.example\n\nroot@h.in.example\n";
    send(&suite, "bob@x.in.example", &["a@sink.example", "joe@local.example"], content.trim_end());
    let (sender, text) = arrived(&sink, 1).remove(0);
    assert_eq!(sender, "bob@in.example");
    let expected = "From: \"joe@h.in.example\" <joe.doe@in.example>\nTo: a@sink.example, (root@h.in.example) root@out.example\nSubject: root@h.in.example\n\nroot@h.in.example\n";
    assert!(text.contains(expected), "{text}");
    let local = mailbox(&suite, "joe", 1).remove(0);
    assert!(local.contains(content) && local.contains("Return-Path: <bob@x.in.example>\n"), "{local}");
}

/// One message to two lists and to somebody else: each with the sender that is its own, and each failure where it belongs.
#[test]
fn two_lists_and_a_friend() {
    let sink = Sink::with(&["-f", "RCPT"]);
    let suite = Suite::builder().relaying_to(sink.port).with_maildirs().with("[bounce]\ngather = \"0s\"\n").start();
    let aliases = suite.path("aliases");
    fs::write(&aliases, "one: a@sink.example\nowner-one: olga\ntwo: b@sink.example\nowner-two: otto\n").unwrap();
    let text = fs::read_to_string(suite.config()).unwrap();
    let text = text.replacen("[local]\n", &format!("[local]\naliases = [\"{}\"]\n", aliases.display()), 1);
    fs::write(suite.config(), text).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    send(&suite, "sender@local.example", &["one@local.example", "two@local.example", "c@sink.example"], "Subject: s\n\nbody");
    for (user, member) in [("olga", "a@sink.example"), ("otto", "b@sink.example"), ("sender", "c@sink.example")] {
        let report = mailbox(&suite, user, 1).remove(0);
        assert!(report.contains(&format!("Final-Recipient: rfc822; {member}")), "{report}");
        let others = ["a@sink.example", "b@sink.example", "c@sink.example"].into_iter().filter(|other| *other != member);
        others.for_each(|other| assert!(!report.contains(&format!("rfc822; {other}")), "{other}: {report}"));
    }
    suite.wait_drained(LONG);
    assert!(["olga", "otto", "sender"].iter().all(|user| in_mailbox(&suite, user).len() == 1));
}

/// A server of Postfix's that is asked by lines.
struct Postsrsd {
    ports: (u16, u16),
    process: Child,
    _folder: tempfile::TempDir,
}

impl Postsrsd {
    fn start(secret: &str, domain: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, format!("{secret}\n")).unwrap();
        let ports = (free_port(), free_port());
        let process = Command::new("/usr/sbin/postsrsd")
            .arg(format!("-s{}", file.display()))
            .args([format!("-d{domain}"), "-l127.0.0.1".to_owned(), format!("-f{}", ports.0), format!("-r{}", ports.1)])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("postsrsd listens", LONG, || TcpStream::connect(("127.0.0.1", ports.1)).is_ok());
        Self { ports, process, _folder: folder }
    }

    fn ask(port: u16, address: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(format!("get {address}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Postsrsd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn with_srs(sink: &Sink, aliases: &str, users: &str) -> Suite {
    let builder = Suite::builder();
    let (secret, file) = (builder.folder().join("srs"), builder.folder().join("aliases"));
    fs::write(&secret, "very secret\n").unwrap();
    fs::write(&file, aliases).unwrap();
    builder
        .relaying_to(sink.port)
        .with(&format!(
            "[local]\ndomains = [\"local.example\", \"srs.example\"]\ndelivery = \"maildir\"\nmaildir = \"{0}/mail/%u\"\nusers = \"any\"\naliases = [\"{1}\"]\n{users}\
             [srs]\ndomain = \"srs.example\"\nsecret_file = \"{2}\"\n[bounce]\ngather = \"0s\"\n",
            file.parent().unwrap().display(),
            file.display(),
            secret.display()
        ))
        .start()
}

/// Mail from elsewhere that an alias sends elsewhere, and the bounce that comes back for it: to whom it was from.
#[test]
fn a_forwarded_message_and_its_bounce() {
    let sink = Sink::start();
    let suite = with_srs(&sink, "joe: joe@sink.example\nown: own@sink.example\n", "");
    let postsrsd = Postsrsd::start("very secret", "srs.example");
    send(&suite, "ann@sink.example", &["joe@local.example"], "Subject: s\n\nbody");
    let (made, _) = arrived(&sink, 1).remove(0);
    assert!(made.starts_with("SRS0=") && made.ends_with("=sink.example=ann@srs.example"), "{made}");
    // The same secret, the same day: what postsrsd makes of it, and what we make of what it makes.
    assert_eq!(Postsrsd::ask(postsrsd.ports.1, &made), "200 ann@sink.example");
    let theirs = Postsrsd::ask(postsrsd.ports.0, "ann@sink.example");
    let theirs = theirs.strip_prefix("200 ").unwrap();
    for (to, subject) in [(made.as_str(), "ours"), (theirs, "theirs"), (&made.to_uppercase(), "shouted")] {
        send(&suite, "", &[to], &format!("Subject: {subject}\n\nbounce"));
    }
    let texts = arrived(&sink, 4);
    let back: Vec<&str> = texts.iter().filter(|(sender, _)| sender.is_empty()).map(|(_, text)| text.as_str()).collect();
    assert_eq!(back.len(), 3);
    assert!(back.iter().all(|text| text.to_lowercase().contains("x-rcpt-args: <ann@sink.example>")), "{back:?}");
    // Nobody has mail sent on through us that was not asked for.
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    assert_eq!(session.command("MAIL FROM:<>").unwrap().0, 250);
    let forged = made.replace("=ann@", "=bob@");
    assert_eq!(session.command(&format!("RCPT TO:<{forged}>")).unwrap().0, 550);
    // Our own users keep their names.
    send(&suite, "bob@local.example", &["own@local.example"], "Subject: own\n\nbody");
    assert!(arrived(&sink, 5).iter().any(|(sender, _)| sender == "bob@local.example"));
}

/// A list whose members have senders of their own, and whose mail says what list it is.
#[test]
fn each_member_has_a_sender_and_the_mail_names_its_list() {
    let sink = Sink::start();
    let builder = Suite::builder();
    let lists = builder.folder().join("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("news"), "a@sink.example\nb@sink.example\nc@sink.example\njoe@local.example\n").unwrap();
    let folder = format!("[lists]\nfolder = \"{}\"\nverp = true\nheaders = true\n", lists.display());
    let suite = builder.relaying_to(sink.port).with_maildirs().with(&folder).start();
    send(&suite, "ann@far.example", &["news@local.example"], "Subject: s\nList-Id: <old.far.example>\nTo: news@local.example\n\nbody");
    let all = arrived(&sink, 3);
    let senders: Vec<&str> = all.iter().map(|(sender, _)| sender.as_str()).collect();
    let of = |user: &str| format!("news-owner+{user}=sink.example@local.example");
    assert_eq!(senders, [of("a"), of("b"), of("c")]);
    let fields = "List-Id: <news.local.example>\nList-Post: <mailto:news@local.example>\nList-Owner: <mailto:news-owner@local.example>\n";
    for (_, text) in &all {
        assert!(text.contains(fields) && text.contains("\nSubject: s\nTo: news@local.example\n\nbody\n"), "{text}");
        assert_eq!(text.matches("List-Id").count(), 1);
    }
    let local = mailbox(&suite, "joe", 1).remove(0);
    assert!(local.contains(fields) && local.contains("Return-Path: <news-owner+joe=local.example@local.example>"), "{local}");
    suite.wait_drained(LONG);
}
