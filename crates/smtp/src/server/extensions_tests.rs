//! DELIVERBY, MT-PRIORITY, FUTURERELEASE, REQUIRETLS, LIMITS, AUTH=, VRFY, EXPN, XCLIENT, XFORWARD.

use super::driver::{Driver, config};
use super::{Config, Offers, Protocol, Rights, Said};
use envelope::{DeliverBy, TlsTerms};
use proptest::prelude::*;

const NOW: u64 = 1_795_230_000;

fn offering(rights: Rights) -> Driver {
    let offers = Offers { clock: || NOW, max_hold: 3600, max_priority: 2, min_deliver_by: 60, max_messages: Some(2) };
    let mut d = Driver::with(Config { offers, max_errors: 100, max_idle_commands: 100, ..config() }, Protocol::Smtp, rights);
    d.lines(&["EHLO c"]);
    d
}

fn friend() -> Driver {
    offering(Rights { relay: true, ..Rights::default() })
}

/// The code for one MAIL with these parameters, which leaves the session as it was.
fn mail(d: &mut Driver, parameters: &str) -> u16 {
    let code = d.lines(&[&format!("MAIL FROM:<a@b.example> {parameters}")])[0];
    d.lines(&["RSET"]);
    code
}

#[test]
fn what_is_announced() {
    let d = friend();
    for word in [
        "250-MT-PRIORITY\r\n",
        "250-LIMITS RCPTMAX=5 MAILMAX=2\r\n",
        "250-DELIVERBY 60\r\n",
        "250-FUTURERELEASE 3600 2026-11-21T04:00:00Z\r\n",
    ] {
        assert!(d.replies.contains(word), "{word} {}", d.replies);
    }
    assert!(!d.replies.contains("REQUIRETLS") && !d.replies.contains("XCLIENT") && !d.replies.contains("PRDR"));
    let mut d = offering(Rights { xclient: true, xforward: true, prdr: true, ..Rights::default() });
    assert!(d.replies.contains("250-XCLIENT NAME ADDR ") && d.replies.contains("250-XFORWARD NAME ") && d.replies.contains("250-PRDR\r\n"));
    assert!(!d.replies.contains("FUTURERELEASE"));
    d.lines(&["STARTTLS"]);
    d.lines(&["EHLO c"]);
    assert!(d.replies.contains("250-REQUIRETLS\r\n"));
    for line in d.replies.lines() {
        assert!(line.len() <= 510);
    }
}

#[test]
fn terms_of_a_friend() {
    let mut d = friend();
    assert_eq!(d.lines(&["MAIL FROM:<a@b.example> BY=120;RT MT-PRIORITY=9 HOLDFOR=60"]), [250]);
    let terms = d.session.transaction().unwrap().terms;
    assert_eq!(terms.deliver_by, Some(DeliverBy { until: NOW + 120, or_return: true, trace: true }));
    assert_eq!((terms.priority, terms.hold_until, terms.tls), (9, Some(NOW + 60), TlsTerms::Usual));
    d.lines(&["RSET", "MAIL FROM:<a@b.example> BY=-60;N HOLDUNTIL=2026-11-21T04:00:00.5+01:00"]);
    let terms = d.session.transaction().unwrap().terms;
    assert_eq!((terms.deliver_by.unwrap().until, terms.hold_until), (NOW - 60, None), "a moment that has passed holds nothing");
    d.lines(&["RSET", "MAIL FROM:<a@b.example> HOLDUNTIL=2026-11-21T04:30:00+01:00"]);
    assert_eq!(d.session.transaction().unwrap().terms.hold_until, Some(NOW + 1800));
    d.lines(&["RSET"]);
    for (parameters, code) in [
        ("BY=0;R", 501),
        ("BY=-5;RT", 501),
        ("BY=59;R", 555),
        ("BY=59;N", 250),
        ("HOLDFOR=3600", 250),
        ("HOLDFOR=3601", 501),
        ("HOLDUNTIL=2026-11-22T04:00:00Z", 501),
        ("HOLDFOR=100 BY=100;R", 501),
        ("HOLDFOR=100 BY=100;N", 250),
        ("HOLDFOR=1 HOLDFOR=1", 501),
        ("REQUIRETLS", 530),
        ("PRDR", 555),
    ] {
        assert_eq!(mail(&mut d, parameters), code, "{parameters}");
    }
}

#[test]
fn terms_of_a_stranger() {
    let mut d = offering(Rights::default());
    assert_eq!(d.lines(&["MAIL FROM:<a@b.example> MT-PRIORITY=9 AUTH=boss+40b.example"]), [250]);
    assert!(d.replies.starts_with("250 2.3.6 ") && d.replies.contains("priority 2"), "{}", d.replies);
    let transaction = d.session.transaction().unwrap();
    assert_eq!((transaction.terms.priority, transaction.submitter.as_deref()), (2, Some("<>")));
    d.lines(&["RSET"]);
    for (parameters, code) in [("MT-PRIORITY=-9", 250), ("HOLDFOR=1", 555), ("BY=60;R", 250), ("AUTH=a+0AX", 501)] {
        assert_eq!(mail(&mut d, parameters), code, "{parameters}");
    }
    let mut d = friend();
    d.lines(&["MAIL FROM:<a@b.example> AUTH=boss+40b.example"]);
    assert_eq!(d.session.transaction().unwrap().submitter.as_deref(), Some("boss+40b.example"));
}

#[test]
fn tls_may_be_required_inside_tls() {
    let mut d = friend();
    d.lines(&["STARTTLS", "EHLO c"]);
    assert_eq!(d.lines(&["MAIL FROM:<a@b.example> REQUIRETLS"]), [250]);
    assert_eq!(d.session.transaction().unwrap().terms.tls, TlsTerms::Required);
}

#[test]
fn messages_of_a_session_are_counted() {
    let mut d = friend();
    for _ in 0..2 {
        assert_eq!(d.lines(&["MAIL FROM:<>", "RCPT TO:<x@y.example>", "DATA", "x", "."]), [250, 250, 354, 250]);
    }
    assert_eq!(d.lines(&["MAIL FROM:<>", "NOOP"]), [452, 250]);
}

#[test]
fn inquiries() {
    let mut d = offering(Rights { vrfy: true, expn: true, ..Rights::default() });
    d.lines(&["MAIL FROM:<a@b.example>"]);
    assert_eq!(
        d.lines(&[
            "VRFY known@local.example",
            "VRFY <known@local.example> SMTPUTF8",
            "VRFY nobody@local.example",
            "VRFY x@elsewhere.example"
        ]),
        [250, 250, 550, 252]
    );
    assert!(d.replies.starts_with("250 2.1.5 <known@local.example>\r\n"), "{}", d.replies);
    assert_eq!(
        d.lines(&["EXPN list@local.example", "EXPN list@elsewhere.example", "EXPN", "VRFY", "VRFY <@>", "VRFY a b"]),
        [250, 550, 501, 501, 501, 501]
    );
    assert!(d.replies.starts_with("250-2.1.5 <known@local.example>\r\n250 2.1.5 <b??250 x@y>\r\n"), "{}", d.replies);
    // The transaction has gone on.
    assert_eq!(d.lines(&["RCPT TO:<known@local.example>", "VRFY known@local.example", "DATA", "x", "."]), [250, 250, 354, 250]);
    // Guessing names ends as it does with RCPT.
    let mut d = offering(Rights { vrfy: true, ..Rights::default() });
    let mut idle = Driver::with(Config { max_idle_commands: 5000, ..config() }, Protocol::Smtp, Rights { vrfy: true, ..Rights::default() });
    idle.lines(&["EHLO c"]);
    assert_eq!(idle.lines(&["VRFY nobody@local.example"; 2000]).last(), Some(&421));
    assert_eq!(d.lines(&["EXPN list@local.example"]), [502]);
}

#[test]
fn xclient_begins_anew() {
    let mut d = offering(Rights { xclient: true, ..Rights::default() });
    assert_eq!(
        d.lines(&["MAIL FROM:<>", "XCLIENT ADDR=192.0.2.1", "RSET", "XCLIENT", "XCLIENT FOO=1", "XCLIENT ADDR=x", "XCLIENT ADDR="]),
        [250, 503, 250, 501, 501, 501, 501]
    );
    for bad in ["NAME=a+0Ab", "NAME=a ADDR=1.2.3.4 ADDR=1.2.3.4", "PORT=65536", "PROTO=HTTP", "HELO=a+20b", "NAME=a+4", "NAME"] {
        assert_eq!(d.lines(&[&format!("XCLIENT {bad}")]), [501], "{bad}");
    }
    assert_eq!(d.lines(&["XCLIENT ADDR=IPv6:2001:db8::1 name=mail.example REVERSE_NAME=[TEMPUNAVAIL] HELO=x+2Eexample PROTO=SMTP LOGIN=[UNAVAILABLE] DESTADDR=::ffff:192.0.2.9 PORT=[UNAVAILABLE]"]), [220]);
    let stood = d.stood.clone().unwrap();
    assert_eq!(stood.address, Some(Said::Is("2001:db8::1".parse().unwrap())));
    assert_eq!((stood.name, stood.reverse_name), (Some(Said::Is("mail.example".into())), Some(Said::TemporarilyUnavailable)));
    assert_eq!((stood.local_address, stood.port), (Some(Said::Is("192.0.2.9".parse().unwrap())), Some(Said::Unavailable)));
    assert_eq!((d.session.hello(), d.session.with(), d.session.user()), (Some("x.example"), "SMTP", None));
    assert_eq!(d.lines(&["XCLIENT LOGIN=joe", "MAIL FROM:<>", "EHLO d", "MAIL FROM:<>"]), [220, 503, 250, 250]);
    assert_eq!((d.session.user(), d.session.with()), (Some("joe"), "ESMTPA"));
    // Another client has not logged in because the one before had.
    assert_eq!(d.lines(&["RSET", "XCLIENT NAME=mail.example"]), [250, 220]);
    assert_eq!(d.session.user(), Some("joe"));
    assert_eq!(d.lines(&["XCLIENT ADDR=192.0.2.8"]), [220]);
    assert_eq!(d.session.user(), None);
}

/// attacks.md 33.
#[test]
fn strangers_stand_for_nobody() {
    let mut d = offering(Rights::default());
    assert_eq!(d.lines(&["XCLIENT ADDR=127.0.0.1", "XFORWARD ADDR=127.0.0.1", "RSET"]), [550, 550, 250]);
    let mut d = offering(Rights { xforward: true, ..Rights::default() });
    assert_eq!(d.lines(&["XFORWARD NAME=a ADDR=192.0.2.1", "XFORWARD LOGIN=x", "XFORWARD IDENT=a+00"]), [250, 501, 501]);
}

proptest! {
    #[test]
    fn nothing_that_xclient_says_breaks_a_line(value in "[ -~]{0,30}|[+0-9A-F]{0,12}", name in prop::sample::select(vec!["NAME", "REVERSE_NAME", "HELO", "LOGIN"])) {
        let mut d = offering(Rights { xclient: true, ..Rights::default() });
        let code = d.lines(&[&format!("XCLIENT {name}={value}")])[0];
        prop_assert!([220, 501].contains(&code));
        if let Some(stood) = &d.stood {
            let kept = format!("{:?}{:?}{:?}", stood.name, stood.reverse_name, stood.login);
            prop_assert!(!kept.contains(['\r', '\n']) && d.session.hello().is_none_or(|hello| hello.bytes().all(|b| b.is_ascii_graphic())));
        }
    }
}
