use super::super::RelayPolicy;
use super::*;
use proptest::prelude::*;

fn config() -> Config {
    Config {
        hostname: "mx.example".into(),
        banner: "ESMTP".into(),
        max_message_size: 100_000,
        max_recipients: 100,
        max_hops: 3,
        max_errors: 20,
        max_idle_commands: 100,
        max_refused_recipients: 1000,
        max_header_bytes: 1000,
        max_line: 5000,
        blank_newlines: false,
        relay: RelayPolicy::default(),
        offers: Default::default(),
    }
}

/// Feeds in pieces of `piece` bytes; what was decoded, the fault, and the bytes after the end.
fn decode(input: &[u8], piece: usize, config: &Config) -> Option<(Vec<u8>, Option<Fault>, usize)> {
    let (mut content, mut sink, mut at) = (Content::new(Framing::Dots, config.max_message_size), Vec::new(), 0);
    while at < input.len() {
        let end = (at + piece).min(input.len());
        let (used, ended) = content.feed(&input[at..end], config, &mut sink);
        at += used;
        if ended {
            return Some((sink, content.fault(), input.len() - at));
        }
    }
    None
}

#[test]
fn decodes_alike_at_every_split() {
    let wire = b"A: b\r\n c\r\n\r\n..dot\r\n.\x2e.\r\nx.\r\n\r\n.\r\nrest";
    for piece in 1..wire.len() {
        let (text, fault, left) = decode(wire, piece, &config()).unwrap();
        assert_eq!((text.as_slice(), fault, left), (&b"A: b\n c\n\n.dot\n..\nx.\n\n"[..], None, 4), "{piece}");
    }
}

/// attacks.md 1-6: what follows the false end is content, and the message is refused at the real one.
#[test]
fn nothing_but_crlf_dot_crlf_ends_content() {
    for (false_end, fault) in [
        (&b"\n.\n"[..], Fault::BareNewline),
        (b"\n.\r\n", Fault::BareNewline),
        (b"\r\n.\n", Fault::BareNewline),
        (b"\r.\r", Fault::BareNewline),
        (b"\r.\n", Fault::BareNewline),
        (b"\n.\r", Fault::BareNewline),
        (b"\r.\r\n", Fault::BareNewline),
        (b"\r\n.\r", Fault::BareNewline),
        (b"\r\n.\r\r\n", Fault::BareNewline),
        (b"\n\0.\r\n", Fault::BareNewline),
        (b"\r\n\0.\r\n", Fault::Nul),
        (b"\r\n.\0\r\n", Fault::Nul),
    ] {
        let wire = [b"A: b\r\n\r\nx", false_end, b"MAIL FROM:<x@y>\r\n.\r\n"].concat();
        for piece in [1, 2, 3, wire.len()] {
            let (_, found, left) = decode(&wire, piece, &config()).unwrap();
            assert_eq!((found, left), (Some(fault), 0), "{false_end:?}");
            let blank = Config { blank_newlines: true, ..config() };
            let (text, _, left) = decode(&wire, piece, &blank).unwrap();
            assert_eq!(left, 0, "{false_end:?}");
            assert!(!text.contains(&b'\r'), "{text:?}");
        }
    }
}

#[test]
fn stray_line_ends_become_blanks_when_told_so() {
    let blank = Config { blank_newlines: true, ..config() };
    let (text, fault, _) = decode(b"\r\na\rb\nc\r\r\nd\r\n.\r\n", 1, &blank).unwrap();
    assert_eq!((text.as_slice(), fault), (&b"\na b c \nd\n"[..], None));
}

#[test]
fn a_header_without_blank_line_gets_one() {
    for (wire, expected) in [
        (&b"hello\r\n.\r\n"[..], &b"\nhello\n"[..]),
        (b"A: b\r\nhello world\r\nC: d\r\n.\r\n", b"A: b\n\nhello world\nC: d\n"),
        (b" folded first\r\n.\r\n", b"\n folded first\n"),
        (b"From me\r\nA: b\r\n.\r\n", b"\nFrom me\nA: b\n"),
        (b": empty name\r\n.\r\n", b"\n: empty name\n"),
        (b"A: b\r\n.\r\n", b"A: b\n"),
        (b".\r\n", b""),
        (b"\r\n\r\n.\r\n", b"\n\n"),
    ] {
        for piece in 1..wire.len() {
            assert_eq!(decode(wire, piece, &config()).unwrap().0, expected, "{wire:?} by {piece}");
        }
    }
}

#[test]
fn limits_are_told_at_the_end() {
    let long = "x".repeat(5001);
    for (text, fault) in [
        (format!("\r\n{long}\r\n"), Fault::LineTooLong),
        (format!("A: {}\r\n", "b".repeat(1000)), Fault::HeaderTooLarge),
        ("A: b\r\n c\r\n".repeat(200), Fault::HeaderTooLarge),
        (format!("\r\n{}", "0123456789\r\n".repeat(9000)), Fault::TooLarge),
        ("received : x\r\n".repeat(9) + "Received: x\r\n" + &"x".repeat(9), Fault::TooManyHops),
        ("Received: x\r\nRECEIVED: x\r\nreceived:x\r\nReceived: y\r\n".to_owned(), Fault::TooManyHops),
    ] {
        let found = decode(format!("{text}\r\n.\r\n").as_bytes(), 7, &config()).unwrap().1;
        if text.starts_with("received :") {
            assert_eq!(found, None);
        } else {
            assert_eq!(found, Some(fault), "{}", text.get(..20).unwrap());
        }
    }
}

proptest! {
    /// Whatever lines come, stuffing and decoding give them back, however the stream is cut.
    #[test]
    fn carries_lines_exactly(lines in prop::collection::vec("[ -~]{0,20}", 0..8), piece in 1..40usize) {
        let mut wire = b"A: b\r\n\r\n".to_vec();
        let mut expected = b"A: b\n\n".to_vec();
        for line in &lines {
            if line.starts_with('.') {
                wire.push(b'.');
            }
            wire.extend_from_slice(line.as_bytes());
            wire.extend_from_slice(b"\r\n");
            expected.extend_from_slice(line.as_bytes());
            expected.push(b'\n');
        }
        wire.extend_from_slice(b".\r\nQUIT");
        let (text, fault, left) = decode(&wire, piece, &config()).unwrap();
        prop_assert_eq!((text, fault, left), (expected, None, 4));
    }

    /// Any bytes at all: the same result for every cut, and an end only after CRLF.CRLF.
    #[test]
    fn any_bytes(wire in prop::collection::vec(prop::sample::select(b"\r\n.\0aA: ".to_vec()), 0..60), piece in 1..9usize) {
        let whole = decode(&wire, wire.len().max(1), &config());
        prop_assert_eq!(&whole, &decode(&wire, piece, &config()));
        let framed = [b"\r\n", wire.as_slice()].concat();
        let end = framed.windows(5).position(|w| w == b"\r\n.\r\n");
        prop_assert_eq!(whole.map(|(_, _, left)| framed.len() - left), end.map(|at| at + 5));
    }
}
