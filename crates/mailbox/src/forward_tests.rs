#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;

fn program(words: &[&str]) -> Entry {
    Entry::Program(words.iter().map(|w| (*w).to_owned()).collect())
}
fn address(text: &str) -> Entry {
    Entry::Address(text.to_owned())
}

#[test]
fn what_users_write() {
    for (text, entries) in [
        ("", vec![]),
        ("# nothing\n\n", vec![]),
        ("ann@x.example\n", vec![address("ann@x.example")]),
        ("\\joe, ann@x.example # twice\n JOE\nann@x.example", vec![Entry::Own, address("ann@x.example")]),
        ("\"a, b\"@x.example,c@x.example", vec![address("\"a, b\"@x.example"), address("c@x.example")]),
        ("o'brien@x.example", vec![address("o'brien@x.example")]),
        ("/var/mail/joe copy", vec![Entry::File("/var/mail/joe copy".into())]),
        ("\"/home/joe/Mail, new/\"", vec![Entry::File("/home/joe/Mail, new/".into())]),
        ("|/bin/p a,b  'c d' \"e \\\" f\"g", vec![program(&["/bin/p", "a,b", "c d", "e \" fg"])]),
        ("\"|/usr/bin/vacation -a 'joe x' joe\", \\joe", vec![program(&["/usr/bin/vacation", "-a", "joe x", "joe"]), Entry::Own]),
        ("|\"/usr/bin/procmail -f -\"", vec![program(&["/usr/bin/procmail", "-f", "-"])]),
        ("|/bin/p '$HOME' '' x~y a#b", vec![program(&["/bin/p", "$HOME", "", "x~y", "a#b"])]),
        ("\\ann", vec![address("ann")]),
    ] {
        assert_eq!(parse(text.as_bytes(), "joe"), Ok(entries), "{text}");
    }
}

#[test]
fn the_example_of_the_page() {
    let page = include_str!("../../../man/zpost-forward.5").replace("\\e", "\\");
    let example = page.split(".Bd -literal -offset indent\n").nth(1).unwrap().split(".Ed").next().unwrap();
    let entries = parse(example.as_bytes(), "joe").unwrap();
    assert_eq!(entries, [Entry::Own, address("ann@example.org"), program(&["/usr/bin/procmail", "-f", "-"])]);
}

#[test]
fn what_is_refused_says_why() {
    for (text, why) in [
        ("ok@x.example\n|/bin/p $HOME", "line 2: `$` means something only to a shell"),
        ("\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #joe\"", "`&` means something only to a shell"),
        ("|/bin/p \"`id`\"", "only to a shell"),
        ("|/bin/p > /tmp/x", "only to a shell"),
        ("|/bin/p *.txt", "only to a shell"),
        ("|/bin/p ~/x", "only to a shell"),
        ("|procmail", "no absolute path"),
        ("|", "no program"),
        ("|/bin/p 'x", "not closed"),
        ("\"x", "not closed"),
        ("/home/joe/../ann/mail", "no plain absolute path"),
        (":include:/etc/passwd", ":include:"),
        ("a b c@@", "is no address"),
        ("|/bin/p a\x07", "control"),
    ] {
        let fault = parse(text.as_bytes(), "joe").unwrap_err();
        assert!(fault.contains(why), "{text}: {fault}");
    }
    assert!(parse(b"\xff", "joe").is_err());
    let many: String = (0..101).map(|n| format!("u{n}@x.example\n")).collect();
    assert!(parse(many.as_bytes(), "joe").unwrap_err().contains("100 entries"));
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,60}|[|\"'\\\\/,a \n@#]{0,30}") {
        for entry in parse(text.as_bytes(), "joe").unwrap_or_default() {
            match entry {
                Entry::Program(words) => prop_assert!(words[0].starts_with('/') && !words.iter().any(|w| w.contains('\0'))),
                Entry::File(path) => prop_assert!(path.is_absolute()),
                Entry::Address(text) => prop_assert!(address::Address::parse(&text).is_ok()),
                Entry::Own => {}
            }
        }
    }
    #[test]
    fn single_quotes_keep_everything(argument in "[^'\\x00-\\x1f\\x7f-\\x9f]{1,20}") {
        let text = format!("|/bin/p '{argument}'");
        if !text.contains('\u{2028}') {
            prop_assert_eq!(parse(text.as_bytes(), "joe"), Ok(vec![program(&["/bin/p", &argument])]));
        }
    }
}
