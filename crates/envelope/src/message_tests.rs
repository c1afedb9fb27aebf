use super::*;
use proptest::prelude::*;

const DROPPED: &[u8] = b"from <sender@example.org>\nto <rcpt@local.example>\nenv-end\nFrom: sender@example.org\n\nbody\n";

fn reason(text: &str) -> (usize, String) {
    let error = parse_envelope(text.as_bytes()).unwrap_err();
    (error.line, error.reason)
}

#[test]
fn a_dropped_file() {
    let (envelope, end) = parse_envelope(DROPPED).unwrap();
    assert_eq!(envelope.from.unwrap().as_str(), "sender@example.org");
    assert_eq!(envelope.recipients.len(), 1);
    assert!(DROPPED[end..].starts_with(b"From:"));
}

#[test]
fn without_env_end_the_first_header_ends_it() {
    for text in ["from a@b\r\nTO <c@d>\r\nSubject: x\r\n", "from a@b\nto c@d\nSubject:"] {
        let (envelope, end) = parse_envelope(text.as_bytes()).unwrap();
        assert_eq!(envelope.recipients[0].address.as_str(), "c@d");
        assert!(text[end..].starts_with("Subject:"), "{text:?}");
    }
}

#[test]
fn every_keyword() {
    let text = "length 00000000000000000042\nexternal\nrcvdfrom host ([10.0.0.1])\nbodytype 8BITMIME\nwith ESMTP\nvia x\nidentinfo i\nauthinfo a b\n\
        errormsg\nchannel error\nfullname A. B.\nloginname a@b\nuser u\nenvid QQ\nnotaryret HDRS\nsmtputf8\narrived 17\nverbose /tmp/v\n\
        comment anything\ntodsn NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x%y@z INRCPT=q\nto \"a b\"@c\nto <d@e>\nenv-eof\n";
    let (e, end) = parse_envelope(text.as_bytes()).unwrap();
    assert_eq!(end, text.len());
    assert_eq!((e.length, e.external, e.errormsg, e.smtputf8, e.arrived), (Some(42), true, true, true, Some(17)));
    assert_eq!((e.rcvdfrom.as_deref(), e.with.as_deref(), e.authinfo.as_deref()), (Some("host ([10.0.0.1])"), Some("ESMTP"), Some("a b")));
    assert_eq!((e.from, e.ret, e.bodytype), (Some(Path::Null), Some(Ret::Headers), BodyType::EightBit));
    assert_eq!((e.recipients[0].address.as_str(), e.recipients[0].dsn.orcpt.as_deref()), ("\"a b\"@c", Some("rfc822;x%y@z")));
    assert_eq!(e.recipients[0].dsn.notify.unwrap().to_string(), "SUCCESS,DELAY");
    assert_eq!(e.recipients[1].dsn, RecipientDsn::default());
}

#[test]
fn channel_error_means_the_null_sender_in_either_order() {
    for text in ["channel error\nfrom a@b\nto c@d\nenv-end\n", "from a@b\nchannel error\nto c@d\nenv-end\n"] {
        assert_eq!(parse_envelope(text.as_bytes()).unwrap().0.from, Some(Path::Null));
    }
}

#[test]
fn faults_name_line_and_reason() {
    for (text, line, part) in [
        ("from a@b\nenv-end\n", 2, "no recipient"),
        ("from a@b\nSubject: x\n", 2, "no recipient"),
        ("bogus x\nto a@b\nenv-end\n", 1, "unknown keyword \"bogus\""),
        ("from a@b\nfrom c@d\n", 2, "second from"),
        ("from a@@b\n", 1, "malformed"),
        ("to <>\n", 1, "malformed recipient"),
        ("to\n", 1, "empty address"),
        ("from a@b\n\nSubject: x\n", 2, "empty line"),
        ("comment a\0b\n", 1, "control"),
        ("with a\rb\n", 1, "control"),
        ("external yes\n", 1, "unexpected value"),
        ("length -1\n", 1, "malformed number"),
        ("length 99999999999999999999999\n", 1, "malformed number"),
        ("envid a+0Ab\n", 1, "malformed envid"),
        ("todsn ORCPT=rfc822;a+0Db\n", 1, "malformed ORCPT"),
        ("todsn NOTIFY=MAYBE\n", 1, "malformed NOTIFY"),
        ("todsn X=1\n", 1, "unknown parameter"),
        ("bodytype 9BIT\n", 1, "malformed body type"),
        ("from a@b\nto c@d\n", 3, INCOMPLETE),
        ("from a@b\nto c@d\nSubj", 3, INCOMPLETE),
        ("", 1, INCOMPLETE),
    ] {
        let (at, reason) = reason(text);
        assert!(at == line && reason.contains(part), "{text:?}: line {at}: {reason}");
    }
    assert!(reason(&format!("comment {}\nto a@b\nenv-end\n", "x".repeat(MAX_LINE))).1.contains("longer"));
    assert!(parse_envelope(b"with \xff\n").unwrap_err().reason.contains("UTF-8"));
}

#[test]
fn a_value_cannot_make_a_line() {
    let mut envelope = parse_envelope(DROPPED).unwrap().0;
    envelope.rcvdfrom = Some("x\nto evil@example.org".into());
    let mut out = Vec::new();
    write_envelope(&envelope, &mut out);
    assert_eq!(parse_envelope(&out).unwrap().0.recipients.len(), 1);
}

#[test]
fn the_length_line_has_a_fixed_size() {
    let mut envelope = parse_envelope(DROPPED).unwrap().0;
    envelope.length = Some(7);
    let mut out = Vec::new();
    write_envelope(&envelope, &mut out);
    assert!(out.starts_with(b"length 00000000000000000007\n"));
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[!-~ü]([ -~ü]{0,20}[!-~ü])?")
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    "[a-z+]{1,8}@[a-z]{1,8}(\\.[a-z]{2,5})?|\"[ -!#-Z]{1,10}\"@[a-z]{1,5}|ü[a-z]{1,3}@bü[a-z]{1,3}"
        .prop_map(|a| Address::parse(&a).unwrap())
}

pub(crate) fn dsn() -> impl Strategy<Value = RecipientDsn> {
    let notify = proptest::sample::select(vec!["NEVER", "SUCCESS", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"]);
    let notify = proptest::option::of(notify.prop_map(|n| Notify::parse(n).unwrap()));
    (notify, proptest::option::of("rfc822;[a-z@%]{1,9}(\\+2B)?")).prop_map(|(notify, orcpt)| RecipientDsn { notify, orcpt })
}

pub(crate) fn terms() -> impl Strategy<Value = crate::Terms> {
    let deliver_by = proptest::option::of((any::<u64>(), any::<bool>(), any::<bool>()));
    (-9i8..=9, deliver_by, any::<Option<u64>>(), any::<bool>()).prop_map(|(priority, by, hold_until, required)| crate::Terms {
        priority,
        deliver_by: by.map(|(until, or_return, trace)| crate::DeliverBy { until, or_return, trace }),
        hold_until,
        tls: if required { crate::TlsTerms::Required } else { crate::TlsTerms::Usual },
    })
}

prop_compose! {
    fn envelope()(
        texts in (text(), text(), text(), text(), text()),
        flags: (bool, bool, bool, bool),
        numbers: (Option<u64>, Option<u64>),
        from in proptest::option::of(proptest::option::of(address())),
        envid in proptest::option::of("[a-z]{1,9}"),
        ret in proptest::option::of(proptest::sample::select(vec![Ret::Full, Ret::Headers])),
        recipients in proptest::collection::vec((address(), dsn(), proptest::option::of(text())), 1..5),
        terms in terms(),
    ) -> Envelope {
        Envelope {
            length: numbers.0, arrived: numbers.1, external: flags.0, errormsg: flags.1, smtputf8: flags.2, forwarded: flags.0 ^ flags.1,
            formed: flags.1 ^ flags.2,
            bodytype: if flags.3 { BodyType::EightBit } else { BodyType::SevenBit },
            rcvdfrom: texts.0, with: texts.1, fullname: texts.2, loginname: texts.3, verbose: texts.4,
            identinfo: None, authinfo: None, submitter: flags.2.then_some(1000), channel: None,
            from: from.map(|f| f.map_or(Path::Null, Path::Mailbox)),
            envid, ret, terms,
            recipients: recipients.into_iter().map(|(address, dsn, via)| EnvelopeRecipient { address, dsn, via: via.flatten() }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn round_trip_and_truncation(envelope in envelope()) {
        let mut out = Vec::new();
        write_envelope(&envelope, &mut out);
        let length = out.len();
        out.extend_from_slice(b"Subject: x\n\nbody");
        prop_assert_eq!(parse_envelope(&out).unwrap(), (envelope, length));
        for end in 0..length {
            prop_assert!(parse_envelope(&out[..end]).is_err_and(|e| e.is_incomplete()));
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_envelope(&bytes);
    }

    #[test]
    fn any_lines(text in "((to|from|todsn|channel|length|comment|env-end|x:)[ -~\t]{0,20}\r?\n){0,8}") {
        if let Ok((envelope, end)) = parse_envelope(text.as_bytes()) {
            prop_assert!(end <= text.len() && !envelope.recipients.is_empty());
        }
    }
}
