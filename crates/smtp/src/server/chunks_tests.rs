//! BDAT and BINARYMIME, with attacks.md 10, 25, 27-29.

use super::driver::{Driver, config};
use super::{Config, Protocol, Rights, Step};
use proptest::prelude::*;
use status::{Enhanced, Reply};

const ENVELOPE: &[u8] = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\n";
const BINARY: &[u8] = b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<x@y.example>\r\n";

fn chunk(content: &[u8], last: bool) -> Vec<u8> {
    [format!("BDAT {}{}\r\n", content.len(), if last { " LAST" } else { "" }).as_bytes(), content].concat()
}

fn open(envelope: &[u8]) -> Driver {
    let mut d = Driver::smtp(true);
    d.feed(b"EHLO c\r\n");
    d.feed(envelope);
    d.replies.clear();
    d
}

#[test]
fn a_message_in_chunks() {
    let wire = [chunk(b"Subject: x\r\n\r", false), chunk(b"\n.\r\n..\r\n", false), chunk(b"end", true), b"QUIT\r\n".to_vec()].concat();
    for piece in 1..wire.len() {
        let mut d = open(ENVELOPE);
        d.pieces(&wire, piece);
        assert_eq!(d.codes(), [250, 250, 250, 221], "{piece}");
        assert_eq!(d.messages[0].1, "Subject: x\n\n.\n..\nend");
        assert_eq!((d.begun, d.refused), (1, 0));
    }
}

/// 10: nothing within chunks ends the content.
#[test]
fn a_dot_between_chunks_is_content() {
    let mut d = open(ENVELOPE);
    let rest = b"\n.\r\nMAIL FROM:<evil@b.example>\r\n.\r\n";
    d.feed(&[chunk(b"A: b\r\n\r\nx\r", false), chunk(rest, true)].concat());
    assert_eq!((d.codes(), d.messages.len()), (vec![250, 250], 1));
    assert!(d.messages[0].1.ends_with("x\n.\nMAIL FROM:<evil@b.example>\n.\n"));
    for bad in [&b"A: b\r\n\r\nx\ny"[..], b"A: b\r\n\r\nx\ry", b"A: b\r\n\r\nx\r", b"A: b\r\n\r\n\0"] {
        let mut d = open(ENVELOPE);
        d.feed(&chunk(bad, true));
        assert_eq!((d.codes(), d.refused, d.messages.len()), (vec![550], 1, 0), "{bad:?}");
        let mut d = open(ENVELOPE);
        d.feed(&[chunk(bad, false), chunk(b"more", true), b"NOOP\r\n".to_vec()].concat());
        let expected = if bad.ends_with(b"\r") { vec![250, 550, 250] } else { vec![550, 503, 250] };
        assert_eq!((d.codes(), d.refused), (expected, 1), "{bad:?}");
    }
}

/// Octets stay as they are; the header is lines.
#[test]
fn binary_content_is_kept() {
    let content = b"A: b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n.\r\n\n\r\r\n.x\r\x01";
    let text = String::from_utf8(content.to_vec()).unwrap();
    for piece in 1..content.len() {
        let mut d = Driver::new(Config { max_idle_commands: 100, ..config() }, Protocol::Smtp, true);
        d.feed(b"EHLO c\r\n");
        d.feed(BINARY);
        for part in content.chunks(piece) {
            d.feed(&chunk(part, false));
        }
        d.feed(&chunk(b"", true));
        assert_eq!(d.messages[0].1, text, "{piece}");
    }
    let mut d = open(BINARY);
    assert_eq!(d.lines(&["DATA"]), [503]);
    d.feed(&chunk(b"A: b\nC: d\r\n\r\n", true));
    assert_eq!(d.codes(), [503, 550]);
    let mut d = open(BINARY);
    d.feed(&chunk(b"no header\r\nat all", true));
    assert_eq!(d.messages[0].1, "\r\nno header\r\nat all");
    let mut d = open(BINARY);
    d.feed(&chunk(&[b'x'; 10_001], true));
    assert_eq!(d.codes(), [552]);
}

/// 25, 27: what is wrong is answered after its octets, and they are never commands.
#[test]
fn refused_chunks_are_skipped() {
    let evil = b"MAIL FROM:<evil@b.example>\r\n";
    for (before, code) in [(&b""[..], 503), (b"MAIL FROM:<a@b.example>\r\n", 554), (b"HELO c\r\n", 503)] {
        let mut d = Driver::smtp(true);
        d.feed(b"EHLO c\r\n");
        d.feed(before);
        d.replies.clear();
        d.feed(b"BDAT 28\r\n");
        assert!(d.replies.is_empty());
        d.feed(evil);
        assert_eq!(d.codes(), [code], "{before:?}");
    }
    let mut d = open(ENVELOPE);
    d.feed(&[chunk(b"A: b\n", false), b"RCPT TO:<x@y.example>\r\n".to_vec(), chunk(evil, true), b"DATA\r\n".to_vec()].concat());
    assert_eq!(d.codes(), [550, 503, 503, 503]);
    assert_eq!((d.messages.len(), d.begun, d.refused), (0, 1, 1));
    let mut d = open(ENVELOPE);
    d.lines(&["DATA", "x", "."]);
    d.feed(&chunk(evil, true));
    assert_eq!(d.codes().last(), Some(&503));
}

/// 27: what may stand between chunks.
#[test]
fn commands_between_chunks() {
    for (command, code, refused) in [("RSET", 250, 1), ("EHLO d", 250, 1), ("NOOP", 250, 0), ("VRFY x", 252, 0)] {
        let mut d = open(ENVELOPE);
        d.feed(&chunk(b"A: b\r\n", false));
        assert_eq!(d.lines(&[command]), [code]);
        assert_eq!(d.refused, refused, "{command}");
        d.replies.clear();
        d.feed(&chunk(b"\r\nx\r\n", true));
        assert_eq!(d.codes(), [if refused > 0 { 503 } else { 250 }], "{command}");
        assert_eq!(d.messages.len(), 1 - refused);
    }
    for command in ["MAIL FROM:<>", "RCPT TO:<x@y.example>", "DATA", "STARTTLS"] {
        let mut d = open(ENVELOPE);
        d.feed(&chunk(b"A: b\r\n", false));
        assert_eq!(d.lines(&[command]), [503], "{command}");
        d.feed(&chunk(b"", true));
        assert_eq!(d.messages[0].1, "A: b\n");
    }
    let mut d = open(ENVELOPE);
    d.feed(&chunk(b"", true));
    assert_eq!((d.messages[0].1.as_str(), d.codes()), ("", vec![250]));
    let mut d = open(ENVELOPE);
    d.feed(b"BDAT 5\r\nA: b");
    d.feed(b"\rQUIT\r\n");
    assert_eq!(d.codes(), [250, 221]);
}

/// 28: chunks of nothing, and of one octet.
#[test]
fn small_chunks_are_bounded() {
    for content in [&b""[..], b"x"] {
        let mut d = open(ENVELOPE);
        let fed = (0..1_000_000).take_while(|_| d.feed(&chunk(content, false))).count();
        assert!(fed < 20, "{fed}");
        assert_eq!(d.codes().last(), Some(&421));
    }
    let mut d = Driver::new(Config { max_message_size: 1 << 30, ..config() }, Protocol::Smtp, true);
    d.lines(&["EHLO c"]);
    d.feed(ENVELOPE);
    assert!((0..500).all(|_| d.feed(&chunk(&b"0123456789abcde\r\n".repeat(40), false))));
}

/// 29: where nobody knows what follows, the session ends.
#[test]
fn sizes_are_strict() {
    for size in ["18446744073709551615", "-1", "0x10", "10 LASTX", "", "1e3"] {
        let mut d = open(ENVELOPE);
        assert!(!d.feed(format!("BDAT {size}\r\nRSET\r\n").as_bytes()));
        assert_eq!(d.codes(), [501], "{size}");
    }
    let mut d = open(ENVELOPE);
    d.feed(b"BDAT 999999999999999999\r\n");
    assert!(d.replies.is_empty() && d.feed(b"x") && d.session.is_receiving());
    let mut d = Driver::smtp(true);
    assert!(!d.feed(b"HELO c\r\nBDAT 3\r\nabc"));
}

#[test]
fn lmtp_answers_the_last_chunk_for_each_recipient() {
    let mut d = Driver::new(config(), Protocol::Lmtp, true);
    d.lines(&["LHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<x@y.example>", "RCPT TO:<z@y.example>"]);
    d.replies.clear();
    d.feed(&[chunk(b"A: b\r\n", false), chunk(b"", true)].concat());
    assert_eq!(d.codes(), [250, 250, 250]);
}

#[test]
fn the_driver_may_refuse_before_the_first_chunk() {
    let rights = || Rights { ask_data: true, relay: true, ..Rights::default() };
    let mut d = Driver::with(config(), Protocol::Smtp, rights());
    d.feed(b"EHLO c\r\n");
    d.feed(ENVELOPE);
    d.replies.clear();
    d.feed(&chunk(b"A: b\r\n", true));
    assert_eq!((d.codes(), d.messages.len(), d.begun), (vec![250], 1, 1));
    for (code, closed) in [(550, false), (421, true)] {
        let mut d = Driver::with(config(), Protocol::Smtp, rights());
        d.feed(b"EHLO c\r\n");
        d.feed(ENVELOPE);
        let mut sink = Vec::new();
        let input = b"BDAT 7\r\nRSET\r\n\nNOOP\r\n";
        let (used, step) = d.session.step(input, &mut sink);
        assert!(matches!(step, Step::Data) && d.session.transaction().is_some());
        d.session.answer(Err(Reply::new(code, Enhanced::permanent(7, 1), "no")));
        d.replies.clear();
        d.feed(&input[used..]);
        assert_eq!((d.codes()[0], d.session.is_closed(), d.session.transaction().is_none()), (code, closed, true));
        assert!(d.codes().len() == if closed { 1 } else { 2 } && sink.is_empty());
    }
    // An empty chunk has no octet that would wake the session.
    let mut d = Driver::with(config(), Protocol::Smtp, rights());
    d.feed(b"EHLO c\r\n");
    d.feed(ENVELOPE);
    let mut sink = Vec::new();
    let (_, step) = d.session.step(b"BDAT 0 LAST\r\n", &mut sink);
    assert!(matches!(step, Step::Data) && !d.session.is_ready());
    d.session.answer(Ok(()));
    assert!(d.session.is_ready());
    assert!(matches!(d.session.step(b"", &mut sink).1, Step::End(_)));
}

proptest! {
    /// Lines in any chunks in any pieces arrive as DATA would have brought them; octets as they are.
    #[test]
    fn any_chunks(body in prop::collection::vec(prop::sample::select(b"\r\n.\0aA: ".to_vec()), 0..80), cuts in prop::collection::vec(1..9usize, 1..8), piece in 1..30usize, binary in any::<bool>()) {
        let content = [b"A: b\r\n\r\n", body.as_slice()].concat();
        let mut d = open(if binary { BINARY } else { ENVELOPE });
        let (mut rest, mut wire, mut cuts) = (content.as_slice(), Vec::new(), cuts.iter().cycle());
        while let Some((part, more)) = rest.split_at_checked(*cuts.next().unwrap()) {
            wire.extend(chunk(part, false));
            rest = more;
        }
        wire.extend(chunk(rest, true));
        let small = wire.windows(4).filter(|w| w == b"BDAT").count() > 10;
        d.pieces(&wire, piece);
        if small {
            return Ok(());
        }
        let text = String::from_utf8(content).unwrap();
        let good = !text.contains('\0') && !text.replace("\r\n", "").contains(['\r', '\n']);
        prop_assert_eq!(d.messages.len(), usize::from(binary || good));
        if let Some((_, got)) = d.messages.first() {
            let expected = if binary { text } else { text.replace("\r\n", "\n") };
            prop_assert_eq!(got, &expected);
        }
    }
}
