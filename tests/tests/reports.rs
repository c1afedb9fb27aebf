//! Reports to senders, of every kind, from the real programs; Python's email package takes each apart.

use end_to_end::{LONG, Sink, Suite, files, free_port, wait_until};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A report as JSON: its header, the text, the fields about the message and about each recipient, what is returned.
const TAKE_APART: &str = r"
import sys, json, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
assert not m.defects, m.defects
assert m.get_content_type() == 'multipart/report' and m.get_param('report-type') == 'delivery-status', m['content-type']
parts = m.get_payload()
assert len(parts) == 3, len(parts)
kind = parts[1].get_content_type()
if kind == 'message/delivery-status':
    blocks = parts[1].get_payload()
else:
    text = parts[1].get_payload(decode=True) or parts[1].get_payload()[0].as_bytes()
    blocks = [email.message_from_bytes(b, policy=email.policy.SMTPUTF8) for b in text.strip().split(b'\n\n')]
fields = [{k.lower(): str(v) for k, v in b.items()} for b in blocks if b.keys()]
names = [k.lower() for b in blocks for k in b.keys()]
print(json.dumps({'subject': m['subject'], 'from': m['from'], 'to': m['to'], 'auto': m['auto-submitted'], 'kinds': [p.get_content_type() for p in parts],
    'text': parts[0].get_content(), 'message': fields[0], 'recipients': fields[1:], 'returned': parts[2].as_string(), 'names': len(names)}))
";

/// One transaction; arguments: port, sender, MAIL parameters, then address and RCPT parameters in turn.
const SEND: &str = r"
import sys, smtplib
port, sender, mail, *rest = sys.argv[1:]
s = smtplib.SMTP('127.0.0.1', int(port))
s.command_encoding = 'utf-8'
s.ehlo()
def said(answer): assert answer[0] < 400, answer
said(s.docmd('MAIL FROM:<%s> %s' % (sender, mail)))
for to, options in zip(rest[::2], rest[1::2]): said(s.docmd('RCPT TO:<%s> %s' % (to, options)))
code, text = s.data(b'Subject: hello\r\nMessage-ID: <m@sender.example>\r\n\r\nthe body\r\n')
said((code, text))
print(text.decode().split()[-1])
s.quit()
";

fn python(script: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("python3");
    let mut child =
        command.args(["-c", script]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(input));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Sends from `sender@local.example`; the id.
fn send(suite: &Suite, mail: &str, recipients: &[(&str, &str)]) -> String {
    send_from(suite, "sender@local.example", mail, recipients)
}

fn send_from(suite: &Suite, sender: &str, mail: &str, recipients: &[(&str, &str)]) -> String {
    let port = suite.port.to_string();
    let mut arguments = vec![port.as_str(), sender, mail];
    recipients.iter().for_each(|(to, options)| arguments.extend([*to, *options]));
    python(SEND, &arguments, b"")
}

fn folder(suite: &Suite, user: &str) -> PathBuf {
    suite.path("mail").join(user).join("new")
}

/// The reports in a mailbox, taken apart, once there are so many.
fn reports(suite: &Suite, user: &str, count: usize) -> Vec<Value> {
    let folder = folder(suite, user);
    wait_until("the reports arrive", LONG, || files(&folder).len() >= count);
    let names = files(&folder);
    assert_eq!(names.len(), count, "{names:?}");
    names.iter().map(|name| serde_json::from_str(&python(TAKE_APART, &[], &fs::read(folder.join(name)).unwrap())).unwrap()).collect()
}

fn route(domain: &str, port: u16) -> String {
    format!("[[route]]\ndomain = \"{domain}\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{port}\"\n")
}

/// What every report has.
fn is_whole(report: &Value) {
    assert_eq!(report["auto"], "auto-replied");
    assert_eq!(report["to"], "sender@local.example");
    assert_eq!(report["message"]["reporting-mta"], "dns; mta.test.example");
    assert!(report["message"]["arrival-date"].is_string());
    for recipient in report["recipients"].as_array().unwrap() {
        for field in ["final-recipient", "action", "status"] {
            assert!(recipient[field].is_string(), "{field}: {recipient}");
        }
    }
}

#[test]
fn success_is_told_where_it_is_asked_for() {
    // -N: it offers no DSN.
    let sink = Sink::with(&["-N"]);
    let suite = Suite::builder().with(&route("sink.example", sink.port)).with_maildirs().start();
    let asks = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anna@local.example";
    send(
        &suite,
        "ENVID=QQ2B+2B7 RET=HDRS",
        &[("anna@local.example", asks), ("bert@local.example", ""), ("carl@local.example", "NOTIFY=NEVER")],
    );
    let report = reports(&suite, "sender", 1).remove(0);
    is_whole(&report);
    let recipients = report["recipients"].as_array().unwrap();
    assert_eq!(recipients.len(), 1, "only who asked");
    assert_eq!(recipients[0]["action"], "delivered");
    assert_eq!(recipients[0]["status"], "2.0.0");
    assert_eq!(recipients[0]["original-recipient"], "rfc822; anna@local.example");
    assert_eq!(recipients[0]["final-recipient"], "rfc822; anna@local.example");
    assert_eq!(report["message"]["original-envelope-id"], "QQ2B+7");
    assert_eq!(report["kinds"][2], "text/rfc822-headers");
    assert!(!report["returned"].as_str().unwrap().contains("the body"));
    fs::remove_file(folder(&suite, "sender").join(&files(&folder(&suite, "sender"))[0])).unwrap();

    // What becomes of it behind a server without DSN is not known.
    let id = send(&suite, "", &[("dora@sink.example", "NOTIFY=SUCCESS")]);
    let report = reports(&suite, "sender", 1).remove(0);
    is_whole(&report);
    let recipient = &report["recipients"][0];
    assert_eq!(recipient["action"], "relayed");
    assert!(recipient["remote-mta"].as_str().unwrap().starts_with("dns; 127.0.0.1"), "{recipient}");
    assert!(recipient["diagnostic-code"].as_str().unwrap().starts_with("smtp; 250"), "{recipient}");
    suite.wait_drained(LONG);
    let trace = String::from_utf8(suite.zpost(&["trace", &id]).stdout).unwrap();
    assert!(trace.contains("reported") && trace.contains("kind=relayed"), "{trace}");
}

#[test]
fn a_next_hop_that_knows_dsn_has_the_duty() {
    let (first_port, second_port) = (free_port(), free_port());
    let first = Suite::builder()
        .with(&route("far.example", second_port))
        .with_maildirs()
        .listening(&format!("kind = \"smtp\"\nbind = \"127.0.0.1:{first_port}\""))
        .start();
    let far = first.path("mail").join("far");
    fs::create_dir_all(&far).unwrap();
    let second = Suite::builder()
        .with(&route("local.example", first_port))
        .with(&format!(
            "[local]\ndomains = [\"far.example\"]\ndelivery = \"maildir\"\nmaildir = \"{}/%u\"\nusers = \"any\"\n",
            first.path("mail").display()
        ))
        .listening(&format!("kind = \"smtp\"\nbind = \"127.0.0.1:{second_port}\""))
        .start();
    send(&first, "ENVID=E1", &[("anna@far.example", "NOTIFY=SUCCESS ORCPT=rfc822;anna@far.example")]);
    let report = reports(&first, "sender", 1).remove(0);
    is_whole(&report);
    assert_eq!(report["recipients"][0]["action"], "delivered");
    assert_eq!(report["recipients"][0]["original-recipient"], "rfc822; anna@far.example");
    assert_eq!(report["message"]["original-envelope-id"], "E1");
    first.wait_drained(LONG);
    second.wait_drained(LONG);
    assert_eq!((first.counter("ta-errormail", "successes"), second.counter("ta-errormail", "successes")), (0, 1));
}

#[test]
fn a_delay_is_told_once_also_over_a_restart() {
    let nobody = free_port();
    let mut suite = Suite::builder()
        .with(&route("late.example", nobody))
        .with("[queue]\nretry_first = \"1s\"\nretry_longest = \"1s\"\n[[channel]]\nname = \"smtp\"\nwarn_after = \"2s\"\n")
        .with_maildirs()
        .start();
    let id = send(&suite, "", &[("anna@late.example", ""), ("bert@late.example", "NOTIFY=FAILURE"), ("carl@late.example", "NOTIFY=DELAY")]);
    let report = reports(&suite, "sender", 1).remove(0);
    is_whole(&report);
    let recipients = report["recipients"].as_array().unwrap();
    assert_eq!(recipients.len(), 2, "bert's delay is not asked for");
    for recipient in recipients {
        assert_eq!(recipient["action"], "delayed");
        assert!(recipient["status"].as_str().unwrap().starts_with("4."));
        assert!(recipient["will-retry-until"].is_string() && recipient["diagnostic-code"].is_string(), "{recipient}");
    }
    assert!(report["text"].as_str().unwrap().contains("It will be tried until "));
    let told =
        || suite.json(&["why", &id])["message"]["recipients"].as_array().into_iter().flatten().filter(|r| r["report"] == "told").count();
    wait_until("the queue knows that the sender was told", LONG, || told() == 2);
    let attempts = |suite: &Suite| suite.json(&["why", &id])["message"]["recipients"][0]["attempts"].as_u64().unwrap_or(0);
    let before = attempts(&suite);
    suite.stop();
    suite.start();
    wait_until("it is tried again twice", LONG, || attempts(&suite) >= before + 2);
    assert_eq!(files(&folder(&suite, "sender")).len(), 1, "told once");
    let output = String::from_utf8(suite.zpost(&["why", &id]).stdout).unwrap();
    assert!(output.contains("the sender has been told of the delay"), "{output}");
}

#[test]
fn three_failures_of_one_message_are_one_report() {
    let (at_rcpt, at_data) = (Sink::with(&["-f", "RCPT"]), Sink::with(&["-f", "DATA"]));
    let suite = Suite::builder()
        .with(&route("rcpt.example", at_rcpt.port))
        .with(&route("data.example", at_data.port))
        .with("[[route]]\ndomain = \"no.example\"\nchannel = \"error\"\nhost = \"5.1.2 no such place\"\n[bounce]\ngather = \"10m\"\ncopy_to_postmaster = [\"failed\"]\n")
        .with_maildirs()
        .start();
    send(
        &suite,
        "ENVID=three RET=FULL",
        &[("a@no.example", ""), ("b@rcpt.example", ""), ("c@data.example", "NOTIFY=FAILURE"), ("d@rcpt.example", "NOTIFY=NEVER")],
    );
    // The rest of ten minutes is not waited for: nobody else can join.
    let report = reports(&suite, "sender", 1).remove(0);
    is_whole(&report);
    let mut failed: Vec<&str> = report["recipients"].as_array().unwrap().iter().map(|r| r["final-recipient"].as_str().unwrap()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["rfc822; a@no.example", "rfc822; b@rcpt.example", "rfc822; c@data.example"]);
    assert!(
        report["recipients"].as_array().unwrap().iter().all(|r| r["action"] == "failed" && r["status"].as_str().unwrap().starts_with("5."))
    );
    assert_eq!(report["kinds"][2], "message/rfc822");
    assert!(report["returned"].as_str().unwrap().contains("the body"));
    let copy = reports(&suite, "postmaster", 1).remove(0);
    assert!(copy["subject"].as_str().unwrap().starts_with("Postmaster Copy: ") && !copy["returned"].as_str().unwrap().contains("the body"));
    suite.wait_drained(LONG);
}

#[test]
fn never_is_never_and_a_double_bounce_goes_to_the_postmaster() {
    let sink = Sink::with(&["-f", "RCPT"]);
    let suite =
        Suite::builder().with(&route("no.example", sink.port)).with("[bounce]\ndouble_to_postmaster = true\n").with_maildirs().start();
    let id = send(&suite, "", &[("a@no.example", "NOTIFY=NEVER")]);
    wait_until("it is given up", LONG, || suite.log().contains("bounce_suppressed"));
    suite.wait_drained(LONG);
    assert!(files(&folder(&suite, "sender")).is_empty());
    let trace = String::from_utf8(suite.zpost(&["trace", &id]).stdout).unwrap();
    assert!(trace.contains("bounce_suppressed"), "{trace}");

    send_from(&suite, "", "", &[("a@no.example", "")]);
    let report = reports(&suite, "postmaster", 1).remove(0);
    assert_eq!(report["recipients"][0]["action"], "failed");
    suite.wait_drained(LONG);
    // A report whose sender's mailbox refuses it, too: one double bounce and no more.
    send_from(&suite, "gone@no.example", "", &[("b@no.example", "")]);
    reports(&suite, "postmaster", 2);
    suite.wait_drained(LONG);
    assert_eq!(files(&folder(&suite, "postmaster")).len(), 2);
}

#[test]
fn a_success_is_told_although_the_scheduler_is_killed_before() {
    let nobody = free_port();
    let suite = Suite::builder().with(&route("late.example", nobody)).with("[bounce]\ngather = \"10m\"\n").with_maildirs().start();
    let id = send(&suite, "", &[("anna@local.example", "NOTIFY=SUCCESS"), ("bert@late.example", "")]);
    // A scheduler that has not taken the message up again gives no reasons yet.
    let waits = || {
        let why = suite.json(&["why", &id]);
        let known = why["recipients"].as_array().is_some_and(|reasons| !reasons.is_empty());
        known && why["message"]["recipients"].as_array().unwrap().iter().any(|r| r["report"] == "delivered")
    };
    wait_until("anna has it, and her report waits for bert's", LONG, waits);
    let state = || suite.json(&["show", &id])["message"]["recipients"].as_array().unwrap().iter().any(|r| r["report"] == "delivered");
    wait_until("the mark is in the control file", LONG, state);
    let scheduler = || suite.pids().into_iter().find(|(name, _)| name == "scheduler").map(|(_, pid)| pid);
    let old = scheduler().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(old).unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("there is another scheduler", LONG, || scheduler().is_some_and(|new| new != old));
    wait_until("it knows the message", LONG, waits);
    assert!(files(&folder(&suite, "sender")).is_empty(), "it still waits");
    assert!(suite.zpost(&["retry", &id]).status.success());
    let report = reports(&suite, "sender", 1).remove(0);
    assert_eq!(report["recipients"][0]["action"], "delivered");
    assert_eq!(files(&folder(&suite, "anna")).len(), 1, "and not delivered again");
}

#[test]
fn aliases_are_expanded_and_lists_are_delivered() {
    let suite = Suite::builder().with_maildirs();
    let suite = suite.prepare();
    let aliases = suite.path("aliases");
    fs::write(&aliases, "team: anna, bert\nlist: carl, dora\nowner-list: emil\nonly: anna\n").unwrap();
    let text = fs::read_to_string(suite.config()).unwrap();
    let text = text.replace("[local]\n", &format!("[local]\naliases = [\"{}\"]\n", aliases.display()));
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    let mut suite = suite;
    suite.start();
    let asks = "NOTIFY=SUCCESS";
    send(&suite, "", &[("team@local.example", asks), ("list@local.example", asks), ("only@local.example", asks)]);
    let mut all: Vec<(String, String)> = Vec::new();
    for report in reports(&suite, "sender", 2) {
        is_whole(&report);
        for recipient in report["recipients"].as_array().unwrap() {
            let word = |name: &str| recipient[name].as_str().unwrap().to_owned();
            all.push((word("final-recipient"), word("action")));
        }
    }
    all.sort();
    let expected = [("anna@local.example", "delivered"), ("list@local.example", "delivered"), ("team@local.example", "expanded")];
    // anna is reached by the team first: that copy is the team's, and tells nothing.
    let expected: Vec<_> = expected.iter().map(|(to, action)| (format!("rfc822; {to}"), (*action).to_owned())).collect();
    let lists: Vec<_> = expected.iter().filter(|(to, _)| !to.contains("anna")).cloned().collect();
    assert!(all == expected || all == lists, "{all:?}");
    suite.wait_drained(LONG);
}

#[test]
fn utf8_addresses_are_reported_as_rfc_6533_says() {
    let suite =
        Suite::builder().with("[[route]]\ndomain = \"no.example\"\nchannel = \"error\"\nhost = \"5.1.1 no\"\n").with_maildirs().start();
    send(&suite, "SMTPUTF8", &[("grüße@no.example", "ORCPT=utf-8;gr\\x{FC}\\x{DF}e@no.example")]);
    let report = reports(&suite, "sender", 1).remove(0);
    is_whole(&report);
    assert_eq!(report["kinds"][1], "message/global-delivery-status");
    assert_eq!(report["kinds"][2], "message/global");
    assert_eq!(report["recipients"][0]["final-recipient"], "utf-8; grüße@no.example");
}

#[test]
fn the_administrator_s_texts_are_used_and_faulty_ones_are_found() {
    let suite =
        Suite::builder().with("[[route]]\ndomain = \"no.example\"\nchannel = \"error\"\nhost = \"5.1.1 no\"\n").with_maildirs().prepare();
    let texts = suite.path("texts");
    fs::create_dir(&texts).unwrap();
    fs::write(texts.join("failed"), "From: Post <post@%{hostname}>\nSubject: %{count} returned\n\nSorry, %{sender}:\n%{recipients}\n")
        .unwrap();
    fs::write(texts.join("failed.de"), "Leider unzustellbar; grüße von %{hostname}.\n").unwrap();
    fs::write(texts.join("delayed"), "Subject: x\nBcc: y@z\n\n%{recipients}\n").unwrap();
    let mut text = fs::read_to_string(suite.config()).unwrap();
    text.push_str(&format!("[bounce]\ntemplates = \"{}\"\n", texts.display()));
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    let check = suite.zpost(&["config", "check"]);
    assert_eq!(check.status.code(), Some(78));
    let said = String::from_utf8_lossy(&check.stderr).into_owned() + &String::from_utf8_lossy(&check.stdout);
    assert!(said.contains("delayed: line 2"), "{said}");
    let mut suite = suite;
    suite.start();
    send(&suite, "", &[("a@no.example", "")]);
    let report = reports(&suite, "sender", 1).remove(0);
    assert_eq!(report["subject"], "1 returned");
    assert_eq!(report["from"], "Post <post@mta.test.example>");
    let text = report["text"].as_str().unwrap();
    assert!(text.starts_with("Sorry, sender@local.example:\n<a@no.example>") && text.ends_with("grüße von mta.test.example.\n"), "{text}");
    suite.logged("template_faulty");
}
