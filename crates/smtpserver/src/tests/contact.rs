use super::site::{Dialogue, Plan, Site, tracker};
use settings::{EarlyTalkers, Settings};
use std::time::{Duration, Instant};

/// Loopback clients are strangers that wait.
fn strict(settings: &mut Settings) {
    settings.relay.networks.clear();
    settings.first_contact.exempt.clear();
    settings.first_contact.wait = Duration::from_millis(400);
    settings.server.command_timeout = Duration::from_secs(15);
}

fn gone(mut client: Dialogue, expected: &str) {
    client.hear(expected);
    assert_eq!(client.reply(), "");
}

#[test]
fn a_stranger_waits_and_one_that_cannot_is_dropped() {
    let mut site = Site::new(Plan { change: Some(strict), ..Plan::default() });
    let begin = Instant::now();
    let mut patient = site.client();
    let mut hasty = site.client();
    hasty.send("EHLO x\r\n");
    gone(hasty, "554 5.5.0");
    patient.hello();
    assert!(begin.elapsed() >= Duration::from_millis(400));
    drop(patient);
    site.wait_for_ends(2);
}

#[test]
fn early_talkers_may_be_let_in_to_be_seen() {
    for (action, code) in [(EarlyTalkers::Log, "250"), (EarlyTalkers::Enforce, "554 5.7.1")] {
        let change = match action {
            EarlyTalkers::Enforce => |s: &mut Settings| {
                strict(s);
                s.first_contact.early_talkers = EarlyTalkers::Enforce;
            },
            _ => |s: &mut Settings| {
                strict(s);
                s.first_contact.early_talkers = EarlyTalkers::Log;
            },
        };
        let mut site = Site::new(Plan { change: Some(change), router: Some(super::site::router(0)), ..Plan::default() });
        let mut client = site.client_with(0, None, b"EHLO early.example\r\n");
        client.hear("220");
        client.hear("250");
        client.say("MAIL FROM:<a@b.example>", "250");
        client.say("RCPT TO:<joe@local.example>", code);
    }
}

#[test]
fn the_tracker_saves_the_wait() {
    // It says of nobody that it knows them; the wait is there, and the client is told of as one that has passed.
    let mut site = Site::new(Plan { change: Some(strict), tracker: Some(tracker(5)), ..Plan::default() });
    site.client().hello();
    let change = |s: &mut Settings| {
        strict(s);
        s.first_contact.wait = Duration::from_secs(60);
    };
    let mut site = Site::new(Plan { change: Some(change), tracker: Some(super::site::remembering_tracker()), ..Plan::default() });
    // With a minute to wait only a client that is known gets through in time.
    site.client().hello();
}

#[test]
fn other_protocols_get_one_reply_before_and_after_the_greeting() {
    let foreign: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT mx.example:25 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
        b"\xff\xfe\xc3\x28\r\n",
        b"\0\0\0\0",
    ];
    let mut site = Site::new(Plan::default());
    for bytes in foreign {
        gone(site.client_with(0, None, bytes), "554 5.5.2");
        let mut client = site.client();
        client.hear("220");
        client.send(bytes);
        gone(client, "554 5.5.2");
    }
    let mut slow = site.client();
    slow.hear("220");
    for byte in b"POST " {
        slow.send([*byte]);
    }
    gone(slow, "554 5.5.2");
    site.client().hello();
}

#[test]
fn bare_newlines_of_strangers_are_dropped_where_asked_for() {
    for (change, code, ends) in [
        (
            (|s| {
                strict(s);
                s.first_contact.wait = Duration::ZERO;
                s.first_contact.drop_bare_newlines = true;
            }) as fn(&mut Settings),
            "554 5.5.2",
            true,
        ),
        (|s| s.first_contact.drop_bare_newlines = true, "500 5.5.2", false),
    ] {
        let mut site = Site::new(Plan { change: Some(change), ..Plan::default() });
        let mut client = site.client();
        client.hear("220");
        client.send("EHLO x\n");
        client.hear(code);
        if ends {
            assert_eq!(client.reply(), "");
        } else {
            client.say("NOOP", "250");
        }
    }
}
