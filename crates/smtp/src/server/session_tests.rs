use super::driver::{Driver, config};
use super::{Config, Protocol, Session};
use status::{Enhanced, Reply};
use std::sync::Arc;

#[test]
fn one_message() {
    let mut d = Driver::smtp(false);
    let codes = d.lines(&[
        "EHLO client.example",
        "MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME",
        "RCPT TO:<known@local.example>",
        "DATA",
        "Subject: x\r\n\r\n..dot\r\nend",
        ".",
        "QUIT",
    ]);
    assert_eq!(codes, [220, 250, 250, 250, 354, 250, 221]);
    assert_eq!(d.messages, [(vec!["known@local.example".to_owned()], "Subject: x\n\n.dot\nend\n".to_owned())]);
    assert!(d.replies.contains("250 2.0.0 ok queued as ID\r\n"));
    assert!(d.session.is_closed());
}

#[test]
fn announces_what_it_does() {
    let mut d = Driver::smtp(false);
    d.lines(&["EHLO client.example"]);
    for word in
        ["PIPELINING", "SIZE 10000", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN", "STARTTLS", "CHUNKING", "BINARYMIME", "HELP"]
    {
        assert!(d.replies.contains(word), "{word}");
    }
    for word in ["AUTH", "ETRN"] {
        assert!(!d.replies.contains(word), "{word}");
    }
    assert_eq!(d.lines(&["AUTH PLAIN =", "ETRN x", "EXPN x", "VRFY x", "NOOP x", "HELP"]), [502, 459, 502, 252, 250, 214]);
}

#[test]
fn pipelining_in_one_piece() {
    let mut d = Driver::smtp(true);
    d.lines(&["EHLO c.example"]);
    d.feed(b"MAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<nobody@local.example>\r\nRCPT TO:<known@local.example>\r\nDATA\r\n");
    d.feed(b"A: b\r\n\r\n.\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n");
    assert_eq!(d.codes(), [220, 250, 250, 250, 550, 250, 354, 250, 250, 250, 221]);
    assert_eq!(d.messages[0].0, ["x@y.example", "known@local.example"]);
}

#[test]
fn relaying_is_not_open() {
    let mut d = Driver::smtp(false);
    let codes = d.lines(&[
        "EHLO c",
        "MAIL FROM:<known@local.example>",
        "RCPT TO:<x@other.example>",
        "RCPT TO:<x@relay.example>",
        "RCPT TO:<postmaster>",
        "RCPT TO:<known@LOCAL.example>",
        "RCPT TO:<@local.example:x@other.example>",
        "RCPT TO:<x%other.example@local.example>",
    ]);
    assert_eq!(codes, [220, 250, 250, 550, 250, 550, 250, 550, 550]);
    assert!(d.replies.contains("550 5.7.1 relaying denied"));
    assert_eq!(d.session.take_rejections().len(), 4);
}

#[test]
fn submission_wants_permission() {
    let mut d = Driver::new(config(), Protocol::Submission, false);
    assert_eq!(d.lines(&["EHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<known@local.example>", "DATA"]), [220, 250, 530, 503, 503]);
    let mut d = Driver::new(config(), Protocol::Submission, true);
    assert_eq!(d.lines(&["EHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<x@y.example>"]), [220, 250, 250, 250]);
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut d = Driver::new(config(), Protocol::Lmtp, false);
    assert_eq!(d.lines(&["EHLO c", "LHLO c"]), [220, 500, 250]);
    d.lines(&[
        "MAIL FROM:<a@b.example>",
        "RCPT TO:<known@local.example>",
        "RCPT TO:<x@relay.example>",
        "RCPT TO:<nobody@local.example>",
        "DATA",
    ]);
    assert_eq!(d.lines(&["x", "."]), [250, 250]);
    d.commit = Some(Reply::new(452, Enhanced::transient(3, 1), "no space"));
    d.lines(&["MAIL FROM:<a@b.example>", "RCPT TO:<known@local.example>", "RCPT TO:<x@relay.example>", "DATA"]);
    assert_eq!(d.lines(&["x", "."]), [452, 452]);
    assert!(Driver::smtp(true).lines(&["LHLO c"]).contains(&500));
}

#[test]
fn sequence_errors() {
    let mut d = Driver::smtp(true);
    assert_eq!(
        d.lines(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@y.example>", "DATA", "EHLO", "HELO a b", "HELO c"]),
        [220, 503, 503, 503, 501, 501, 250]
    );
    assert_eq!(d.lines(&["RCPT TO:<x@y.example>", "MAIL FROM:<a@b.example>", "DATA", "MAIL FROM:<a@b.example>"]), [503, 250, 554, 503]);
    assert_eq!(d.lines(&["EHLO c", "RCPT TO:<x@y.example>"]), [250, 503]);
}

#[test]
fn sizes() {
    let mut d = Driver::smtp(true);
    assert_eq!(
        d.lines(&["EHLO c", "MAIL FROM:<> SIZE=10001", "MAIL FROM:<> SIZE=10000", "RCPT TO:<x@y.example>", "DATA"]),
        [220, 250, 552, 250, 250, 354]
    );
    let line = "x".repeat(998);
    let mut lines = vec![""];
    lines.extend(vec![line.as_str(); 11]);
    lines.push(".");
    assert_eq!(d.lines(&lines), [552]);
    assert!(d.replies.starts_with("552 5.3.4"));
    assert_eq!((d.refused, d.messages.len()), (1, 0));
    assert_eq!(d.lines(&["RCPT TO:<x@y.example>", "MAIL FROM:<>"]), [503, 250]);
}

#[test]
fn utf8_only_when_asked() {
    let mut d = Driver::smtp(true);
    assert_eq!(
        d.lines(&["EHLO c", "MAIL FROM:<ä@b.example>", "MAIL FROM:<a@b.example>", "RCPT TO:<ä@y.example>", "VRFY ä", "DATA", "RSET"]),
        [220, 250, 553, 250, 553, 553, 554, 250]
    );
    assert_eq!(d.lines(&["MAIL FROM:<ä@b.example> SMTPUTF8", "RCPT TO:<ä@y.example>"]), [250, 250]);
    assert_eq!(d.session.with(), "UTF8SMTP");
}

#[test]
fn too_much_ends_the_session() {
    let mut d = Driver::smtp(true);
    let codes = d.lines(&["FOO"; 30]);
    assert_eq!((codes.len(), codes.last()), (12, Some(&421)));
    let mut d = Driver::smtp(true);
    let codes = d.lines(&["NOOP"; 30]);
    assert_eq!((codes.len(), codes.last()), (12, Some(&421)));
    let mut d = Driver::smtp(true);
    let codes = d.lines(&["EHLO c"; 30]);
    assert_eq!(codes.last(), Some(&421));
}

#[test]
fn dsn_parameters_are_carried() {
    let mut d = Driver::smtp(true);
    d.lines(&["EHLO c", "MAIL FROM:<a@b.example> RET=HDRS ENVID=e+2B1", "RCPT TO:<x@y.example> NOTIFY=SUCCESS ORCPT=rfc822;o@y.example"]);
    let transaction = d.session.transaction().unwrap();
    assert_eq!((transaction.envid.as_deref(), transaction.ret), (Some("e+2B1"), Some(envelope::Ret::Headers)));
    let dsn = &transaction.recipients()[0].dsn;
    assert_eq!(dsn.orcpt.as_deref(), Some("rfc822;o@y.example"));
    assert!(dsn.notify.unwrap().success);
    assert_eq!(d.lines(&["RCPT TO:<x@y.example> ORCPT=rfc822;a+0Ab", "RCPT TO:<x@y.example> FOO=1"]), [501, 555]);
}

#[test]
fn foreign_reply_text_stays_on_its_line() {
    let mut d = Driver::smtp(true);
    d.commit = Some(Reply::new(550, Enhanced::permanent(7, 1), "no\r\n250 yes"));
    d.lines(&["EHLO c", "MAIL FROM:<>", "RCPT TO:<x@y.example>", "DATA"]);
    assert_eq!(d.lines(&["x", "."]), [550]);
    assert_eq!(d.replies, "550 5.7.1 no??250 yes\r\n");
}

#[test]
fn refused_before_it_began() {
    let mut session = Session::refused(Arc::new(Config { hostname: "h".into(), ..config() }), "too many connections");
    assert_eq!(session.output(), b"421 4.7.0 too many connections\r\n");
    assert!(session.is_closed());
}

#[test]
fn an_idle_session_is_small() {
    let mut d = Driver::smtp(true);
    d.lines(&["EHLO client.example"]);
    assert!(std::mem::size_of::<Session>() <= 512, "{}", std::mem::size_of::<Session>());
}
