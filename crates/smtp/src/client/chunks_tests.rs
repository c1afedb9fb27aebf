#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use crate::client::*;
use envelope::BodyType;
use status::Outcome;

fn transaction(size: u64, bodytype: BodyType) -> Transaction {
    let recipients = ["a@x", "b@x"].map(|a| Recipient { address: a.into(), ..Default::default() }).to_vec();
    Transaction { size, bodytype, recipients, ..Default::default() }
}

/// A session that has been offered `offer`, and what it sent then.
fn open(flavour: Flavour, transaction: Transaction, offer: &str) -> (Client, String, Option<Event>) {
    let (mut client, mut out) = (Client::new(flavour, "me".into()), Vec::new());
    client.set_chunking(true);
    client.begin(transaction, &mut out);
    client.receive(b"220 hi\r\n", &mut out);
    out.clear();
    let event = client.receive(offer.as_bytes(), &mut out);
    (client, String::from_utf8(out).unwrap(), event)
}

fn say(client: &mut Client, text: &str) -> Option<Event> {
    let mut out = Vec::new();
    let event = client.receive(text.as_bytes(), &mut out);
    assert!(out.is_empty(), "{}", out.escape_ascii());
    event
}

fn outcomes(client: &mut Client) -> Vec<(Outcome, String)> {
    client.take_verdicts().into_iter().map(|v| (v.outcome, v.status.to_string())).collect()
}

const BOTH: &str = "250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n";

#[test]
fn small_content_follows_the_envelope_at_once() {
    let (mut client, sent, event) = open(Flavour::Smtp, transaction(100, BodyType::SevenBit), BOTH);
    assert_eq!(sent, "MAIL FROM:<>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\n");
    assert_eq!((event, client.framing(), client.awaiting()), (Some(Event::SendContent), Framing::Lines, Awaiting::Content));
    client.chunk_sent(true);
    assert_eq!(say(&mut client, "250 m\r\n250 a\r\n550 b\r\n"), None);
    assert_eq!(say(&mut client, "250 2.0.0 taken\r\n"), Some(Event::Finished));
    assert_eq!(outcomes(&mut client), [(Outcome::Delivered, "2.0.0".into()), (Outcome::Failed, "5.0.0".into())]);
    assert!(client.is_idle());
}

#[test]
fn large_content_waits_for_the_recipients() {
    let (mut client, sent, event) = open(Flavour::Smtp, transaction(1_000_000, BodyType::SevenBit), BOTH);
    assert!(sent.ends_with("RCPT TO:<b@x>\r\n") && event.is_none());
    assert_eq!(say(&mut client, "250 m\r\n250 a\r\n250 b\r\n"), Some(Event::SendContent));
    for _ in 0..16 {
        assert!(client.may_send());
        client.chunk_sent(false);
    }
    assert!(!client.may_send());
    assert_eq!(say(&mut client, "250 c\r\n"), None);
    assert!(client.may_send());
    assert_eq!(say(&mut client, "452 4.3.1 full\r\n"), Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[0], (Outcome::Deferred, "4.3.1".into()));
    assert!(client.is_closed());
}

#[test]
fn without_pipelining_one_by_one() {
    let offer = "250-x\r\n250 CHUNKING\r\n";
    let (mut client, _, _) = open(Flavour::Smtp, transaction(100, BodyType::SevenBit), offer);
    let mut out = Vec::new();
    assert_eq!(client.receive(b"250 m\r\n", &mut out), None);
    assert_eq!(client.receive(b"550 a\r\n", &mut out), None);
    assert_eq!(client.receive(b"250 b\r\n", &mut out), Some(Event::SendContent));
    client.chunk_sent(false);
    assert!(!client.may_send());
    assert_eq!(say(&mut client, "250 c\r\n"), None);
    client.chunk_sent(true);
    assert_eq!(say(&mut client, "250 2.0.0 d\r\n"), Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[1].0, Outcome::Delivered);
}

#[test]
fn lmtp_answers_for_each_accepted_recipient() {
    let (mut client, _, event) = open(Flavour::Lmtp, transaction(10, BodyType::SevenBit), BOTH);
    assert_eq!(event, None);
    assert_eq!(say(&mut client, "250 m\r\n250 a\r\n250 b\r\n"), Some(Event::SendContent));
    client.chunk_sent(true);
    assert_eq!(say(&mut client, "250 2.0.0 a\r\n"), None);
    assert_eq!(say(&mut client, "452 4.2.2 b\r\n"), Some(Event::Finished));
    assert_eq!(outcomes(&mut client), [(Outcome::Delivered, "2.0.0".into()), (Outcome::Deferred, "4.2.2".into())]);
}

#[test]
fn nobody_taken_and_the_content_out_already() {
    let (mut client, _, _) = open(Flavour::Smtp, transaction(10, BodyType::SevenBit), BOTH);
    client.chunk_sent(true);
    assert_eq!(say(&mut client, "250 m\r\n550 5.1.1 a\r\n550 5.1.1 b\r\n503 no\r\n"), Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[0], (Outcome::Failed, "5.1.1".into()));
    let mut out = Vec::new();
    client.begin(transaction(10, BodyType::SevenBit), &mut out);
    assert!(out.starts_with(b"RSET\r\nMAIL"), "{}", out.escape_ascii());
}

#[test]
fn a_server_that_does_not_know_what_it_offers() {
    let (mut client, _, _) = open(Flavour::Smtp, transaction(10, BodyType::SevenBit), BOTH);
    client.chunk_sent(true);
    assert!(matches!(say(&mut client, "250 m\r\n250 a\r\n250 b\r\n500 what\r\n"), Some(Event::Refused(_))));
    assert!(client.chunking_broken() && client.take_transaction().is_some());
    // It is no matter of syntax: the message is refused.
    let (mut client, _, _) = open(Flavour::Smtp, transaction(10, BodyType::SevenBit), BOTH);
    client.chunk_sent(true);
    assert_eq!(say(&mut client, "250 m\r\n250 a\r\n250 b\r\n554 5.6.0 spam\r\n"), Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[0], (Outcome::Failed, "5.6.0".into()));
}

#[test]
fn octets_go_only_where_they_are_taken() {
    let binary = "250-x\r\n250-PIPELINING\r\n250-BINARYMIME\r\n250 CHUNKING\r\n";
    let (client, sent, event) = open(Flavour::Smtp, transaction(10, BodyType::Binary), binary);
    assert!(sent.starts_with("MAIL FROM:<> BODY=BINARYMIME\r\n") && event == Some(Event::SendContent));
    assert_eq!(client.framing(), Framing::Octets);
    let (mut client, sent, event) = open(Flavour::Smtp, transaction(10, BodyType::Binary), BOTH);
    assert_eq!((sent.as_str(), event), ("", Some(Event::Unfit(Lacks { content: true, utf8: false }))));
    let mut out = Vec::new();
    assert_eq!(client.proceed(Form::Converted { size: 20 }, &mut out), Some(Event::SendContent));
    assert_eq!(client.framing(), Framing::Lines);
    assert!(out.starts_with(b"MAIL FROM:<>\r\n"));
}

#[test]
fn eight_bits_and_utf8_wait_for_a_look() {
    let eight = |send_anyway| Transaction { send_anyway, ..transaction(10, BodyType::EightBit) };
    let (mut client, _, event) = open(Flavour::Smtp, eight(false), "250-x\r\n250 SIZE 15\r\n");
    assert_eq!(event, Some(Event::Unfit(Lacks { content: true, utf8: false })));
    let mut out = Vec::new();
    assert_eq!(client.proceed(Form::Converted { size: 16 }, &mut out), Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[0], (Outcome::Failed, "5.3.4".into()));
    assert!(client.is_idle());
    let (_, sent, event) = open(Flavour::Smtp, eight(true), "250 x\r\n");
    assert_eq!((sent.as_str(), event), ("MAIL FROM:<>\r\n", None));
    let (_, sent, event) = open(Flavour::Smtp, eight(false), "250-x\r\n250 8BITMIME\r\n");
    assert_eq!((sent.as_str(), event), ("MAIL FROM:<> BODY=8BITMIME\r\n", None));
    let utf8 = || Transaction { smtputf8: true, ..transaction(10, BodyType::SevenBit) };
    let (mut client, _, event) = open(Flavour::Smtp, utf8(), "250 x\r\n");
    assert_eq!(event, Some(Event::Unfit(Lacks { content: false, utf8: true })));
    let verdict = Verdict::failed(status::Enhanced::permanent(6, 7), "no");
    assert_eq!(client.withhold(&verdict), Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[1], (Outcome::Failed, "5.6.7".into()));
    let (_, sent, _) = open(Flavour::Smtp, utf8(), "250-x\r\n250 SMTPUTF8\r\n");
    assert_eq!(sent, "MAIL FROM:<> SMTPUTF8\r\n");
}

#[test]
fn a_domain_alone_needs_no_smtputf8() {
    let to = |address: &str| {
        let recipients = vec![Recipient { address: address.into(), ..Default::default() }];
        Transaction { sender: "s@gr\u{fc}n.example".into(), recipients, ..Default::default() }
    };
    let pipelining = "250-x\r\n250-PIPELINING\r\n250 SMTPUTF8\r\n";
    let (_, sent, _) = open(Flavour::Smtp, to("a@b\u{fc}cher.example"), pipelining);
    assert_eq!(sent, "MAIL FROM:<s@xn--grn-ioa.example>\r\nRCPT TO:<a@xn--bcher-kva.example>\r\nDATA\r\n");
    let (_, sent, _) = open(Flavour::Smtp, to("\u{fc}@b\u{fc}cher.example"), pipelining);
    assert_eq!(sent, "MAIL FROM:<s@gr\u{fc}n.example> SMTPUTF8\r\nRCPT TO:<\u{fc}@b\u{fc}cher.example>\r\nDATA\r\n");
    let (mut client, _, event) = open(Flavour::Smtp, to("\u{fc}@x"), "250 x\r\n");
    assert_eq!(event, Some(Event::Finished));
    assert_eq!(outcomes(&mut client)[0], (Outcome::Failed, "5.6.7".into()));
}
