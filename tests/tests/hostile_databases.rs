//! Servers of LDAP, PostgreSQL and MySQL that answer what they want (attacks.md 52): trouble in time, never an absence, an
//! end of the process, or memory without end.

use settings::Table;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tableserver::{Source, Trouble};

/// What a server does in a connection, one after the other; then it ends the connection.
#[derive(Clone)]
enum Step {
    /// Waits for a request.
    Hear,
    Say(Vec<u8>),
    /// The same, for ever.
    Repeat(Vec<u8>),
    /// A byte at a time, slowly.
    Drip(Vec<u8>),
    /// Says no more, and does not end the connection.
    Fall,
}
use Step::{Drip, Fall, Hear, Repeat, Say};

fn act(socket: &mut TcpStream, step: &Step) -> std::io::Result<()> {
    match step {
        Hear => {
            let got = socket.read(&mut [0; 65_536])?;
            if got == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        }
        Say(bytes) => socket.write_all(bytes),
        Repeat(bytes) => loop {
            socket.write_all(bytes)?;
        },
        Drip(bytes) => bytes.iter().try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(100));
            socket.write_all(&[*byte])
        }),
        Fall => socket.read_to_end(&mut Vec::new()).map(|_| ()),
    }
}

/// A server that does so with all who come; its port.
fn server(steps: Vec<Step>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let steps = steps.clone();
            std::thread::spawn(move || steps.iter().try_for_each(|step| act(&mut socket, step)));
        }
    });
    port
}

fn table(toml: &str) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"people\"\ntimeout = \"2s\"\n{toml}"
    );
    settings::parse(&text, "x").unwrap_or_else(|faults| panic!("{faults:?}")).tables.remove(0)
}

const KEY: &str = "hidden-key@example.org";

/// A connection and one question.
fn ask<S: Source>(source: &S, table: &Table) -> Result<Option<Vec<String>>, Trouble> {
    let mut connection = source.connect(table)?;
    source.ask(&mut connection, table, KEY)
}

/// Each of these is trouble with these words, and without the key, within twice the timeout and what a slow machine adds.
fn all_are_trouble<S: Source>(source: &S, toml: impl Fn(u16) -> String, plans: Vec<(&str, Vec<Step>)>) {
    for (says, steps) in plans {
        let table = table(&toml(server(steps)));
        let begun = Instant::now();
        let trouble = ask(source, &table).err().unwrap_or_else(|| panic!("an answer where there should be: {says}"));
        assert!(trouble.reason.contains(says), "{says}: {trouble:?}");
        assert!(!trouble.reason.contains("hidden-key") && trouble.reason.len() < 600, "{trouble:?}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{says}: {:?}", begun.elapsed());
    }
}

mod ldap {
    use super::*;
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
        let table = table(&toml(server(vec![Hear, Say(whole.clone())])));
        assert_eq!(ask(&Ldap, &table).unwrap().unwrap(), ["a@b.example"], "this one is in its mind");
        let deep = (0..20_000).fold(Vec::new(), |inner: Vec<u8>, _| if inner.len() < 60_000 { element(0x30, &inner) } else { inner });
        let say = |bytes: &[u8]| vec![Hear, Say(bytes.to_vec()), Fall];
        let ends = |bytes: &[u8]| vec![Hear, Say(bytes.to_vec())];
        let malformed = "ldap://127.0.0.1";
        all_are_trouble(
            &Ldap,
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
}

mod postgresql {
    use super::*;
    use postgrestable::Postgresql;

    fn toml(port: u16) -> String {
        format!(
            "kind = \"postgresql\"\nservers = [\"127.0.0.1:{port}\"]\ndatabase = \"x\"\nuser = \"me\"\nquery = \"SELECT a FROM t WHERE k = %k\"\n"
        )
    }

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, content].concat()
    }

    fn ready() -> Vec<u8> {
        message(b'Z', b"I")
    }

    fn row(value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        message(b'D', &[b"\0\x01", &length[..], value].concat())
    }

    fn complaint(text: &str) -> Vec<u8> {
        message(b'E', format!("SERROR\0VERROR\0C22P02\0M{text}\0\0").as_bytes())
    }

    /// Up to the prepared statement.
    fn prepared() -> Vec<Step> {
        let columns = [message(b'1', b""), message(b't', b"\0\x01\0\0\0\x19"), message(b'T', b"\0\x01"), ready()].concat();
        vec![
            Hear,
            Say([message(b'R', &[0; 4]), ready()].concat()),
            Hear,
            Say([message(b'C', b"SET\0"), ready()].concat()),
            Hear,
            Say(columns),
        ]
    }

    fn then(more: &[Step]) -> Vec<Step> {
        [prepared(), more.to_vec()].concat()
    }

    fn answer(bytes: &[u8]) -> Vec<Step> {
        then(&[Hear, Say(bytes.to_vec()), Fall])
    }

    #[test]
    fn servers_out_of_their_minds() {
        let end = [message(b'C', b"SELECT 1\0"), ready()].concat();
        let whole = [message(b'2', b""), row(b"a@b.example"), end.clone()].concat();
        assert_eq!(ask(&Postgresql, &table(&toml(server(answer(&whole))))).unwrap().unwrap(), ["a@b.example"], "this one is in its mind");
        let first = |bytes: &[u8]| vec![Hear, Say(bytes.to_vec()), Fall];
        let cut = &whole[..whole.len() - 8];
        all_are_trouble(
            &Postgresql,
            toml,
            vec![
                ("the server's fault: a message of it has", first(b"HTTP/1.1 200 OK\r\n\r\n")),
                ("none of PostgreSQL's protocol", first(b"R\0\0\0\0")),
                ("a message of it has 2147483647 bytes", first(b"R\x7f\xff\xff\xff")),
                ("its answer is none to a login", first(&whole)),
                ("a login that has not begun", first(&message(b'R', b"\0\0\0\x0bx=y"))),
                ("a login of kind 7", first(&message(b'R', b"\0\0\0\x07"))),
                ("there is no password_file", first(&message(b'R', b"\0\0\0\x03"))),
                ("its login does not end", vec![Hear, Repeat(message(b'N', b"\0"))]),
                ("more than 1048576 bytes", vec![Hear, Repeat(message(b'N', &[b'x'; 100_000]))]),
                ("no answer in time", vec![Hear, Fall]),
                ("the server ended the connection", vec![Hear]),
                ("no answer in time", vec![Fall]),
                (
                    "SQLSTATE 22P02 (data that the query cannot handle)",
                    answer(&[complaint("no such: hidden-key@example.org"), ready()].concat()),
                ),
                ("none of PostgreSQL's protocol", answer(&[message(b'D', b"\0\x01\x7f\xff\xff\xffa"), end.clone()].concat())),
                ("none of PostgreSQL's protocol", answer(&[message(b'D', b""), end.clone()].concat())),
                ("ends in the middle", answer(&[row(b"a@b.example"), ready()].concat())),
                ("no UTF-8", answer(&[row(b"\xff"), end.clone()].concat())),
                ("control characters", answer(&[row(b"a\0b"), end.clone()].concat())),
                ("more than 65536 bytes", answer(&[row(&[b'x'; 100_000]), end.clone()].concat())),
                ("a message of it has", answer(&row(&[b'x'; 300_000]))),
                ("more than 1048576 bytes", then(&[Hear, Repeat(row(&[b'x'; 100]))])),
                ("its answer does not end", then(&[Hear, Repeat(row(b""))])),
                ("its answer does not end", then(&[Hear, Repeat(message(b'N', b"\0"))])),
                ("too many rows", answer(&[row(b"a"), message(b's', b""), ready()].concat())),
                ("its answer is none to a query", answer(&message(b'G', b"\0\0\0"))),
                ("the server ended the connection", then(&[Hear, Say(cut.to_vec())])),
                ("no answer in time", answer(cut)),
                ("no answer in time", then(&[Hear, Drip(whole.repeat(2))])),
            ],
        );
    }
}

mod mysql {
    use super::*;
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
        assert_eq!(ask(&Mysql, &table(&toml(server(answer(&whole))))).unwrap().unwrap(), ["a@b.example"], "this one is in its mind");
        let first = |bytes: &[u8]| vec![Say(bytes.to_vec()), Fall];
        let login = |bytes: &[u8]| vec![Say(greeting()), Hear, Say(bytes.to_vec()), Fall];
        let cut = &whole[..whole.len() - 3];
        let complaint = b"\xff\x2a\x04#42S02no such: hidden-key@example.org";
        all_are_trouble(
            &Mysql,
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
                ("none of MySQL's protocol", answer(&packet(1, b"\x02"))),
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
        let with = |steps: Vec<Step>| {
            let mut table = table(&(toml(server(steps)) + &format!("password_file = \"{}\"\n", file.display())));
            table.timeout = Duration::from_secs(60);
            ask(&Mysql, &table)
        };
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
}
