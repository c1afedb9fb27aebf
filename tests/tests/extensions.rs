//! What EHLO announces, over real sockets through the whole suite.

use end_to_end::wire::{ChunkSink, Wire};
use end_to_end::{LONG, Suite, SuiteBuilder, files, free_port, installed, wait_until};
use std::process::Command;

#[test]
fn octets_cross_the_suite_unchanged() {
    let sink = ChunkSink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let mut body = (0..=255u8).collect::<Vec<u8>>().repeat(3000);
    body.extend_from_slice(b"\r\n.\r\n\n\r\0no line end");
    let content = [
        b"Subject: octets\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            .as_slice(),
        &body,
    ]
    .concat();
    let mut client = Wire::hello(suite.port);
    client.say("MAIL FROM:<a@b.example> BODY=BINARYMIME", "250");
    client.say("RCPT TO:<x@y.example>", "250");
    client.say("DATA", "503");
    for part in content.chunks(100_001) {
        client.chunk(part, false);
        client.hear("250 2.0.0");
    }
    client.chunk(b"", true);
    client.hear("250 2.0.0 ok queued as ");
    wait_until("the octets arrive", LONG, || !sink.taken().is_empty());
    let taken = sink.taken().remove(0);
    assert!(taken.mail.contains("BODY=BINARYMIME"), "{}", taken.mail);
    let at = taken.content.windows(9).position(|w| w == b"Subject: ").unwrap();
    let (received, rest) = taken.content.split_at(at);
    assert!(rest == content, "{} octets of {}", rest.len(), content.len());
    let received = String::from_utf8(received.to_vec()).unwrap();
    assert!(received.starts_with("Received: from client.example") && !received.replace("\r\n", "").contains(['\r', '\n']), "{received:?}");
}

#[test]
fn lines_in_chunks_are_the_same_lines() {
    let sink = ChunkSink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let content = format!("Subject: lines\r\n\r\n.\r\n..\r\n{}", "0123456789 .\r\n".repeat(50_000));
    let mut client = Wire::hello(suite.port);
    for size in [70_001, 1_000_000] {
        client.say("MAIL FROM:<a@b.example>", "250");
        client.say("RCPT TO:<x@y.example>", "250");
        for part in content.as_bytes().chunks(size) {
            client.chunk(part, false);
            client.hear("250 2.0.0");
        }
        client.chunk(b"", true);
        client.hear("250 2.0.0 ok queued as ");
    }
    wait_until("both arrive", LONG, || sink.taken().len() == 2);
    for taken in sink.taken() {
        assert!(taken.content.ends_with(content.as_bytes()));
    }
}

fn frozen(more: &str) -> SuiteBuilder {
    Suite::builder().with_maildirs().with(more)
}

/// Runs swaks against a port; its output.
fn swaks(port: u16, arguments: &[&str]) -> String {
    let output = Command::new("swaks")
        .args(["--server", &format!("127.0.0.1:{port}"), "--helo", "client.example"])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn terms_are_seen_in_the_queue() {
    let suite = frozen("").start();
    let mut client = Wire::hello(suite.port);
    let id = client.message("<a@b.example> HOLDFOR=3600 MT-PRIORITY=4 BY=7200;R", "<u@local.example>", "Subject: later\r\n\r\nx");
    let mut shown = String::new();
    wait_until("the message is in the queue", LONG, || {
        shown = String::from_utf8_lossy(&suite.zpost(&["show", &id]).stdout).into_owned();
        shown.contains("riority")
    });
    assert!(shown.contains('4') && shown.to_lowercase().contains("hold"), "{shown}");
    let mut control = String::new();
    wait_until("it has a control file", LONG, || {
        control = control_file(&suite, &id).unwrap_or_default();
        !control.is_empty()
    });
    for start in ["p 4", "u 1", "b 1"] {
        assert!(control.lines().any(|line| line.starts_with(start)), "{start}: {control}");
    }
}

/// The text of a message's control file, once it is routed.
fn control_file(suite: &Suite, id: &str) -> Option<String> {
    let transport = suite.postoffice("transport");
    files(&transport).into_iter().find_map(|folder| std::fs::read_to_string(transport.join(folder).join(id)).ok())
}

#[test]
fn the_router_tells_whom_an_address_stands_for() {
    let suite = frozen("[server]\nvrfy = [\"127.0.0.0/8\"]\nexpn = [\"127.0.0.0/8\"]").prepare();
    let aliases = suite.path("aliases");
    std::fs::write(&aliases, "team: joe, far@sink.example\n").unwrap();
    let text = std::fs::read_to_string(suite.config()).unwrap();
    let text = text.replace("[local]\n", &format!("[local]\naliases = [\"{}\"]\n", aliases.display()));
    std::fs::write(suite.config(), text).unwrap();
    suite.give_away();
    let mut suite = suite;
    suite.start();
    let mut client = Wire::hello(suite.port);
    client.say("VRFY joe@local.example", "250 2.1.5 <joe@local.example>");
    client.say("VRFY x@far.example", "252 2.1.5");
    let all = client.say("EXPN team@local.example", "250-2.1.5 <");
    assert!(all.contains("<far@sink.example>") && all.contains("<joe@local.example>"), "{all}");
    client.say("EXPN x@far.example", "550 5.1.2");
}

#[test]
fn swaks_stands_for_another_client() {
    if !installed("swaks") {
        return;
    }
    let suite = frozen("[server]\nxclient = [\"127.0.0.0/8\"]").start();
    let to = ["--from", "a@b.example", "--to", "u@local.example"];
    let said = swaks(suite.port, &[&to[..], &["--xclient-addr", "203.0.113.9", "--xclient-helo", "out.example"]].concat());
    assert!(said.contains("XCLIENT ") && said.contains("queued as"), "{said}");
    let said = swaks(suite.port, &["--from", "a@b.example", "--to", "u@far.example", "--xclient-addr", "203.0.113.9"]);
    assert!(said.contains("550 5.7.1"), "{said}");
    wait_until("the log names both", LONG, || suite.log().contains("client=203.0.113.9"));
    // Whoever is not trusted stays who it is.
    let suite = frozen("").start();
    let mut client = Wire::hello(suite.port);
    client.say("XCLIENT ADDR=203.0.113.9", "550 5.7.0");
}

#[test]
fn all_clients_of_a_balancer_are_not_one_client() {
    let port = free_port();
    let suite = frozen("[connections]\nper_address = 1\n").listening(&format!("bind = \"127.0.0.1:{port}\"\nproxy = true")).start();
    let through = |from: &str| {
        let mut client = Wire::connect(port);
        client.send(format!("PROXY TCP4 {from} 198.51.100.1 4000 25\r\n"));
        let said = client.reply();
        (client, said)
    };
    let (_first, said) = through("203.0.113.9");
    assert!(said.starts_with("220"), "{said}");
    let (_second, said) = through("203.0.113.10");
    assert!(said.starts_with("220"), "{said}");
    // Without a balancer the limit holds.
    let mut direct = [Wire::connect(suite.port), Wire::connect(suite.port)];
    let said: Vec<String> = direct.iter_mut().map(Wire::reply).collect();
    assert!(said.iter().any(|said| said.starts_with("421")), "{said:?}");
}

#[test]
fn swaks_comes_through_a_balancer() {
    if !installed("swaks") {
        return;
    }
    let port = free_port();
    let suite = frozen("").listening(&format!("bind = \"127.0.0.1:{port}\"\nproxy = true")).start();
    for version in ["1", "2"] {
        let family = if version == "1" { "TCP4" } else { "AF_INET" };
        let header = [
            "--proxy-version",
            version,
            "--proxy-family",
            family,
            "--proxy-source",
            "203.0.113.9",
            "--proxy-source-port",
            "4000",
            "--proxy-dest",
            "198.51.100.1",
            "--proxy-dest-port",
            "25",
            "--proxy-protocol",
            "STREAM",
            "--proxy-command",
            "PROXY",
        ];
        let header = if version == "1" { &header[..12] } else { &header[..] };
        let said = swaks(port, &[header, &["--from", "a@b.example", "--to", "u@local.example"]].concat());
        assert!(said.contains("queued as"), "{version}: {said}");
        let said = swaks(port, &[header, &["--from", "a@b.example", "--to", "u@far.example"]].concat());
        assert!(said.contains("550 5.7.1"), "{version}: {said}");
    }
    let mut bare = Wire::connect(port);
    bare.send("EHLO x\r\n");
    assert_eq!(bare.reply(), "");
    let mailbox = suite.path("mail/u/new");
    wait_until("both are delivered", LONG, || files(&mailbox).len() == 2);
    for name in files(&mailbox) {
        let text = std::fs::read_to_string(mailbox.join(name)).unwrap();
        assert!(text.contains("Received: from client.example ([203.0.113.9])"), "{text}");
    }
}

/// RFC 6409: users get what their messages lack; the other listener touches nothing.
#[test]
fn submission_adds_what_is_missing() {
    let sink = ChunkSink::start();
    let port = free_port();
    let suite = Suite::builder().relaying_to(sink.port).listening(&format!("kind = \"submission\"\nbind = \"127.0.0.1:{port}\"")).start();
    for (at, date) in [(suite.port, false), (port, true)] {
        Wire::hello(at).message("<a@b.example>", "<x@y.example>", "Subject: bare\r\n\r\nx");
        wait_until("it arrives", LONG, || sink.taken().len() == 1 + usize::from(date));
        let text = String::from_utf8(sink.taken().pop().unwrap().content).unwrap();
        let own = text.split_once("+0000\r\n").unwrap().1;
        assert_eq!(own == "Subject: bare\r\n\r\nx\r\n", !date, "{text}");
        assert_eq!(own.contains("Date: ") && own.contains("Message-ID: <") && own.contains("From: a@b.example\r\n"), date, "{text}");
    }
}
