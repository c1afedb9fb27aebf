use super::site::{Plan, Site, files, router};
use std::fmt::Write as _;
use std::time::Duration;

#[test]
fn a_message_is_in_the_router_folder_when_250_comes() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    client.begin("x@y.example");
    let reply = client.say("Subject: x\r\n\r\n..dot\r\nend\r\n.", "250 2.0.0 ok queued as ");
    let id = reply.rsplit(' ').next().unwrap();
    assert_eq!(site.files("router"), [id]);
    assert!(site.files("public").is_empty());
    let (envelope, content) = site.message();
    assert!(envelope.external);
    assert_eq!(envelope.rcvdfrom.as_deref(), Some("client.example ([127.0.0.1])"));
    assert_eq!(envelope.with.as_deref(), Some("ESMTP"));
    assert_eq!(envelope.recipients[0].address.as_str(), "x@y.example");
    assert!(content.starts_with("Received: from client.example ([127.0.0.1])\n\tby mx.example with ESMTP id "), "{content}");
    assert!(content.contains(id));
    assert!(content.ends_with("+0000\nSubject: x\n\n.dot\nend\n"), "{content}");
    client.say("QUIT", "221");
    assert_eq!(client.reply(), "");
    site.wait_for_ends(1);
}

#[test]
fn pipelined_recipients_get_their_own_verdicts() {
    let mut site = Site::new(Plan { router: Some(router(0)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.send(
        "MAIL FROM:<>\r\nRCPT TO:<nobody@local.example>\r\nRCPT TO:<joe@local.example> NOTIFY=NEVER\r\nRCPT TO:<postmaster>\r\nDATA\r\n",
    );
    for code in ["250", "550 5.1.1 unknown user", "250", "250", "354"] {
        client.hear(code);
    }
    client.send("A: b\r\n\r\n.\r\nQUIT\r\n");
    client.hear("250");
    client.hear("221");
    let (envelope, _) = site.message();
    let to: Vec<&str> = envelope.recipients.iter().map(|r| r.address.as_str()).collect();
    assert_eq!(to, ["joe@local.example", "postmaster"]);
    assert_eq!(envelope.from, Some(address::Path::Null));
    assert!(envelope.recipients[0].dsn.notify.unwrap().never);
}

#[test]
fn a_large_message_streams_and_is_whole() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    let mut wire = "Subject: large\r\n\r\n".to_owned();
    for n in 0..40_000 {
        write!(wire, "{n} .{}\r\n", "x".repeat(60)).unwrap();
    }
    for _ in 0..2 {
        client.begin("x@y.example");
        client.send(&wire);
        client.say(".", "250 2.0.0");
    }
    for name in site.files("router") {
        let (_, content) = site.named("router", &name);
        assert!(content.ends_with(&format!("\n{}", wire.replace("\r\n", "\n"))));
    }
    // One that turns out wrong at its end leaves nothing.
    client.begin("x@y.example");
    client.send(&wire);
    client.send("bare\nline\r\n");
    client.say(".", "550 5.5.2");
    client.begin("x@y.example");
    client.send(&wire);
    drop(client);
    site.wait_for_ends(1);
    let (code, folder) = site.drain();
    assert_eq!((code, files(folder.path(), "router").len()), (0, 2));
}

#[test]
fn many_sessions_at_once() {
    let mut site = Site::new(Plan::default());
    let mut clients: Vec<_> = (0..50).map(|_| site.client()).collect();
    for client in &mut clients {
        client.hello();
        client.begin("x@y.example");
        client.send("A: b\r\n\r\nhello\r\n.\r\n");
    }
    for client in &mut clients {
        client.hear("250 2.0.0");
    }
    assert_eq!(site.files("router").len(), 50);
    drop(clients);
    site.wait_for_ends(50);
}

#[test]
fn draining_lets_transactions_finish() {
    let mut site = Site::new(Plan::default());
    let mut idle = site.client();
    idle.hello();
    let mut busy = site.client();
    busy.hello();
    busy.begin("x@y.example");
    site.master.send(&ipc::master::ToChild::Drain).unwrap();
    idle.hear("421 4.3.2");
    assert_eq!(idle.reply(), "");
    let mut late = site.client();
    late.hear("421");
    busy.send("A: b\r\n\r\nhello\r\n.\r\n");
    busy.hear("250 2.0.0");
    busy.hear("421 4.3.2");
    let (code, folder) = site.drain();
    assert_eq!((code, files(folder.path(), "router").len()), (0, 1));
}

#[test]
fn without_master_it_stops() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    assert_eq!(site.orphan(), daemon::EX_ORPHANED);
    assert_eq!(client.reply(), "");
}

#[test]
fn who_speaks_first_or_is_one_too_many_goes() {
    let mut site = Site::new(Plan::default());
    let mut early = site.client_with(0, None, b"EHLO x\r\n");
    early.hear("554 5.5.0");
    assert_eq!(early.reply(), "");
    let mut refused = site.client_with(0, Some("too many connections from there"), b"");
    refused.hear("421 4.7.0 too many connections from there");
    assert_eq!(refused.reply(), "");
    site.wait_for_ends(2);
}

#[test]
fn local_users_and_lmtp() {
    let mut site = Site::new(Plan { router: Some(router(0)), ..Plan::default() });
    let mut local = site.local_client(1234);
    local.hello();
    local.begin("x@anywhere.example");
    local.say("A: b\r\n\r\n.", "250 2.0.0");
    let (envelope, content) = site.message();
    assert!(!envelope.external);
    assert_eq!(envelope.identinfo.as_deref(), Some("uid=1234"));
    assert!(content.starts_with("Received: from localhost (uid 1234)\n"), "{content}");
    let mut lmtp = site.client_with(1, None, b"");
    lmtp.hear("220");
    lmtp.say("LHLO c", "250");
    lmtp.say("MAIL FROM:<>", "250");
    lmtp.say("RCPT TO:<joe@local.example>", "250");
    lmtp.say("RCPT TO:<ann@local.example>", "250");
    lmtp.say("DATA", "354");
    lmtp.say("x\r\n.", "250 2.0.0");
    lmtp.hear("250 2.0.0");
}

#[test]
fn silence_is_ended() {
    let mut site = Site::new(Plan {
        change: Some(|s| {
            s.server.command_timeout = Duration::from_millis(300);
            s.server.data_timeout = Duration::from_millis(300);
        }),
        ..Plan::default()
    });
    let mut silent = site.client();
    silent.hello();
    silent.hear("421 4.4.2");
    let mut stuck = site.client();
    stuck.hello();
    stuck.begin("x@y.example");
    stuck.send("half a line");
    stuck.hear("421 4.4.2");
    site.wait_for_ends(2);
    assert!(site.files("router").is_empty());
}
