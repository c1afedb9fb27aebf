//! The zpost commands against a running suite.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, free_port, wait_until};

/// A suite whose next hop is not there: everything is deferred.
fn stuck() -> Suite {
    Suite::builder().relaying_to(free_port()).start()
}

fn send(suite: &Suite, from: &str, to: &[&str]) -> String {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    let (code, text) = session.message(from, to, b"Subject: x\r\n\r\nbody of it\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
    text.trim().rsplit(' ').next().unwrap().to_owned()
}

fn state(suite: &Suite, id: &str) -> Option<String> {
    let queue = suite.json(&["queue"]);
    let message = queue.as_array().unwrap().iter().find(|m| m["id"] == id)?.clone();
    Some(message["recipients"][0]["state"].as_str().unwrap().to_owned())
}

#[test]
fn start_status_freeze_stop() {
    let suite = Suite::builder().relaying_to(free_port()).prepare();
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(3));
    let started = suite.zpost(&["start"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    assert!(Session::open(suite.port).is_ok(), "start returns when listeners accept");
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    assert!(!suite.zpost(&["start"]).status.success(), "a second start is refused");
    assert!(suite.zpost(&["freeze"]).status.success());
    let id = send(&suite, "a@sender.example", &["b@there.example"]);
    wait_until("it is queued", LONG, || state(&suite, &id).is_some());
    assert_eq!(state(&suite, &id).as_deref(), Some("queued"));
    assert!(suite.zpost(&["thaw"]).status.success());
    wait_until("it is tried", LONG, || state(&suite, &id).as_deref() == Some("deferred"));
    assert!(suite.zpost(&["restart"]).status.success());
    wait_until("it is still there after a restart", LONG, || state(&suite, &id).is_some());
    assert!(suite.zpost(&["stop"]).status.success());
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(3));
    assert!(suite.processes_below().is_empty());
}

#[test]
fn queue_show_why_trace() {
    let suite = stuck();
    let id = send(&suite, "anna@sender.example", &["bert@there.example", "carl@elsewhere.example"]);
    wait_until("both are deferred", LONG, || {
        let queue = suite.json(&["queue"]);
        let all = queue.as_array().unwrap();
        all.len() == 1 && all[0]["recipients"].as_array().unwrap().iter().all(|r| r["state"] == "deferred")
    });
    let queue = suite.json(&["queue", "--recipient", "bert@there.example"]);
    let message = &queue[0];
    assert_eq!(message["id"], id.as_str());
    assert_eq!(message["sender"], "anna@sender.example");
    assert!(message["size"].as_u64().unwrap() > 10);
    assert!(message["arrived"].as_str().unwrap().contains('T'));
    let recipient = message["recipients"].as_array().unwrap().iter().find(|r| r["address"] == "bert@there.example").unwrap();
    assert_eq!(recipient["channel"], "smtp");
    assert!(recipient["attempts"].as_u64().unwrap() >= 1);
    assert!(recipient["last"].as_str().unwrap().to_lowercase().contains("refused"), "{recipient}");
    for filter in
        [&["--sender", "anna@sender.example"][..], &["--domain", "there.example"], &["--channel", "smtp"], &["--state", "deferred"]]
    {
        assert_eq!(suite.json(&[&["queue"], filter].concat()).as_array().unwrap().len(), 1, "{filter:?}");
    }
    for filter in [&["--sender", "other@sender.example"][..], &["--domain", "not.example"], &["--state", "held"], &["--older", "1h"]] {
        assert_eq!(suite.json(&[&["queue"], filter].concat()).as_array().unwrap().len(), 0, "{filter:?}");
    }
    let show = String::from_utf8_lossy(&suite.zpost(&["show", &id, "--body"]).stdout).into_owned();
    assert!(show.contains("anna@sender.example") && show.contains("Subject: x") && show.contains("body of it"), "{show}");
    let why = String::from_utf8_lossy(&suite.zpost(&["why", &id]).stdout).into_owned();
    assert!(why.to_lowercase().contains("refused"), "{why}");
    let trace = String::from_utf8_lossy(&suite.zpost(&["trace", &id]).stdout).into_owned();
    for step in ["accepted", "routed", "deferred"] {
        assert!(trace.contains(step), "{step} is not in {trace}");
    }
    for flag in ["-Q", "-QQ", "-QQQ", "-QQQQ"] {
        let output = suite.command(end_to_end::programs().join("mailq")).arg(flag).output().unwrap();
        assert!(output.status.success(), "mailq {flag}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!suite.zpost(&["show", "0000000000000000"]).status.success());
}

#[test]
fn hold_release_retry_delete_expire() {
    let mut suite = stuck();
    let id = send(&suite, "anna@sender.example", &["bert@there.example"]);
    wait_until("deferred", LONG, || state(&suite, &id).as_deref() == Some("deferred"));
    let dry = suite.zpost(&["hold", &id, "--dry-run"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains(&id));
    assert_eq!(state(&suite, &id).as_deref(), Some("deferred"));
    assert!(suite.zpost(&["hold", "--sender", "anna@sender.example"]).status.success());
    assert_eq!(state(&suite, &id).as_deref(), Some("held"));
    suite.stop();
    suite.start();
    wait_until("still held after a restart", LONG, || state(&suite, &id).as_deref() == Some("held"));
    assert!(suite.zpost(&["release", &id]).status.success());
    wait_until("tried again", LONG, || state(&suite, &id).as_deref() == Some("deferred"));
    let attempts = |suite: &Suite| suite.json(&["queue"])[0]["recipients"][0]["attempts"].as_u64().unwrap();
    let before = attempts(&suite);
    assert!(suite.zpost(&["retry", &id]).status.success());
    wait_until("one more attempt", LONG, || attempts(&suite) > before);
    assert!(!suite.zpost(&["delete"]).status.success(), "an empty selection must be refused");
    assert!(suite.zpost(&["delete", &id]).status.success());
    wait_until("gone", LONG, || suite.json(&["queue"]).as_array().unwrap().is_empty());
    assert_eq!(suite.spooled(), 0);
}

#[test]
fn expire_bounces_now() {
    let suite = Suite::builder()
        .with(&format!("[[route]]\ndomain = \"there.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", free_port()))
        .with_maildirs()
        .start();
    let id = send(&suite, "otto@local.example", &["bert@there.example"]);
    wait_until("deferred", LONG, || state(&suite, &id).as_deref() == Some("deferred"));
    assert!(suite.zpost(&["expire", &id]).status.success());
    let new = suite.path("mail/otto/new");
    wait_until("the bounce is there", LONG, || !end_to_end::files(&new).is_empty());
    suite.wait_drained(LONG);
}

#[test]
fn counters_and_trace_after_delivery() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let id = send(&suite, "anna@sender.example", &["bert@there.example"]);
    wait_until("delivered", LONG, || sink.messages().len() == 1);
    suite.wait_drained(LONG);
    assert_eq!(suite.counter("scheduler", "delivered"), 1);
    assert_eq!(suite.counter("smtpserver", "messages"), 1);
    let mut trace = String::new();
    wait_until("the trace is complete", LONG, || {
        trace = String::from_utf8_lossy(&suite.zpost(&["trace", &id]).stdout).into_owned();
        ["accepted", "routed", "delivered", "removed"].iter().all(|step| trace.contains(step))
    });
    let received = String::from_utf8_lossy(&sink.text()).into_owned();
    assert!(received.contains(&format!("id {id}")), "the id stands in Received: {received}");
}
