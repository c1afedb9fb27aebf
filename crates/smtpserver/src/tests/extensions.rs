//! What EHLO announces, through the worker.

use super::site::{Dialogue, Plan, Site, accept, contact, files, router};
use ipc::Channel;
use ipc::filter::{Judge, Judged, Judgement};
use std::time::{Duration, Instant};

fn chunk(client: &mut Dialogue, content: &[u8], last: bool) {
    client.send(format!("BDAT {}{}\r\n", content.len(), if last { " LAST" } else { "" }));
    client.send(content);
}

fn envelope(client: &mut Dialogue, parameters: &str) {
    client.say(&format!("MAIL FROM:<a@b.example>{parameters}"), "250");
    client.say("RCPT TO:<x@y.example>", "250");
}

#[test]
fn chunks_become_one_message() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    let large = b"0123456789 0123456789 0123456789\r\n".repeat(20_000);
    for _ in 0..2 {
        envelope(&mut client, "");
        chunk(&mut client, b"Subject: x\r\n\r", false);
        chunk(&mut client, b"\n.\r\n", false);
        chunk(&mut client, &large, false);
        chunk(&mut client, &large, true);
        for _ in 0..3 {
            client.hear("250 2.0.0 ");
        }
        client.hear("250 2.0.0 ok queued as ");
    }
    let expected = format!("Subject: x\n\n.\n{}", String::from_utf8(large.repeat(2)).unwrap().replace("\r\n", "\n"));
    for name in site.files("router") {
        assert!(site.named("router", &name).1.ends_with(&expected));
    }
    // What is taken back, refused or left leaves nothing.
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    client.hear("250");
    client.say("RSET", "250");
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    chunk(&mut client, b"bare\nline", false);
    chunk(&mut client, b"", true);
    for code in ["250", "550 5.5.2", "503"] {
        client.hear(code);
    }
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    client.hear("250");
    client.say("EHLO again", "250");
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    client.hear("250");
    drop(client);
    site.wait_for_ends(1);
    let (code, folder) = site.drain();
    assert_eq!((code, files(folder.path(), "router").len(), files(folder.path(), "public").len()), (0, 2, 0));
}

#[test]
fn octets_are_stored_as_they_came() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    envelope(&mut client, " BODY=BINARYMIME");
    client.say("DATA", "503 5.5.1");
    let body = b"\0\r\n.\r\n\n\r\x01 no end".repeat(30_000);
    chunk(&mut client, b"Subject: x\r\n\r\n", false);
    chunk(&mut client, &body, true);
    client.hear("250");
    client.hear("250 2.0.0 ok queued as ");
    let (envelope, content) = site.message();
    assert_eq!(envelope.bodytype, envelope::BodyType::Binary);
    let (header, rest) = content.split_once("Subject:").unwrap();
    assert!(
        header.starts_with("Received: from ") && header.ends_with("+0000\r\n") && !header.replace("\r\n", "").contains('\n'),
        "{header:?}"
    );
    assert_eq!(rest.as_bytes(), [b" x\r\n\r\n", body.as_slice()].concat());
}

fn behind_a_balancer(settings: &mut settings::Settings) {
    settings.listeners[0].proxy = true;
    settings.relay.networks = vec!["192.0.2.0/24".parse().unwrap()];
}

#[test]
fn a_balancer_names_the_client() {
    for header in [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 25\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x0f\xa0\0\x19".to_vec(),
    ] {
        let mut site = Site::new(Plan { change: Some(behind_a_balancer), ..Plan::default() });
        let mut client = site.client_with(0, None, &header[..20]);
        client.send(&header[20..]);
        client.hello();
        client.begin("x@y.example");
        client.say("Subject: x\r\n\r\n.", "250");
        let (envelope, content) = site.message();
        assert_eq!(envelope.rcvdfrom.as_deref(), Some("client.example ([192.0.2.7])"));
        assert!(content.starts_with("Received: from client.example ([192.0.2.7])"), "{content}");
        // Whoever it names has that one's rights.
        let mut stranger = site.client_with(0, None, b"PROXY TCP4 203.0.113.7 198.51.100.1 4000 25\r\n");
        stranger.hello();
        stranger.say("MAIL FROM:<a@b.example>", "250");
        stranger.say("RCPT TO:<x@y.example>", "550");
    }
}

/// attacks.md 33.
#[test]
fn without_a_header_nothing_is_said() {
    let mut site = Site::new(Plan { change: Some(behind_a_balancer), ..Plan::default() });
    for wrong in [&b"EHLO x\r\n"[..], b"PROXY TCP4 x\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"] {
        assert_eq!(site.client_with(0, None, wrong).reply(), "", "{wrong:?}");
    }
    // Speaking before the greeting is what it always was.
    site.client_with(0, None, b"PROXY UNKNOWN\r\nEHLO x\r\n").hear("554");
    site.client_with(0, None, b"PROXY UNKNOWN\r\n").hear("220");
    let mut refused = site.client_with(0, Some("too many"), b"PROXY UNKNOWN\r\n");
    refused.hear("421");
    // Others than this machine name clients only where the configuration says so.
    let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 25\r\n";
    assert_eq!(site.client_as(0, None, header, Some("203.0.113.7:4000".parse().unwrap())).reply(), "");
    let mut site = Site::new(Plan {
        change: Some(|settings| {
            behind_a_balancer(settings);
            settings.extensions.proxies = vec!["10.0.0.0/8".parse().unwrap()];
        }),
        ..Plan::default()
    });
    assert_eq!(site.client_with(0, None, b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 25\r\n").reply(), "");
}

fn trusting(settings: &mut settings::Settings) {
    let loopback = vec!["127.0.0.0/8".parse().unwrap()];
    settings.extensions.xclient.clone_from(&loopback);
    settings.extensions.xforward.clone_from(&loopback);
    settings.extensions.vrfy.clone_from(&loopback);
    settings.extensions.expn = loopback;
}

#[test]
fn a_trusted_relay_stands_for_its_client() {
    let repeating = |settings: &mut settings::Settings| {
        trusting(settings);
        settings.extensions.xclient_repeated = true;
    };
    let mut site = Site::new(Plan { change: Some(repeating), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.say("XCLIENT ADDR=203.0.113.9 NAME=out.example", "220");
    client.say("EHLO out.example", "250");
    client.say("MAIL FROM:<a@b.example>", "250");
    client.say("RCPT TO:<x@y.example>", "550 5.7.1");
    client.say("RSET", "250");
    client.say("XCLIENT LOGIN=joe", "220");
    client.say("EHLO out.example", "250");
    // The right goes with the login.
    client.say("XCLIENT LOGIN=[UNAVAILABLE]", "220");
    client.say("EHLO out.example", "250");
    client.say("MAIL FROM:<a@b.example>", "250");
    client.say("RCPT TO:<x@y.example>", "550 5.7.1");
    client.say("RSET", "250");
    client.say("XCLIENT LOGIN=joe", "220");
    client.say("EHLO out.example", "250");
    client.say("XFORWARD NAME=far.example ADDR=198.51.100.3", "250");
    client.begin("x@y.example");
    client.say("Subject: x\r\n\r\n.", "250");
    let (envelope, content) = site.message();
    assert_eq!(envelope.rcvdfrom.as_deref(), Some("out.example ([203.0.113.9])"));
    assert_eq!(envelope.with.as_deref(), Some("ESMTPA"));
    assert!(content.starts_with("Received: from out.example ([203.0.113.9])\n\tby mx.example with ESMTPA id "), "{content}");
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    client.say("XCLIENT ADDR=203.0.113.9", "550 5.7.0");
    client.say("XFORWARD ADDR=203.0.113.9", "550 5.7.0");
    client.say("QUIT", "221");
}

/// Behind a proxy that passes commands on it may be the client that speaks after the first one.
#[test]
fn the_right_to_stand_for_others_is_used_once() {
    let mut site = Site::new(Plan { change: Some(trusting), ..Plan::default() });
    for first in ["ADDR=203.0.113.9", "LOGIN=joe"] {
        let mut client = site.client();
        client.hello();
        client.say(&format!("XCLIENT {first}"), "220");
        client.say("EHLO out.example", "250");
        client.say("XCLIENT ADDR=127.0.0.1", "550 5.7.0");
        client.say("XCLIENT LOGIN=root", "550 5.7.0");
        client.say("QUIT", "221");
    }
}

#[test]
fn the_router_answers_inquiries() {
    let mut site = Site::new(Plan { change: Some(trusting), router: Some(router(0)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    assert_eq!(client.say("VRFY joe@local.example", "250"), "250 2.1.5 <joe@local.example>");
    client.say("VRFY nobody@local.example", "550 5.1.1");
    client.say("VRFY x@far.example", "252");
    assert_eq!(client.say("EXPN team@local.example", "250"), "250 2.1.5 <b@far.example>");
    client.say("EXPN nobody@local.example", "550");
    client.say("MAIL FROM:<a@b.example>", "250");
    client.say("VRFY joe@local.example", "250");
    client.say("RCPT TO:<joe@local.example>", "250");
}

#[test]
fn terms_reach_the_envelope() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    client.say("MAIL FROM:<a@b.example> MT-PRIORITY=3 HOLDFOR=1000 BY=2000;N", "250");
    client.say("RCPT TO:<x@y.example>", "250");
    client.say("DATA", "354");
    client.say("Subject: x\r\n\r\n.", "250");
    let (envelope, _) = site.message();
    assert_eq!(envelope.terms.priority, 3);
    let (by, hold) = (envelope.terms.deliver_by.unwrap(), envelope.terms.hold_until.unwrap());
    assert_eq!((by.until - hold, by.or_return), (1000, false));
}

/// RFC 1047: whoever closes after the dot sends again, so the message must not be there too. The filter answers once the
/// client has closed, so both are in the worker's hands before it commits.
#[test]
fn a_message_whose_client_has_left_is_taken_back() {
    for (ending, kept) in [("", 0), ("QUIT\r\n", 1)] {
        let (caller, point) = contact();
        let change = |settings: &mut settings::Settings| settings.filter.program = vec!["filter".into()];
        let mut site = Site::new(Plan { change: Some(change), filter: Some(caller), ..Plan::default() });
        let mut client = site.client();
        client.hello();
        client.begin("x@y.example");
        client.send(format!("Subject: x\r\n\r\nx\r\n.\r\n{ending}"));
        let mut filter: Channel<Judged, Judge> = accept(&point);
        let (judge, _) = filter.recv_by(Instant::now() + Duration::from_secs(20)).unwrap();
        drop(client);
        filter.send(&Judged { number: judge.number, verdict: Judgement::Accept }).unwrap();
        site.wait_for_ends(1);
        assert_eq!(site.files("router").len(), kept, "{ending:?}");
        assert!(site.files("public").is_empty());
    }
}

/// RFC 6409 section 8; and port 25 never touches content.
#[test]
fn users_get_what_their_messages_lack() {
    fn change(settings: &mut settings::Settings) {
        settings.listeners[1].kind = settings::ListenerKind::Submission;
        settings.submission.add_sender = true;
        settings.extensions.xclient = vec!["127.0.0.0/8".parse().unwrap()];
    }
    for (listener, mended) in [(0, false), (1, true)] {
        let mut site = Site::new(Plan { change: Some(change), ..Plan::default() });
        let mut client = site.client_with(listener, None, b"");
        client.hello();
        client.say("XCLIENT LOGIN=joe", "220");
        client.say("EHLO c", "250");
        client.begin("x@y.example");
        client.say("Subject: x\r\nFrom: boss@b.example\r\nSender: boss@b.example\r\n\r\nDate: in the body\r\n.", "250");
        let (_, content) = site.message();
        let (trace, rest) = content.split_once("+0000\n").unwrap();
        if mended {
            let (date, rest) = rest.split_once('\n').unwrap();
            let (id, rest) = rest.split_once('\n').unwrap();
            assert!(trace.starts_with("Received: ") && date.starts_with("Date: ") && date.ends_with(" +0000"), "{content}");
            assert!(id.starts_with("Message-ID: <") && id.ends_with("@mx.example>"), "{content}");
            assert_eq!(rest, "Sender: joe@mx.example\nSubject: x\nFrom: boss@b.example\n\nDate: in the body\n");
        } else {
            assert_eq!(rest, "Subject: x\nFrom: boss@b.example\nSender: boss@b.example\n\nDate: in the body\n");
        }
    }
    let mut site = Site::new(Plan::default());
    let mut client = site.local_client(1000);
    client.hello();
    client.begin("x@y.example");
    client.say("no header\r\n.", "250");
    let (envelope, content) = site.message();
    assert!(
        content.ends_with("\nFrom: a@b.example\n\nno header\n") && content.contains("\nDate: ") && content.contains("\nMessage-ID: <"),
        "{content}"
    );
    assert_eq!(envelope.with.as_deref(), Some("ESMTP"));
}

/// A large message is mended too, before its first piece is written.
#[test]
fn large_messages_of_users_are_mended() {
    let mut site = Site::new(Plan::default());
    let mut client = site.local_client(1000);
    client.hello();
    client.begin("x@y.example");
    let body = "0123456789 0123456789\r\n".repeat(40_000);
    client.send(format!("Subject: x\r\nDate: mine\r\n\r\n{body}"));
    client.say(".", "250");
    let (_, content) = site.message();
    assert!(content.ends_with(&format!("\nFrom: a@b.example\nSubject: x\nDate: mine\n\n{}", body.replace("\r\n", "\n"))));
    assert_eq!(content.matches("\nDate: ").count(), 1);
}
