#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;
use status::Outcome;

/// A dialogue in text: `S: ` what the server sends, `C: ` what the client must have sent since.
/// `content` stands for the message after 354.
fn play(flavour: Flavour, recipients: &[&str], script: &str) -> (Client, Vec<Event>) {
    let mut client = Client::new(flavour, "me.example".into());
    let mut out = Vec::new();
    let transaction = Transaction {
        sender: "s@a.example".into(),
        size: 100,
        recipients: recipients.iter().map(|r| Recipient { address: (*r).into(), dsn: Default::default() }).collect(),
        ..Default::default()
    };
    let mut events: Vec<Event> = client.begin(transaction, &mut out).into_iter().collect();
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (side, text) = line.split_once(' ').unwrap_or((line, ""));
        let text = text.replace("\\r\\n", "\r\n");
        match side {
            "S:" => events.extend(client.receive(format!("{text}\r\n").as_bytes(), &mut out)),
            "C:" => assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), format!("{text}\r\n"), "{script}"),
            "content" => client.content_sent(),
            "eof" => events.extend(client.lost("connection closed")),
            other => panic!("{other}"),
        }
    }
    assert_eq!(String::from_utf8(out).unwrap(), "", "{script}");
    (client, events)
}

fn outcomes(client: &mut Client) -> Vec<(Outcome, String)> {
    client.take_verdicts().into_iter().map(|v| (v.outcome, format!("{} {}", v.status, v.text))).collect()
}

const HELLO: &str = "S: 220 hi\nC: EHLO me.example\n";

#[test]
fn one_by_one_without_pipelining() {
    let (mut client, events) = play(
        Flavour::Smtp,
        &["a@x", "b@x"],
        &format!(
            "{HELLO}
        S: 250-x\\r\\n250 SIZE 5000
        C: MAIL FROM:<s@a.example> SIZE=100
        S: 250 ok
        C: RCPT TO:<a@x>
        S: 550 5.1.1 no such user
        C: RCPT TO:<b@x>
        S: 250 ok
        C: DATA
        S: 354 go
        content
        S: 250 2.0.0 taken"
        ),
    );
    assert_eq!(events, [Event::SendContent, Event::Finished]);
    assert_eq!(
        outcomes(&mut client),
        [(Outcome::Failed, "5.1.1 550 5.1.1 no such user".into()), (Outcome::Delivered, "2.0.0 250 2.0.0 taken".into())]
    );
    assert!(client.is_idle());
}

#[test]
fn pipelined_with_every_recipient_refused_and_354() {
    let (mut client, events) = play(
        Flavour::Smtp,
        &["a@x", "b@x"],
        &format!(
            "{HELLO}
        S: 250-x\\r\\n250-8BITMIME\\r\\n250 pipelining
        C: MAIL FROM:<s@a.example>\\r\\nRCPT TO:<a@x>\\r\\nRCPT TO:<b@x>\\r\\nDATA
        S: 250 ok\\r\\n550 a\\r\\n452 too many\\r\\n354 go
        C: .
        S: 554 no recipients"
        ),
    );
    assert_eq!(events, [Event::Finished]);
    assert_eq!(outcomes(&mut client), [(Outcome::Failed, "5.0.0 550 a".into()), (Outcome::Deferred, "4.0.0 452 too many".into())]);
    assert!(client.is_idle());
}

#[test]
fn a_refused_transaction_is_reset_before_the_next() {
    let (mut client, events) = play(
        Flavour::Smtp,
        &["a@x"],
        &format!(
            "{HELLO}
        S: 250-x\\r\\n250 PIPELINING
        C: MAIL FROM:<s@a.example>\\r\\nRCPT TO:<a@x>\\r\\nDATA
        S: 250 ok\\r\\n552 full\\r\\n503 no"
        ),
    );
    assert_eq!(events, [Event::Finished]);
    assert_eq!(outcomes(&mut client), [(Outcome::Deferred, "4.5.3 552 full".into())]);
    let mut out = Vec::new();
    let next = Transaction { recipients: vec![Recipient { address: "b@x".into(), ..Default::default() }], ..Default::default() };
    assert_eq!(client.begin(next, &mut out), None);
    assert_eq!(out, b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@x>\r\nDATA\r\n");
    out.clear();
    assert_eq!(client.receive(b"250 a\r\n250 b\r\n250 c\r\n354 d\r\n", &mut out), Some(Event::SendContent));
}

#[test]
fn lmtp_has_a_reply_for_each_accepted_recipient() {
    let (mut client, events) = play(
        Flavour::Lmtp,
        &["a@x", "b@x", "c@x"],
        "S: 220 hi
        C: LHLO me.example
        S: 250-x\\r\\n250 PIPELINING
        C: MAIL FROM:<s@a.example>\\r\\nRCPT TO:<a@x>\\r\\nRCPT TO:<b@x>\\r\\nRCPT TO:<c@x>\\r\\nDATA
        S: 250 ok\\r\\n250 a\\r\\n550 b\\r\\n250 c\\r\\n354 go
        content
        S: 250 a
        S: 452 4.2.2 c full",
    );
    assert_eq!(events, [Event::SendContent, Event::Finished]);
    let got: Vec<Outcome> = outcomes(&mut client).into_iter().map(|o| o.0).collect();
    assert_eq!(got, [Outcome::Delivered, Outcome::Failed, Outcome::Deferred]);
}

#[test]
fn helo_when_ehlo_is_not_known() {
    let (_, events) = play(
        Flavour::Smtp,
        &["a@x"],
        &format!(
            "{HELLO}
        S: 502 what
        C: HELO me.example
        S: 250 hi
        C: MAIL FROM:<s@a.example>
        S: 250 ok
        C: RCPT TO:<a@x>"
        ),
    );
    assert_eq!(events, []);
}

/// Table: script, the last event's outcome (of the refusal or of recipient `a@x`), part of its text.
#[test]
fn hostile_and_broken_dialogues() {
    let open = format!("{HELLO}S: 250-x\\r\\n250 PIPELINING\nC: MAIL FROM:<s@a.example>\\r\\nRCPT TO:<a@x>\\r\\nDATA\n");
    let taken = format!("{open}S: 250 a\\r\\n250 b\\r\\n354 c\n");
    for (script, outcome, text) in [
        ("S: 421 busy".to_owned(), Outcome::Deferred, "421 busy"),
        ("S: 521 greeting".into(), Outcome::Failed, "521 greeting"),
        ("S: 554 go away".into(), Outcome::Deferred, "554 go away"),
        ("S: 250 odd".into(), Outcome::Deferred, "250 odd"),
        ("S: SSH-2.0-x".into(), Outcome::Deferred, "no SMTP reply"),
        ("eof".into(), Outcome::Deferred, "closed"),
        (format!("{HELLO}S: 250-a\\r\\n550 b"), Outcome::Deferred, "changed the code"),
        (format!("{HELLO}S: 451 later"), Outcome::Deferred, "451 later"),
        (format!("{HELLO}S: 250 x\\r\\n250 y\nC: MAIL FROM:<s@a.example>"), Outcome::Deferred, "before it was asked"),
        (format!("{open}eof"), Outcome::Deferred, "closed"),
        (format!("{open}S: 421 a"), Outcome::Deferred, "421 a"),
        (format!("{open}S: 354 a"), Outcome::Deferred, "354 a"),
        (format!("{open}S: 550 a\\r\\n250 b\\r\\n354 c"), Outcome::Failed, "550 a"),
        (format!("{open}S: 250 a\\r\\n250 b\\r\\n250 c"), Outcome::Deferred, "DATA with 250"),
        (format!("{open}S: 250 a\\r\\n250 b\\r\\n451 c"), Outcome::Deferred, "451 c"),
        (format!("{open}S: 250 a\\r\\n250 b\\r\\n354 c\\r\\n250 d"), Outcome::Deferred, "before it was asked"),
        (format!("{taken}S: 552 early"), Outcome::Failed, "552 early"),
        (format!("{taken}eof"), Outcome::Deferred, "connection closed"),
        (format!("{taken}content\neof"), Outcome::Deferred, "may be delivered twice"),
        (format!("{taken}content\nS: 354 what"), Outcome::Deferred, "may be delivered twice"),
        (format!("{taken}content\nS: 421 going"), Outcome::Deferred, "421 going"),
        (format!("{taken}content\nS: 250 ok\\r\\n250 more"), Outcome::Delivered, "250 ok"),
    ] {
        let (mut client, events) = play(Flavour::Smtp, &["a@x"], &script);
        let (got, said) = match events.last() {
            Some(Event::Refused(verdict)) => (verdict.outcome, verdict.text.clone()),
            Some(Event::Finished) => outcomes(&mut client).remove(0),
            other => panic!("{script}: {other:?}"),
        };
        assert!(got == outcome && said.contains(text), "{script}: {got:?} {said}");
    }
}

#[test]
fn what_a_server_cannot_take_is_not_asked() {
    let mut client = Client::new(Flavour::Smtp, "me".into());
    let mut out = Vec::new();
    client.receive(b"220 a\r\n", &mut out);
    assert_eq!(client.receive(b"250-a\r\n250-SIZE 10\r\n250 DSN\r\n", &mut out), Some(Event::Ready));
    out.clear();
    let recipient = |address: &str| Recipient { address: address.into(), ..Default::default() };
    let big = Transaction { size: 11, recipients: vec![recipient("a@x")], ..Default::default() };
    assert_eq!(client.begin(big, &mut out), Some(Event::Finished));
    assert_eq!(client.take_verdicts()[0].status.to_string(), "5.3.4");
    let mut odd = recipient("a@x");
    odd.dsn.notify = Some(envelope::Notify { never: false, success: true, failure: true, delay: false });
    odd.dsn.orcpt = Some("rfc822;a@x\r\nDATA".into());
    let recipients = vec![recipient("\u{e9}@x"), recipient("a\r\nb@x"), odd];
    let mixed = Transaction { envid: Some("QQ".into()), ret: Some(envelope::Ret::Headers), recipients, ..Default::default() };
    assert_eq!(client.begin(mixed, &mut out), None);
    client.receive(b"250 ok\r\n", &mut out);
    assert_eq!(out, b"MAIL FROM:<> SIZE=0 RET=HDRS ENVID=QQ\r\nRCPT TO:<a@x> NOTIFY=SUCCESS,FAILURE\r\n");
    client.receive(b"450 x\r\n", &mut out);
    let got: Vec<String> = client.take_verdicts().iter().map(|v| v.status.to_string()).collect();
    assert_eq!(got, ["5.6.7", "5.1.3", "4.0.0"]);
}

/// RFC 6710, RFC 2852: told to servers that know them; what is to come back in time goes to no other.
#[test]
fn urgency_and_time_are_passed_on() {
    let by = |seconds, or_return| Some(By { seconds, or_return, trace: false });
    for (offer, priority, by, expected) in [
        ("DELIVERBY 60\r\n250 MT-PRIORITY", -3, by(120, true), "MAIL FROM:<> MT-PRIORITY=-3 BY=120;R\r\n"),
        ("DELIVERBY\r\n250 DSN", 4, by(-7, false), "MAIL FROM:<> BY=-7;N\r\n"),
        ("MT-PRIORITY MIXER\r\n250 DSN", 4, by(10, false), "MAIL FROM:<> MT-PRIORITY=4\r\n"),
        ("DELIVERBY 60\r\n250 DSN", 0, by(59, true), "5.4.7"),
        ("DSN\r\n250 8BITMIME", 0, by(500, true), "5.3.3"),
    ] {
        let mut out = Vec::new();
        let mut client = Client::new(Flavour::Smtp, "me".into());
        client.receive(b"220 mx\r\n", &mut out);
        client.receive(format!("250-mx\r\n250-{offer}\r\n").as_bytes(), &mut out);
        out.clear();
        let recipients = vec![Recipient { address: "a@x".into(), ..Default::default() }];
        let done = client.begin(Transaction { recipients, priority, by, ..Default::default() }, &mut out);
        if done == Some(Event::Finished) {
            assert_eq!(client.take_verdicts()[0].status.to_string(), expected, "{offer}");
        } else {
            assert_eq!(String::from_utf8_lossy(&out), expected, "{offer}");
        }
    }
}

proptest! {
    /// Any server, cut anywhere: no panic, every recipient a verdict, and `Delivered` only after a 2xx to the dot.
    #[test]
    fn any_server(replies in proptest::collection::vec("(2[25][01]|354|4[25]1|5[05]0|[0-9]{3})[ -]?[a-zP ]{0,11}\r?\n", 0..12), lmtp: bool) {
        let flavour = if lmtp { Flavour::Lmtp } else { Flavour::Smtp };
        let mut client = Client::new(flavour, "me".into());
        let mut out = Vec::new();
        let recipients = ["a@x", "b@x"].map(|a| Recipient { address: a.into(), ..Default::default() }).to_vec();
        client.begin(Transaction { recipients, ..Default::default() }, &mut out);
        let (mut sent, mut end) = (false, None);
        for reply in &replies {
            match client.receive(reply.as_bytes(), &mut out) {
                Some(Event::SendContent) => { sent = true; client.content_sent(); }
                Some(event) => { end = Some(event); break; }
                None => {}
            }
        }
        let end = end.or_else(|| client.lost("eof"));
        match end {
            Some(Event::Finished) => {
                let verdicts = client.take_verdicts();
                prop_assert_eq!(verdicts.len(), 2);
                prop_assert!(sent || verdicts.iter().all(|v| v.outcome != Outcome::Delivered));
            }
            Some(Event::Refused(verdict)) => prop_assert!(verdict.outcome != Outcome::Delivered && client.take_transaction().is_some()),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn limits_are_heard_and_a_refusal_for_too_many_connections_is_known() {
    let limited = format!(
        "{HELLO}S: 250-x\\r\\n250-PIPELINING\\r\\n250 LIMITS RCPTMAX=2 MAILMAX=7\nC: MAIL FROM:<s@a.example>\\r\\nRCPT TO:<a@x>\\r\\nDATA"
    );
    let (client, _) = play(Flavour::Smtp, &["a@x"], &limited);
    assert_eq!(client.extensions().limits, Limits { mail_max: Some(7), rcpt_max: Some(2), rcpt_domain_max: None });
    for (script, crowded) in [
        ("S: 421 4.7.0 busy", true),
        ("S: 450 4.7.1 Too many concurrent SMTP connections", true),
        ("S: 450 4.7.1 greylisted", false),
        ("S: 554 no", false),
        ("S: 220 hi\nC: EHLO me.example\nS: 421 4.3.2 too many", true),
        ("S: 220 hi\nC: EHLO me.example\nS: 250 x\nC: MAIL FROM:<s@a.example>\nS: 421 too many", true),
        ("S: 220 hi\nC: EHLO me.example\nS: 250 x\nC: MAIL FROM:<s@a.example>\nS: 250 ok\nC: RCPT TO:<a@x>\nS: 421 later", false),
    ] {
        let (client, _) = play(Flavour::Smtp, &["a@x"], script);
        assert_eq!(client.crowded(), crowded, "{script}");
    }
}
