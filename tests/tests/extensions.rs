//! What EHLO announces, over real sockets through the whole suite.

use end_to_end::wire::{ChunkSink, Wire};
use end_to_end::{LONG, Suite, wait_until};

#[test]
fn octets_cross_the_suite_unchanged() {
    let sink = ChunkSink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let mut body = (0..=255u8).collect::<Vec<u8>>().repeat(3000);
    body.extend_from_slice(b"\r\n.\r\n\n\r\0no line end");
    let content = [
        b"Subject: octets\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            .as_slice(),
        &body,
    ]
    .concat();
    let mut client = Wire::hello(suite.port);
    client.say("MAIL FROM:<a@b.example> BODY=BINARYMIME", "250");
    client.say("RCPT TO:<x@y.example>", "250");
    client.say("DATA", "503");
    for part in content.chunks(100_001) {
        client.chunk(part, false);
        client.hear("250 2.0.0");
    }
    client.chunk(b"", true);
    client.hear("250 2.0.0 ok queued as ");
    wait_until("the octets arrive", LONG, || !sink.taken().is_empty());
    let taken = sink.taken().remove(0);
    assert!(taken.mail.contains("BODY=BINARYMIME"), "{}", taken.mail);
    let at = taken.content.windows(9).position(|w| w == b"Subject: ").unwrap();
    let (received, rest) = taken.content.split_at(at);
    assert!(rest == content, "{} octets of {}", rest.len(), content.len());
    let received = String::from_utf8(received.to_vec()).unwrap();
    assert!(received.starts_with("Received: from client.example") && !received.replace("\r\n", "").contains(['\r', '\n']), "{received:?}");
}

#[test]
fn lines_in_chunks_are_the_same_lines() {
    let sink = ChunkSink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let content = format!("Subject: lines\r\n\r\n.\r\n..\r\n{}", "0123456789 .\r\n".repeat(50_000));
    let mut client = Wire::hello(suite.port);
    for size in [70_001, 1_000_000] {
        client.say("MAIL FROM:<a@b.example>", "250");
        client.say("RCPT TO:<x@y.example>", "250");
        for part in content.as_bytes().chunks(size) {
            client.chunk(part, false);
            client.hear("250 2.0.0");
        }
        client.chunk(b"", true);
        client.hear("250 2.0.0 ok queued as ");
    }
    wait_until("both arrive", LONG, || sink.taken().len() == 2);
    for taken in sink.taken() {
        assert!(taken.content.ends_with(content.as_bytes()));
    }
}
