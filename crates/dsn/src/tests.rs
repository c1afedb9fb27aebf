#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::ptr_arg)]
use super::*;
use proptest::prelude::*;
use status::Enhanced;

const ORIGINAL: &[u8] = b"Received: from x\nMessage-ID: <m@example.org>\nSubject: hello\n\nbody line\n";

fn recipient() -> Recipient {
    Recipient {
        address: "user@example.org".into(),
        original: None,
        orcpt: None,
        action: Action::Failed,
        status: Enhanced::permanent(1, 1),
        remote: "mx.example.org [192.0.2.1]:25".into(),
        text: "550 5.1.1 no such user".into(),
        last_attempt: 1_700_000_100,
        retry_until: 0,
    }
}
fn built_in() -> &'static Templates {
    static BUILT_IN: std::sync::OnceLock<Templates> = std::sync::OnceLock::new();
    BUILT_IN.get_or_init(Templates::default)
}
fn notification(recipients: &[Recipient]) -> Notification<'_> {
    Notification {
        hostname: "mta.example.org",
        id: "0123456789abcdef",
        original_id: "fedcba9876543210",
        to: "sender@example.net",
        date: 1_700_000_200,
        arrived: 1_700_000_000,
        envid: None,
        message_id: Some("<m@example.org>"),
        smtputf8: false,
        returned: Returned::Full,
        double_bounce: false,
        copy_of: None,
        recipients,
        templates: built_in(),
    }
}
fn written(notification: &Notification<'_>, original: &Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    let prepared = prepare(notification, original).unwrap();
    prepared
        .write(&mut |bytes| {
            out.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    out
}
/// Header block, then each part as (its header block, its body).
fn taken_apart(report: &str) -> (String, Vec<(String, String)>) {
    let (header, body) = report.split_once("\n\n").unwrap();
    let boundary = header.split_once("boundary=\"").unwrap().1.split_once('"').unwrap().0;
    let delimiter = format!("\n--{boundary}");
    let mut parts = Vec::new();
    for piece in body.split(&delimiter).skip(1) {
        match piece.strip_prefix('\n') {
            Some(part) => {
                let (header, body) = part.split_once("\n\n").unwrap();
                parts.push((header.to_owned(), body.to_owned()));
            }
            None => assert_eq!(piece, "--\n"),
        }
    }
    (header.to_owned(), parts)
}

#[test]
fn a_whole_report_to_the_letter() {
    let mut one = recipient();
    one.orcpt = Some("rfc822;user+2Bx@example.org".into());
    let list = [one];
    let mut what = notification(&list);
    what.envid = Some("QQ+2B7");
    let report = String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap();
    let expected = "From: Mail Delivery System <MAILER-DAEMON@mta.example.org>
To: sender@example.net
Subject: Delivery Status Notification (Failure)
Date: Tue, 14 Nov 2023 22:16:40 +0000
Message-ID: <0123456789abcdef@mta.example.org>
In-Reply-To: <m@example.org>
References: <m@example.org>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary=\"=_zpost_0123456789abcdef_0\"

This is a MIME-encapsulated message.

--=_zpost_0123456789abcdef_0
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mta.example.org.

Your message could not be delivered to the recipients below.
It will not be tried again.

<user@example.org>
    mx.example.org said:
    550 5.1.1 no such user (5.1.1)

The report for programs and the message are attached.
Your message was known here as fedcba9876543210.
For help, write to postmaster and include this report.

--=_zpost_0123456789abcdef_0
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mta.example.org
Original-Envelope-Id: QQ+7
X-Zpost-Message-Id: fedcba9876543210
Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000

Original-Recipient: rfc822; user+x@example.org
Final-Recipient: rfc822; user@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 5.1.1 no such user
Last-Attempt-Date: Tue, 14 Nov 2023 22:15:00 +0000

--=_zpost_0123456789abcdef_0
Content-Description: Undelivered message
Content-Type: message/rfc822

Received: from x
Message-ID: <m@example.org>
Subject: hello

body line

--=_zpost_0123456789abcdef_0--
";
    assert_eq!(report, expected);
}

#[test]
fn headers_only_and_no_more_of_them_than_allowed() {
    let list = [recipient()];
    let mut what = notification(&list);
    what.returned = Returned::Headers { limit: 10_000 };
    let (_, parts) = taken_apart(&String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap());
    assert!(parts[2].0.contains("text/rfc822-headers"));
    assert_eq!(parts[2].1, "Received: from x\nMessage-ID: <m@example.org>\nSubject: hello\n");
    what.returned = Returned::Headers { limit: 50 };
    let (_, parts) = taken_apart(&String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap());
    assert_eq!(parts[2].1, "Received: from x\nMessage-ID: <m@example.org>\n");
}

#[test]
fn eight_bit_content_is_labelled() {
    let list = [recipient()];
    let what = notification(&list);
    let original = [ORIGINAL, "grüße".as_bytes()].concat();
    let prepared = prepare(&what, &original).unwrap();
    assert!(prepared.eight_bit() && !prepared.smtputf8());
    let (header, parts) = taken_apart(&String::from_utf8(written(&what, &original)).unwrap());
    assert!(header.ends_with("Content-Transfer-Encoding: 8bit"));
    assert!(parts[2].0.ends_with("Content-Transfer-Encoding: 8bit"));
    assert!(parts[2].1.ends_with("grüße\n"));
    assert!(!prepare(&what, &ORIGINAL.to_vec()).unwrap().eight_bit());
}

#[test]
fn utf8_addresses_take_the_international_types_only_where_they_may() {
    let mut one = recipient();
    one.address = "grüße@example.org".into();
    let list = [one];
    let mut what = notification(&list);
    let report = String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap();
    assert!(report.is_ascii());
    assert!(report.contains("Final-Recipient: utf-8; gr\\x{FC}\\x{DF}e@example.org\n"));
    what.smtputf8 = true;
    assert!(prepare(&what, &ORIGINAL.to_vec()).unwrap().smtputf8());
    let report = String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap();
    assert!(report.contains("Final-Recipient: utf-8; grüße@example.org\n"));
    assert!(report.contains("Content-Type: message/global-delivery-status\n"));
    assert!(report.contains("Content-Type: message/global\n"));
    let ascii = [recipient()];
    let mut what = notification(&ascii);
    what.smtputf8 = true;
    assert!(!prepare(&what, &ORIGINAL.to_vec()).unwrap().smtputf8());
    // Eight bits in the content alone need no more than 8BITMIME; in the header they are RFC 6532's.
    let original = [ORIGINAL, "grüße".as_bytes()].concat();
    let prepared = prepare(&what, &original).unwrap();
    assert!(!prepared.smtputf8() && prepared.eight_bit());
    for header in ["Subject: grüße\n\nx\n", "Subject: grüße", "A: b\r\nSubject: grüße\r\n\r\n"] {
        assert!(prepare(&what, &header.as_bytes().to_vec()).unwrap().smtputf8());
    }
    what.to = "grüße@example.net";
    assert!(prepare(&what, &ORIGINAL.to_vec()).unwrap().smtputf8());
}

#[test]
fn each_kind_of_report_has_its_words() {
    for (action, subject, text) in [
        (Action::Delayed, "(Delay)", "It will be tried until Tue, 14 Nov 2023 23:13:20 +0000."),
        (Action::Delivered, "(Success)", "was delivered to the recipients below"),
        (Action::Relayed, "(Success)", "mail systems that send no such notice"),
        (Action::Expanded, "(Success)", "stands for several others"),
    ] {
        let mut one = recipient();
        one.action = action;
        one.retry_until = if action == Action::Delayed { 1_700_003_600 } else { 0 };
        let list = [one];
        let (header, parts) = taken_apart(&String::from_utf8(written(&notification(&list), &ORIGINAL.to_vec())).unwrap());
        assert!(header.contains(subject) && parts[0].1.contains(text), "{header}\n{}", parts[0].1);
        assert!(parts[1].1.contains(&format!("\nAction: {}\n", action.word())));
        assert_eq!(parts[1].1.contains("Will-Retry-Until: Tue, 14 Nov 2023 23:13:20 +0000\n"), action == Action::Delayed);
    }
}

#[test]
fn a_copy_says_so_and_ends_the_chain() {
    let list = [recipient()];
    let mut what = notification(&list);
    (what.to, what.copy_of) = ("postmaster@example.org", Some("sender@example.net"));
    let report = String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap();
    assert!(report.contains("\nSubject: Postmaster Copy: Delivery Status Notification (Failure)\n"));
    assert!(report.contains("\nX-Zpost-Double-Bounce: "));
}

#[test]
fn without_a_remote_host_the_reason_is_ours() {
    let mut one = recipient();
    one.remote = "-".into();
    one.text = "expired".into();
    let report = String::from_utf8(written(&notification(&[one]), &ORIGINAL.to_vec())).unwrap();
    assert!(report.contains("Diagnostic-Code: x-zpost; expired\n") && !report.contains("Remote-MTA"));
}

#[test]
fn an_original_that_holds_the_boundary_gets_another_even_across_pieces() {
    struct Pieces(usize);
    const HOSTILE: &[u8] = b"Subject: x\n\n--=_zpost_0123456789abcdef_0--\n--=_zpost_0123456789abcdef_1\n";
    impl Original for Pieces {
        fn pass(&self, sink: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
            HOSTILE.chunks(self.0).try_for_each(sink)
        }
    }
    for size in [1, 2, 3, 7, 20, 26, 27, 1000] {
        let list = [recipient()];
        let mut head = Vec::new();
        let pieces = Pieces(size);
        let what = notification(&list);
        prepare(&what, &pieces)
            .unwrap()
            .write(&mut |bytes| {
                head.extend_from_slice(bytes);
                Ok(())
            })
            .unwrap();
        let report = String::from_utf8(head).unwrap();
        assert!(report.contains("boundary=\"=_zpost_0123456789abcdef_2\""), "{size}");
        assert_eq!(taken_apart(&report).1.len(), 3);
    }
}

#[test]
fn a_double_bounce_is_marked() {
    let list = [recipient()];
    let mut what = notification(&list);
    what.double_bounce = true;
    let report = String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap();
    assert!(report.contains("\nX-Zpost-Double-Bounce: mta.example.org\n"));
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[\\x00-\\x7f\\u{80}-\\u{ff}]{0,60}",
        Just("x\r\nBcc: victim@example.org\r\n\r\nbody".to_owned()),
        Just("x\n--=_zpost_0123456789abcdef_0\nContent-Type: text/html\n\n".to_owned()),
        Just("rfc822;a+0D+0ABcc:+20v@example.org".to_owned()),
        Just("a\u{85}b\u{2028}c\u{202e}d".to_owned()),
        "[a+;0-9ADx]{0,600}",
    ]
}

proptest! {
    /// Whatever the foreign texts are: the report has just the lines that it would have with harmless ones.
    #[test]
    fn nothing_foreign_begins_a_line(
        address in hostile(), original in proptest::option::of(hostile()), orcpt in proptest::option::of(hostile()),
        remote in hostile(), text in hostile(), to in hostile(), envid in proptest::option::of(hostile()),
        message_id in proptest::option::of(hostile()), smtputf8: bool, double_bounce: bool,
    ) {
        let list = [Recipient { address, original, orcpt, remote, text, ..recipient() }];
        let mut what = notification(&list);
        what.to = &to;
        what.envid = envid.as_deref();
        what.message_id = message_id.as_deref();
        what.smtputf8 = smtputf8;
        what.double_bounce = double_bounce;
        let report = String::from_utf8(written(&what, &ORIGINAL.to_vec())).unwrap();
        let known = [
            "From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "MIME-Version", "Content-Type",
            "Content-Transfer-Encoding", "X-Zpost-Double-Bounce", "\tboundary=\"=_zpost_0123456789abcdef_0\"", "Content-Description",
            "\tboundary=\"=_zpost_0123456789abcdef_1\"",
        ];
        let (header, parts) = taken_apart(&report);
        prop_assert_eq!(parts.len(), 3);
        let once = |name: &str| header.lines().filter(|line| line.split(':').next() == Some(name)).count();
        prop_assert_eq!((once("To"), once("From"), once("Content-Type")), (1, 1, 1));
        for block in std::iter::once(&header).chain(parts.iter().map(|part| &part.0)) {
            for line in block.lines() {
                prop_assert!(known.contains(&line.split(':').next().unwrap()), "{line:?}");
            }
        }
        let fields = ["Reporting-MTA", "Original-Envelope-Id", "X-Zpost-Message-Id", "Arrival-Date", "Original-Recipient", "Final-Recipient",
            "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until", ""];
        for line in parts[1].1.lines() {
            prop_assert!(fields.contains(&line.split(':').next().unwrap()), "{line:?}");
        }
        prop_assert_eq!(parts[1].1.split("\n\n").count(), 2);
        prop_assert_eq!(parts[2].1.as_bytes(), ORIGINAL);
        prop_assert!(report.lines().all(|line| line.len() <= 998));
        let hidden = report.contains(['\r', '\0', '\u{85}', '\u{202e}']);
        prop_assert!(!hidden);
    }

    /// Any original comes back as it was, and the label says truly whether it is 8-bit.
    #[test]
    fn any_original_comes_back_whole(original in proptest::collection::vec(any::<u8>(), 0..400)) {
        let list = [recipient()];
        let what = notification(&list);
        let report = written(&what, &original);
        let mut part = original.clone();
        if part.last().is_some_and(|last| *last != b'\n') {
            part.push(b'\n');
        }
        let end = b"\n--=_zpost_0123456789abcdef_0--\n";
        prop_assert!(report.ends_with(&[&b"\n\n"[..], &part, end].concat()));
        prop_assert_eq!(prepare(&what, &original).unwrap().eight_bit(), !original.is_ascii());
    }
}
