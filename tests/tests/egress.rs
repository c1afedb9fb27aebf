//! How mail leaves: conversion, chunks, logins, relay hosts by sender, source addresses, proxies, LMTP, and servers with faults.

use end_to_end::{LONG, Sink, Suite, free_port, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Sends a message by SMTP to the suite; `parameters` go with MAIL.
fn send(suite: &Suite, sender: &str, recipients: &[&str], parameters: &str, content: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", suite.port)).unwrap();
    let mut say = |line: &[u8], code: &str| {
        stream.write_all(line).unwrap();
        let mut reply = Vec::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).unwrap();
            reply.push(byte[0]);
            let text = String::from_utf8_lossy(&reply);
            if text.ends_with('\n') && text.lines().last().is_some_and(|l| l.as_bytes().get(3) != Some(&b'-')) {
                assert!(text.lines().last().unwrap().starts_with(code), "{}: {text}", line.escape_ascii());
                return;
            }
        }
    };
    say(b"", "220");
    say(b"EHLO client.example\r\n", "250");
    say(format!("MAIL FROM:<{sender}>{parameters}\r\n").as_bytes(), "250");
    for recipient in recipients {
        say(format!("RCPT TO:<{recipient}>\r\n").as_bytes(), "250");
    }
    say(b"DATA\r\n", "354");
    say(&[content, b"\r\n.\r\n"].concat(), "250");
    say(b"QUIT\r\n", "221");
}

/// A server written for a test: each connection's bytes as heard, behind whatever `before` reads.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Offers `offer` (lines of EHLO) and takes everything. `before` looks at the connection first.
    fn start(offer: &'static [&'static str], before: fn(&mut TcpStream) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                std::thread::spawn(move || converse(stream, offer, before, &all));
            }
        });
        Self { port, heard }
    }

    fn all(&self) -> String {
        self.heard.lock().unwrap().join("")
    }

    fn wait_for(&self, part: &str) -> String {
        wait_until(&format!("{part:?}"), LONG, || self.all().contains(part));
        self.all()
    }
}

fn line(stream: &mut TcpStream) -> Option<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).ok()? == 1 {
        text.push(byte[0]);
        if byte[0] == b'\n' {
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
    None
}

fn converse(mut stream: TcpStream, offer: &[&str], before: fn(&mut TcpStream) -> String, all: &Mutex<Vec<String>>) {
    let first = before(&mut stream);
    all.lock().unwrap().push(first);
    let _ = stream.write_all(b"220 mx\r\n");
    let mut content = false;
    while let Some(text) = line(&mut stream) {
        all.lock().unwrap().push(text.clone());
        let verb = text.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            _ if content && text != ".\r\n" => continue,
            "EHLO" | "LHLO" => format!("250-mx\r\n{}250 HELP\r\n", offer.iter().map(|o| format!("250-{o}\r\n")).collect::<String>()),
            "AUTH" if text.contains("PLAIN") => "235 2.7.0 in\r\n".to_owned(),
            "DATA" => {
                content = true;
                "354 go\r\n".to_owned()
            }
            "QUIT" => return,
            _ => {
                content = false;
                "250 2.0.0 ok\r\n".to_owned()
            }
        };
        let _ = stream.write_all(reply.as_bytes());
    }
}

fn nothing(_: &mut TcpStream) -> String {
    String::new()
}

/// Python's own mail library reads from the converted message what was sent.
#[test]
fn converted_content_reads_the_same() {
    let sink = Server::start(&["PIPELINING"], nothing);
    let suite = Suite::builder().relaying_to(sink.port).start();
    let message =
        "From: s@a.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                   --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\u{fc}n = \u{fc} \r\nzwei\r\n\
                   --b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n@WORLD@\r\n--b--\r\n"
            .replace("@WORLD@", &"\u{4e16}\u{754c}".repeat(60));
    send(&suite, "s@a.example", &["r@far.example"], " BODY=8BITMIME", message.as_bytes());
    let heard = sink.wait_for("\r\n.\r\n");
    let from = heard.find("DATA\r\n").unwrap() + 6;
    let content = heard.get(from..heard.find("\r\n.\r\n").unwrap() + 2).unwrap();
    assert!(content.is_ascii() && content.contains("base64") && content.contains("quoted-printable"), "{content}");
    let script = "import sys, email\nm = email.message_from_bytes(sys.stdin.buffer.read())\n\
                  parts = m.get_payload()\nassert not m.defects and m['Content-Transfer-Encoding'] == '7bit'\n\
                  assert parts[0].get_payload(decode=True).decode().splitlines() == ['gr\\u00fcn = \\u00fc ', 'zwei'], parts[0].as_string()\n\
                  assert parts[1].get_payload(decode=True).decode() == '\\u4e16\\u754c' * 60, parts[1].as_string()\n";
    let mut python = Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
    assert!(python.wait().unwrap().success(), "{content}");
}

#[test]
fn a_signed_message_is_not_converted() {
    let sink = Server::start(&["PIPELINING"], nothing);
    let suite = Suite::builder().relaying_to(sink.port).with_maildirs().start();
    let message = "DKIM-Signature: v=1\r\n\r\n\u{fc}\r\n";
    send(&suite, "joe@local.example", &["r@far.example"], " BODY=8BITMIME", message.as_bytes());
    wait_until("the bounce", LONG, || suite.log().contains("5.6.3"));
    assert!(suite.log().contains("would break its signature") && !sink.all().contains("MAIL"));
}

/// Postfix's smtp-sink with faults: what each comes to.
#[test]
fn servers_with_faults() {
    for (options, expected) in [
        (&["-r", "rcpt"][..], "deferred"),
        (&["-r", "mail"], "deferred"),
        (&["-r", "data"], "deferred"),
        (&["-r", "."], "deferred"),
        (&["-f", "rcpt"], "failed"),
        (&["-f", "mail"], "failed"),
        (&["-f", "."], "failed"),
        (&["-q", "rcpt"], "deferred"),
        (&["-q", "data"], "deferred"),
        (&["-Q", "mail"], "deferred"),
        (&["-Q", "rcpt"], "deferred"),
        // No ESMTP at all, and no PIPELINING.
        (&["-e"], "delivered"),
        (&["-p"], "delivered"),
    ] {
        let sink = Sink::with(options);
        let suite = Suite::builder().relaying_to(sink.port).with_maildirs().start();
        send(&suite, "joe@local.example", &["r@far.example"], "", b"Subject: x\r\n\r\nhello\r\n");
        let outcome = || {
            let log = suite.log();
            ["delivered", "deferred", "failed"]
                .into_iter()
                .find(|word| log.lines().any(|l| l.contains(word) && l.contains("r@far.example")))
        };
        wait_until(&format!("an outcome with {options:?}"), LONG, || outcome().is_some());
        assert_eq!(outcome(), Some(expected), "{options:?}\n{}", suite.log());
    }
}

#[test]
fn relay_hosts_by_sender_and_a_login() {
    let (ours, theirs) = (Server::start(&["AUTH PLAIN"], nothing), Server::start(&["PIPELINING"], nothing));
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "geheim\n").unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o600)).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(secret.path(), Some(65534), Some(65534)).unwrap();
    }
    let suite = Suite::builder()
        .with(&format!(
            "[[route]]\ndomain = \"*\"\nsender = \"boss.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n\
             [[credentials]]\nname = \"c\"\nuser = \"me\"\npassword_file = \"{}\"\nwithout_tls = true\n\
             [[destination]]\nhost = [\"127.0.0.1:{}\"]\ncredentials = \"c\"\n",
            ours.port,
            secret.path().display(),
            ours.port
        ))
        .relaying_to(theirs.port)
        .start();
    send(&suite, "a@boss.example", &["r@far.example"], "", b"x\r\n");
    send(&suite, "b@else.example", &["r@far.example"], "", b"x\r\n");
    let heard = ours.wait_for("\r\n.\r\n");
    // \0me\0geheim
    assert!(heard.contains("AUTH PLAIN AG1lAGdlaGVpbQ==\r\nMAIL FROM:<a@boss.example>"), "{heard}");
    assert!(!heard.contains("b@else.example"));
    let heard = theirs.wait_for("\r\n.\r\n");
    assert!(heard.contains("b@else.example") && !heard.contains("AUTH") && !heard.contains("a@boss.example"), "{heard}");
    let route = suite.zpost(&["route", "--sender", "a@boss.example", "--explain", "r@far.example"]);
    let text = String::from_utf8_lossy(&route.stdout).into_owned();
    assert!(text.contains(&format!("127.0.0.1:{}", ours.port)) && text.contains("sender = \"boss.example\""), "{text}");
    assert!(!suite.log().contains("geheim"));
    let shown = suite.zpost(&["config", "show"]);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains("geheim"));
}

#[test]
fn from_the_addresses_of_a_pool() {
    let sink = Server::start(&[], |stream| format!("from {}\n", stream.peer_addr().unwrap().ip()));
    let suite = Suite::builder()
        .with("[[source]]\npool = \"p\"\naddress = \"127.0.0.2\"\nhello = \"two.example\"\n")
        .with("[[source]]\npool = \"p\"\naddress = \"127.0.0.3\"\nhello = \"three.example\"\n")
        .with("[[source]]\npool = \"p\"\naddress = \"192.0.2.77\"\n[[channel]]\nsource = \"p\"\nmessages_per_session = 1\n")
        .with("[client]\nidle = 0\n[queue]\nagents_per_channel = 1\n")
        .relaying_to(sink.port)
        .start();
    for n in 0..6 {
        send(&suite, "s@a.example", &["r@far.example"], "", format!("Subject: {n}\r\n\r\nx\r\n").as_bytes());
        wait_until("delivery", LONG, || sink.all().matches("DATA\r\n").count() > n);
    }
    let heard = sink.all();
    assert!(heard.contains("from 127.0.0.2\nEHLO two.example") && heard.contains("from 127.0.0.3\nEHLO three.example"), "{heard}");
    assert_eq!(suite.log().matches("source_suspended").count(), 1, "{}", suite.log());
}

#[test]
fn through_proxies() {
    let haproxy = |stream: &mut TcpStream| {
        let mut header = [0; 28];
        stream.read_exact(&mut header).unwrap();
        assert_eq!(&header[..14], b"\r\n\r\n\0\r\nQUIT\n\x21\x11");
        format!("to {}.{}.{}.{}\n", header[20], header[21], header[22], header[23])
    };
    let socks = |stream: &mut TcpStream| {
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting).unwrap();
        stream.write_all(&[5, 0]).unwrap();
        let mut request = [0; 10];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        format!("to {}.{}.{}.{}\n", request[4], request[5], request[6], request[7])
    };
    for (scheme, proxy) in [("haproxy", Server::start(&[], haproxy)), ("socks5", Server::start(&[], socks))] {
        let suite = Suite::builder()
            .with(&format!("[[source]]\npool = \"p\"\naddress = \"192.0.2.1\"\nproxy = \"{scheme}://127.0.0.1:{}\"\n", proxy.port))
            .with("[[channel]]\nsource = \"p\"\n[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nhost = \"198.51.100.7\"\n")
            .start();
        send(&suite, "s@a.example", &["r@far.example"], "", b"x\r\n");
        let heard = proxy.wait_for("\r\n.\r\n");
        assert!(heard.starts_with("to 198.51.100.7\n"), "{scheme}: {heard}");
    }
}

/// The password file is nobody else's.
#[test]
fn a_password_that_others_can_read_is_refused() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "geheim\n").unwrap();
    fs::set_permissions(secret.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut suite = Suite::builder()
        .with(&format!("[[credentials]]\nname = \"c\"\nuser = \"me\"\npassword_file = \"{}\"\n", secret.path().display()))
        .relaying_to(free_port())
        .prepare();
    let _ready = suite.spawn();
    wait_until("the master refuses", LONG, || suite.errors().contains("others than its owner may read it"));
    assert!(!suite.errors().contains("geheim"));
}
