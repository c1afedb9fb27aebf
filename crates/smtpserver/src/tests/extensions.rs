//! What EHLO announces, through the worker.

use super::site::{Dialogue, Plan, Site, files};

fn chunk(client: &mut Dialogue, content: &[u8], last: bool) {
    client.send(format!("BDAT {}{}\r\n", content.len(), if last { " LAST" } else { "" }));
    client.send(content);
}

fn envelope(client: &mut Dialogue, parameters: &str) {
    client.say(&format!("MAIL FROM:<a@b.example>{parameters}"), "250");
    client.say("RCPT TO:<x@y.example>", "250");
}

#[test]
fn chunks_become_one_message() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    let large = b"0123456789 0123456789 0123456789\r\n".repeat(20_000);
    for _ in 0..2 {
        envelope(&mut client, "");
        chunk(&mut client, b"Subject: x\r\n\r", false);
        chunk(&mut client, b"\n.\r\n", false);
        chunk(&mut client, &large, false);
        chunk(&mut client, &large, true);
        for _ in 0..3 {
            client.hear("250 2.0.0 ");
        }
        client.hear("250 2.0.0 ok queued as ");
    }
    let expected = format!("Subject: x\n\n.\n{}", String::from_utf8(large.repeat(2)).unwrap().replace("\r\n", "\n"));
    for name in site.files("router") {
        assert!(site.named("router", &name).1.ends_with(&expected));
    }
    // What is taken back, refused or left leaves nothing.
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    client.hear("250");
    client.say("RSET", "250");
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    chunk(&mut client, b"bare\nline", false);
    chunk(&mut client, b"", true);
    for code in ["250", "550 5.5.2", "503"] {
        client.hear(code);
    }
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    client.hear("250");
    client.say("EHLO again", "250");
    envelope(&mut client, "");
    chunk(&mut client, &large, false);
    client.hear("250");
    drop(client);
    site.wait_for_ends(1);
    let (code, folder) = site.drain();
    assert_eq!((code, files(folder.path(), "router").len(), files(folder.path(), "public").len()), (0, 2, 0));
}

#[test]
fn octets_are_stored_as_they_came() {
    let mut site = Site::new(Plan::default());
    let mut client = site.client();
    client.hello();
    envelope(&mut client, " BODY=BINARYMIME");
    client.say("DATA", "503 5.5.1");
    let body = b"\0\r\n.\r\n\n\r\x01 no end".repeat(30_000);
    chunk(&mut client, b"Subject: x\r\n\r\n", false);
    chunk(&mut client, &body, true);
    client.hear("250");
    client.hear("250 2.0.0 ok queued as ");
    let (envelope, content) = site.message();
    assert_eq!(envelope.bodytype, envelope::BodyType::Binary);
    let (header, rest) = content.split_once("Subject:").unwrap();
    assert!(
        header.starts_with("Received: from ") && header.ends_with("+0000\r\n") && !header.replace("\r\n", "").contains('\n'),
        "{header:?}"
    );
    assert_eq!(rest.as_bytes(), [b" x\r\n\r\n", body.as_slice()].concat());
}
