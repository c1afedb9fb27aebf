use super::driver::{Driver, config};
use super::{Config, Grant, Protocol, Rights, Step};
use proptest::prelude::*;
use status::{Enhanced, Reply};

fn offering(more: Rights) -> Driver {
    let mechanisms = vec!["PLAIN".to_owned(), "LOGIN".to_owned()];
    Driver::with(Config { max_errors: 100, max_idle_commands: 100, ..config() }, Protocol::Smtp, Rights { mechanisms, ..more })
}

#[test]
fn logins() {
    let mut d = offering(Rights::default());
    assert_eq!(d.lines(&["AUTH PLAIN AHUAcA==", "HELO c", "AUTH PLAIN AHUAcA==", "EHLO c"]), [220, 503, 250, 503, 250]);
    assert!(d.replies.contains("250-AUTH PLAIN LOGIN\r\n"));
    assert_eq!(d.lines(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@y.example>", "AUTH PLAIN AHUAcA==", "RSET"]), [250, 550, 503, 250]);
    assert_eq!(d.lines(&["AUTH plain AHUAcQ==", "AUTH PLAIN AHUAcA==", "AUTH PLAIN AHUAcA=="]), [535, 235, 503]);
    assert!(d.replies.contains("235 2.7.0 "));
    assert_eq!((d.session.user(), d.session.with()), (Some("u"), "ESMTPA"));
    assert_eq!(d.lines(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@y.example>"]), [250, 250]);
}

#[test]
fn exchanges() {
    let mut d = offering(Rights::default());
    d.lines(&["EHLO c"]);
    assert_eq!(d.lines(&["AUTH PLAIN", "AHUAcA=="]), [334, 235]);
    assert!(d.replies.starts_with("334 \r\n"));
    let mut d = offering(Rights::default());
    d.lines(&["EHLO c"]);
    assert_eq!(d.lines(&["AUTH LOGIN", "cA=="]), [334, 235]);
    assert!(d.replies.starts_with("334 UGFzc3dvcmQ6\r\n"));
}

/// attacks.md 31.
#[test]
fn malformed_exchanges() {
    let mut d = offering(Rights::default());
    d.lines(&["EHLO c"]);
    assert_eq!(
        d.lines(&["AUTH", "AUTH CRAM-MD5", "AUTH PLAIN A", "AUTH PLAIN AHUAcB==", "AUTH PLAIN AHUAcA", "AUTH PLAIN A HUAcA=="]),
        [501, 504, 501, 501, 501, 501]
    );
    for (line, code) in [("*", 501), ("cA", 501), ("=", 501), ("cA==cA==", 501), ("c A==", 501), ("", 535), ("AA==", 535)] {
        assert_eq!(d.lines(&["AUTH LOGIN", line, "NOOP"]), [334, code, 250], "{line:?}");
    }
    assert_eq!(d.cancelled, 5);
    assert_eq!(d.lines(&["AUTH PLAIN ="]), [535]);
    d.lines(&["AUTH LOGIN"]);
    d.replies.clear();
    d.feed(b"cA==\n");
    assert_eq!((d.codes(), d.cancelled), (vec![501], 6));
    assert!(d.replies.starts_with("501 5.5.2"));
}

#[test]
fn long_lines_are_for_exchanges_only() {
    let mut d = offering(Rights::default());
    d.lines(&["EHLO c"]);
    let (fits, too_long) = ("QUJD".repeat(4096), "QUJD".repeat(6000));
    assert_eq!(d.lines(&["AUTH LOGIN", &fits, &format!("AUTH PLAIN {fits}"), &format!("NOOP {fits}")]), [334, 535, 535, 500]);
    assert_eq!(d.lines(&["AUTH LOGIN", &too_long, &format!("AUTH PLAIN {too_long}"), "NOOP"]), [334, 500, 500, 250]);
    assert!(d.replies.contains("500 5.5.6 "));
    let mut d = Driver::smtp(false);
    assert_eq!(d.lines(&["EHLO c", &format!("AUTH PLAIN {fits}")]), [220, 250, 500]);
}

#[test]
fn nothing_may_follow_a_step_of_the_exchange() {
    let mut d = offering(Rights::default());
    d.lines(&["EHLO c"]);
    assert!(!d.feed(b"AUTH LOGIN\r\nsecret\r\n"));
    assert!(d.session.take_rejections().iter().all(|r| r.subject.is_empty()));
    let mut d = offering(Rights::default());
    d.lines(&["EHLO c", "AUTH LOGIN"]);
    assert!(!d.feed(b"c2VjcmV0\r\nMAIL FROM:<>\r\n"));
    assert_eq!((d.codes().last(), d.cancelled), (Some(&554), 1));
    assert!(d.session.take_rejections().iter().all(|r| r.subject.is_empty()));
}

#[test]
fn a_login_and_tls_are_forgotten_and_wanted() {
    let mut d = offering(Rights { login_required: true, relay: true, ..Rights::default() });
    assert_eq!(
        d.lines(&["EHLO c", "MAIL FROM:<>", "AUTH PLAIN AHUAcA==", "STARTTLS", "EHLO c", "MAIL FROM:<>"]),
        [220, 250, 530, 235, 220, 250, 530]
    );
    assert_eq!(d.session.user(), None);
    let mut d = offering(Rights { tls_required: true, ..Rights::default() });
    assert_eq!(
        d.lines(&["EHLO c", "MAIL FROM:<>", "AUTH PLAIN =", "NOOP", "STARTTLS", "EHLO c", "MAIL FROM:<>"]),
        [220, 250, 530, 530, 250, 220, 250, 250]
    );
    let mut d = Driver::with(config(), Protocol::Smtp, Rights { auth_after_tls: true, ..Rights::default() });
    assert_eq!(d.lines(&["EHLO c", "AUTH PLAIN ="]), [220, 250, 538]);
}

#[test]
fn failures_end_the_session() {
    let mut d = Driver::with(config(), Protocol::Smtp, Rights { mechanisms: vec!["PLAIN".into()], ..Rights::default() });
    d.lines(&["EHLO c"]);
    let codes = d.lines(&["AUTH PLAIN ="; 20]);
    assert_eq!((codes.len(), codes.last()), (11, Some(&421)));
}

/// A relaying recipient enters by a grant, and by nothing else.
#[test]
fn grants() {
    let mut d = Driver::smtp(false);
    d.lines(&["EHLO c", "MAIL FROM:<>"]);
    let mut sink = Vec::new();
    for (grant, code) in [(false, "550 5.7.1 relaying denied"), (true, "250")] {
        let (_, step) = d.session.step(b"RCPT TO:<x@y.example>\r\n", &mut sink);
        assert!(matches!(step, Step::Recipient { standing: super::Standing::Denied }));
        if grant {
            d.session.grant(Grant::Relay)
        } else {
            d.session.answer(Ok(()))
        }
        let said = String::from_utf8(std::mem::take(d.session.output())).unwrap();
        assert!(said.starts_with(code), "{said}");
    }
    assert_eq!(d.session.transaction().unwrap().recipients().len(), 1);
}

#[test]
fn the_driver_may_refuse_anywhere_and_421_ends_it() {
    for code in [450, 421] {
        let reply = || Reply::new(code, Enhanced::transient(7, 1), "no");
        let mut sink = Vec::new();
        let mut d = Driver::with(config(), Protocol::Smtp, Rights { ask_hello: true, ask_data: true, relay: true, ..Rights::default() });
        let (_, step) = d.session.step(b"EHLO c\r\n", &mut sink);
        assert!(matches!(step, Step::Hello) && d.session.hello() == Some("c"));
        d.session.answer(Err(reply()));
        assert_eq!((d.session.hello(), d.session.is_closed()), (None, code == 421));
        let mut d = Driver::with(config(), Protocol::Smtp, Rights { ask_hello: true, ask_data: true, relay: true, ..Rights::default() });
        d.lines(&["EHLO c", "MAIL FROM:<>", "RCPT TO:<x@y.example>"]);
        let (_, step) = d.session.step(b"DATA\r\n", &mut sink);
        assert!(matches!(step, Step::Data));
        d.session.answer(Err(reply()));
        assert_eq!((d.session.transaction().is_none(), d.session.is_closed()), (true, code == 421));
    }
    let mut d = Driver::with(config(), Protocol::Smtp, Rights { ask_hello: true, ask_data: true, relay: true, ..Rights::default() });
    assert_eq!(d.lines(&["EHLO c", "MAIL FROM:<>", "RCPT TO:<x@y.example>", "DATA", "x", "."]), [220, 250, 250, 250, 354, 250]);
    assert_eq!((d.messages.len(), d.begun), (1, 1));
    d.session.turn_away(&Reply::new(554, Enhanced::permanent(7, 1), "not you"));
    assert!(d.session.is_closed());
}

proptest! {
    /// Whatever stands in an exchange: one reply a line, and nobody gets in without the password.
    #[test]
    fn any_exchange(lines in prop::collection::vec("[A-Za-z0-9+/=* ]{0,12}", 1..6), piece in 1..9usize) {
        let mut d = offering(Rights::default());
        d.lines(&["EHLO c"]);
        for line in &lines {
            d.replies.clear();
            d.pieces(b"AUTH LOGIN\r\n", piece);
            d.pieces(format!("{line}\r\n").as_bytes(), piece);
            prop_assert_eq!(d.codes().len(), 2);
            prop_assert!(d.session.user().is_none() || line == "cA==" || line == "AHUAcA==");
        }
    }
}
