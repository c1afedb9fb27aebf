//! Messages that fare differently for their recipients: PRDR with Exim and swaks, LMTP; and what no rule makes differ.

use end_to_end::clients::{run_with, usable};
use end_to_end::exim::Exim;
use end_to_end::wire::Wire;
use end_to_end::{LONG, Suite, SuiteBuilder, files, wait_until};
use std::fs;
use std::process::Command;

/// Refuses what is for sale; freezes what is odd.
const FILTER: &str = r#"
[filter]
program = ["/bin/sh", "-c", "while read -r file; do if grep -q '^buy now' $file; then echo '-1 550 5.7.1 not wanted'; elif grep -q '^odd' $file; then echo '1 odd'; else echo 0; fi; done"]
[[access]]
recipient = ["abuse@", "postmaster@"]
filter = false
"#;

fn builder() -> SuiteBuilder {
    Suite::builder().with_certificate("one", &["mta.test.example", "localhost"]).with_maildirs().with(FILTER)
}

/// Messages in the Maildirs of these users.
fn arrived(suite: &Suite, users: &[&str]) -> Vec<usize> {
    users.iter().map(|user| files(&suite.path(&format!("mail/{user}/new"))).len()).collect()
}

#[test]
fn exim_asks_for_prdr_and_believes_each_reply() {
    let Some(program) = Exim::usable() else { return };
    let suite = builder().start();
    let exim = Exim::prepare(&program, suite.port, "");
    fs::copy(suite.path("one.pem"), exim.folder.path().join("ca.pem")).unwrap();
    let users = ["a", "abuse", "b", "postmaster"];
    let (_, text) = exim.send(&users, b"From: a@far.example\nSubject: x\n\nbuy now\n");
    let log = exim.log();
    let line = |mark: &str, user: &str| {
        let start = format!("{mark} {user}@local.example");
        let log = log.replace("->", "=>");
        log.lines().find(|line| line.contains(&start)).unwrap_or_else(|| panic!("{start}: {text}{log}")).to_owned()
    };
    for user in ["abuse", "postmaster"] {
        let line = line("=>", user);
        assert!(line.contains(" PRDR "), "{line}");
    }
    for user in ["a", "b"] {
        assert!(line("**", user).contains("550 5.7.1 not wanted"), "{log}");
    }
    wait_until("the message in both mailboxes", LONG, || arrived(&suite, &["abuse", "postmaster"]) == [1, 1]);
    suite.wait_drained(LONG);
    assert_eq!(arrived(&suite, &users), [0, 1, 0, 1]);
    assert_eq!(suite.counter("smtpserver", "partly_accepted"), 1);
    // What nobody refuses goes to all of them at once.
    let (good, text) = exim.send(&users, b"From: a@far.example\nSubject: x\n\nhello\n");
    assert!(good, "{text}");
    wait_until("the message in all mailboxes", LONG, || arrived(&suite, &users) == [1, 2, 1, 2]);
    assert_eq!(suite.counter("smtpserver", "messages"), 2);
}

#[test]
fn swaks_with_prdr_and_lmtp() {
    if !usable(&["swaks"]) {
        return;
    }
    let builder = builder();
    let socket = builder.folder().join("lmtp");
    let suite = builder.listening(&format!("kind = \"lmtp\"\nbind = \"unix:{}\"", socket.display())).start();
    let to = "one@local.example,abuse@local.example,two@local.example";
    let send = |options: &[&str], body: &str| {
        let mut swaks = Command::new("swaks");
        swaks.args(["--from", "a@far.example", "--to", to, "--body", body]).args(options);
        run_with(&mut swaks, b"").1
    };
    let server = format!("127.0.0.1:{}", suite.port);
    let socket = socket.display().to_string();
    let prdr = send(&["--server", &server, "--prdr"], "buy now");
    assert!(prdr.contains("250-PRDR") && prdr.contains("353 ") && prdr.contains("250 2.0.0 ok for 1 of 3 recipients"), "{prdr}");
    let lmtp = send(&["--protocol", "LMTP", "--socket", &socket], "buy now");
    assert_eq!((lmtp.matches("250 2.0.0 ok queued as").count(), lmtp.matches("550 5.7.1 not wanted").count()), (1, 2), "{lmtp}");
    // The others are asked to come alone, since they are to be set aside.
    let odd = send(&["--server", &server, "--prdr"], "odd");
    assert!(odd.matches("452 4.5.3 ").count() == 2 && odd.contains("250 2.0.0 ok for 1 of 3"), "{odd}");
    wait_until("the messages for abuse", LONG, || arrived(&suite, &["abuse"]) == [3]);
    suite.wait_drained(LONG);
    assert_eq!(arrived(&suite, &["one", "two"]), [0, 0]);
}

#[test]
fn without_a_filter_nothing_is_offered_and_nobody_put_off() {
    let rules = FILTER.split_once("[[access]]").unwrap().1;
    let suite = Suite::builder().with_maildirs().with(&format!("[[access]]{rules}")).start();
    let mut client = Wire::connect(suite.port);
    client.hear("220");
    let said = client.say("EHLO client.example", "250");
    assert!(!said.contains("PRDR"), "{said}");
    client.say("MAIL FROM:<a@far.example> PRDR", "555 5.5.4");
    client.say("MAIL FROM:<a@far.example>", "250");
    for user in ["a", "abuse"] {
        client.say(&format!("RCPT TO:<{user}@local.example>"), "250 2.1.5");
    }
}

/// The test that a client writes for itself.
#[test]
fn zpost_policy_test_shows_who_has_to_come_alone() {
    let suite = builder().start();
    let arguments = ["policy", "test", "--ip", "192.0.2.1", "--helo", "c.example", "--from", "a@far.example"];
    let said = suite.zpost(&[&arguments[..], &["--to", "a@local.example", "--to", "abuse@local.example"]].concat());
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(text.contains("452 4.5.3 ") && text.contains("filter"), "{text}");
}
