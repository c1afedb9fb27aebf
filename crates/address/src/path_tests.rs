//! The table of what hostile and odd paths give.

use super::*;
use AddressError::{ControlByte, Domain, Empty, LocalPart, NotAscii, NotUtf8, TooLong};
use proptest::prelude::*;

fn read(input: &[u8], utf8: bool) -> Result<String, PathError> {
    parse_path(input, utf8).map(|(path, _)| path.to_string())
}

#[test]
fn table_of_paths() {
    let local64 = "l".repeat(64);
    let local65 = "l".repeat(65);
    let domain255 = vec!["abcdefg"; 32].join(".");
    let domain263 = vec!["abcdefg"; 33].join(".");
    let bad = |e: AddressError| Err(PathError::Address(e));
    let table: Vec<(String, Result<&str, PathError>)> = vec![
        ("<>".into(), Ok("<>")),
        ("<a@b>".into(), Ok("a@b")),
        ("<Postmaster>".into(), Ok("Postmaster")),
        ("<postmaster>".into(), Ok("postmaster")),
        ("<root>".into(), bad(Domain)),
        ("<foo>".into(), bad(Domain)),
        ("<u!d>".into(), bad(Domain)),
        ("<u%d%d2>".into(), bad(Domain)),
        ("<u%d@d2>".into(), Ok("u%d@d2")),
        ("<@>".into(), bad(LocalPart)),
        ("<a@>".into(), bad(Domain)),
        ("<@a>".into(), bad(LocalPart)),
        ("<a@ >".into(), Err(PathError::Brackets)),
        ("< @a>".into(), Err(PathError::Brackets)),
        ("<a@b".into(), Err(PathError::Brackets)),
        ("a@b".into(), Err(PathError::Brackets)),
        ("".into(), Err(PathError::Brackets)),
        ("<<a@b>>".into(), Err(PathError::Brackets)),
        ("<whatever:a@a>".into(), bad(LocalPart)),
        ("<@r1,@r2:u@d>".into(), Ok("u@d")),
        ("<@[IPv6:::1],@[1.2.3.4]:u@d>".into(), Ok("u@d")),
        ("<@r1,r2:u@d>".into(), bad(Domain)),
        ("<@r1:>".into(), bad(Empty)),
        ("<@r1:@r2:u@d>".into(), bad(LocalPart)),
        ("<a@b@c>".into(), bad(Domain)),
        ("<a@b.>".into(), bad(Domain)),
        ("<.a@b>".into(), bad(LocalPart)),
        ("<a..b@c>".into(), bad(LocalPart)),
        ("<a.@b>".into(), bad(LocalPart)),
        ("<a@[1.2.3.4]>".into(), Ok("a@[1.2.3.4]")),
        ("<a@[IPv6:2001:db8::1]>".into(), Ok("a@[IPv6:2001:db8::1]")),
        ("<a@[127.0.0.1]x>".into(), bad(Domain)),
        ("<a@[300.0.0.1]>".into(), bad(Domain)),
        ("<;sleep 66;>".into(), Err(PathError::Brackets)),
        ("<;sleep@x>".into(), bad(LocalPart)),
        ("<`id`@x>".into(), Ok("`id`@x")),
        ("<\"$(id)\"@x>".into(), Ok("\"$(id)\"@x")),
        ("<${run{/bin/sh -c id}}@localhost>".into(), Err(PathError::Brackets)),
        ("<${run{/bin/sh}}@localhost>".into(), Ok("${run{/bin/sh}}@localhost")),
        ("<\"x'/**/UNION/**/SELECT/**/1--\"@d>".into(), Ok("\"x'/**/UNION/**/SELECT/**/1--\"@d")),
        ("<\"a b\"@x>".into(), Ok("\"a b\"@x")),
        ("<\"a>b\"@x>".into(), Ok("\"a>b\"@x")),
        ("<\"a\\\">b\"@x>".into(), Ok("\"a\\\">b\"@x")),
        ("<\"\"@x>".into(), Ok("\"\"@x")),
        ("<\"a\"b@x>".into(), bad(LocalPart)),
        ("<a\"b\"@x>".into(), bad(LocalPart)),
        ("<\"a@x>".into(), Err(PathError::Brackets)),
        ("<\"a\nb\"@x>".into(), bad(ControlByte)),
        ("<\"a\0b\"@x>".into(), bad(ControlByte)),
        ("<\"a\rb\"@x>".into(), bad(ControlByte)),
        (format!("<{local65}@x>"), bad(TooLong)),
        (format!("<a@{domain263}>"), bad(TooLong)),
        (format!("<{}>", "x".repeat(100_000)), bad(TooLong)),
        ("<jürgen@x>".into(), bad(NotAscii)),
    ];
    for (input, expected) in table {
        assert_eq!(read(input.as_bytes(), false), expected.map(str::to_owned), "{input:.60}");
    }
    assert!(read(format!("<{local64}@{domain255}>").as_bytes(), false).is_ok());
}

#[test]
fn table_of_utf8_paths() {
    for (input, expected) in [
        ("<jürgen@bücher.example>".as_bytes(), Ok("jürgen@bücher.example")),
        (b"<a\xc0\xafb@x>", Err(NotUtf8)),
        (b"<a\xed\xa0\x80b@x>", Err(NotUtf8)),
        (b"<a\xff@x>", Err(NotUtf8)),
        ("<a\u{202e}b@x>".as_bytes(), Err(LocalPart)),
        ("<\"a\u{2066}b\"@x>".as_bytes(), Err(LocalPart)),
        ("<a\u{a0}b@x>".as_bytes(), Err(LocalPart)),
        ("<a@b\u{202e}c>".as_bytes(), Err(Domain)),
        ("<a\u{85}b@x>".as_bytes(), Err(ControlByte)),
        (b"<a\0b@x>", Err(ControlByte)),
    ] {
        assert_eq!(read(input, true), expected.map(str::to_owned).map_err(PathError::Address), "{}", input.escape_ascii());
    }
    let many = format!("<ü@{}>", vec!["ü"; 1000].join("."));
    assert!(read(many.as_bytes(), true).is_err());
}

#[test]
fn gives_what_follows() {
    assert_eq!(parse_path(b"<a@b> SIZE=1", false).unwrap().1, b" SIZE=1");
    assert_eq!(parse_path(b"<>x", false).unwrap().1, b"x");
}

proptest! {
    #[test]
    fn any_bytes(input in proptest::collection::vec(any::<u8>(), 0..80), utf8: bool) {
        let _ = parse_path(&input, utf8);
    }

    #[test]
    fn near_misses(input in "<[@:,\"\\\\a.>\\[\\] ü]{0,20}>?", utf8: bool) {
        if let Ok((Path::Mailbox(address), _)) = parse_path(input.as_bytes(), utf8) {
            prop_assert!(utf8 || address.is_ascii());
            let written = format!("<{address}>");
            prop_assert_eq!(parse_path(written.as_bytes(), true).unwrap().0, Path::Mailbox(address));
        }
    }
}
