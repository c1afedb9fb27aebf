#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use crate::client::*;
use proptest::prelude::*;

fn transaction(require_tls: bool) -> Transaction {
    let recipients = vec![Recipient { address: "a@x".into(), ..Default::default() }];
    Transaction { recipients, require_tls, ..Default::default() }
}

fn started(wish: StartTls, require_tls: bool) -> (Client, Vec<u8>) {
    let (mut client, mut out) = (Client::new(Flavour::Smtp, "me".into()), Vec::new());
    client.set_starttls(wish);
    client.begin(transaction(require_tls), &mut out);
    client.receive(b"220 hi\r\n", &mut out);
    out.clear();
    (client, out)
}

fn refusal(event: Option<Event>) -> String {
    match event {
        Some(Event::Refused(verdict)) => format!("{:?} {} {}", verdict.outcome, verdict.status, verdict.text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn asks_again_inside_and_forgets_what_was_offered_outside() {
    let (mut client, mut out) = started(StartTls::WhenOffered, false);
    assert_eq!(client.receive(b"250-mx\r\n250-DSN\r\n250-SIZE 7\r\n250-PIPELINING\r\n250 STARTTLS\r\n", &mut out), None);
    assert_eq!(out, b"STARTTLS\r\n");
    out.clear();
    assert_eq!(client.receive(b"220 go\r\n", &mut out), Some(Event::StartTls));
    assert_eq!((client.awaiting(), out.len()), (Awaiting::StartTls, 0));
    client.secured(&mut out);
    assert_eq!((out.as_slice(), client.extensions()), (&b"EHLO me\r\n"[..], &Extensions::default()));
    out.clear();
    // STARTTLS is not asked for twice, whatever is said.
    assert_eq!(client.receive(b"250-mx\r\n250 STARTTLS\r\n", &mut out), None);
    assert_eq!(out, b"MAIL FROM:<>\r\n");
}

/// Attack 16, and the same by halves.
#[test]
fn bytes_after_220_end_the_session() {
    for injected in [&b"250 x\r\n"[..], b"250-mx\r\n250 AUTH PLAIN\r\n", b"2", b"\r\n", b"\xff\xfe"] {
        let (mut client, mut out) = started(StartTls::WhenOffered, false);
        client.receive(b"250-mx\r\n250 STARTTLS\r\n", &mut out);
        let event = client.receive(&[b"220 go\r\n", injected].concat(), &mut out);
        assert!(refusal(event).starts_with("Deferred 4.7.0 bytes followed"), "{injected:?}");
        assert!(client.is_closed() && client.take_transaction().is_some());
    }
}

#[test]
fn without_tls_only_where_it_is_not_needed() {
    for (ehlo, answer) in [(&b"250 mx\r\n"[..], None), (b"250-mx\r\n250 STARTTLS\r\n", Some(&b"454 4.7.0 no\r\n"[..]))] {
        let (mut client, mut out) = started(StartTls::WhenOffered, false);
        client.receive(ehlo, &mut out);
        answer.map(|answer| client.receive(answer, &mut out));
        assert!(out.ends_with(b"MAIL FROM:<>\r\n") && client.tls_withheld());
        let (mut client, mut out) = started(StartTls::Required, false);
        let event = client.receive(ehlo, &mut out).or_else(|| client.receive(answer.unwrap(), &mut out));
        assert!(refusal(event).starts_with("Deferred 4.7.4 the server"));
        assert!(!out.ends_with(b"MAIL FROM:<>\r\n"));
    }
}

#[test]
fn requiretls_counts_only_inside() {
    // Offered outside alone.
    let (mut client, mut out) = started(StartTls::WhenOffered, true);
    assert!(refusal(client.receive(b"250-mx\r\n250 REQUIRETLS\r\n", &mut out)).starts_with("Failed 5.7.30 REQUIRETLS support required"));
    for (offer, sent) in [("REQUIRETLS", true), ("DSN", false)] {
        let (mut client, mut out) = started(StartTls::Required, true);
        client.receive(b"250-mx\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n", &mut out);
        client.receive(b"220 go\r\n", &mut out);
        client.secured(&mut out);
        out.clear();
        let event = client.receive(format!("250-mx\r\n250 {offer}\r\n").as_bytes(), &mut out);
        assert_eq!(out == b"MAIL FROM:<> REQUIRETLS\r\n", sent);
        assert_eq!(event.is_none(), sent);
    }
}

proptest! {
    /// However replies are cut and whatever follows the 220: a command never leaves before the handshake.
    #[test]
    fn nothing_is_sent_between_220_and_the_handshake(rest in "[2-5 a-z\r\n-]{0,30}", cut in 0..8usize, required: bool) {
        let wish = if required { StartTls::Required } else { StartTls::WhenOffered };
        let (mut client, mut out) = started(wish, false);
        client.receive(b"250-mx\r\n250 STARTTLS\r\n", &mut out);
        out.clear();
        let input = format!("220 go\r\n{rest}");
        let (a, b) = input.as_bytes().split_at(cut);
        let event = client.receive(a, &mut out).or_else(|| client.receive(b, &mut out));
        prop_assert!(out.is_empty());
        prop_assert_eq!(event == Some(Event::StartTls), rest.is_empty());
        prop_assert!(rest.is_empty() || client.is_closed());
    }
}
