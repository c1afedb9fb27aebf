#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use crate::client::*;
use status::Outcome;

fn session(without_tls: bool, password: &str) -> Client {
    let mut client = Client::new(Flavour::Smtp, "me".into());
    let login = sasl::Login { user: "tim".into(), password: password.into() };
    client.set_login(LogIn { login, without_tls, nonce: "rOprNGfwEbeRWgbNEkqO".into() });
    let recipients = vec![Recipient { address: "a@x".into(), ..Default::default() }];
    client.begin(Transaction { recipients, ..Default::default() }, &mut Vec::new());
    client
}

/// Plays `S: ` and `C: ` lines; gives the last event.
fn play(client: &mut Client, script: &str) -> Option<Event> {
    let (mut out, mut event) = (Vec::new(), None);
    for line in script.lines().map(str::trim) {
        let (side, text) = line.split_at(3);
        match side {
            "S: " => event = client.receive(format!("{}\r\n", text.replace('|', "\r\n")).as_bytes(), &mut out),
            _ => {
                let sent = String::from_utf8(std::mem::take(&mut out)).unwrap();
                assert_eq!(sent, format!("{text}\r\n"));
            }
        }
    }
    assert!(out.is_empty(), "{}", out.escape_ascii());
    event
}

#[test]
fn in_before_anything_is_sent() {
    let mut client = session(true, "tanstaaftanstaaf");
    let event = play(
        &mut client,
        "S: 220 hi
         C: EHLO me
         S: 250-x|250 AUTH LOGIN PLAIN CRAM-MD5
         C: AUTH CRAM-MD5
         S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
         C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw
         S: 235 2.7.0 in
         C: MAIL FROM:<>",
    );
    assert_eq!(event, None);
}

#[test]
fn plain_and_login() {
    for (offer, script) in [
        ("PLAIN", "C: AUTH PLAIN AHRpbQBwdw==\nS: 235 ok\nC: MAIL FROM:<>"),
        ("LOGIN", "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dGlt\nS: 334 UGFzc3dvcmQ6\nC: cHc=\nS: 235 ok\nC: MAIL FROM:<>"),
    ] {
        assert_eq!(play(&mut session(true, "pw"), &format!("S: 220 hi\nC: EHLO me\nS: 250-x|250 AUTH {offer}\n{script}")), None);
    }
    // Too long for a command line: after the prompt.
    let long = "x".repeat(500);
    let encoded = data_encoding(&format!("\0tim\0{long}"));
    let script =
        format!("S: 220 hi\nC: EHLO me\nS: 250-x|250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334 \nC: {encoded}\nS: 235 ok\nC: MAIL FROM:<>");
    assert_eq!(play(&mut session(true, &long), &script), None);
}

fn data_encoding(text: &str) -> String {
    let (_, first) = sasl::Exchange::begin(sasl::Mechanism::Plain, sasl::Login { user: "tim".into(), password: text[5..].into() }, "");
    first.unwrap()
}

/// Attack 47: a password never crosses the network as it is without TLS, whatever the server offers.
#[test]
fn no_password_in_plain_text() {
    for offer in ["250-x|250 AUTH PLAIN LOGIN", "250 x", "250-x|250 AUTH XOAUTH2 GSSAPI"] {
        let mut client = session(false, "pw");
        match play(&mut client, &format!("S: 220 hi\nC: EHLO me\nS: {offer}")) {
            Some(Event::Refused(verdict)) => {
                assert_eq!((verdict.outcome, verdict.status.to_string().as_str()), (Outcome::Deferred, "4.7.8"))
            }
            other => panic!("{other:?}"),
        }
        assert!(client.login_failed() && client.take_transaction().is_some());
    }
}

#[test]
fn a_login_refused_is_no_bounce() {
    for (reply, refused) in [("535 5.7.8 wrong", true), ("454 4.7.0 later", false), ("503 what", true), ("334 %%%", true)] {
        let mut client = session(false, "pw");
        let script = format!("S: 220 hi\nC: EHLO me\nS: 250-x|250 AUTH CRAM-MD5\nC: AUTH CRAM-MD5\nS: {reply}");
        match play(&mut client, &script) {
            Some(Event::Refused(verdict)) => {
                assert_eq!(verdict.outcome, Outcome::Deferred, "{reply}");
                assert!(!verdict.text.contains("pw"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.login_failed(), refused, "{reply}");
    }
}

#[test]
fn a_scram_server_that_proves_nothing_gets_nothing() {
    let mut client = session(false, "pw");
    let event = play(
        &mut client,
        "S: 220 hi
         C: EHLO me
         S: 250-x|250 AUTH SCRAM-SHA-256
         C: AUTH SCRAM-SHA-256 biwsbj10aW0scj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==
         S: 235 come in",
    );
    assert!(matches!(event, Some(Event::Refused(verdict)) if verdict.text.contains("did not prove")));
}
