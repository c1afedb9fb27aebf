//! Messages in, messages out, and what a reader makes of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn plan(content: &[u8], octets: bool, cut: usize) -> Plan {
    let mut surveyor = Surveyor::new(octets);
    content.chunks(cut.max(1)).for_each(|piece| surveyor.feed(piece));
    surveyor.finish()
}

fn convert(content: &[u8], octets: bool, cut: usize) -> Vec<u8> {
    let plan = plan(content, octets, cut);
    assert_eq!(plan.obstacle, None);
    let (mut converter, mut out) = (Converter::new(plan, octets), Vec::new());
    content.chunks(cut.max(1)).for_each(|piece| converter.feed(piece, &mut out));
    converter.finish(&mut out);
    out
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_plain_message_gets_a_mime_header() {
    let content = "Subject: x\n\ngr\u{fc}n \nend\n".as_bytes();
    for cut in [1, 3, 100] {
        assert_eq!(
            text(convert(content, false, cut)),
            "Subject: x\nContent-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=unknown-8bit\n\ngr=C3=BCn=20\nend\n"
        );
    }
}

#[test]
fn parts_are_converted_one_by_one() {
    let content = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npreamble\n--b\n\n\
                   ascii = stays\n--b\nContent-Transfer-Encoding:\n 8bit\nContent-Type: text/plain; charset=utf-8\n\n\u{fc}\n\n--b\n\
                   Content-Type: image/x\nContent-Transfer-Encoding: 8bit\n\n\u{fc}\u{fc}\u{fc}\u{fc}\n--b\n\
                   Content-Transfer-Encoding: 8bit\n\nplain\n--b--\nepilogue\n";
    for cut in [1, 7, 10_000] {
        assert_eq!(
            text(convert(content.as_bytes(), false, cut)),
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npreamble\n--b\n\n\
             ascii = stays\n--b\nContent-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=utf-8\n\n=C3=BC\n\n--b\n\
             Content-Type: image/x\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC=C3=BC=C3=BC=C3=BC\n--b\n\
             Content-Transfer-Encoding: 7bit\n\nplain\n--b--\nepilogue\n"
        );
    }
}

#[test]
fn a_message_within_a_message() {
    let content = "MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: \u{e9}\n\n\u{e9}\n";
    let plan = plan(content.as_bytes(), false, 9);
    assert!(plan.needed && plan.eight_bit_header);
    assert_eq!(
        text(convert(content.as_bytes(), false, 9)),
        "MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: \u{e9}\n\
         Content-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\n\n=C3=A9\n"
    );
}

#[test]
fn what_must_not_change_does_not() {
    let signed = "Content-Type: multipart/signed; boundary=b\n\n--b\n\n\u{fc}\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n";
    let outside = "Content-Type: multipart/mixed; boundary=b\n\n\u{fc}\n--b\n\nx\n--b--\n";
    for (content, obstacle) in [
        ("DKIM-Signature: v=1\n\n\u{fc}\n", Some(Unconvertible::Signature)),
        (signed, Some(Unconvertible::Signature)),
        ("Content-Type: message/partial; id=x\n\n\u{fc}\n", Some(Unconvertible::Structure)),
        ("Content-Type: multipart/mixed\n\n\u{fc}\n", Some(Unconvertible::Structure)),
        ("Content-Transfer-Encoding: x-uu\n\n\u{fc}\n", Some(Unconvertible::Structure)),
        (outside, Some(Unconvertible::Structure)),
        ("Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: 8bit\n\n\u{fc}\n", None),
    ] {
        let plan = plan(content.as_bytes(), false, 50);
        assert!(plan.needed, "{content}");
        assert_eq!(plan.obstacle, obstacle, "{content}");
    }
    for content in
        ["DKIM-Signature: v=1\n\nascii\n", "Subject: \u{fc}\n\nascii\n", "", "\n", "x", "Content-Transfer-Encoding: base64\n\nYQ==\n"]
    {
        let plan = plan(content.as_bytes(), false, 3);
        assert!(!plan.needed && plan.obstacle.is_none(), "{content}");
    }
}

#[test]
fn depth_and_number_of_parts_are_bounded() {
    let deep: String = (0..100).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}x\n\n--b{n}x\n")).collect();
    assert_eq!(plan(deep.as_bytes(), false, 100).obstacle, Some(Unconvertible::Structure));
    let wide = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\n".repeat(20_000));
    let plan = plan(wide.as_bytes(), false, 1000);
    assert!(plan.obstacle == Some(Unconvertible::Structure) && plan.actions.len() <= 10_000);
}

/// The octets of a leaf as a reader decodes them.
fn decoded(message: &[u8]) -> Vec<u8> {
    let at = memchr::memmem::find(message, b"\n\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&message[..at]).into_owned(), &message[at + 2..]);
    if head.contains("base64") {
        let packed: Vec<u8> = body.iter().copied().filter(|b| *b != b'\n').collect();
        return data_encoding::BASE64.decode(&packed).unwrap();
    }
    if !head.contains("quoted-printable") {
        return body.iter().flat_map(|b| if *b == b'\n' { b"\r\n".to_vec() } else { vec![*b] }).collect();
    }
    let mut out = Vec::new();
    for line in body.split_inclusive(|b| *b == b'\n') {
        assert!(line.len() <= 77 && line.is_ascii(), "{}", line.escape_ascii());
        let (mut line, mut end) = (line.strip_suffix(b"\n").unwrap_or(line), line.ends_with(b"\n"));
        assert!(!line.ends_with(b" ") && !line.ends_with(b"\t"));
        if let Some(soft) = line.strip_suffix(b"=") {
            (line, end) = (soft, false);
        }
        while let Some((first, rest)) = line.split_first() {
            line = rest;
            if *first == b'=' {
                out.push(u8::from_str_radix(std::str::from_utf8(&line[..2]).unwrap(), 16).unwrap());
                line = &line[2..];
            } else {
                out.push(*first);
            }
        }
        out.extend_from_slice(if end { b"\r\n" } else { b"" });
    }
    out
}

proptest! {
    /// Any octets of a BINARYMIME message arrive as they were, and nothing leaves that a seven-bit line could not carry.
    #[test]
    fn octets_arrive(body in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'a')], 0..400), text: bool, cut in 1usize..40) {
        let kind = if text { "text/plain" } else { "application/x" };
        let head = format!("MIME-Version: 1.0\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: binary\r\n\r\n");
        let content = [head.as_bytes(), &body].concat();
        let out = convert(&content, true, cut);
        prop_assert!(out.is_ascii() && !out.contains(&0));
        if plan(&content, true, cut).needed {
            prop_assert_eq!(decoded(&out), body);
        }
    }

    /// Lines of eight-bit content arrive as they were.
    #[test]
    fn lines_arrive(lines in proptest::collection::vec("[a=\u{fc} .\t]{0,90}", 1..6), cut in 1usize..40) {
        let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let content = format!("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}");
        let out = convert(content.as_bytes(), false, cut);
        prop_assert!(out.is_ascii());
        prop_assert_eq!(String::from_utf8(decoded(&out)).unwrap(), body.replace('\n', "\r\n"));
    }

    /// However it is cut, it is the same; and what comes out needs no further conversion.
    #[test]
    fn any_structure(content in "(MIME-Version: 1.0\n|Content-Type: (multipart/(mixed|digest); boundary=b|message/rfc822|text/x|a/b)\n|Content-Transfer-Encoding: (7bit|8bit|binary|base64|quoted-printable)\n|\n|--b\n|--b--\n|x\u{fc} \n|y\r\n|[ab\u{fc}=\r ]{0,90}\n){0,20}[a\u{fc}]{0,3}", cut in 1usize..50, octets: bool) {
        let bytes = content.as_bytes();
        let whole = plan(bytes, octets, bytes.len().max(1));
        prop_assert_eq!(&plan(bytes, octets, cut), &whole);
        if whole.obstacle.is_none() {
            let out = convert(bytes, octets, cut);
            prop_assert_eq!(&out, &convert(bytes, octets, bytes.len().max(1)));
            let again = plan(&out, false, cut);
            prop_assert!(!again.needed, "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn any_bytes(content in proptest::collection::vec(any::<u8>(), 0..3000), octets: bool, cut in 1usize..2000) {
        let plan = plan(&content, octets, cut);
        let (mut converter, mut out) = (Converter::new(plan, octets), Vec::new());
        content.chunks(cut).for_each(|piece| converter.feed(piece, &mut out));
        converter.finish(&mut out);
    }
}
