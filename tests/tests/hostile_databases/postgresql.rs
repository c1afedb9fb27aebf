//! PostgreSQL.

use crate::Step::{self, Drip, Fall, Hear, Repeat, Say};
use crate::{all_are_trouble, ask, patient, server, server_inside};
use end_to_end::tls;
use postgrestable::Postgresql;
use rustls::ServerConfig;
use std::sync::Arc;

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
    vec![Hear, Say([message(b'R', &[0; 4]), ready()].concat()), Hear, Say([message(b'C', b"SET\0"), ready()].concat()), Hear, Say(columns)]
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
    assert_eq!(
        ask(&Postgresql::default(), &patient(&toml(server(answer(&whole))))).unwrap().unwrap(),
        ["a@b.example"],
        "this one is in its mind"
    );
    let first = |bytes: &[u8]| vec![Hear, Say(bytes.to_vec()), Fall];
    let cut = &whole[..whole.len() - 8];
    all_are_trouble(
        &Postgresql::default(),
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

/// As PostgreSQL 17 has it, which no package of Debian 12 is.
#[test]
fn tls_from_the_first_byte() {
    let folder = tempfile::tempdir().unwrap();
    tls::self_signed(folder.path(), "server");
    let at = |name: &str| folder.path().join(name);
    let whole = [message(b'2', b""), row(b"a@b.example"), message(b'C', b"SELECT 1\0"), ready()].concat();
    let asked = |speaks: &[&[u8]]| {
        let mut config = ServerConfig::clone(&tls::server(&at("server.pem"), &at("server.key")));
        config.alpn_protocols = speaks.iter().map(|protocol| protocol.to_vec()).collect();
        let config = Arc::new(config);
        let port = server_inside(move |socket| tls::accept(&config, socket), answer(&whole));
        ask(&Postgresql::default(), &patient(&format!("{}tls = \"yes\"\nca = \"{}\"\n", toml(port), at("server.pem").display())))
    };
    assert_eq!(asked(&[b"postgresql"]).unwrap().unwrap(), ["a@b.example"]);
    let other = asked(&[]).unwrap_err();
    assert!(other.reason.contains("does not say that it speaks PostgreSQL"), "{other:?}");
    assert!(asked(&[b"http/1.1"]).unwrap_err().reason.contains("TLS: "));
}
