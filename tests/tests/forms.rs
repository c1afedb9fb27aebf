//! Forms of a message, with senders and header edits of their own, on every way out: chunks, conversion, octets, signatures,
//! LMTP, mailboxes. Sizes are those of what leaves, and the message file stays as it came.

use end_to_end::servers::there;
use end_to_end::wire::{ChunkSink, Taken, Wire};
use end_to_end::{LONG, Suite, SuiteBuilder, files, free_port, wait_until};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A list `news` with VERP and fields of its own, and other spellings for the authors of in.example.
fn site(members: &str, more: &str) -> SuiteBuilder {
    let builder = Suite::builder();
    let lists = builder.folder().join("lists");
    fs::create_dir(&lists).unwrap();
    fs::write(lists.join("news"), members).unwrap();
    fs::write(lists.join("news.toml"), "owner = \"boss\"\n").unwrap();
    builder.with(&format!(
        "[lists]\nfolder = \"{}\"\nverp = true\nheaders = true\n[headers]\ncanonical = [\"people\"]\nchannels = [\"smtp\", \"lmtp\"]\n\
         [[table]]\nname = \"people\"\nkind = \"inline\"\nentries = {{ \"joe@h.in.example\" = \"joe.doe@in.example\" }}\n{more}",
        lists.display()
    ))
}

const FIELDS: &str =
    "List-Id: <news.local.example>\nList-Post: <mailto:news@local.example>\nList-Owner: <mailto:news-owner@local.example>\n";
const MEMBERS: &str = "a@sink.example\nb@sink.example\n";

fn send(suite: &Suite, mail: &str, content: &[u8]) -> String {
    let mut client = Wire::hello(suite.port);
    client.say(&format!("MAIL FROM:<ann@local.example> {mail}"), "250");
    client.say("RCPT TO:<news@local.example>", "250");
    client.chunk(content, true);
    client.hear("250 2.0.0").trim_end().rsplit(' ').next().unwrap().to_owned()
}

fn arrived(sink: &ChunkSink, count: usize) -> Vec<Taken> {
    wait_until("the mail is there", LONG, || sink.taken().len() >= count);
    let mut all = sink.taken();
    all.sort_by(|a, b| a.mail.cmp(&b.mail));
    assert_eq!(all.len(), count);
    all
}

/// Each member once, with the sender that is its own.
fn assert_senders(all: &[Taken]) {
    for (one, member) in all.iter().zip(["a", "b"]) {
        assert_eq!(one.sender(), format!("news-owner+{member}=sink.example@local.example"));
        assert_eq!(one.recipients, [format!("{member}@sink.example")]);
    }
}

/// Takes the edits out again, each of which must be there once: what is left is what was sent, behind a trace line.
fn assert_unedited(got: &[u8], line: &str, sent: &[u8]) {
    let mut rest = got.to_vec();
    for (edit, before) in [(FIELDS.replace('\n', line), ""), ("joe.doe@in.example".to_owned(), "joe@h.in.example")] {
        let places: Vec<usize> = (0..rest.len()).filter(|at| rest[*at..].starts_with(edit.as_bytes())).collect();
        assert_eq!(places.len(), 1, "{edit}: {}", String::from_utf8_lossy(&got[..got.len().min(2000)]));
        rest.splice(places[0]..places[0] + edit.len(), before.bytes());
    }
    let trace = rest.len() - sent.len();
    assert!(rest[trace..] == *sent && rest.starts_with(b"Received: "), "{}", String::from_utf8_lossy(&rest[..rest.len().min(2000)]));
}

fn queue_files(suite: &Suite) -> Vec<Vec<u8>> {
    let queue = suite.postoffice("queue");
    let folders = files(&queue).into_iter().map(|folder| queue.join(folder));
    folders.flat_map(|folder| files(&folder).into_iter().map(move |name| fs::read(folder.join(name)).unwrap())).collect()
}

/// Text of 8 bits over several chunks; the header too is longer than one piece that is read.
fn long_text() -> Vec<u8> {
    let body = "Gr\u{fc}\u{df}e, .\r\n.\r\n".repeat(20_000);
    let padding: String = (0..1000).map(|n| format!("X-Padding-{n}: {}\r\n", "y".repeat(60))).collect();
    format!("{padding}From: \"joe\" <joe@h.in.example>\r\nTo: news@local.example\r\nSubject: s\r\n\r\n{body}").into_bytes()
}

#[test]
fn sizes_are_those_of_what_leaves_and_the_file_stays() {
    for words in
        [&["PIPELINING", "SIZE", "8BITMIME", "CHUNKING"][..], &["SIZE", "8BITMIME"], &["8BITMIME", "SIZE", "CHUNKING", "BINARYMIME"]]
    {
        let sink = ChunkSink::offering(words);
        // One member's server is away: the message stays in the queue.
        let away = format!("[[route]]\ndomain = \"away.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", free_port());
        let suite = site(&format!("{MEMBERS}c@away.example\n"), &away).relaying_to(sink.port).with_maildirs().start();
        assert!(suite.zpost(&["freeze"]).status.success());
        let sent = long_text();
        send(&suite, "BODY=8BITMIME", &sent);
        wait_until("it is routed", LONG, || queue_files(&suite).len() == 1);
        let before = queue_files(&suite);
        assert!(suite.zpost(&["thaw"]).status.success());
        let all = arrived(&sink, 2);
        assert_senders(&all);
        for one in &all {
            assert_unedited(&one.content, "\r\n", &sent);
            // What is announced counts a line end as one octet, as the file does.
            assert_eq!(one.size(), Some(one.content.len() - one.content.iter().filter(|octet| **octet == b'\r').count()));
            assert_eq!(one.chunks.iter().sum::<usize>(), if one.chunks.is_empty() { 0 } else { one.content.len() });
            assert!(one.chunks.is_empty() || one.chunks.len() > 2, "{:?}", one.chunks);
        }
        wait_until("the other is deferred", LONG, || {
            suite.log().lines().any(|line| line.contains(" deferred ") && line.contains("+c=away.example"))
        });
        assert!(queue_files(&suite) == before, "the message file has changed");
    }
}

/// RFC 2045 section 6.7
fn unquoted(text: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(octet) = text.get(at) {
        match (octet, text.get(at + 1..at + 3)) {
            (b'=', Some(b"\r\n")) => at += 3,
            (b'=', Some(digits)) => {
                out.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
                at += 3;
            }
            _ => {
                out.push(*octet);
                at += 1;
            }
        }
    }
    out
}

#[test]
fn a_server_of_seven_bits_gets_the_edits_and_quoted_text() {
    let sink = ChunkSink::offering(&["SIZE"]);
    let suite = site(MEMBERS, "").relaying_to(sink.port).with_maildirs().start();
    let body = "Gr\u{fc}\u{df}e = and a good deal of plain text behind it \r\n".repeat(5000);
    let header = "From: joe@h.in.example\r\nTo: news@local.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n";
    send(&suite, "BODY=8BITMIME", format!("{header}Content-Transfer-Encoding: 8bit\r\n\r\n{body}").as_bytes());
    let all = arrived(&sink, 2);
    assert_senders(&all);
    for one in &all {
        let end = one.content.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let (head, quoted) = one.content.split_at(end);
        let head = String::from_utf8(head.to_vec()).unwrap().replace("\r\n", "\n");
        assert!(head.contains(FIELDS) && head.contains("\nFrom: joe.doe@in.example\n"), "{head}");
        assert_eq!(head.to_lowercase().matches("content-transfer-encoding: quoted-printable").count(), 1, "{head}");
        assert!(!head.contains("8bit") && quoted.is_ascii() && unquoted(quoted) == body.as_bytes());
        let lines = one.content.iter().filter(|octet| **octet == b'\r').count();
        assert!(one.size().unwrap() >= one.content.len() - lines, "{:?} for {}", one.size(), one.content.len());
    }
}

#[test]
fn octets_get_their_edits_with_crlf() {
    let sink = ChunkSink::offering(&["SIZE", "8BITMIME", "CHUNKING", "BINARYMIME"]);
    let suite = site(MEMBERS, "").relaying_to(sink.port).with_maildirs().start();
    let mut sent = b"From: joe@h.in.example\r\nTo: news@local.example\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n".to_vec();
    sent.extend((0..=255u8).cycle().take(150_000));
    send(&suite, "BODY=BINARYMIME", &sent);
    let all = arrived(&sink, 2);
    assert_senders(&all);
    for one in &all {
        assert!(one.mail.contains("BODY=BINARYMIME"), "{}", one.mail);
        assert_unedited(&one.content, "\r\n", &sent);
        assert_eq!(one.size(), Some(one.content.len()));
    }
}

/// Python's dkim signs and verifies, with a DNS of its own.
const DKIM: &str = r#"
import sys, dkim
verb, folder = sys.argv[1:3]
message = sys.stdin.buffer.read()
if verb == "sign":
    key = open(folder + "/dkim.key", "rb").read()
    fields = [b"from", b"to", b"subject"]
    sys.stdout.buffer.write(dkim.sign(message, b"s", b"in.example", key, include_headers=fields) + message)
else:
    public = "".join(open(folder + "/dkim.pub").read().splitlines()[1:-1])
    record = ("v=DKIM1; k=rsa; p=" + public).encode()
    sys.exit(0 if dkim.verify(message, dnsfunc=lambda name, timeout=5: record) else 1)
"#;

fn dkim(verb: &str, folder: &Path, message: &[u8]) -> (bool, Vec<u8>) {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", DKIM, verb]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), output.stdout)
}

fn keys(folder: &Path) {
    let run = |arguments: &[&str]| assert!(Command::new("openssl").current_dir(folder).args(arguments).output().unwrap().status.success());
    run(&["genrsa", "-traditional", "-out", "dkim.key", "2048"]);
    run(&["rsa", "-in", "dkim.key", "-pubout", "-out", "dkim.pub"]);
}

/// A field that a signature covers keeps its addresses; what is not signed does not.
#[test]
fn a_signature_holds_through_the_edits() {
    if !there("/usr/lib/python3/dist-packages/dkim/__init__.py", "python3-dkim") {
        return;
    }
    let sink = ChunkSink::offering(&["8BITMIME"]);
    let suite = site(MEMBERS, "").relaying_to(sink.port).with_maildirs().start();
    let folder = tempfile::tempdir().unwrap();
    keys(folder.path());
    let plain =
        b"From: joe@h.in.example\r\nTo: news@local.example\r\nCc: joe@h.in.example\r\nSubject: signed\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n";
    let (signed, message) = dkim("sign", folder.path(), plain);
    assert!(signed && message.starts_with(b"DKIM-Signature: "), "{}", String::from_utf8_lossy(&message));
    send(&suite, "BODY=8BITMIME", &message);
    for one in arrived(&sink, 2) {
        let text = one.text();
        assert!(
            text.contains(FIELDS) && text.contains("\nFrom: joe@h.in.example\n") && text.contains("\nCc: joe.doe@in.example\n"),
            "{text}"
        );
        assert!(dkim("verify", folder.path(), &one.content).0, "{text}");
        let forged = text.replace("Subject: signed", "Subject: forged").replace('\n', "\r\n");
        assert!(!dkim("verify", folder.path(), forged.as_bytes()).0, "the judge believes anything");
    }
    wait_until("the log says so", LONG, || suite.log().lines().any(|line| line.contains("header_left") && line.contains("fields=from")));
}

/// Quoted, the body would be another than the one that was signed: it goes back to the list's owner, once for each member.
#[test]
fn what_is_signed_is_not_converted() {
    let sink = ChunkSink::offering(&["SIZE"]);
    let suite = site(MEMBERS, "[bounce]\ngather = \"0s\"\n").relaying_to(sink.port).with_maildirs().start();
    send(&suite, "BODY=8BITMIME", b"DKIM-Signature: h=from; b=x\r\nFrom: joe@h.in.example\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n");
    let folder = suite.path("mail/boss/new");
    let reports = || files(&folder).iter().map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect::<Vec<_>>();
    wait_until("the owner hears of both", LONG, || reports().iter().map(|text| text.matches("Status: 5.6.3").count()).sum::<usize>() >= 2);
    suite.wait_drained(LONG);
    assert!(sink.taken().is_empty());
    let all = reports();
    for member in ["a", "b"] {
        let about = all.iter().filter(|text| text.contains(&format!("Final-Recipient: rfc822; {member}@sink.example")));
        assert_eq!(about.count(), 1, "{all:?}");
    }
}

#[test]
fn lmtp_and_mailboxes_get_them_too() {
    let sink = ChunkSink::offering(&["PIPELINING", "8BITMIME", "SIZE"]);
    let lmtp = format!("[[route]]\ndomain = \"sink.example\"\nchannel = \"lmtp\"\nhost = \"127.0.0.1:{}\"\n", sink.port);
    let builder = site(&format!("{MEMBERS}joe@local.example\n"), &lmtp);
    let mbox = builder.folder().join("mail/%u");
    let local = format!("[local]\ndomains = [\"local.example\"]\ndelivery = \"mbox\"\nmbox = \"{}\"\nusers = \"any\"\n", mbox.display());
    let suite = builder.with(&local).start();
    let sent = b"From: joe@h.in.example\r\nTo: news@local.example\r\nSubject: s\r\n\r\nFrom here on\r\nbody\r\n";
    send(&suite, "", sent);
    let all = arrived(&sink, 2);
    assert_senders(&all);
    all.iter().for_each(|one| assert_unedited(&one.content, "\r\n", sent));
    assert!(all.iter().all(|one| one.session == all[0].session), "one session serves both");
    let mut text = String::new();
    wait_until("joe has it", LONG, || {
        text = fs::read_to_string(suite.path("mail/joe")).unwrap_or_default();
        text.ends_with("body\n\n")
    });
    let sender = "news-owner+joe=local.example@local.example";
    assert!(text.starts_with(&format!("From {sender} ")) && text.contains(&format!("Return-Path: <{sender}>\n")), "{text}");
    assert!(
        text.contains(FIELDS) && text.contains("\nFrom: joe@h.in.example\nTo: news@local.example\nSubject: s\n\n>From here on\n"),
        "{text}"
    );
    suite.wait_drained(LONG);
}

/// A server that is away is tried once for all members, not for each; and members of a list share a session.
#[test]
fn a_list_is_no_crowd() {
    let members = |domain: &str| (0..40).map(|n| format!("m{n:02}@{domain}\n")).collect::<String>();
    let sink = ChunkSink::offering(&["PIPELINING", "SIZE"]);
    let more = format!(
        "[[route]]\ndomain = \"away.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n[[channel]]\nname = \"smtp\"\nconcurrency_most = 1\n",
        free_port()
    );
    let suite = site(&(members("sink.example") + &members("away.example")), &more).relaying_to(sink.port).with_maildirs().start();
    send(&suite, "", b"From: joe@h.in.example\r\n\r\nx\r\n");
    let all = arrived(&sink, 40);
    let senders: Vec<String> = (0..40).map(|n| format!("news-owner+m{n:02}=sink.example@local.example")).collect();
    assert_eq!(all.iter().map(Taken::sender).collect::<Vec<_>>(), senders);
    let lines = |event: &str, domain: &str| suite.lines(event, &format!("={domain}@")).len();
    wait_until("all others are deferred", LONG, || lines("deferred", "away.example") >= 40);
    wait_until("the log has the deliveries", LONG, || lines("delivered", "sink.example") >= 40);
    let log = suite.log();
    for (event, user) in [(" delivered ", "m07@sink.example"), (" deferred ", "m07@away.example")] {
        let named = |line: &&str| line.contains(event) && line.contains(&format!(" to=news@local.example user={user} "));
        assert_eq!(log.lines().filter(named).count(), 1, "{event}{user}");
    }
    let sessions = all.iter().map(|one| one.session).max().unwrap() + 1;
    assert_eq!(sessions, 1, "with a server that is to have one at a time");
    let failures = suite.counter("ta-smtp", "connect_failures");
    assert!((1..=4).contains(&failures), "{failures} attempts for 40 members");
}
