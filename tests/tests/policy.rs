//! Policy with the real programs: each attribute, look-ups at a name server, tables under load, and `zpost policy test`.
//! Loopback is the open internet here; a client's address is its part.

use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::{LONG, Suite, files, wait_until};
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A suite for which loopback is the open internet, but for 127.0.0.99.
fn suite(sections: &str) -> Suite {
    let mut suite = Suite::builder().with_maildirs().with("[first_contact]\nexempt = []\n").with(sections).prepare();
    let text = fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "\"127.0.0.99\"");
    fs::write(suite.config(), text).unwrap();
    suite.start();
    suite
}

/// A client of 127.0.0.`last` up to RCPT: the first reply that refuses, else the last one.
fn client(suite: &Suite, last: u8, sender: &str, recipient: &str) -> String {
    let (mut session, code) = Session::open_from(Ipv4Addr::new(127, 0, 0, last), suite.port).unwrap();
    if code != 220 {
        return code.to_string();
    }
    for line in ["EHLO client.test".to_owned(), format!("MAIL FROM:<{sender}> SIZE=2000"), format!("RCPT TO:<{recipient}>")] {
        let (code, text) = session.command(&line).unwrap();
        if code >= 400 || line.starts_with("RCPT") {
            return text.trim_end().to_owned();
        }
    }
    String::new()
}

/// A whole message from there.
fn send(suite: &Suite, last: u8, sender: &str, recipient: &str) -> (u16, String) {
    let (mut session, _) = Session::open_from(Ipv4Addr::new(127, 0, 0, last), suite.port).unwrap();
    session.command("EHLO client.test").unwrap();
    session.message(sender, &[recipient], b"Subject: x\r\n\r\nx\r\n").unwrap()
}

fn logged(suite: &Suite, words: &[&str]) {
    wait_until(&format!("{words:?} in one line of the log"), LONG, || {
        suite.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    });
}

const RULES: &str = r#"
[[access]]
client = ["127.0.0.2"]
refuse = "554 5.7.0 no mail from there"
[[access]]
client = ["127.0.0.3"]
defer = "not today"
[[access]]
client = ["127.0.0.4"]
freeze = true
[[access]]
client = ["127.0.0.5"]
relay = true
[[access]]
client = ["127.0.0.99"]
relay = false
[[access]]
client = ["127.0.0.6"]
max_size = "1k"
message = "small ones only"
[[access]]
tag = "careful"
check_sender_domain = true
warn = "careful"
[[access]]
client = ["127.0.0.7"]
tags = ["careful"]
[[access]]
client = ["127.0.0.8"]
relay_if_mx = "refuse"
[[access]]
client = ["127.0.0.9"]
trust_recipients = true
[[access]]
client = ["127.0.0.10"]
max_messages = 1
hard_limits = true
[[access]]
client = ["127.0.0.11"]
greylist = true
[[access]]
client = ["127.0.0.12"]
trust = true
[[access]]
name = [".dialup.test"]
refuse = "no dial-up"
[[access]]
helo = ["liar.test"]
refuse = "nobody is called so"
[[access]]
sender = ["spam@sender.test", "<>"]
refuse = "no such mail"
[[access]]
recipient = ["closed@"]
refuse = "5.1.6 closed"
[[access]]
recipient = ["friends.test"]
relay = true
[[access]]
recipient = ["abuse@"]
dns_lists = ["none"]
[[dns_list]]
zone = "bl.test"
weight = 2
[[dns_list]]
zone = "wl.test"
weight = -2
[dns_lists]
refuse_at = 2
"#;

fn names() -> NameServer {
    NameServer::start(|name| {
        let a = |last: u8| Some(vec![Record::A(Ipv4Addr::new(127, 0, 0, last))]);
        match name {
            "20.0.0.127.bl.test" | "21.0.0.127.bl.test" | "12.0.0.127.bl.test" => a(2),
            "21.0.0.127.wl.test" => a(2),
            "sender.test" => Some(vec![Record::Mx(10, "mx.sender.test".into())]),
            "mx.sender.test" => a(1),
            "ours.test" => Some(vec![Record::Mx(10, "mta.test.example".into())]),
            "mta.test.example" => a(1),
            "theirs.test" => Some(vec![Record::Mx(10, "mx.theirs.test".into())]),
            "mx.theirs.test" => Some(vec![Record::A(Ipv4Addr::new(203, 0, 113, 1))]),
            _ => None,
        }
    })
}

#[test]
fn each_attribute_once() {
    let dns = names();
    let suite = suite(&format!("{}{RULES}", dns.section()));
    let joe = "joe@local.example";
    let of = |last: u8, sender: &str, recipient: &str| client(&suite, last, sender, recipient);
    let begins = |said: String, expected: &str| assert!(said.starts_with(expected), "{said:?}, not {expected}");

    begins(of(2, "a@sender.test", joe), "554");
    logged(&suite, &["rejected", "stage=connection", "peer=127.0.0.2", "code=554", "cause=rule", "rule=zpost.toml:"]);
    begins(of(3, "a@sender.test", joe), "450");
    begins(of(5, "a@sender.test", "x@elsewhere.test"), "250");
    begins(of(99, "a@sender.test", "x@elsewhere.test"), "550 5.7.1 relaying denied");
    begins(of(1, "a@sender.test", "x@elsewhere.test"), "550 5.7.1 relaying denied");
    begins(of(1, "a@sender.test", "x@friends.test"), "250");
    begins(of(6, "a@sender.test", joe), "552 5.3.4 small ones only");
    begins(of(7, "a@sender.test", joe), "250");
    begins(of(7, "a@nowhere.test", joe), "550 5.1.8");
    logged(&suite, &["policy", "layer=connect", "verdict=warn", "peer=127.0.0.7", "text=careful"]);
    begins(of(8, "a@sender.test", "x@ours.test"), "250");
    begins(of(8, "a@sender.test", "x@theirs.test"), "550 5.7.1 relaying denied");
    begins(of(11, "a@sender.test", joe), "450 4.7.1 greylisted");
    begins(of(12, "a@nowhere.test", "x@elsewhere.test"), "250");
    begins(of(1, "spam@sender.test", joe), "550 5.7.1 no such mail");
    begins(of(1, "spam@sender.test", "postmaster@local.example"), "250");
    logged(&suite, &["rejected", "stage=rcpt", "from=spam@sender.test", "subject=joe@local.example", "cause=rule", "rule=zpost.toml:"]);
    begins(of(1, "", joe), "550 5.7.1 no such mail");
    begins(of(1, "a@sender.test", "closed@local.example"), "550 5.1.6 closed");
    begins(of(20, "a@sender.test", joe), "550 5.7.1 127.0.0.20 is listed by bl.test");
    logged(&suite, &["rejected", "peer=127.0.0.20", "cause=dns_list", "score=2", "detail=bl.test"]);
    begins(of(20, "a@sender.test", "abuse@local.example"), "250");
    begins(of(21, "a@sender.test", joe), "250");

    assert_eq!(send(&suite, 10, "a@sender.test", joe).0, 250);
    begins(of(10, "a@sender.test", joe), "550");
    assert_eq!(send(&suite, 4, "a@sender.test", joe).0, 250);
    wait_until("the message is set aside", LONG, || !files(&suite.postoffice("freezer")).is_empty());
    logged(&suite, &["policy", "verdict=freeze", "peer=127.0.0.4"]);
}

/// Nothing is asked of the name server for clients that are no strangers.
#[test]
fn friends_are_not_looked_up() {
    let dns = names();
    let suite =
        suite(&format!("{}{}", dns.section(), RULES.replace("[[access]]\nname = [\".dialup.test\"]\nrefuse = \"no dial-up\"\n", "")));
    let before = dns.questions();
    assert!(client(&suite, 99, "a@sender.test", "joe@local.example").starts_with("250"));
    assert_eq!(dns.questions(), before);
}

#[test]
fn a_test_prints_the_whole_decision() {
    let dns = names();
    let mut suite = suite(&format!("{}{RULES}", dns.section()));
    let arguments = ["policy", "test", "--ip", "127.0.0.20", "--helo", "c.test", "--from", "a@sender.test", "--to", "joe@local.example"];
    let output = suite.zpost(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "list bl.test (weight 2): listed 127.0.0.2",
        "list wl.test (weight -2): not listed",
        "-> 250 2.1.0",
        "-> 550 5.7.1 127.0.0.20 is listed",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(output.status.code(), Some(69));
    let to = ["--to", "joe@local.example", "--to", "abuse@local.example"];
    let json = suite.json(&[&["policy", "test", "--ip", "127.0.0.1", "--from", "a@sender.test"][..], &to].concat());
    let replies: Vec<&str> = json["steps"].as_array().unwrap().iter().filter_map(|step| step["reply"].as_str()).collect();
    assert_eq!(replies, ["220", "250 2.1.0 sender ok", "250 2.1.5 recipient ok", "250 2.1.5 recipient ok"]);
    // It counts nothing and opens nothing.
    for _ in 0..3 {
        suite.zpost(&["policy", "test", "--ip", "127.0.0.10", "--from", "a@sender.test", "--to", "joe@local.example"]);
        suite.zpost(&["policy", "test", "--ip", "127.0.0.11", "--from", "a@sender.test", "--to", "joe@local.example"]);
    }
    assert!(client(&suite, 10, "a@sender.test", "joe@local.example").starts_with("250"));
    assert!(client(&suite, 11, "a@sender.test", "joe@local.example").starts_with("450"));
    let fault = suite.zpost(&["policy", "test", "--ip", "localhost"]);
    assert_eq!(fault.status.code(), Some(65));

    suite.stop();
    let output = suite.zpost(&["policy", "test", "--ip", "127.0.0.2"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("zpost is not running: nothing was looked up") && text.contains("-> 554 5.7.0 no mail from there"), "{text}");
}

/// What ZMailer's source says holds, and every client sees one of two tables while they change.
#[test]
fn a_table_of_zmailers_changes_under_load() {
    let mut suite = Suite::builder().with_maildirs().with("[first_contact]\nexempt = []\n").prepare();
    let (source, table) = (suite.path("smtp-policy.src"), suite.path("policy.db"));
    let write = |text: &str| {
        fs::write(&source, text).unwrap();
        suite.give_away();
        let output = suite.zpost(&["newdb", "--zmailer", table.to_str().unwrap(), source.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (open, closed) = ("spam.test rejectsource +\n[127.0.0.9]/32 rejectnet +\n", "sender.test message \"closed\" rejectsource +\n");
    write(open);
    let text = fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "\"127.0.0.99\"");
    fs::write(suite.config(), format!("{text}\n[policy]\ntables = [\"{}\"]\n", table.display())).unwrap();
    suite.start();
    assert!(client(&suite, 1, "a@spam.test", "joe@local.example").starts_with("550 5.7.1 access denied"));
    assert!(client(&suite, 9, "a@sender.test", "joe@local.example").starts_with("550"));
    logged(&suite, &["rejected", "peer=127.0.0.9", "rule=smtp-policy.src:2"]);

    let (over, port) = (Arc::new(AtomicBool::new(false)), suite.port);
    let ended = Arc::clone(&over);
    let clients = std::thread::spawn(move || {
        let mut seen = [0, 0];
        while !ended.load(Ordering::Relaxed) {
            let (mut session, code) = Session::open_from(Ipv4Addr::new(127, 0, 0, 1), port).unwrap();
            assert_eq!(code, 220);
            session.command("EHLO c.test").unwrap();
            // A session that was begun before a reload may be told to come again between messages.
            let Ok((250, _)) = session.command("MAIL FROM:<a@sender.test>") else { continue };
            match session.command("RCPT TO:<joe@local.example>").unwrap() {
                (250, _) => seen[0] += 1,
                (550, text) if text.contains("closed") => seen[1] += 1,
                (421, _) => {}
                other => panic!("{other:?}"),
            }
        }
        seen
    });
    for _ in 0..3 {
        for (text, expected) in [(closed, "550 5.7.1 closed"), (open, "250")] {
            fs::write(&source, text).unwrap();
            let output = suite.zpost(&["newdb", "--zmailer", table.to_str().unwrap(), source.to_str().unwrap()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(suite.zpost(&["reload"]).status.success());
            assert!(client(&suite, 1, "a@sender.test", "joe@local.example").starts_with(expected));
        }
    }
    over.store(true, Ordering::Relaxed);
    let seen = clients.join().unwrap();
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");

    // A faulty source leaves everything as it is, and says where it is faulty.
    fs::write(&source, "x.test rejectsorce +\nlost.test = _nowhere\n").unwrap();
    let output = suite.zpost(&["newdb", "--zmailer", table.to_str().unwrap(), source.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(65) && text.contains("smtp-policy.src:2: no line `_nowhere`") && text.contains(":1: rejectsorce"),
        "{text}"
    );
    assert!(client(&suite, 1, "a@spam.test", "joe@local.example").starts_with("550"));
    // A table that is none is refused before anything changes.
    fs::write(suite.path("rubbish"), "rubbish").unwrap();
    fs::rename(suite.path("rubbish"), &table).unwrap();
    let output = suite.zpost(&["reload"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("policy.tables"));
    assert!(client(&suite, 1, "a@spam.test", "joe@local.example").starts_with("550"));
}
