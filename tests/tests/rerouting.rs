//! Mail that is kept or stuck, given back to the routers; and mail to the host itself from strangers.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, free_port, wait_until};
use std::fs;

fn send(suite: &Suite, to: &str) -> String {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let (code, text) = session.message("anna@sender.example", &[to], b"Subject: x\r\n\r\nbody\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
    text.trim().rsplit(' ').next().unwrap().to_owned()
}

fn delivered(suite: &Suite, user: &str) -> usize {
    fs::read_dir(suite.path("mail").join(user).join("new")).map_or(0, Iterator::count)
}

/// The routes change; what waits by the old ones goes by the new ones.
#[test]
fn reroute_and_release_follow_the_routes_of_today() {
    let dead = free_port();
    let suite = Suite::builder()
        .with(&format!("[[route]]\ndomain = \"stuck.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{dead}\""))
        .with("[[route]]\ndomain = \"kept.example\"\nchannel = \"hold\"\nhost = \"admin\"")
        .with_maildirs()
        .start();
    let (stuck, kept) = (send(&suite, "stuck@stuck.example"), send(&suite, "kept@kept.example"));
    wait_until("both are deferred", LONG, || suite.json(&["queue", "--state", "deferred"]).as_array().unwrap().len() == 2);
    let text = fs::read_to_string(suite.config()).unwrap();
    let text = text.replace("channel = \"hold\"\nhost = \"admin\"", "channel = \"local\"");
    let text = text.replace(&format!("channel = \"smtp\"\nhost = \"127.0.0.1:{dead}\""), "channel = \"local\"");
    fs::write(suite.config(), text).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    let dry = suite.json(&["reroute", &stuck, "--dry-run"]);
    assert_eq!((dry["action"].as_str(), dry["messages"][0]["recipients"].as_u64()), (Some("reroute"), Some(1)));
    assert!(suite.zpost(&["reroute", &stuck]).status.success());
    assert!(suite.zpost(&["release", &kept]).status.success());
    wait_until("both are delivered", LONG, || delivered(&suite, "stuck") == 1 && delivered(&suite, "kept") == 1);
    wait_until("nothing is left", LONG, || suite.json(&["queue"]).as_array().unwrap().is_empty());
    let trace = String::from_utf8_lossy(&suite.zpost(&["trace", &stuck]).stdout).into_owned();
    assert!(trace.contains("rerouted") && trace.contains("resubmitted"), "{trace}");
}

/// Canonical forms are given once, to recipients and senders, and an alias that names itself stands for its others once: also
/// where the mail was kept in between.
#[test]
fn what_was_done_before_it_was_kept_is_not_done_again() {
    let suite = Suite::builder()
        .with("[[route]]\ndomain = \"kept.example\"\nchannel = \"hold\"\nhost = \"admin\"")
        .with(
            "[routing]\ncanonical = [\"forms\"]\nsender_canonical = [\"forms\"]\nfqdn_aliases = [\"copies\"]\n\
             [[table]]\nname = \"forms\"\nkind = \"inline\"\n\
             entries = { \"one@kept.example\" = \"two@kept.example\", \"two@kept.example\" = \"three@kept.example\", \
             \"anna@sender.example\" = \"bea@sender.example\", \"bea@sender.example\" = \"cleo@sender.example\" }\n\
             [[table]]\nname = \"copies\"\nkind = \"inline\"\nentries = { \"joe@kept.example\" = \"joe@kept.example, copy@local.example\" }\n",
        )
        .with_maildirs()
        .start();
    let (one, joe) = (send(&suite, "one@kept.example"), send(&suite, "joe@kept.example"));
    let held = |id: &str| suite.json(&["queue", "--channel", "hold"]).as_array().unwrap().iter().any(|message| message["id"] == *id);
    wait_until("both are held, and joe's copy is delivered", LONG, || held(&one) && held(&joe) && delivered(&suite, "copy") == 1);
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), text.replace("channel = \"hold\"\nhost = \"admin\"", "channel = \"local\"")).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    assert!(suite.zpost(&["release", &one, &joe]).status.success());
    wait_until("both are delivered", LONG, || delivered(&suite, "two") == 1 && delivered(&suite, "joe") == 1);
    suite.wait_drained(LONG);
    assert_eq!((delivered(&suite, "three"), delivered(&suite, "copy")), (0, 1));
    let file = fs::read_dir(suite.path("mail/two/new")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(file).unwrap();
    assert!(text.starts_with("Return-Path: <bea@sender.example>\n"), "{text}");
}

/// RFC 5321 section 4.5.1: whoever the client is, the postmaster of the host is there.
#[test]
fn strangers_reach_the_postmaster_of_the_host() {
    let suite = Suite::builder().with_maildirs().start();
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), text.replace("networks = [\"127.0.0.0/8\", \"::1\"]", "networks = []")).unwrap();
    assert!(suite.zpost(&["reload"]).status.success());
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO stranger.example").unwrap();
    session.command("MAIL FROM:<a@sender.example>").unwrap();
    for (to, expected) in [
        ("b@elsewhere.example", 550),
        ("postmaster@mta.test.example", 250),
        ("postmaster@[127.0.0.1]", 250),
        ("postmaster", 250),
        ("postmaster@local.example", 250),
    ] {
        assert_eq!(session.command(&format!("RCPT TO:<{to}>")).unwrap().0, expected, "{to}");
    }
}
