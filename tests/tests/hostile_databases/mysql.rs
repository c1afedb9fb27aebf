//! MySQL.

use crate::Step::{self, Drip, Fall, Hear, Repeat, Say};
use crate::{all_are_trouble, ask, patient, server};
use mysqltable::Mysql;
fn toml(port: u16) -> String {
    format!(
        "kind = \"mysql\"\nservers = [\"127.0.0.1:{port}\"]\ndatabase = \"x\"\nuser = \"me\"\nquery = \"SELECT a FROM t WHERE k = %k\"\n"
    )
}

fn packet(number: u8, content: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = u32::try_from(content.len()).unwrap().to_le_bytes();
    [&[a, b, c, number][..], content].concat()
}

/// Packets in a row, from this number on.
fn packets(first: u8, contents: &[&[u8]]) -> Vec<u8> {
    contents.iter().enumerate().flat_map(|(at, content)| packet(first.wrapping_add(u8::try_from(at % 256).unwrap()), content)).collect()
}

fn greeting() -> Vec<u8> {
    let mut content = b"\x0a10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xff\x15".to_vec();
    content.extend([0; 10]);
    content.extend(b"ijklmnopqrst\0mysql_native_password\0");
    packet(0, &content)
}

const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const END: &[u8] = b"\xfe\0\0\x02\0";
const COLUMN: &[u8] = b"\x03def\0\x01t\x01t\x01a\x01a\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0";

/// Up to the prepared statement.
fn prepared() -> Vec<Step> {
    let columns = packets(1, &[b"\0\x07\0\0\0\x01\0\x01\0\0\0\0", COLUMN, END, COLUMN, END]);
    let ok = |number| Say(packet(number, OK));
    vec![Say(greeting()), Hear, ok(2), Hear, ok(1), Hear, ok(1), Hear, Say(columns)]
}

fn then(more: &[Step]) -> Vec<Step> {
    [prepared(), more.to_vec()].concat()
}

/// With these packets behind the definition of the column.
fn rows(contents: &[&[u8]]) -> Vec<u8> {
    packets(1, &[&[&[1][..], COLUMN, END], contents].concat())
}

fn answer(bytes: &[u8]) -> Vec<Step> {
    then(&[Hear, Say(bytes.to_vec()), Fall])
}

fn row(value: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = u32::try_from(value.len()).unwrap().to_le_bytes();
    [&[0, 0, 0xfd, a, b, c][..], value].concat()
}

/// Row upon row, their numbers as they should be.
fn endless(value: &[u8]) -> Vec<Step> {
    let all: Vec<u8> = (0..256u16).flat_map(|at| packet(u8::try_from((at + 4) % 256).unwrap(), &row(value))).collect();
    then(&[Hear, Say(rows(&[])), Repeat(all)])
}

#[test]
fn servers_out_of_their_minds() {
    let whole = rows(&[&row(b"a@b.example"), END]);
    assert_eq!(
        ask(&Mysql::default(), &patient(&toml(server(answer(&whole))))).unwrap().unwrap(),
        ["a@b.example"],
        "this one is in its mind"
    );
    let first = |bytes: &[u8]| vec![Say(bytes.to_vec()), Fall];
    let login = |bytes: &[u8]| vec![Say(greeting()), Hear, Say(bytes.to_vec()), Fall];
    let cut = &whole[..whole.len() - 3];
    let complaint = b"\xff\x2a\x04#42S02no such: hidden-key@example.org";
    all_are_trouble(
        &Mysql::default(),
        toml,
        vec![
            ("none of MySQL's protocol", first(b"HTTP/1.1 200 OK\r\n\r\n")),
            ("none of MySQL's protocol", first(&packet(0, b""))),
            ("none of MySQL's protocol", first(&packet(7, b"\x0ax\0"))),
            ("a packet of it has 16777215 bytes", first(b"\xff\xff\xff\0")),
            ("too old", first(&packet(0, &[&b"\x0a3.23\0\x01\0\0\0abcdefgh\0\0\0\0\0\0\0\0"[..], &[0; 40]].concat()))),
            ("it does not greet us: Too many connections (error 1040)", first(&packet(0, b"\xff\x10\x04Too many connections"))),
            // A file of ours, please.
            ("none of MySQL's protocol", login(&packet(2, b"\xfb/etc/passwd"))),
            ("MySQL 3.23", login(&packet(2, b"\xfe"))),
            ("there is no password_file", login(&packet(2, b"\x01\x04"))),
            ("its login does not end", {
                let steps = [vec![Say(greeting())], (0..40u8).flat_map(|at| [Hear, Say(packet(at * 2 + 2, b"\xfex\0y\0"))]).collect()];
                steps.concat()
            }),
            ("no answer in time", vec![Fall]),
            ("the server ended the connection", vec![]),
            ("the server ended the connection", vec![Say(greeting()), Hear]),
            ("none of MySQL's protocol", answer(&packet(1, b"\xfb/etc/passwd"))),
            ("error 1066", answer(&packet(1, complaint))),
            ("error 1066", answer(&rows(&[&row(b"a"), complaint]))),
            ("no column", answer(&packet(1, OK))),
            ("no answer in time", answer(&packet(1, b"\x02"))),
            ("none of MySQL's protocol", answer(&rows(&[b"\0\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff", END]))),
            ("none of MySQL's protocol", answer(&rows(&[b"\0", END]))),
            ("no UTF-8", answer(&rows(&[&row(b"\xff"), END]))),
            ("control characters", answer(&rows(&[&row(b"a\nb"), END]))),
            ("more than 65536 bytes", answer(&rows(&[&row(&[b'x'; 100_000]), END]))),
            ("a packet of it has", answer(&rows(&[&row(&[b'x'; 300_000])]))),
            ("more than one result", answer(&rows(&[&row(b"a"), b"\xfe\0\0\x0a\0"]))),
            ("more than 1048576 bytes", endless(&[b'x'; 100])),
            ("too many rows", endless(b"")),
            ("the server ended the connection", then(&[Hear, Say(cut.to_vec())])),
            ("no answer in time", answer(cut)),
            ("no answer in time", then(&[Hear, Drip(whole.repeat(2))])),
        ],
    );
}

/// caching_sha2_password of MySQL 8, which no package of Debian has: the server remembers the password, or wants it.
#[test]
fn the_logins_of_mysql_8() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    end_to_end::logins::private_file(&file, "s3cret\n", 0o600);
    let with =
        |steps: Vec<Step>| ask(&Mysql::default(), &patient(&(toml(server(steps)) + &format!("password_file = \"{}\"\n", file.display()))));
    let switch = packet(2, b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0");
    let rest = &prepared()[3..];
    let whole = rows(&[&row(b"a@b.example"), END]);
    for (word, steps) in [
        ("remembered", vec![Say([packet(4, b"\x01\x03"), packet(5, OK)].concat())]),
        ("wanted, and the connection is inside this host", vec![Say(packet(4, b"\x01\x04")), Hear, Say(packet(6, OK))]),
    ] {
        let login = [vec![Say(greeting()), Hear, Say(switch.clone()), Hear], steps].concat();
        let steps = [login, rest.to_vec(), vec![Hear, Say(whole.clone()), Fall]].concat();
        assert_eq!(with(steps).unwrap().unwrap(), ["a@b.example"], "{word}");
    }
    let clear = vec![Say(greeting()), Hear, Say(packet(2, b"\xfemysql_clear_password\0")), Hear, Fall];
    assert!(with(clear).unwrap_err().reason.contains("a login by `mysql_clear_password`"), "which would show it the password");
}
