//! LDAP.

use crate::Step::{Drip, Fall, Hear, Repeat, Say};
use crate::{all_are_trouble, ask, patient, server};
use ldaptable::Ldap;

fn toml(port: u16) -> String {
    format!(
        "kind = \"ldap\"\nservers = [\"ldap://127.0.0.1:{port}\"]\nbase = \"dc=example\"\nfilter = \"(mail=%k)\"\nattributes = [\"mail\"]\n"
    )
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, content].concat()
}

/// An entry as answer to request 1, with these attributes.
fn entry(attributes: &[(&str, &[u8])]) -> Vec<u8> {
    let attribute =
        |(name, value): &(&str, &[u8])| element(0x30, &[element(4, name.as_bytes()), element(0x31, &element(4, value))].concat());
    let list: Vec<u8> = attributes.iter().flat_map(attribute).collect();
    message(1, &element(0x64, &[element(4, b"cn=x"), element(0x30, &list)].concat()))
}

fn message(number: u8, operation: &[u8]) -> Vec<u8> {
    element(0x30, &[&[2, 1, number][..], operation].concat())
}

fn done(number: u8, code: u8) -> Vec<u8> {
    message(number, &element(0x65, &[&[0x0a, 1, code][..], b"\x04\0\x04\x0ahidden-key"].concat()))
}

#[test]
fn servers_out_of_their_minds() {
    let whole = [entry(&[("mail", b"a@b.example")]), done(1, 0)].concat();
    let table = patient(&toml(server(vec![Hear, Say(whole.clone())])));
    assert_eq!(ask(&Ldap::default(), &table).unwrap().unwrap(), ["a@b.example"], "this one is in its mind");
    let deep = (0..20_000).fold(Vec::new(), |inner: Vec<u8>, _| if inner.len() < 60_000 { element(0x30, &inner) } else { inner });
    let say = |bytes: &[u8]| vec![Hear, Say(bytes.to_vec()), Fall];
    let ends = |bytes: &[u8]| vec![Hear, Say(bytes.to_vec())];
    let malformed = "ldap://127.0.0.1";
    all_are_trouble(
        &Ldap::default(),
        toml,
        vec![
            ("the server's fault: its answer is no LDAP", say(b"HTTP/1.1 200 OK\r\n\r\n")),
            ("its answer is no LDAP", say(b"\x30\x80\x02\x01\x01")),
            ("its answer is no LDAP", say(b"\x30\x00")),
            ("its answer is no LDAP", say(b"\x30\x05\x02\x01\x01\x65\x7f")),
            ("its answer is no LDAP", say(&message(1, &element(0x65, b"")))),
            ("a message of it has 4294967295 bytes", say(b"\x30\x84\xff\xff\xff\xff")),
            ("an attribute twice", say(&[entry(&[("mail", b"a"), ("MAIL", b"b")]), done(1, 0)].concat())),
            ("no UTF-8", say(&[entry(&[("mail", b"\xff\xfe")]), done(1, 0)].concat())),
            ("control characters", say(&[entry(&[("mail", b"a\r\nb")]), done(1, 0)].concat())),
            ("more than 65536 bytes", say(&[entry(&[("mail", &[b'x'; 100_000])]), done(1, 0)].concat())),
            ("a message of it has", say(&entry(&[("mail", &[b'x'; 300_000])]))),
            ("more than 2000 messages", vec![Hear, Repeat(entry(&[("mail", &[b'x'; 100])]))]),
            ("more than 2000 messages", vec![Hear, Repeat(entry(&[]))]),
            // Each as long as one may be, and without a value.
            ("more than 1048576 bytes", vec![Hear, Repeat(message(1, &element(0x73, &[b'x'; 200_000])))]),
            ("answers what was not asked", say(&done(2, 0))),
            ("result 51 (busy)", say(&done(1, 51))),
            ("result 4 (sizeLimitExceeded)", say(&[entry(&[("mail", b"a@b.example")]), done(1, 4)].concat())),
            ("the server ends the connection", say(&message(0, &element(0x78, b"\x0a\x01\x34\x04\0\x04\0")))),
            ("the server ended the connection", ends(&whole[..whole.len() - 5])),
            ("the server ended the connection", ends(b"")),
            ("no answer in time", say(&whole[..whole.len() - 5])),
            ("no answer in time", vec![Hear, Drip(whole.repeat(4))]),
            (malformed, say(&deep)),
        ],
    );
}
