use super::site::{Dialogue, Plan, Site};
use settings::Settings;
use std::time::{Duration, Instant};

fn site(change: fn(&mut Settings)) -> Site {
    Site::new(Plan { change: Some(change), ..Plan::default() })
}

#[test]
fn errors_past_the_soft_limit_are_answered_late_and_in_order() {
    let mut site = site(|s| {
        s.patience.soft_errors = 2;
        s.patience.tarpit_first = Duration::from_millis(300);
        s.patience.tarpit_factor = 2.0;
        s.patience.tarpit_longest = Duration::from_millis(700);
    });
    let mut client = site.client();
    client.hello();
    for _ in 0..2 {
        client.say("BOGUS", "500");
    }
    let begin = Instant::now();
    // What comes behind has to wait too: nothing is read in the tarpit. Another client notices nothing.
    client.send("BOGUS\r\n");
    let mut other = site.client();
    other.hello();
    client.send("NOOP\r\n");
    client.hear("500");
    client.hear("250");
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let begin = Instant::now();
    client.say("BOGUS", "500");
    client.say("BOGUS", "500");
    assert!(begin.elapsed() >= Duration::from_millis(600 + 700));
}

/// Until the server closes: the code it said last.
fn end_of(client: &mut Dialogue) -> String {
    let mut last = String::new();
    loop {
        let reply = client.reply();
        if reply.is_empty() {
            return last;
        }
        last = reply;
    }
}

#[test]
fn a_command_that_trickles_does_not_extend_its_time() {
    let mut site = site(|s| s.server.command_timeout = Duration::from_millis(600));
    let mut client = site.client();
    client.hello();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let mut writer = client.writer();
    let trickle = std::thread::spawn(move || {
        // Ends by the closed socket, or by the test's end.
        while stopped.recv_timeout(Duration::from_millis(100)).is_err() && writer.write_all(b"x").is_ok() {}
    });
    assert!(end_of(&mut client).starts_with("421 4.4.2"));
    drop(stop);
    trickle.join().unwrap();
    site.wait_for_ends(1);
}

#[test]
fn a_message_that_comes_too_slowly_is_ended() {
    let mut site = site(|s| {
        s.patience.min_rate = 1 << 20;
        s.patience.min_rate_grace = Duration::from_millis(500);
    });
    let mut client = site.client();
    client.hello();
    client.begin("x@y.example");
    client.send("Subject: slow\r\n\r\n");
    client.hear("421 4.4.2 the message comes too slowly");
    assert_eq!(client.reply(), "");
    site.wait_for_ends(1);
    assert!(site.files("router").is_empty() && site.files("public").is_empty());
}

#[test]
fn a_session_has_an_end_but_a_message_in_hand_more_time() {
    let mut site = site(|s| {
        s.patience.session_limit = Duration::from_millis(700);
        s.patience.session_limit_message = Duration::from_secs(60);
    });
    let mut busy = site.client();
    busy.hello();
    busy.begin("x@y.example");
    let mut idle = site.client();
    idle.hello();
    // However often it speaks.
    for _ in 0..10 {
        idle.say("NOOP", "250");
    }
    idle.hear("421 4.4.2 this session takes too long");
    busy.say("A: b\r\n\r\nx\r\n.", "250 2.0.0");
    busy.hear("421 4.4.2 this session takes too long");
    assert_eq!(site.files("router").len(), 1);
    site.wait_for_ends(2);
}
