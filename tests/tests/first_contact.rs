//! First contact, tarpit and limits of time with the real programs: raw sockets that do what no mail server does.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, free_port, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A suite for which loopback is the open internet, but for 127.0.0.9.
fn suite(sections: &str) -> Suite {
    let exempt = if sections.contains("[first_contact]") { "" } else { "[first_contact]\nexempt = []\n" };
    let mut suite = Suite::builder().with_maildirs().with(exempt).with(sections).prepare();
    let text = std::fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "\"127.0.0.9\"");
    std::fs::write(suite.config(), text).unwrap();
    suite.start();
    suite
}

/// Everything the server says to a client that sends these pieces, each after the server's next line.
fn said_to(port: u16, pieces: &[&[u8]], greeted: bool) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut heard = Vec::new();
    if greeted {
        let mut byte = [0];
        while heard.last() != Some(&b'\n') {
            stream.read_exact(&mut byte).unwrap();
            heard.push(byte[0]);
        }
    }
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.read_to_end(&mut heard);
    String::from_utf8_lossy(&heard).into_owned()
}

/// Waits for it: a line leaves after the reply that it is about.
fn logged(suite: &Suite, text: &str) {
    wait_until(&format!("`{text}` in the log"), LONG, || suite.log().contains(text));
}

fn deliver(suite: &Suite) {
    let (mut session, code) = Session::open(suite.port).unwrap();
    assert_eq!(code, 220);
    session.command("EHLO good.example").unwrap();
    let (code, text) = session.message("a@sender.example", &["joe@local.example"], b"Subject: x\r\n\r\nx\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
    assert_eq!(session.command("QUIT").unwrap().0, 221);
}

/// attacks.md 21; with the defaults.
#[test]
fn other_protocols_are_dropped_in_one_reply_counted_and_logged() {
    let submission = free_port();
    let suite = Suite::builder().with_maildirs().listening(&format!("kind = \"submission\"\nbind = \"127.0.0.1:{submission}\"")).start();
    let hello = [&b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"[..], &[0x5a; 150]].concat();
    let foreign: [(&str, &[u8]); 6] = [
        ("http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("http", b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\nMAIL FROM:<evil@b.example>\r\n"),
        ("tls", &hello),
        ("rdp", b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"),
        ("ssh", b"SSH-2.0-scan\r\n"),
        ("noise", b"\xff\xfe\xc3\x28\xa0\r\n\0\0\0"),
    ];
    for (kind, bytes) in foreign {
        for greeted in [true, false] {
            let port = if kind == "tls" && greeted { submission } else { suite.port };
            let said = said_to(port, &[bytes], greeted);
            // Unless it was there before the greeting: then the greeting is not said.
            let replies: Vec<&str> = said.lines().filter(|line| !line.starts_with("220 ")).collect();
            assert!(matches!(replies.as_slice(), [only] if only.starts_with("554 5.5.2 ")), "{kind}: {said:?}");
        }
    }
    assert_eq!(suite.counter("smtpserver", "not_smtp"), 12);
    for kind in ["http", "tls", "rdp", "ssh", "noise"] {
        logged(&suite, &format!(" not_smtp peer=127.0.0.1 kind={kind} data=\""));
    }
    logged(&suite, "hint=\"TLS from the first byte belongs to a listener of kind submissions\"");
    logged(&suite, "data=\"GET / HTTP/1.1\\\\r\\\\nHost: x");
    assert!(suite.log().lines().all(|line| line.bytes().all(|b| (b' '..=b'~').contains(&b))), "a raw byte in the log");
    deliver(&suite);
}

#[test]
fn strangers_wait_once_and_early_talkers_are_dropped() {
    let suite = suite("[first_contact]\nexempt = []\nwait = \"2s\"\n");
    // attacks.md 19. It speaks at once, so whether the server sees it before or in the wait is all the same.
    let said = said_to(suite.port, &[b"EHLO early.example\r\n", b"MAIL FROM:<a@b.example>\r\n"], false);
    assert!(said.starts_with("554 5.5.0 "), "{said}");
    assert_eq!(suite.counter("smtpserver", "early_talkers"), 1);
    logged(&suite, " early_talker peer=127.0.0.1 action=drop data=\"EHLO early.example");
    let (begin, waited) = (Instant::now(), suite.counter("smtpserver", "waited"));
    deliver(&suite);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    assert_eq!(suite.counter("smtpserver", "waited"), waited + 1);
    // Exempt clients are greeted at once.
    let exempt = Session::open_from("127.0.0.9".parse().unwrap(), suite.port).unwrap();
    assert_eq!((exempt.1, suite.counter("smtpserver", "waited")), (220, waited + 1));
}

#[test]
fn early_talkers_can_be_seen_instead() {
    let suite = suite("[first_contact]\nexempt = []\nwait = \"2s\"\nearly_talkers = \"enforce\"\n");
    let mut stream = TcpStream::connect(("127.0.0.1", suite.port)).unwrap();
    stream.write_all(b"EHLO early.example\r\n").unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    let mut hear = |stream: &mut TcpStream, wanted: &str| {
        while !heard.contains(wanted) {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    hear(&mut stream, "\r\n250 ");
    stream.write_all(b"MAIL FROM:<spam@b.example>\r\nRCPT TO:<joe@local.example>\r\n").unwrap();
    hear(&mut stream, "554 5.7.1 ");
    wait_until("it is in the log", LONG, || {
        let log = suite.log();
        log.lines().any(|l| l.contains(" rejected stage=rcpt ") && l.contains("from=spam@b.example") && l.contains("joe@local.example"))
    });
}

#[test]
fn out_of_turn_and_bare_newlines() {
    let suite = suite("[first_contact]\nexempt = []\nbare_newlines = \"drop\"\n");
    // attacks.md 20: commands behind EHLO before PIPELINING was announced.
    let said = said_to(suite.port, &[b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\n"], true);
    assert!(said.lines().last().unwrap().starts_with("554 5.5.0"), "{said}");
    let said = said_to(suite.port, &[b"EHLO x.example\nMAIL FROM:<a@b.example>\n"], true);
    assert!(said.lines().last().unwrap().starts_with("554 5.5.2 lines must end in CRLF"), "{said}");
    logged(&suite, "kind=bare_newline");
    deliver(&suite);
}

#[test]
fn trickles_and_silence_end_and_a_session_has_a_limit() {
    let suite = suite(
        "[server]\ncommand_timeout = \"3s\"\nsession_limit = \"12s\"\nsession_limit_message = \"1s\"\nmin_rate = 1000\nmin_rate_grace = \"1s\"\n",
    );
    // A byte in each tenth of a second, for ever: the line is not complete in its time.
    let mut stream = TcpStream::connect(("127.0.0.1", suite.port)).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let mut heard = String::new();
    let _ = stream.read_to_string(&mut heard);
    assert!(heard.contains("421 4.4.2 timeout"), "{heard}");
    trickle.join().unwrap();
    // A message at one byte in a tenth of a second.
    let (mut session, _) = Session::open(suite.port).unwrap();
    for command in ["EHLO x.example", "MAIL FROM:<a@b.example>", "RCPT TO:<joe@local.example>", "DATA"] {
        session.command(command).unwrap();
    }
    while session.send(b"x").is_ok() && suite.counter("smtpserver", "too_slow") == 0 {}
    assert!(session.rest().starts_with("421 4.4.2 the message comes too slowly"));
    // Busy for ever, to no end.
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let mut last = String::new();
    while let Ok((_, text)) = session.command("MAIL FROM:<a@b.example>\r\nRSET").and_then(|_| session.reply()) {
        last = text;
        // Slowly: so many commands without a message would be another end.
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(suite.counter("smtpserver", "session_limit") >= 1, "{last}");
    for event in [" timeout peer=", " too_slow peer=127.0.0.1 receiving=true", " session_limit peer="] {
        logged(&suite, event);
    }
}

#[test]
fn errors_wait_in_the_tarpit_and_too_many_end_it() {
    let suite = suite("[server]\nsoft_errors = 2\nmax_errors = 5\ntarpit_first = \"500ms\"\ntarpit_factor = 2\n");
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    for _ in 0..2 {
        assert_eq!(session.command("BOGUS").unwrap().0, 500);
    }
    let begin = Instant::now();
    session.send(b"BOGUS\r\nNOOP\r\n").unwrap();
    // The others are served meanwhile.
    deliver(&suite);
    assert_eq!((session.reply().unwrap().0, session.reply().unwrap().0), (500, 250));
    assert!(begin.elapsed() >= Duration::from_millis(500));
    assert_eq!(session.command("RCPT TO:<nobody@elsewhere.example>").unwrap().0, 503);
    assert_eq!(session.command("BOGUS").unwrap().0, 500);
    assert_eq!(session.command("BOGUS").unwrap().0, 421);
    assert!(suite.counter("smtpserver", "tarpitted") >= 3);
}

/// attacks.md 22: a handshake that is begun and never finished, and plain text where TLS is spoken.
#[test]
fn handshakes_have_their_time_and_plain_text_a_hint() {
    let port = free_port();
    let mut suite = Suite::builder()
        .with_maildirs()
        .listening(&format!("kind = \"submissions\"\nbind = \"127.0.0.1:{port}\""))
        .with("CERTIFICATE\n[server]\ntls_timeout = \"1s\"\n")
        .prepare();
    let (chain, key) = (suite.path("one.pem"), suite.path("one.key"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=mta.test.example",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let section = format!("[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display());
    let text = std::fs::read_to_string(suite.config()).unwrap().replace("CERTIFICATE", &section);
    std::fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    // The beginning of a ClientHello, byte by byte and then nothing.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for byte in b"\x16\x03\x01\x00\xc8\x01\x00" {
        stream.write_all(&[*byte]).unwrap();
    }
    let _ = stream.read_to_end(&mut Vec::new());
    logged(&suite, " handshake_timeout peer=127.0.0.1");
    let said = said_to(port, &[b"EHLO plain.example\r\n"], false);
    assert!(!said.contains("250"), "{said}");
    logged(&suite, "one for STARTTLS at a listener of kind submissions?");
}
