//! attacks.md, the server's part; numbers as there.

use super::driver::{Driver, config};
use super::{Config, Protocol};
use proptest::prelude::*;

const OPENING: &[u8] = b"EHLO c\r\n";
const ENVELOPE: &[u8] = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\n";

/// Runs a dialogue, the part after EHLO in pieces of `piece` bytes. DATA is always fed by itself.
fn dialogue(content: &[u8], piece: usize, config: Config) -> Driver {
    let mut d = Driver::new(config, Protocol::Smtp, true);
    d.feed(OPENING);
    d.pieces(ENVELOPE, piece);
    d.pieces(b"DATA\r\n", piece);
    d.pieces(content, piece);
    d
}

/// 1-6: a false end smuggles nothing: one message or none, whatever the cut, and no second MAIL is ever seen.
#[test]
fn no_smuggling() {
    let ends: &[&[u8]] = &[
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\n",
        b"\n.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n.\r\r\n",
        b"\n\0.\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
    ];
    for end in ends {
        let content =
            [b"Subject: x\r\n\r\nbody", *end, b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\nevil\r\n.\r\n"].concat();
        for piece in 1..content.len() {
            let d = dialogue(&content, piece, config());
            assert_eq!((d.messages.len(), d.refused, d.begun), (0, 1, 1), "{end:?} by {piece}");
            assert_eq!(d.codes().last(), Some(&550));
            let d = dialogue(&content, piece, Config { blank_newlines: true, ..config() });
            assert_eq!((d.messages.len() + d.refused, d.begun), (1, 1), "{end:?} by {piece}");
            assert!(d.messages.iter().all(|(_, text)| !text.contains(['\r', '\0'])));
        }
    }
}

/// Near the limits of header and line the answer is the same however the content is cut.
#[test]
fn the_cut_decides_no_fault() {
    let small = || Config { max_header_bytes: 100, max_line: 60, max_message_size: 300, max_hops: 1, ..config() };
    let field = format!("A: {}\r\n", "x".repeat(40));
    for more in
        ["this line is no field and goes over the limit", &"x".repeat(90), "Received: a\r\nReceived: b and some more of it", "\r\nbody"]
    {
        let content = [field.as_bytes(), field.as_bytes(), more.as_bytes(), b"\r\n.\r\n"].concat();
        let whole = dialogue(&content, content.len(), small()).replies;
        for piece in 1..content.len() {
            assert_eq!(dialogue(&content, piece, small()).replies, whole, "{more} by {piece}");
        }
    }
}

/// 11, 21, 32: lines without end, foreign protocols, long arguments.
#[test]
fn foreign_bytes() {
    let mut d = Driver::smtp(true);
    d.feed(OPENING);
    let mut fed = 0;
    while d.feed(&[b'x'; 4096]) {
        fed += 4096;
        assert!(fed <= 128 * 1024);
    }
    assert_eq!(d.codes().last(), Some(&421));
    for first in [
        &b"POST / HTTP/1.1\r\n"[..],
        b"CONNECT x:25 HTTP/1.0\r\n",
        b"\x16\x03\x01\x02\x00\x01\n",
        b"\x03\x00\x00\x13\x0e\xe0\r\n",
        b"\xff\xfe\xc0\xc1\r\n",
        b"\0\r\n",
    ] {
        let mut d = Driver::smtp(true);
        d.feed(first);
        assert_eq!(d.codes(), [220, 500], "{first:?}");
    }
    let mut d = Driver::smtp(true);
    let long = format!("VRFY {}'\";--", "x".repeat(2000));
    assert_eq!(
        d.lines(&["EHLO c", &long, &format!("EXPN {long}"), &format!("MAIL FROM:<{}@b>", "x".repeat(5000))]),
        [220, 250, 252, 502, 500]
    );
}

/// 15, 20: bytes out of turn.
#[test]
fn synchronisation() {
    let mut d = dialogue(b"", 100, config());
    assert_eq!(d.codes().last(), Some(&354));
    d.feed(b".\r\n");
    d.feed(ENVELOPE);
    assert!(!d.feed(b"DATA\r\nSubject: x\r\n"));
    assert_eq!(d.codes().last(), Some(&554));
    assert_eq!(d.messages.len(), 1);
    for early in [&b"EHLO c\r\nNOOP\r\n"[..], b"HELO c\r\nMAIL FROM:<>\r\n", b"NOOP\r\nNOOP\r\n"] {
        let mut d = Driver::smtp(true);
        assert!(!d.feed(early));
        assert_eq!(d.codes().last(), Some(&554));
    }
    let mut d = Driver::smtp(true);
    assert!(!d.feed(b"EHLO c\r\nAUTH PLAIN AHUAcA==\r\n"));
    assert!(d.session.take_rejections().iter().all(|rejection| !rejection.subject.contains("AHUAcA")));
    let mut d = Driver::smtp(true);
    d.feed(b"HELO c\r\n");
    assert!(!d.feed(ENVELOPE));
    let mut d = Driver::smtp(true);
    d.feed(OPENING);
    assert!(!d.feed(b"STARTTLS\r\nRSET\r\n"));
    assert_eq!(d.codes(), [220, 250, 554]);
}

/// 17, 18: STARTTLS where it does not belong, and what was said before it.
#[test]
fn tls_begins_anew() {
    let mut d = Driver::smtp(true);
    assert_eq!(
        d.lines(&["STARTTLS", "HELO c", "STARTTLS", "EHLO c", "STARTTLS now", "MAIL FROM:<>", "STARTTLS", "RSET"]),
        [220, 503, 250, 503, 250, 501, 250, 503, 250]
    );
    assert!(d.replies.contains("250-STARTTLS\r\n"));
    d.replies.clear();
    // The client has to say who it is once more; STARTTLS is not offered again.
    assert_eq!(d.lines(&["STARTTLS", "MAIL FROM:<>", "EHLO c", "STARTTLS"]), [220, 503, 250, 503]);
    assert!(!d.replies.contains("250-STARTTLS") && d.session.with() == "ESMTPS");
}

/// 24-26: no transaction outlives its refusal.
#[test]
fn nothing_is_left_of_a_refused_transaction() {
    let mut d = Driver::smtp(true);
    d.commit = Some(status::Reply::new(550, status::Enhanced::permanent(7, 1), "policy"));
    d.feed(OPENING);
    d.feed(ENVELOPE);
    d.lines(&["DATA", "x", "."]);
    assert_eq!(d.codes().last(), Some(&550));
    assert_eq!(d.lines(&["RCPT TO:<x@y.example>", "DATA"]), [503, 503]);
    let d = dialogue(b"\nx\r\n.\r\nRCPT TO:<x@y.example>\r\n", 3, config());
    assert_eq!(d.codes().last(), Some(&503));
    let mut d = Driver::smtp(true);
    assert_eq!(d.lines(&["EHLO c", "MAIL FROM:<ä@b.example>", "RCPT TO:<x@y.example>", "DATA"]), [220, 250, 553, 503, 503]);
}

/// 30: very many commands.
#[test]
fn recipients_past_the_limit_wait() {
    let mut d = Driver::smtp(true);
    d.lines(&["EHLO c", "MAIL FROM:<>"]);
    let codes = d.lines(&["RCPT TO:<x@y.example>"; 2000]);
    assert_eq!(codes.iter().filter(|c| **c == 250).count(), 5);
    assert_eq!(codes.iter().filter(|c| **c == 452).count(), 1995);
    d.lines(&["DATA", "x", "."]);
    assert_eq!(d.messages[0].0.len(), 5);
}

/// 34, 35, 37-40: address forms. What is accepted is literal.
#[test]
fn address_forms() {
    let long_local = format!("RCPT TO:<{}@y.example>", "x".repeat(65));
    let long_domain = format!("RCPT TO:<x@{}>", "y.".repeat(130));
    for (line, code) in [
        ("RCPT TO:<${run{/bin/sh}}@y.example>", 250),
        ("RCPT TO:<\"x'/**/UNION\"@y.example>", 250),
        ("RCPT TO:<`id`@y.example>", 250),
        ("RCPT TO:<u!d@y.example>", 250),
        ("RCPT TO:<@r1.example,@r2.example:u@y.example>", 250),
        ("RCPT TO: <u@y.example>", 250),
        ("RCPT TO:<u@[127.0.0.1]>", 250),
        ("RCPT TO:<u@[IPv6:::1]>", 250),
        ("RCPT TO:u@y.example", 501),
        ("RCPT TO:<>", 501),
        ("RCPT TO:", 501),
        ("RCPT <u@y.example>", 501),
        ("RCPT TO:<u@y.example", 501),
        ("RCPT TO:<u@y.example>x", 501),
        ("RCPT TO:<u@y.example> NOTIFY=x", 501),
        ("RCPT TO:<@>", 553),
        ("RCPT TO:<a@>", 553),
        ("RCPT TO:<@a>", 553),
        ("RCPT TO:<a@ >", 553),
        ("RCPT TO:< @a>", 553),
        ("RCPT TO:<a b@c>", 553),
        ("RCPT TO:<u@[127.0.0.1]x>", 553),
        ("RCPT TO:<foo>", 553),
        (long_local.as_str(), 553),
        (long_domain.as_str(), 553),
    ] {
        let mut d = Driver::new(Config { max_errors: 100, ..config() }, Protocol::Smtp, true);
        d.lines(&["EHLO c", "MAIL FROM:<>"]);
        let got = d.lines(&[line]);
        let fits = if code == 250 { got == [250] } else { got.len() == 1 && (501..=553).contains(&got[0]) };
        assert!(fits, "{line} {got:?}");
        assert_eq!(d.session.transaction().unwrap().recipients().len(), usize::from(code == 250));
    }
}

const COMMANDS: &[&str] = &[
    "EHLO c",
    "HELO c",
    "MAIL FROM:<a@b.example>",
    "MAIL FROM:<>",
    "MAIL FROM:bad",
    "RCPT TO:<x@y.example>",
    "RCPT TO:<known@local.example>",
    "RCPT TO:<nobody@local.example>",
    "RCPT TO:<bad",
    "DATA",
    "RSET",
    "NOOP",
    "VRFY x",
    "EXPN x",
    "HELP",
    "FOO",
    "MAIL FROM:<a@b.example> SIZE=99999",
    "",
];

/// What the reply to a command must be, from the rules alone.
#[derive(Default)]
struct Model {
    hello: bool,
    mail: bool,
    recipients: usize,
}

impl Model {
    fn expect(&mut self, line: &str) -> u16 {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "EHLO" | "HELO" => {
                *self = Self { hello: true, ..Self::default() };
                250
            }
            "MAIL" if !self.hello || self.mail => 503,
            "MAIL" if rest.contains("SIZE=99999") => 552,
            "MAIL" if rest.contains("bad") => 501,
            "MAIL" => {
                self.mail = true;
                250
            }
            "RCPT" if !self.mail => 503,
            "RCPT" if rest.contains("bad") => 501,
            "RCPT" if rest.contains("nobody") => 550,
            "RCPT" if self.recipients >= 5 => 452,
            "RCPT" => {
                self.recipients += 1;
                250
            }
            "DATA" if !self.mail => 503,
            "DATA" if self.recipients == 0 => 554,
            "DATA" => {
                *self = Self { hello: true, ..Self::default() };
                354
            }
            "RSET" => {
                *self = Self { hello: self.hello, ..Self::default() };
                250
            }
            "NOOP" => 250,
            "VRFY" => 252,
            "HELP" => 214,
            "EXPN" => 502,
            _ => 500,
        }
    }
}

proptest! {
    /// Random commands in random pieces answer as the model does; each end of data is one message.
    #[test]
    fn follows_the_model(commands in prop::collection::vec(prop::sample::select(COMMANDS), 0..40), piece in 1..12usize) {
        let config = Config { max_errors: 1000, max_idle_commands: 1000, ..config() };
        let mut d = Driver::new(config, Protocol::Smtp, true);
        let (mut model, mut messages) = (Model::default(), 0);
        for line in commands {
            let expected = model.expect(line);
            d.replies.clear();
            d.pieces(format!("{line}\r\n").as_bytes(), piece);
            let codes: Vec<u16> = d.codes().into_iter().filter(|c| *c != 220).collect();
            // Past the limit of recipients the session need not ask whether a user exists.
            prop_assert!(codes == [expected] || (codes == [452] && expected == 550), "{} {:?} {}", line, codes, expected);
            if expected == 354 {
                d.pieces(b"A: b\r\n\r\nMAIL FROM:<x@y>\r\n.\r\n", piece);
                messages += 1;
                prop_assert_eq!(d.codes().last().copied(), Some(250));
            }
            prop_assert_eq!(d.messages.len(), messages);
            prop_assert!(d.messages.iter().all(|(to, _)| !to.is_empty()));
        }
    }

    /// Any bytes: no panic, bounded output, and no message without its 354.
    #[test]
    fn any_bytes(input in prop::collection::vec(any::<u8>(), 0..500), piece in 1..50usize) {
        let mut d = Driver::smtp(true);
        d.pieces(&input, piece);
        prop_assert!(d.messages.len() <= d.begun);
        for line in d.replies.split_terminator("\r\n") {
            prop_assert!(line.len() >= 4 && line.is_ascii() && !line.contains(['\r', '\n']));
        }
    }
}
