use super::site::{Plan, Site, contact, router, tracker};
use std::time::Duration;

fn hurried(settings: &mut settings::Settings) {
    settings.server.helper_timeout = Duration::from_millis(300);
}

#[test]
fn a_router_farm_that_dies_once_is_asked_again() {
    let mut site = Site::new(Plan { router: Some(router(1)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.begin("joe@local.example");
    client.say("x\r\n.", "250 2.0.0");
}

#[test]
fn a_question_that_kills_whoever_hears_it_is_put_twice_only() {
    let mut site = Site::new(Plan { router: Some(router(2)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.say("MAIL FROM:<>", "250");
    client.say("RCPT TO:<joe@local.example>", "451 4.3.0");
    client.say("RCPT TO:<joe@local.example>", "250");
}

#[test]
fn without_an_answer_the_client_comes_again() {
    let (caller, _silent) = contact();
    for router in [Some(caller), None] {
        let mut site = Site::new(Plan { router, change: Some(hurried), ..Plan::default() });
        let mut client = site.client();
        client.hello();
        client.say("MAIL FROM:<>", "250");
        client.say("RCPT TO:<joe@local.example>", "451 4.3.0");
        client.say("RCPT TO:<x@y.example>", "250");
        client.say("DATA", "354");
        client.say("x\r\n.", "250 2.0.0");
    }
}

#[test]
fn limits_refuse_connections_senders_and_recipients() {
    let mut site =
        Site::new(Plan { tracker: Some(tracker(1)), change: Some(|s| s.rates.connections_per_address = Some(1)), ..Plan::default() });
    let mut first = site.client();
    first.hello();
    let mut second = site.client();
    second.hear("421 4.7.0 too much from there");
    site.wait_for_ends(1);

    let mut site =
        Site::new(Plan { tracker: Some(tracker(1)), change: Some(|s| s.rates.messages_per_address = Some(1)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.begin("x@y.example");
    client.say("x\r\n.", "250");
    client.say("MAIL FROM:<>", "450 4.7.1 too much from there");
    client.say("RCPT TO:<x@y.example>", "503");

    let plan = Plan {
        tracker: Some(tracker(1)),
        router: Some(router(0)),
        change: Some(|s| s.rates.recipients_per_address = Some(1)),
        ..Plan::default()
    };
    let mut site = Site::new(plan);
    let mut client = site.client();
    client.hello();
    client.send("MAIL FROM:<>\r\nRCPT TO:<joe@local.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n");
    for code in ["250", "250", "450", "354"] {
        client.hear(code);
    }
}

#[test]
fn no_room_is_told_at_mail() {
    let mut site = Site::new(Plan { change: Some(|s| s.server.min_free_bytes = u64::MAX), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.say("MAIL FROM:<>", "452 4.3.1");
}

#[test]
fn a_disk_that_refuses_is_no_loss_and_heals() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    client.begin("x@y.example");
    client.say("x\r\n.", "250 2.0.0");
    let (router, away) = (site.folder.path().join("postoffice/router"), site.folder.path().join("postoffice/away"));
    let big = "0123456789abcdef\r\n".repeat(40_000);
    // A folder that is a file: every rename into it fails. The worker holds the old folder open by descriptor, so the
    // permission is what it meets; root has every permission, so the test then has nothing to see.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o500);
    std::fs::set_permissions(&router, mode).unwrap();
    if std::fs::write(router.join("probe"), "").is_err() {
        for text in ["x\r\n", big.as_str()] {
            client.begin("x@y.example");
            client.say(&format!("{text}."), "451 4.3.0");
        }
    }
    std::fs::set_permissions(&router, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let _ = std::fs::remove_file(router.join("probe"));
    client.begin("x@y.example");
    client.say("x\r\n.", "250 2.0.0");
    assert!(site.files("public").is_empty() && !away.exists());
    assert_eq!(site.files("router").len(), 2);
}
