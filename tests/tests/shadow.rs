//! A configuration that is tried beside the one at work: what differs is said, nothing of it happens, then it is taken.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, SuiteBuilder, wait_until};
use std::fs;

fn started() -> Suite {
    started_with(Suite::builder())
}

fn started_with(builder: SuiteBuilder) -> Suite {
    let script = builder.folder().join("router.lua");
    fs::write(&script, "function route(address) if address.user == 'same' then return {channel = 'discard'} end end").unwrap();
    builder.with_maildirs().with(&format!("[routing]\nscript = \"{}\"\n", script.display())).start()
}

/// The configuration with another script.
fn change(suite: &Suite, script: &str) {
    let other = suite.path("other.lua");
    fs::write(&other, script).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), text.replace("router.lua", "other.lua")).unwrap();
}

fn send(suite: &Suite, to: &[&str]) {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO client.example").unwrap();
    let (code, text) = session.message("anna@from.example", to, b"Subject: x\r\n\r\nbody\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
}

fn delivered(suite: &Suite, user: &str) -> usize {
    fs::read_dir(suite.path("mail").join(user).join("new")).map_or(0, Iterator::count)
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

const OTHER: &str = "function route(address)
  if address.user == 'same' then return {channel = 'discard'} end
  if address.user == 'moved' then return 'elsewhere@local.example' end
  if address.user == 'faulty' then return 5 end
end
function policy(envelope, recipient) if recipient.user == 'closed' then return refuse('5.7.1 no') end end
function rewrite(address, envelope, kind) if kind == 'sender' then return 'new@from.example' end end
";

#[test]
fn what_differs_is_said_and_nothing_of_it_happens() {
    let suite = started();
    change(&suite, OTHER);
    let output = suite.zpost(&["reload", "--shadow", "1h"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&suite.zpost(&["status"])).contains("0 addresses differ"), "{}", said(&suite.zpost(&["status"])));
    send(&suite, &["same@local.example", "moved@local.example", "faulty@local.example", "closed@local.example"]);
    wait_until("moved's", LONG, || delivered(&suite, "moved") == 1 && delivered(&suite, "faulty") == 1 && delivered(&suite, "closed") == 1);
    // Each recipient once as a question, once in the message; and the sender of the message.
    wait_until("all is compared", LONG, || suite.counter("router", "shadow_compared") >= 5);
    for wanted in ["address=moved@local.example", "elsewhere@local.example", "router.lua:4", "550 no", "new@from.example"] {
        let wanted = wanted.replace("router.lua", "other.lua");
        let said = |line: &str| line.contains("shadow_differs") && line.contains(&wanted);
        wait_until(&wanted, LONG, || suite.log().lines().any(said));
    }
    let log = suite.log();
    assert!(!log.lines().any(|line| line.contains("shadow_differs") && line.contains("address=same@")), "{log}");
    assert!(!log.contains("script_failed"), "a fault of what is tried is a difference, not a failure");
    assert_eq!(delivered(&suite, "elsewhere"), 0);
    let status = suite.json(&["status"]);
    assert!(status["shadow"].as_str().unwrap().contains("decisions compared"), "{status}");

    let generation = status["generation"].clone();
    let output = suite.zpost(&["reload", "--cancel"]);
    assert!(output.status.success() && said(&output).contains("addresses differ"), "{}", said(&output));
    assert_eq!(suite.json(&["status"])["shadow"], "");
    assert_eq!(suite.json(&["status"])["generation"], generation);
    assert_eq!(suite.zpost(&["reload", "--cancel"]).status.code(), Some(69));
    send(&suite, &["moved@local.example"]);
    wait_until("as ever", LONG, || delivered(&suite, "moved") == 2);
}

/// With several volumes files are routed by threads; what they decide is compared too.
#[test]
fn files_of_other_volumes_are_compared() {
    let everywhere = "[[route]]\ndomain = \"*\"\nchannel = \"discard\"\n";
    let suite = started_with(Suite::builder().with_volume("second").with(everywhere));
    change(&suite, OTHER);
    assert!(suite.zpost(&["reload", "--shadow", "1h"]).status.success());
    // Relayed: nobody asks about them at RCPT.
    for _ in 0..8 {
        send(&suite, &["x@elsewhere.example"]);
    }
    wait_until("all are compared", LONG, || suite.counter("router", "shadow_compared") == 8);
    wait_until("the sender of each has another form", LONG, || suite.counter("router", "shadow_differs") == 8);
}

#[test]
fn in_the_end_it_is_taken() {
    let suite = started();
    change(&suite, OTHER);
    let before = suite.json(&["status"])["generation"].as_u64().unwrap();
    assert!(suite.zpost(&["reload", "--shadow", "1s"]).status.success());
    wait_until("the new generation", LONG, || suite.json(&["status"])["generation"].as_u64().unwrap() > before);
    assert_eq!(suite.json(&["status"])["shadow"], "");
    send(&suite, &["moved@local.example"]);
    wait_until("the new way", LONG, || delivered(&suite, "elsewhere") == 1);
}

#[test]
fn what_was_not_tried_is_not_taken() {
    let suite = started();
    change(&suite, OTHER);
    assert!(suite.zpost(&["reload", "--shadow", "5s"]).status.success());
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), format!("{text}\n# something else\n")).unwrap();
    wait_until("it is over", LONG, || suite.json(&["status"])["shadow"] == "");
    suite.logged("the file has changed");
    assert_eq!(suite.json(&["status"])["generation"], 1);
}

#[test]
fn a_faulty_configuration_is_not_tried() {
    let suite = started();
    change(&suite, "function route( end");
    let output = suite.zpost(&["reload", "--shadow", "1m"]);
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    assert!(said(&output).contains("other.lua:1:"), "{}", said(&output));
    assert_eq!(suite.json(&["status"])["shadow"], "");
    for bad in ["soon", "0s", "3000000h"] {
        assert_eq!(suite.zpost(&["reload", "--shadow", bad]).status.code(), Some(64), "{bad}");
    }
}
